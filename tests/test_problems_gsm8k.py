"""GSM8K's two formats: published rows whole, and rows of our own for every odd shape."""

import json
from collections import Counter
from pathlib import Path

import pytest

from socratic_distill.errors import UserError
from socratic_distill.problems.gsm8k import load_gsm8k
from socratic_distill.reasoning.answers import read_answer, same_answer
from socratic_distill.records import Problem


def loaded(path: Path, *answers: str) -> list[Problem]:
    rows = (json.dumps({"question": "How many pens are there?", "answer": answer}) for answer in answers)
    path.write_text("\n".join(rows), encoding="utf-8")
    return list(load_gsm8k(str(path), split="train"))


@pytest.mark.parametrize(
    ("name", "count", "annotated", "disagreeing"),
    [("train", 7473, 0, 75), ("socratic_train", 800, 800, 9), ("socratic_validation", 200, 200, 1)],
)
def test_every_published_row_loads(shared: Path, name: str, count: int, annotated: int, disagreeing: int) -> None:
    problems = list(load_gsm8k(str(shared / "gsm8k" / f"{name}.jsonl"), split="train"))
    assert (len(problems), sum(bool(problem.steps) for problem in problems)) == (count, annotated)
    assert problems[16].id == f"gsm8k/{name}/17"
    assert len({problem.id for problem in problems}) == count
    remarks = Counter(remark for problem in problems for remark in problem.remarks)
    assert remarks["rationale_disagrees"] == disagreeing
    assert set(remarks) <= {"rationale_disagrees", "step_without_answer"}
    for problem in problems:
        assert read_answer(problem.answer, "number").answer == problem.answer
        assert problem.rationale and problem.step_count == len(problem.rationale.splitlines())
        assert "####" not in problem.rationale
        assert not problem.steps or problem.steps[-1].answer == problem.answer
        for step in problem.steps:
            assert step.subquestion and step.solution
            assert " **" not in step.subquestion and "\n" not in step.subquestion + step.solution


def test_a_plain_row_has_a_rationale_and_no_steps(tmp_path: Path) -> None:
    (problem,) = loaded(
        tmp_path / "a.jsonl", "Two boxes hold 2*3 = <<2*3=6>>6 pens.\n\nHalf  is 6/2 = <<6/2=3>>3.\n#### 3"
    )
    assert problem.rationale == "Two boxes hold 2*3 = <<2*3=6>>6 pens.\nHalf is 6/2 = <<6/2=3>>3."
    assert (problem.steps, problem.step_count, problem.answer, problem.remarks) == ((), 2, "3", ())


def test_a_socratic_row_has_a_step_a_line_and_the_gold_answer_last(tmp_path: Path) -> None:
    text = (
        "How many are in boxes? ** 2*3 = <<2*3=6>>6 pens.\nHow many with 4 more? ** 6+4 = <<6+4=10>>10 of 12.\n#### 10"
    )
    (problem,) = loaded(tmp_path / "a.jsonl", text)
    assert [step.subquestion for step in problem.steps] == ["How many are in boxes?", "How many with 4 more?"]
    assert [step.answer for step in problem.steps] == ["6", "10"]
    assert problem.rationale == "2*3 = <<2*3=6>>6 pens.\n6+4 = <<6+4=10>>10 of 12."
    assert problem.remarks == ()


def test_a_gold_answer_is_canonical(tmp_path: Path) -> None:
    problems = loaded(tmp_path / "a.jsonl", "It is 70,000.\n#### 70,000", "It is 5.\n#### 5.0", "It is -5.\n#### -5")
    assert [problem.answer for problem in problems] == ["70000", "5", "-5"]
    assert not any(problem.remarks for problem in problems)


@pytest.mark.parametrize(
    ("lines", "steps", "remarks"),
    [
        (["So 1+1 = 2.", "How many? ** 3"], [("How many?", "So 1+1 = 2. 3", "3")], ("continuation_line",)),
        (["How many? ** 1+1", "which is 3"], [("How many?", "1+1 which is 3", "3")], ("continuation_line",)),
        (["How many? ** 1+1", " ** 3"], [("How many?", "1+1 3", "3")], ("continuation_line",)),
        (["How many? ** ", "1+2 = 3"], [("How many?", "1+2 = 3", "3")], ("continuation_line",)),
        (
            ["What? ** 1", "Why? ** ", "How many? ** 3"],
            [("What?", "1", "1"), ("How many?", "3", "3")],
            ("unanswered_subquestion",),
        ),
        (["How many? ** 1 ** 3"], [("How many?", "1 ** 3", "3")], ("several_separators",)),
        (
            ["What? ** Let x be it", "How many? ** 3"],
            [("What?", "Let x be it", ""), ("How many?", "3", "3")],
            ("step_without_answer",),
        ),
        (["How many? ** It is 4"], [("How many?", "It is 4", "3")], ("rationale_disagrees",)),
    ],
)
def test_odd_lines_lose_no_solution_and_are_remarked(
    tmp_path: Path, lines: list[str], steps: list[tuple[str, str, str]], remarks: tuple[str, ...]
) -> None:
    (problem,) = loaded(tmp_path / "a.jsonl", "\n".join([*lines, "#### 3"]))
    assert [(step.subquestion, step.solution, step.answer) for step in problem.steps] == steps
    assert set(remarks) <= set(problem.remarks)
    assert same_answer(problem.steps[-1].answer, problem.answer, kind="number")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("It is 3.", "a.jsonl:1: answer: does not end in a line such as '#### 18'; this looks like a files row"),
        ("#### 3 and\n#### 4", "a.jsonl:1: answer: #### may stand before the final answer only"),
        ("It is 3.\n#### three", "a.jsonl:1: answer: no number after ####: 'three'"),
        ("  ", "a.jsonl:1: answer: is empty"),
    ],
)
def test_a_wrong_row_is_named_by_line_and_field(tmp_path: Path, answer: str, said: str) -> None:
    with pytest.raises(UserError, match=r"\A[^\n]*\Z") as error:
        loaded(tmp_path / "a.jsonl", answer)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            {"Body": "Ann has 2 pens.", "Question": "How many?", "Equation": "2.0", "Answer": 2.0},
            "question: is missing; this looks like a svamp row",
        ),
        (
            {"qid": "1", "question": "Is ice cold?", "answer": True, "facts": []},
            "answer: expected a text, found true or false; this looks like a strategyqa row",
        ),
    ],
)
def test_another_data_sets_row_is_recognised(tmp_path: Path, row: dict[str, object], said: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([row]), encoding="utf-8")
    with pytest.raises(UserError) as error:
        list(load_gsm8k(str(path), split="train"))
    assert f"{path} row 1: {said}" in str(error.value)
