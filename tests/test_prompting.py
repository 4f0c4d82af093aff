"""A model prompted to play students: what it is shown, and how what it says is read as theirs."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socratic_distill.errors import UserError
from socratic_distill.reasoning.dialogue import (
    Ask,
    Dialogue,
    reseeded,
    side_by_side,
    with_calculator,
    with_sampling,
)
from socratic_distill.reasoning.exemplars import read_exemplars
from socratic_distill.reasoning.gold import gold_texts
from socratic_distill.reasoning.guidance import guided
from socratic_distill.reasoning.prompting import Api, Prompting, prompting_of, with_prompting
from socratic_distill.reasoning.prompting_roles import GO_ON, PROMPTING_VERSION
from socratic_distill.reasoning.strategies import STRATEGIES, Strategy, shown
from socratic_distill.recipe import Prompted, Server, Solve
from socratic_distill.records import Completion, Problem, Prompt, Sampling, Solution

GOLDEN = Path(__file__).parent / "golden" / "prompting"
REGENERATE = "SOCRATIC_WRITE_GOLDEN"  # set it to write the golden files anew
APIS: tuple[Api, ...] = ("chat", "completions")
WAYS: dict[str, Strategy] = {
    **STRATEGIES,
    "iterative_steps": guided(STRATEGIES["socratic_iterative"], "steps"),
    "planned_equations": guided(STRATEGIES["socratic_planned"], "equations"),
}


@pytest.fixture(scope="module")
def orchard(two_problems: list[Problem]) -> Problem:
    return two_problems[0]


@pytest.fixture(scope="module")
def penguins(two_problems: list[Problem]) -> Problem:
    return two_problems[1]


def solve_with(api: Api, **changed: Any) -> Solve:
    prompted = {"shots": 2, "model": "a-model", "server": Server(base_url="http://localhost:9/v1", api=api)}
    own = {key: changed.pop(key) for key in ("shots", "exemplars", "engine") if key in changed}
    return Solve(strategy="cot", prompted=Prompted.model_validate(prompted | own), **changed)


def prompting(
    way: str, api: Api, problem: Problem, *, students: Sequence[str] | None = None, **changed: Any
) -> Prompting:
    strategy = WAYS[way]
    dataset = "svamp" if problem.answer_kind == "number" else "strategyqa"
    return prompting_of(
        solve_with(api, **changed),
        strategy,
        students=strategy.students if students is None else students,
        dataset=dataset,
        kinds={problem.answer_kind},
        api=api,
    )


def run(dialogue: Dialogue, texts: Mapping[str, Sequence[str]]) -> tuple[list[Ask], Solution]:
    """Answer each student's asks by its texts in turn; returns the asks as an engine sees them."""
    remaining = {student: iter(own) for student, own in texts.items()}
    asked: list[Ask] = []
    reply: Any = None
    while True:
        try:
            asks = dialogue.send(reply)
        except StopIteration as stop:
            return asked, stop.value
        together = asks if isinstance(asks, tuple) else (asks,)
        asked += together
        replies = tuple(
            Completion(text=next(remaining[ask.student]), finish_reason="end", prompt_tokens=1, tokens=1)
            for ask in together
        )
        reply = replies if isinstance(asks, tuple) else replies[0]


def opened(way: str, problem: Problem, prompted: Prompting, sampling: Sampling | None = None) -> Dialogue:
    seen = shown(problem, "gold")
    dialogue = with_sampling(WAYS[way].dialogue(seen), sampling or Sampling())
    return with_prompting(dialogue, seen, prompting=prompted)


def gold(way: str, problem: Problem) -> Mapping[str, Sequence[str]]:
    texts = gold_texts(problem, WAYS[way])
    assert texts is not None
    return texts


def asked_with_gold(way: str, api: Api, problem: Problem, **changed: Any) -> tuple[list[Ask], Solution]:
    return run(opened(way, problem, prompting(way, api, problem, **changed)), gold(way, problem))


# --- what is shown


def show(prompt: Prompt, api: Api) -> str:
    """Write a prompt as readable text, whose turn it is before each piece of a chat."""
    lines = [f"prompting version {PROMPTING_VERSION}", ""]
    for place, piece in enumerate(prompt.pieces):
        lines += [f"===== {'assistant' if place % 2 else 'user'}" if api == "chat" else "===== text", piece, ""]
    return "\n".join(lines)


def golden_prompts(orchard: Problem, penguins: Problem) -> Iterator[tuple[str, str]]:
    """Yield the last prompt of each student."""
    for way in WAYS:
        for api in APIS:
            problem = penguins if way == "answer_only" else orchard
            asks, _ = asked_with_gold(way, api, problem)
            for student in WAYS[way].students:
                last = [ask for ask in asks if ask.student == student][-1]
                yield f"{way}_{student}_{api}", show(last.prompt, api)


