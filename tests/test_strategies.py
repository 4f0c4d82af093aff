"""The strategies: what each teaches, word by word, and that a replay of any annotation ends in the gold answer."""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socratic_distill.engines.driver import drive
from socratic_distill.errors import UserError
from socratic_distill.problems.grade_school import generate
from socratic_distill.problems.gsm8k import load_gsm8k
from socratic_distill.problems.strategyqa import load_strategyqa
from socratic_distill.problems.svamp import load_svamp
from socratic_distill.reasoning.dialogue import replay, with_calculator
from socratic_distill.reasoning.gold import human_annotation
from socratic_distill.reasoning.prompts import DONE, PROMPT_VERSION
from socratic_distill.reasoning.strategies import (
    MAX_STEPS,
    STRATEGIES,
    Facts,
    Strategy,
    named_strategy,
    register_strategy,
    shown,
)
from socratic_distill.records import Annotation, Completion, Problem, Prompt, Sampling, Solution, Step
from socratic_distill.stages.evaluate import score
from socratic_distill.students import Encoder
from socratic_distill.training.lessons import lessons_of
from socratic_distill.training.sequences import encode_lesson

GOLDEN = Path(__file__).parent / "golden"
REGENERATE = "SOCRATIC_WRITE_GOLDEN"  # set it to write the golden files anew


def show(strategy: Strategy, problem: Problem) -> Iterator[str]:
    """Write all that a strategy teaches from a problem as readable text."""
    texts = strategy.texts(human_annotation(problem))
    assert texts is not None
    examples, _ = replay(strategy.dialogue(shown(problem, "gold")), texts)
    for example in examples:
        yield f"===== {problem.id}: the {example.student} reads"
        for place, piece in enumerate(example.prompt.pieces, start=1):
            yield f"[piece {place}]"
            yield piece
        yield f"----- and the {example.student} writes"
        yield example.completion
        yield ""


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_prompt_and_completion_is_that_of_the_golden_file(name: str, two_problems: list[Problem]) -> None:
    lines = [f"prompt version {PROMPT_VERSION}, strategy {name}", ""]
    for problem in two_problems:
        lines += show(STRATEGIES[name], problem)
    written = "\n".join(lines)
    path = GOLDEN / f"{name}.txt"
    if os.environ.get(REGENERATE):
        path.write_text(written, encoding="utf-8")
    golden = path.read_text(encoding="utf-8")
    assert written == golden, f"if it is meant: raise PROMPT_VERSION, then run the tests once with {REGENERATE}=1"


def test_facts_are_shown_only_where_asked_and_gold_never(two_problems: list[Problem]) -> None:
    for problem in two_problems:
        for facts in ("none", "gold"):
            left = shown(problem, facts)
            assert left.facts == (problem.facts if facts == "gold" else ())
            hidden = (left.answer, left.rationale, left.steps, left.step_count, left.remarks)
            assert hidden == ("", "", (), None, ())
            assert (left.id, left.question, left.answer_kind) == (problem.id, problem.question, problem.answer_kind)


# --- replays of every row at hand


@cache
def rows(folder: Path, name: str) -> list[Problem]:
    match name:
        case "gsm8k":
            return list(load_gsm8k(str(folder / "gsm8k" / "train.jsonl"), split="train"))
        case "gsm8k_socratic":
            files = ("socratic_train.jsonl", "socratic_validation.jsonl")
            return [row for file in files for row in load_gsm8k(str(folder / "gsm8k" / file), split="train")]
        case "svamp":
            files = ("train.json", "validation.json")
            return [row for file in files for row in load_svamp(str(folder / "svamp" / file), split="train")]
        case "strategyqa":
            files = ("train.json", "validation.json")
            return [row for file in files for row in load_strategyqa(str(folder / "strategyqa" / file), split="train")]
        case _:
            return list(generate(500, split="train", seed=11, steps=(1, 8)))


TAUGHT = {  # rows that answer_only, cot and the Socratic strategies can use
    "gsm8k": (7473, 7473, 0),
    "gsm8k_socratic": (1000, 1000, 1000),
    "svamp": (850, 848, 848),
    "strategyqa": (2176, 2176, 838),
    "grade_school": (500, 500, 500),
}


