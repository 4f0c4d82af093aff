"""The claims of the procedural data set, checked on some thousand problems of every number of steps."""

import ast
import hashlib
import re
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from itertools import islice

import pytest

from socratic_distill.errors import UserError
from socratic_distill.problems.grade_school import FRAMES, GradeSchool, draws, generate, is_held_out, parse_spec
from socratic_distill.problems.grade_school_frames import Frame, kinds
from socratic_distill.records import Problem, Split

MARK = re.compile(r"<<([^<>=]+)=([^<>=]+)>>")
NUMBER = re.compile(r"\d+")
CONSTANTS = {"twice": 2, "half": 2, "a third": 3, "a quarter": 4, "%": 100}


def value_of(expression: str) -> Fraction:
    """Evaluate + - * / and parentheses over whole numbers."""

    def walk(node: ast.AST) -> Fraction:
        match node:
            case ast.Expression(body=body):
                return walk(body)
            case ast.Constant(value=int(value)):
                return Fraction(value)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return walk(left) + walk(right)
            case ast.BinOp(left=left, op=ast.Sub(), right=right):
                return walk(left) - walk(right)
            case ast.BinOp(left=left, op=ast.Mult(), right=right):
                return walk(left) * walk(right)
            case ast.BinOp(left=left, op=ast.Div(), right=right):
                return walk(left) / walk(right)
            case _:
                raise AssertionError(f"not arithmetic: {expression}")

    return walk(ast.parse(expression, mode="eval"))


def some(count: int, *, split: Split = "train", seed: int = 0, **rest: object) -> list[tuple[str, Problem]]:
    settings: dict[str, object] = {"steps": (1, 8), "distractors": 0.25, **rest}
    return list(islice(draws(split=split, seed=seed, **settings), count))  # type: ignore[arg-type]  # named by the test


@pytest.fixture(scope="module")
def drawn() -> list[tuple[str, Problem]]:
    return some(4000)


@pytest.fixture(scope="module")
def problems(drawn: list[tuple[str, Problem]]) -> list[Problem]:
    return [problem for _, problem in drawn]


def stated(problem: Problem) -> set[int]:
    """Return the numbers that the text states, in digits or in words."""
    text = problem.question.lower()
    return {int(number) for number in NUMBER.findall(text)} | {n for word, n in CONSTANTS.items() if word in text}


def test_every_step_has_one_mark_that_is_right_and_is_its_answer(problems: list[Problem]) -> None:
    for problem in problems:
        for step in problem.steps:
            ((expression, value),) = MARK.findall(step.solution)
            assert value_of(expression) == int(value) == int(step.answer), step
            assert f"{expression} = " in step.solution and f">>{value}" in step.solution
            assert 2 <= int(value) <= 4000


def test_the_last_step_answers_the_question_asked(problems: list[Problem]) -> None:
    for problem in problems:
        assert problem.steps[-1].answer == problem.answer
        assert problem.question.endswith(" " + problem.steps[-1].subquestion)
        assert problem.rationale == "\n".join(step.solution for step in problem.steps)
        assert problem.answer_kind == "number" and problem.step_count == len(problem.steps)


def test_a_step_uses_only_what_is_stated_or_was_found_and_every_result_is_used(problems: list[Problem]) -> None:
    for problem in problems:
        known, unused = stated(problem), Counter[int]()
        for step in problem.steps:
            ((expression, value),) = MARK.findall(step.solution)
            used = {int(number) for number in NUMBER.findall(expression)}
            assert used <= known, (problem.question, step)
            for number in used:
                unused[number] = 0
            unused[int(value)] += 1
            known.add(int(value))
        assert [n for n, times in unused.items() if times] == [int(problem.answer)], problem.question