def test_prompts_are_the_golden_ones(orchard: Problem, penguins: Problem) -> None:
    for name, text in golden_prompts(orchard, penguins):
        path = GOLDEN / f"{name}.txt"
        if os.environ.get(REGENERATE):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.read_text(encoding="utf-8") == text, f"{name} has changed: bump PROMPTING_VERSION"


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("way", WAYS)
def test_a_dialogue_goes_as_it_would_with_students(way: str, api: Api, orchard: Problem) -> None:
    _, plain = run(WAYS[way].dialogue(shown(orchard, "none")), gold(way, orchard))
    _, prompted = asked_with_gold(way, api, orchard)
    assert prompted == plain
    assert not prompted.unfinished


@pytest.mark.parametrize("way", WAYS)
def test_a_chat_is_turns_of_which_the_assistants_are_what_the_student_wrote(way: str, orchard: Problem) -> None:
    asks, _ = asked_with_gold(way, "chat", orchard)
    for student, own in gold(way, orchard).items():
        prompts = [ask.prompt.pieces for ask in asks if ask.student == student]
        assert len(prompts) == len(own)
        for written, pieces in enumerate(prompts):
            assert len(pieces) % 2 == 1 and all(pieces)
            problems = [place for place, piece in enumerate(pieces) if "Problem: " in piece]
            assert len(problems) == 3 and not any(place % 2 for place in problems)
            assert orchard.question in pieces[problems[-1]]
            assert pieces[problems[-1] + 1 :: 2] == tuple(own[:written])


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("way", WAYS)
def test_prompts_only_grow(way: str, api: Api, orchard: Problem) -> None:
    asks, _ = asked_with_gold(way, api, orchard)
    for student, own in gold(way, orchard).items():
        prompts = [ask.prompt.pieces for ask in asks if ask.student == student]
        for before, reply, after in zip(prompts, own, prompts[1:], strict=False):
            if api == "chat":
                assert after[: len(before) + 1] == (*before, reply)
            else:
                assert after[0].startswith(f"{before[0]} {reply}\n")


def test_a_student_that_goes_on_by_itself_is_told_so(orchard: Problem) -> None:
    asks, _ = asked_with_gold("iterative_steps", "chat", orchard)
    second = [ask.prompt.pieces for ask in asks if ask.student == "decomposer_steps"][1]
    assert second[-2:] == ("Steps: 3", GO_ON)


def test_an_exemplar_that_asks_the_problems_own_question_is_passed_over(orchard: Problem) -> None:
    first, second, third, *_ = read_exemplars("svamp", kind="number", style="socratic")
    same = orchard.model_copy(update={"question": f" {first.question.replace(' ', '  ')}\n"})
    asks, _ = asked_with_gold("cot", "completions", same)
    text = asks[0].prompt.pieces[0]
    assert second.question in text and third.question in text
    assert first.rationale.strip() not in text and text.count("Problem: ") == 3


def test_exemplars_are_shown_with_facts_where_the_problem_is(penguins: Problem) -> None:
    asks, _ = asked_with_gold("cot", "completions", penguins)
    assert asks[0].prompt.pieces[0].count("Fact: ") > 2
    dry = penguins.model_copy(update={"facts": ()})
    asks, _ = asked_with_gold("cot", "completions", dry)
    assert "Fact: " not in asks[0].prompt.pieces[0]


def test_without_shots_only_the_part_and_the_problem_are_shown(orchard: Problem) -> None:
    asks, _ = asked_with_gold("cot", "chat", orchard, shots=0)
    [piece] = asks[0].prompt.pieces
    assert piece.endswith(f"\n\nProblem: {orchard.question}") and piece.count("Problem:") == 1


def test_students_that_are_not_prompted_are_asked_as_ever(orchard: Problem) -> None:
    prompted = prompting("socratic_iterative", "chat", orchard, students=["solver"])
    asks, solution = run(opened("socratic_iterative", orchard, prompted), gold("socratic_iterative", orchard))
    decomposers = [ask.prompt for ask in asks if ask.student == "decomposer"]
    assert [len(prompt.pieces) for prompt in decomposers] == [1, 3, 5, 7]
    assert decomposers[0].pieces == (orchard.question,)
    assert not solution.unfinished