@pytest.mark.parametrize(("name", "facts"), [*((name, "none") for name in TAUGHT), ("strategyqa", "gold")])
def test_a_replay_of_every_row_through_every_strategy_ends_in_the_gold_answer(
    name: str, facts: Facts, shared: Path
) -> None:
    counts = dict.fromkeys(STRATEGIES, 0)
    for problem in rows(shared, name):
        annotation = human_annotation(problem)
        for strategy in STRATEGIES.values():
            texts = strategy.texts(annotation)
            if texts is None:
                continue
            examples, solution = replay(strategy.dialogue(shown(problem, facts)), texts)
            assert score(problem, solution).correct, (strategy.name, problem.id, solution)
            assert solution.unfinished == ""
            assert len(examples) == sum(len(replies) for replies in texts.values())
            counts[strategy.name] += 1
    answer_only, cot, socratic = TAUGHT[name]
    assert counts.pop("answer_only") == answer_only
    assert counts.pop("cot") == cot
    assert set(counts.values()) == {socratic}


class Annotator:
    """Answers as one student, from an annotation's texts in turn, and keeps what it was asked."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = iter(texts)
        self._waiting: list[str] = []
        self.asked: list[tuple[Prompt, str]] = []

    def submit(self, key: str, prompt: Prompt, sampling: Sampling) -> None:
        self.asked.append((prompt, next(self._texts)))
        self._waiting.append(key)

    def poll(self, timeout: float | None = None) -> list[tuple[str, Completion]]:
        waiting, self._waiting = self._waiting, []
        texts = [text for _, text in self.asked[-len(waiting) :]] if waiting else []
        return [
            (key, Completion(text=text, finish_reason="end", prompt_tokens=1, tokens=1))
            for key, text in zip(waiting, texts, strict=True)
        ]


def check_prompt_ids(problem: Problem, encoder: Encoder, facts: Facts) -> int:
    """Solve a problem with the annotation's texts as replies and compare each prompt's ids to those of training.

    Returns how many prompts were compared.
    """
    annotation, compared = human_annotation(problem), 0
    for strategy in STRATEGIES.values():
        texts = strategy.texts(annotation)
        if texts is None:
            continue
        students = {name: Annotator(texts[name]) for name in strategy.students}
        dialogue = strategy.dialogue(shown(problem, facts))
        [finished] = drive([(problem.id, dialogue)], students, sampling=Sampling())
        assert score(problem, finished.result).correct
        for name, student in students.items():
            lessons = lessons_of(name, strategy, problem, annotation, facts)
            assert len(lessons) == 1, "the examples of one problem make one sequence"
            trained = encode_lesson(lessons[0], encoder)
            targets: list[int] = []
            for prompt, text in student.asked:
                ids, reply = encoder.encode(prompt), encoder.piece(text)
                assert trained.ids[: len(ids)] == ids, (strategy.name, problem.id)
                assert trained.ids[len(ids) : len(ids) + len(reply)] == reply
                targets += range(len(ids), len(ids) + len(reply))
            assert targets == trained.targets
            compared += len(student.asked)
    return compared


@pytest.mark.parametrize("name", TAUGHT)
def test_solving_asks_exactly_the_ids_that_training_used(
    name: str, shared: Path, tiny_tokenizer: Callable[[str], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = Encoder(tiny_tokenizer("byte_level"))  # type: ignore[arg-type]  # the fixture's own type names it
    monkeypatch.setattr(encoder, "piece", cache(encoder.piece))  # a piece comes in many prompts
    problems = rows(shared, name)
    every = {"gsm8k": 25, "strategyqa": 4, "grade_school": 4}.get(name, 1)
    sample = [problem for problem in problems if problem.steps or name == "gsm8k"][::every]
    assert sum(check_prompt_ids(problem, encoder, "gold") for problem in sample) > len(sample)


@pytest.mark.parametrize("kind", ["byte_level", "gpt2", "sentencepiece"])
@pytest.mark.parametrize("facts", ["none", "gold"])
def test_solving_asks_the_ids_of_training_for_every_kind_of_tokenizer(
    kind: str,
    facts: Facts,
    shared: Path,
    tiny_tokenizer: Callable[[str], object],
    two_problems: list[Problem],
) -> None:
    encoder = Encoder(tiny_tokenizer(kind))  # type: ignore[arg-type]  # the fixture's own type names it
    sampled = [problem for name in TAUGHT for problem in rows(shared, name)[5::401]]
    assert sum(check_prompt_ids(problem, encoder, facts) for problem in [*two_problems, *sampled]) > 100


@pytest.mark.parametrize("name", TAUGHT)
def test_a_calculator_leaves_annotations_whose_marks_are_right_as_they_are(name: str, shared: Path) -> None:
    sampling = Sampling(max_tokens=10_000)
    changed = 0
    for problem in rows(shared, name)[::20]:
        annotation = human_annotation(problem)
        for strategy in STRATEGIES.values():
            texts = strategy.texts(annotation)
            if texts is None:
                continue
            alone, calculated = (
                next(
                    drive(
                        [(problem.id, combined(strategy.dialogue(shown(problem, "none"))))],
                        {student: Continuing(texts[student]) for student in strategy.students},
                        sampling=sampling,
                    )
                ).result
                for combined in (lambda dialogue: dialogue, lambda dialogue: with_calculator(dialogue, sampling))
            )
            if calculated.marks_changed:
                changed += 1  # an error of the data set's, such as a value rounded to no place
                continue
            assert calculated.model_copy(update={"marks": 0}) == alone, (strategy.name, problem.id)
            assert calculated.marks == sum(text.count(">>") for text in texts_asked(texts))
    assert changed <= {"gsm8k": 10, "gsm8k_socratic": 40}.get(name, 0)


def texts_asked(texts: object) -> list[str]:
    assert isinstance(texts, dict)
    return [text for replies in texts.values() for text in replies]


class Continuing:
    """Writes an annotation's texts in turn, up to the first stop string after what is begun."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts, self._waiting = list(texts), list[tuple[str, Completion]]()

    def submit(self, key: str, prompt: Prompt, sampling: Sampling) -> None:
        text = self._texts[0][len(prompt.begun) :]
        ends = [text.find(stop) + len(stop) for stop in sampling.stop if stop in text]
        if ends:
            completion = Completion(text=text[: min(ends)], finish_reason="stop_string", prompt_tokens=1, tokens=1)
        else:
            self._texts.pop(0)
            completion = Completion(text=text, finish_reason="end", prompt_tokens=1, tokens=1)
        self._waiting.append((key, completion))

    def poll(self, timeout: float | None = None) -> list[tuple[str, Completion]]:
        waiting, self._waiting = self._waiting, []
        return waiting