def test_from_four_steps_on_a_problem_is_more_than_a_chain(problems: list[Problem]) -> None:
    joins = reuses = 0
    for problem in problems:
        uses = Counter[int]()
        joined = False
        answers: set[int] = set()
        for step in problem.steps:
            used = {int(number) for number in NUMBER.findall(MARK.findall(step.solution)[0][0])}
            found = [number for number in NUMBER.findall(MARK.findall(step.solution)[0][0]) if int(number) in answers]
            joined = joined or len(found) > 1
            uses.update(used & answers)
            answers.add(int(step.answer))
        if len(problem.steps) >= 4:
            assert joined, problem.question
            joins += 1
            reuses += max(uses.values()) > 1
    assert reuses > joins / 3


def test_step_counts_are_uniform_in_the_range(problems: list[Problem]) -> None:
    counts = Counter(problem.step_count for problem in problems)
    assert set(counts) == set(range(1, 9)) and min(counts.values()) > 400
    assert {problem.step_count for problem in generate(50, split="test", seed=1, steps=(3, 3))} == {3}


def test_all_frames_are_in_use_and_no_frame_dominates(drawn: list[tuple[str, Problem]]) -> None:
    names = Counter(name for name, _ in drawn)
    assert set(names) == {frame.name for frame in FRAMES} and len(names) == len(FRAMES) >= 20
    assert max(names.values()) < 3 * min(names.values())
    for steps in range(1, 9):
        serving = {name for name, problem in drawn if problem.step_count == steps}
        assert len(serving) >= 20, steps


def test_halves_percentages_rates_and_all_four_operations_occur(problems: list[Problem]) -> None:
    text = "\n".join(problem.question for problem in problems)
    marks = "\n".join(problem.rationale for problem in problems)
    for words in ("twice as", "half as", "a third", "A quarter", "%", " an hour", "together", "fewer", "3 times as"):
        assert words in text, words
    assert all(f"{operation}2" in marks for operation in "+-*/")


def test_the_english_is_clean(problems: list[Problem]) -> None:
    for problem in problems:
        whole = " ".join([problem.question, *(step.subquestion + " " + step.solution for step in problem.steps)])
        assert not re.search(r"[{}]|  | [.,?]|\ba [aeio]|\b(\w+) \1\b|[.?] [a-z]|\$\$|\bx\b", whole), whole
        assert not re.search(r"(?<!\d)[01] [a-z]", whole), whole
        assert problem.question.count("?") == 1 and all(step.subquestion.endswith("?") for step in problem.steps)
        assert all(
            step.solution.endswith(".") and step.solution[0].isupper() | step.solution[0].isdigit()
            for step in problem.steps
        )
        assert not (
            {"she", "her"} & set(whole.lower().split()) and {"he", "his", "him"} & set(whole.lower().split())
        ), whole


def test_all_records_validate(problems: list[Problem]) -> None:
    for problem in problems:
        assert Problem.model_validate(problem.model_dump()) == problem


def test_the_test_split_shares_no_text_and_no_numbers_of_a_frame(drawn: list[tuple[str, Problem]]) -> None:
    held_out, validation = some(4000, split="test"), some(500, split="validation", seed=5)

    def texts(rows: list[tuple[str, Problem]]) -> set[str]:
        return {problem.question for _, problem in rows}

    def keys(rows: list[tuple[str, Problem]]) -> set[tuple[str, tuple[int, ...]]]:
        return {(name, tuple(sorted(map(int, NUMBER.findall(problem.question))))) for name, problem in rows}

    assert not texts(held_out) & texts(drawn + validation)
    assert not keys(held_out) & keys(drawn + validation)
    assert all(is_held_out(name, numbers) for name, numbers in keys(held_out))
    assert not any(is_held_out(name, numbers) for name, numbers in keys(drawn + validation))


def test_no_text_comes_twice() -> None:
    rows = some(6000, steps=(1, 1), distractors=0.0)
    assert len({problem.question for _, problem in rows}) == len({problem.id for _, problem in rows}) == 6000


