"""Guidance and oracles: what a decomposer writes before it asks, and what is taken from the gold reasoning."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from sampled import Script, solved

from socratic_distill.errors import UserError
from socratic_distill.problems import DATASETS
from socratic_distill.reasoning.dialogue import replay
from socratic_distill.reasoning.gold import NO_GOLD_STEPS, behind_gold, human_annotation, with_gold
from socratic_distill.reasoning.guidance import GUIDANCE, guided
from socratic_distill.reasoning.prompts import DONE, format_step
from socratic_distill.reasoning.solving import asked_students, dialogue_of, strategy_of, trained_students
from socratic_distill.reasoning.strategies import named_strategy, shown
from socratic_distill.recipe import Prompted, Solve
from socratic_distill.records import Problem, Prompt, Sampling, Solution, Turn

ITERATIVE, PLANNED = named_strategy("socratic_iterative"), named_strategy("socratic_planned")
GUIDES = tuple(GUIDANCE)


@pytest.fixture(scope="module")
def orchard(two_problems: list[Problem]) -> Problem:
    return two_problems[0]


def play(problem: Problem, solve: Solve, **scripts: Script) -> tuple[Solution, tuple[Turn, ...]]:
    finished, _ = solved(dialogue_of(problem, strategy_of(solve), solve, "none"), scripts)
    return finished.result, finished.turns


def gold_scripts(problem: Problem, texts: Mapping[str, Sequence[str]]) -> dict[str, Script]:
    """Let every student write its gold texts, in turn."""
    turns = {student: iter(own) for student, own in texts.items()}
    return {student: (lambda prompt, sampling, own=own: next(own)) for student, own in turns.items()}


# --- guidance


@pytest.mark.parametrize("guidance", GUIDES)
@pytest.mark.parametrize("plain", [ITERATIVE, PLANNED], ids=lambda strategy: strategy.name)
def test_a_guided_strategy_replays_its_annotation_to_the_gold_answer(
    plain: object, guidance: str, orchard: Problem
) -> None:
    strategy = guided(plain, guidance)  # type: ignore[arg-type]
    texts = strategy.texts(human_annotation(orchard))
    assert texts is not None
    examples, solution = replay(strategy.dialogue(shown(orchard, "none")), texts)
    assert solution.text.endswith("#### 76.5")
    assert len(examples) == sum(map(len, texts.values()))


@pytest.mark.parametrize("guidance", GUIDES)
def test_guidance_is_written_first_then_read_by_its_writer_alone(guidance: str, orchard: Problem) -> None:
    strategy = guided(ITERATIVE, guidance)
    texts = strategy.texts(human_annotation(orchard))
    assert texts is not None
    written = {"steps": "Steps: 3", "equations": "Equations: 84/12=7; 7*15=105; 105-28.5=76.5"}[guidance]
    examples, _ = replay(strategy.dialogue(shown(orchard, "none")), texts)
    own = [example for example in examples if example.student == f"decomposer_{guidance}"]
    assert own[0].completion == written and own[0].prompt.pieces == (orchard.question,)
    assert all(example.prompt.pieces[1] == written for example in own[1:])
    assert not any(written in example.prompt.pieces for example in examples if example.student == "solver")


def test_the_solver_learns_the_same_with_guidance_and_without(orchard: Problem) -> None:
    def learned(strategy: object) -> list[object]:
        texts = strategy.texts(human_annotation(orchard))  # type: ignore[attr-defined]
        examples, _ = replay(strategy.dialogue(shown(orchard, "none")), texts)  # type: ignore[attr-defined]
        return [example for example in examples if example.student == "solver"]

    assert learned(guided(ITERATIVE, "steps")) == learned(ITERATIVE)


def test_guidance_that_comes_to_no_end_ends_the_dialogue_for_that_reason(orchard: Problem) -> None:
    solve = Solve(strategy="socratic_iterative", guidance="steps", max_tokens=3)
    solution, turns = play(orchard, solve, decomposer_steps=lambda prompt, sampling: "Steps: " + "9 " * 50)
    assert solution.unfinished == "decomposer_length"
    assert len(turns) == 1


def test_what_has_no_equation_has_no_equations_to_guide_by(two_problems: list[Problem]) -> None:
    penguins = human_annotation(two_problems[1])
    assert guided(ITERATIVE, "equations").texts(penguins) is None
    assert guided(ITERATIVE, "steps").texts(penguins) is not None


def test_guidance_where_nobody_decomposes_is_refused() -> None:
    with pytest.raises(UserError, match="guidance = 'steps' needs a strategy that asks a decomposer"):
        strategy_of(Solve(strategy="cot", guidance="steps"))


# --- oracles


def test_gold_subquestions_are_asked_of_the_solver_alone(orchard: Problem) -> None:
    solve = Solve(strategy="socratic_iterative", oracle="subquestions")
    answers = iter(format_step(step) for step in orchard.steps)
    solution, turns = play(orchard, solve, solver=lambda prompt, sampling: next(answers))
    assert [turn.student for turn in turns] == ["solver"] * 3
    assert [step.subquestion for step in solution.steps] == [step.subquestion for step in orchard.steps]
    assert solution.text.endswith("#### 76.5")


def test_gold_guidance_is_given_and_the_rest_is_asked(orchard: Problem) -> None:
    solve = Solve(strategy="socratic_iterative", guidance="steps", oracle="guidance")
    seen: list[Prompt] = []

    def decomposer(prompt: Prompt, sampling: Sampling) -> str:
        seen.append(prompt)
        return DONE if len(prompt.pieces) > 2 else "How many crates?"

    solution, _ = play(orchard, solve, decomposer_steps=decomposer, solver=lambda *_: "7 #### 7")
    assert [prompt.pieces[1] for prompt in seen] == ["Steps: 3"] * 2
    assert solution.text == "7 #### 7"


@pytest.mark.parametrize("name", ["answer_only", "cot", "socratic_unified", "socratic_iterative", "socratic_planned"])
def test_behind_gold_every_student_is_asked_all_its_texts_and_sees_the_gold_before_each(
    name: str, orchard: Problem
) -> None:
    strategy = named_strategy(name)
    texts = strategy.texts(human_annotation(orchard))
    assert texts is not None
    examples, _ = replay(strategy.dialogue(shown(orchard, "none")), texts)
    asked: list[Prompt] = []

    def wrong(prompt: Prompt, sampling: Sampling) -> str:
        asked.append(prompt)
        return "1 #### 1"

    finished, _ = solved(behind_gold(strategy.dialogue(shown(orchard, "none")), texts), dict.fromkeys(texts, wrong))
    assert sorted(asked, key=str) == sorted((example.prompt for example in examples), key=str)
    assert [turn.student for turn in finished.turns] == [example.student for example in examples]
    assert finished.result.text == "1 #### 1"


def test_behind_gold_the_steps_are_the_solvers_own_answers_to_gold_subquestions(orchard: Problem) -> None:
    texts = ITERATIVE.texts(human_annotation(orchard))
    assert texts is not None
    scripts = gold_scripts(orchard, texts)
    finished, _ = solved(behind_gold(ITERATIVE.dialogue(shown(orchard, "none")), texts), scripts)
    assert [(step.subquestion, step.answer) for step in finished.result.steps] == [
        (step.subquestion, step.answer) for step in orchard.steps
    ]


def test_a_student_whose_gold_texts_run_out_is_asked_itself(orchard: Problem) -> None:
    dialogue = with_gold(ITERATIVE.dialogue(shown(orchard, "none")), {"decomposer": ["How many crates?"]})
    finished, _ = solved(dialogue, {"decomposer": lambda *_: DONE, "solver": lambda *_: "#### 7"})
    assert [turn.student for turn in finished.turns] == ["solver", "decomposer"]


@pytest.mark.parametrize("oracle", ["subquestions", "history"])
def test_without_gold_steps_an_oracle_asks_nothing_and_says_why(oracle: str, orchard: Problem) -> None:
    bare = orchard.model_copy(update={"steps": (), "rationale": ""})
    solve = Solve(strategy="socratic_iterative", oracle=oracle)  # type: ignore[arg-type]
    solution, turns = play(bare, solve)
    assert (solution.unfinished, turns) == (NO_GOLD_STEPS, ())


def test_an_oracle_of_subquestions_needs_somebody_who_asks_them() -> None:
    with pytest.raises(UserError, match="oracle = 'subquestions' needs a strategy"):
        strategy_of(Solve(strategy="cot", oracle="subquestions"))


def test_an_oracle_of_guidance_needs_guidance() -> None:
    with pytest.raises(ValueError, match="needs guidance"):
        Solve(strategy="socratic_iterative", oracle="guidance")


# --- who is asked, and who must have been trained


@pytest.mark.parametrize(
    ("settings", "asked", "trained"),
    [
        ({}, ("decomposer", "solver"), ("decomposer", "solver")),
        ({"trained": False}, ("decomposer", "solver"), ()),
        ({"oracle": "subquestions"}, ("solver",), ("solver",)),
        ({"oracle": "history"}, ("decomposer", "solver"), ("decomposer", "solver")),
        ({"guidance": "steps"}, ("decomposer_steps", "solver"), ("decomposer_steps", "solver")),
        ({"prompted": {"model": "m", "students": ["solver"]}}, ("decomposer", "solver"), ("decomposer",)),
        ({"prompted": {"model": "m"}}, ("decomposer", "solver"), ()),
        ({"prompted": {"model": "m"}, "oracle": "subquestions"}, ("solver",), ()),
    ],
)
def test_only_who_is_asked_and_not_played_by_another_is_trained(
    settings: dict[str, object], asked: tuple[str, ...], trained: tuple[str, ...]
) -> None:
    if "prompted" in settings:
        given = {"engine": "transformers"}
        settings = {**settings, "prompted": Prompted.model_validate({**settings["prompted"], **given})}  # type: ignore[dict-item]
    solve = Solve.model_validate({"strategy": "socratic_iterative", **settings})
    assert (asked_students(solve), trained_students(solve)) == (asked, trained)


def test_a_prompted_student_that_the_strategy_does_not_ask_is_refused() -> None:
    prompted = Prompted(model="m", students=("planner",), engine="transformers")
    with pytest.raises(UserError, match="names 'planner'; 'socratic_iterative' asks decomposer, solver"):
        strategy_of(Solve(strategy="socratic_iterative", prompted=prompted))


@pytest.mark.parametrize("guidance", GUIDES)
def test_every_guided_annotation_of_the_real_rows_replays_to_gold(guidance: str, shared: Path) -> None:
    strategy, compared = guided(ITERATIVE, guidance), 0
    for problem in DATASETS["gsm8k"].load(str(shared / "gsm8k/socratic_train.jsonl"), split="train"):
        texts = strategy.texts(human_annotation(problem))
        if texts is not None:
            _, solution = replay(strategy.dialogue(shown(problem, "none")), texts)
            assert solution.text.endswith(f"#### {problem.answer}")
            compared += 1
    assert compared > 780