# --- dialogues that do not end well

ANSWERED = Completion(text="fine #### 3", finish_reason="end", prompt_tokens=1, tokens=3)
PROBLEM = Problem(id="own/1", split="test", question="How many?", answer="", answer_kind="number")


def solved(name: str, replies: Callable[[str, int], Completion]) -> Solution:
    """Run a strategy, answering each ask from its student and its turn."""
    dialogue, turn, reply = STRATEGIES[name].dialogue(PROBLEM), 0, None
    while True:
        try:
            ask = dialogue.send(reply)
        except StopIteration as stop:
            solution: Solution = stop.value
            return solution
        assert not isinstance(ask, tuple)
        reply, turn = replies(ask.student, turn), turn + 1


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("reason", ["length", "prompt_too_long", "failed", "stop_string"])
def test_a_student_that_is_cut_short_is_named_with_the_reason(name: str, reason: str) -> None:
    cut = ANSWERED.model_copy(update={"finish_reason": reason})
    first = STRATEGIES[name].students[0]
    assert solved(name, lambda student, turn: cut).unfinished == f"{first}_{reason}"
    if "solver" in STRATEGIES[name].students:
        solution = solved(name, lambda student, turn: cut if student == "solver" else ANSWERED)
        assert solution.unfinished == f"solver_{reason}"
        assert solution.text == "", "no earlier step is graded as the answer"


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_student_that_writes_nothing_is_named(name: str) -> None:
    blank = ANSWERED.model_copy(update={"text": " \n"})
    assert solved(name, lambda student, turn: blank).unfinished == f"{STRATEGIES[name].students[0]}_empty"