def test_a_longer_request_begins_with_the_shorter_one_and_first_goes_on_after_it() -> None:
    longer = list(generate(200, split="train", seed=3))
    assert list(generate(100, split="train", seed=3)) == longer[:100]
    assert list(generate(100, split="train", seed=3, first=100)) == longer[100:]
    assert longer[7].id == "grade_school/train/3/7"
    later = generate(100, split="validation", seed=3, first=200)
    assert not {problem.question for problem in later} & {problem.question for problem in longer}


def test_seeds_differ() -> None:
    one, other = (next(generate(1, split="test", seed=seed)).question for seed in (1, 2))
    assert one != other


def fingerprint() -> str:
    rows = [row for split in SIDES for row in generate(60, split=split, seed=11, steps=(1, 8))]
    return hashlib.sha256("\n".join(row.model_dump_json() for row in rows).encode()).hexdigest()[:16]


SIDES: tuple[Split, ...] = ("train", "test")
GOLDEN = "74d58380f691a1b2"


def test_the_same_problems_come_in_every_process() -> None:
    """A change of this fingerprint changes users' data sets: say so in the changelog."""
    program = "import test_grade_school as t; print(t.fingerprint())"
    there = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(["tests", *filter(None, sys.path)]), "PYTHONHASHSEED": "77"},
    )
    assert there.stdout.strip() == fingerprint() == GOLDEN


def test_distracting_facts_come_when_asked_for() -> None:
    sentences = [re.escape(aside.partition(": ")[2]) for frame in FRAMES for aside in frame.asides]
    patterns = [
        re.compile(re.sub(r"\\\{k\\\}", r"\\d+", re.sub(r"\\\{(?!k)\w+\\\}", r"\\w+", one))) for one in sentences
    ]

    def distracted(share: float) -> float:
        rows = list(generate(300, split="train", seed=2, distractors=share))
        return sum(any(pattern.search(row.question) for pattern in patterns) for row in rows) / len(rows)

    assert distracted(0.0) == 0 and distracted(1.0) == 1 and 0.17 < distracted(0.25) < 0.33


def tiny() -> Frame:
    return kinds(
        "tiny",
        "{who} paints.",
        verb=("drew", "draw"),
        group="cats",
        parts=("cats", "dogs"),
        paths="",
        asides=(),
        amount=(2, 3),
    )


def test_asking_for_more_than_exist_says_how_many_there_are() -> None:
    rows = draws(split="train", seed=0, steps=(1, 1), distractors=0.0, frames=(tiny(),))
    with pytest.raises(UserError, match=r"only \d+ different problems"):
        list(islice(rows, 100_000))


@pytest.mark.parametrize("steps", [(0, 3), (4, 2), (1, 9)])
def test_a_step_range_outside_one_to_eight_is_refused(steps: tuple[int, int]) -> None:
    with pytest.raises(UserError, match="1-8"):
        generate(1, split="train", seed=0, steps=steps)


def test_a_spec_is_read_in_any_order_with_defaults() -> None:
    assert parse_spec("count=800 steps=1-4 seed=7 distractors=0.25") == GradeSchool(count=800, seed=7)
    assert parse_spec("steps=3 count=5") == GradeSchool(count=5, steps=(3, 3))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("count=5 step=3", "unknown key 'step'"),
        ("count=five", "bad value 'five' for count"),
        ("count=5 steps=3-x", "bad value '3-x' for steps"),
        ("count=5 steps=4-2", "steps 4-2"),
        ("count=5 steps=1-9", "steps 1-9"),
        ("count=5 distractors=2", "distractors 2"),
        ("count=5 distractors=-1", "bad value '-1' for distractors"),
        ("count=-5", "bad value '-5' for count"),
        ("count=5 count=6", "count is given twice"),
        ("seed=3", "no count"),
        ("", "no count"),
    ],
)
def test_a_bad_spec_is_named_in_one_line(text: str, said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)) as error:
        parse_spec(text)
    assert "\n" not in str(error.value) and "steps=1-4" in str(error.value)