def test_a_users_own_student_is_shown_examples_in_the_same_way(orchard: Problem) -> None:
    def twice(problem: Problem) -> Dialogue:
        first: Completion = yield Ask("doubter", Prompt(pieces=(problem.question,)))
        again: Completion = yield Ask("doubter", Prompt(pieces=(problem.question, first.text, "Are you sure?")))
        return Solution(text=again.text)

    def texts(annotation: Any) -> dict[str, list[str]]:
        return {"doubter": ["Perhaps.", f"#### {annotation.answer}"]}

    strategy = Strategy("twice", ("doubter",), twice, texts)
    made = prompting_of(
        solve_with("chat"), strategy, students=("doubter",), dataset="svamp", kinds={"number"}, api="chat"
    )
    dialogue = with_sampling(strategy.dialogue(orchard), Sampling())
    asks, solution = run(with_prompting(dialogue, orchard, prompting=made), texts(orchard))
    assert solution.text == "#### 76.5"
    assert asks[1].prompt.pieces[-3:] == (f"Problem: {orchard.question}", "Perhaps.", "Told: Are you sure?")
    assert asks[1].prompt.pieces[1:4] == ("Perhaps.", "Told: Are you sure?", "#### 23")


# --- what is refused


def test_too_few_exemplars_are_refused_and_so_are_none(orchard: Problem) -> None:
    with pytest.raises(UserError, match=r"prompted\.shots = 9, but socratic_iterative can be shown on 6 exemplars"):
        prompting("socratic_iterative", "chat", orchard, shots=9)
    choice = orchard.model_copy(update={"answer_kind": "choice", "choices": ("a", "b")})
    with pytest.raises(UserError, match="shots = 0"):
        prompting("cot", "chat", choice)
    word = orchard.model_copy(update={"answer_kind": "text"})
    with pytest.raises(UserError, match=r"0 exemplars of owndata .* prompted\.exemplars"):
        prompting_of(
            solve_with("chat"), WAYS["cot"], students=("cot",), dataset="owndata", kinds={word.answer_kind}, api="chat"
        )
    prompting("cot", "chat", choice, shots=0)


@pytest.mark.parametrize("interrupts", [{"calculator": True}, {"retries": 2}])
def test_a_chat_at_a_server_is_not_to_be_interrupted_while_it_reckons(
    interrupts: dict[str, Any], orchard: Problem
) -> None:
    [name] = interrupts
    for way in ("cot", "socratic_iterative"):
        with pytest.raises(UserError, match=name) as told:
            prompting(way, "chat", orchard, **interrupts)
        assert "\n" not in str(told.value)
    prompting("socratic_iterative", "chat", orchard, students=["decomposer"], **interrupts)
    prompting("cot", "completions", orchard, **interrupts)
    prompting("cot", "chat", orchard, engine="transformers", **interrupts)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "m"}, "no server"),
        ({"model": "m", "engine": "transformers", "max_usd": 1}, "max_usd needs prices"),
        ({"model": "", "engine": "transformers"}, "at least 1 character"),
    ],
)
def test_a_model_that_cannot_be_asked_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Prompted.model_validate(settings)


def test_a_model_behind_a_server_is_not_shared_by_actors() -> None:
    with pytest.raises(ValueError, match="one process"):
        solve_with("chat", executor="ray")
    assert solve_with("chat", executor="ray", engine="transformers").executor == "ray"


# --- what it says


@settings(max_examples=15)
@given(text=st.text(st.characters(codec="utf-8") | st.sampled_from("#*[]1.:?\n-"), max_size=80))
@pytest.mark.parametrize("way", WAYS)
def test_no_reply_is_an_error(way: str, text: str) -> None:
    problem = Problem(id="p", split="test", question="How many?", answer="1", answer_kind="number")
    for api in APIS:
        made = prompting(way, api, problem, shots=0)
        _, solution = run(opened(way, problem, made), {student: [text] * 99 for student in WAYS[way].students})
        assert solution.text == solution.text.strip()


def finish(dialogue: Dialogue, **reply: Any) -> Solution:
    """Answer the one ask of a dialogue and return its solution."""
    dialogue.send(None)
    with pytest.raises(StopIteration) as stop:
        dialogue.send((Completion(**{"prompt_tokens": 1, "tokens": 1, **reply}),))
    solution: Solution = stop.value.value
    return solution


@pytest.mark.parametrize(
    ("reply", "text", "unfinished"),
    [
        ({"text": " 12.\n#### 12\n\nProblem:", "finish_reason": "stop_string"}, "12.\n#### 12", ""),
        ({"text": " 12.\n#### 12\nBut wait, it", "finish_reason": "length"}, "12.\n#### 12", ""),
        ({"text": " 12 and then", "finish_reason": "length"}, "12 and then", "cot_length"),
        ({"text": "", "finish_reason": "over_budget"}, "", "cot_over_budget"),
        ({"text": "", "finish_reason": "failed"}, "", "cot_failed"),
        ({"text": "\n\nProblem:", "finish_reason": "stop_string"}, "", "cot_empty"),
    ],
)
def test_how_a_plain_text_ended_is_recorded(
    reply: dict[str, Any], text: str, unfinished: str, orchard: Problem
) -> None:
    solution = finish(opened("cot", orchard, prompting("cot", "completions", orchard)), **reply)
    assert (solution.text.strip(), solution.unfinished) == (text, unfinished)