def test_a_decomposer_that_is_done_at_once_has_solved_nothing() -> None:
    done = ANSWERED.model_copy(update={"text": DONE})
    assert solved("socratic_iterative", lambda student, turn: done).unfinished == "no_steps"


def test_a_decomposer_that_never_ends_is_given_up_after_the_most_steps() -> None:
    asked: list[str] = []

    def reply(student: str, turn: int) -> Completion:
        asked.append(student)
        return ANSWERED

    solution = solved("socratic_iterative", reply)
    assert solution.unfinished == "too_many_steps"
    assert (len(solution.steps), asked.count("solver"), solution.text) == (MAX_STEPS, MAX_STEPS, "")


def test_a_plan_longer_than_the_most_steps_is_given_up_before_it_is_answered() -> None:
    plan = ANSWERED.model_copy(update={"text": "Why?\n" * (MAX_STEPS + 1)})
    assert solved("socratic_planned", lambda student, turn: plan) == Solution(text="", unfinished="too_many_steps")


line = st.text(alphabet="ab 1.?", min_size=1, max_size=12).map(lambda text: f"w {text}".strip())
own_steps = st.lists(st.builds(Step, subquestion=line, solution=line, answer=line), min_size=1, max_size=MAX_STEPS)


@settings(max_examples=50)
@given(own_steps, st.integers(min_value=0, max_value=10**9))
def test_annotations_of_up_to_the_most_steps_replay_to_their_answer(written: list[Step], number: int) -> None:
    answer = str(number)
    steps = (*written[:-1], written[-1].model_copy(update={"answer": answer}))
    problem = PROBLEM.model_copy(update={"answer": answer, "steps": steps})
    annotation = human_annotation(problem)
    for strategy in STRATEGIES.values():
        texts = strategy.texts(annotation)
        assert texts is not None
        examples, solution = replay(strategy.dialogue(shown(problem, "none")), texts)
        assert score(problem, solution).correct and solution.unfinished == ""
        assert len(examples) == sum(len(replies) for replies in texts.values())
        if strategy.name in ("socratic_iterative", "socratic_planned"):
            assert solution.steps == steps


def test_an_annotation_of_more_steps_teaches_no_strategy_that_would_give_it_up() -> None:
    step = Step(subquestion="How many?", solution="1 more.", answer="1")
    annotation = Annotation(problem="own/1", source="human", steps=(step,) * (MAX_STEPS + 1), answer="1")
    for name in ("socratic_iterative", "socratic_planned"):
        assert STRATEGIES[name].texts(annotation) is None
    assert STRATEGIES["socratic_unified"].texts(annotation) is not None


def test_an_annotation_without_steps_or_rationale_teaches_the_answer_alone() -> None:
    annotation = Annotation(problem="own/1", source="human", answer="7")
    taught = {name: strategy.texts(annotation) for name, strategy in STRATEGIES.items()}
    assert {name: texts for name, texts in taught.items() if texts is not None} == {
        "answer_only": {"answer_only": ["#### 7"]}
    }


# --- the table


def test_an_unknown_strategy_is_named_with_those_there_are() -> None:
    with pytest.raises(UserError, match="unknown strategy 'guess'; choose one of answer_only, cot, "):
        named_strategy("guess")


def test_a_strategy_of_ones_own_joins_the_table_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socratic_distill.reasoning.strategies.STRATEGIES", dict(STRATEGIES))
    own = Strategy("own", ("own",), STRATEGIES["cot"].dialogue, STRATEGIES["cot"].texts)
    register_strategy(own)
    assert named_strategy("own") is own
    with pytest.raises(UserError, match="'own' exists already"):
        register_strategy(own)