def test_a_plain_text_stops_where_another_would_speak(orchard: Problem) -> None:
    asks, _ = asked_with_gold("socratic_iterative", "completions", orchard)
    stops = {ask.student: ask.sampling.stop for ask in asks if ask.sampling}
    assert stops == {"decomposer": ("\n",), "solver": ("\nProblem:", "\nSubquestion:")}
    chat, _ = asked_with_gold("socratic_iterative", "chat", orchard)
    assert not any(ask.sampling.stop for ask in chat if ask.sampling)


# --- together with what else acts on a dialogue


def calculated(api: Api, problem: Problem, replies: Sequence[str], **changed: Any) -> tuple[list[Ask], Solution]:
    seen = shown(problem, "none")
    dialogue = with_calculator(WAYS["cot"].dialogue(seen), Sampling())
    dialogue = with_prompting(dialogue, seen, prompting=prompting("cot", api, problem, calculator=True, **changed))
    asked: list[Ask] = []
    asks: Any = dialogue.send(None)
    for text in replies:
        asked += asks
        why = "stop_string" if text.endswith(">>") else "end"
        try:
            asks = dialogue.send((Completion(text=text, finish_reason=why, prompt_tokens=1, tokens=1),))
        except StopIteration as stop:
            return asked, stop.value
    raise AssertionError("it was not asked all")


@pytest.mark.parametrize(("api", "engine"), [("completions", "openai"), ("chat", "transformers")])
def test_a_calculator_puts_right_what_can_be_gone_on_with(api: Api, engine: str, orchard: Problem) -> None:
    texts = ("\nSolution: 3*4 = <<3*4=13>>", "12. And 12+1 = <<12+1=13>>", "13 \n#### 13\nBye")
    asks, solution = calculated(api, orchard, texts, engine=engine)
    assert solution.text == "3*4 = <<3*4=12>>12. And 12+1 = <<12+1=13>>13 \n#### 13"
    assert (solution.marks, solution.marks_changed) == (2, 1)
    assert [ask.prompt.begun for ask in asks] == [
        "",
        "3*4 = <<3*4=12>>",
        "3*4 = <<3*4=12>>12. And 12+1 = <<12+1=13>>",
    ]
    first, second, third = (ask.prompt.pieces for ask in asks)
    assert second == third == (first if api == "chat" else (f"{first[0]} ",))
    assert all(ask.sampling is not None and ask.sampling.stop[-1] == ">>" for ask in asks)


def test_a_calculator_lets_a_chatting_decomposer_be(orchard: Problem) -> None:
    seen = shown(orchard, "none")
    made = prompting("socratic_iterative", "chat", orchard, students=["decomposer"], calculator=True)
    dialogue = with_calculator(WAYS["socratic_iterative"].dialogue(seen), Sampling())
    texts = gold("socratic_iterative", orchard)
    odd = "Is it <<1+1=3>>?"
    asks, solution = run(
        with_prompting(dialogue, seen, prompting=made), {**texts, "decomposer": [odd, *texts["decomposer"][1:]]}
    )
    assert solution.steps[0].subquestion == odd and not solution.unfinished
    assert {ask.student: ask.sampling.stop for ask in asks if ask.sampling} == {"decomposer": (), "solver": (">>",)}


def test_samples_side_by_side_are_told_apart(orchard: Problem) -> None:
    seen = shown(orchard, "none")
    several = [
        with_sampling(WAYS["socratic_iterative"].dialogue(seen), reseeded(Sampling(temperature=1), number))
        for number in range(2)
    ]
    made = prompting("socratic_iterative", "chat", orchard)
    dialogue = with_prompting(side_by_side(several), seen, prompting=made)
    texts = {"decomposer": ["One?", "Two?", "[done]", "[done]"], "solver": ["a #### 1", "b #### 2"]}
    asks, solutions = run(dialogue, texts)  # type: ignore[arg-type]  # it returns the solutions of all
    assert [solution.text for solution in solutions] == ["a #### 1", "b #### 2"]  # type: ignore[attr-defined]
    assert asks[2].prompt.pieces[-1].endswith("Subquestion: One?")
    assert asks[5].prompt.pieces[-2:] == ("Two?", "Solution: b #### 2")
    assert asks[0].sampling != asks[1].sampling
