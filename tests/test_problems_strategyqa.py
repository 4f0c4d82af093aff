"""StrategyQA: published rows whole, and how facts and subquestions become steps."""

import json
from collections import Counter
from pathlib import Path

import pytest

from socratic_distill.errors import UserError
from socratic_distill.problems.strategyqa import load_strategyqa, readable_references
from socratic_distill.records import Problem

ROW = {
    "qid": "own1",
    "question": "Would ice  float on olive oil?",
    "answer": False,
    "facts": ["Ice weighs 0.92 kg a litre.", "Olive oil weighs 0.91 kg\na litre. "],
    "decomposition": ["How heavy is ice?", "How heavy is olive oil?", "Is #1 less than #2?"],
}


def loaded(path: Path, **fields: object) -> Problem:
    path.write_text(json.dumps([ROW | fields]), encoding="utf-8")
    (problem,) = load_strategyqa(str(path), split="test")
    return problem


@pytest.mark.parametrize(("name", "count", "annotated"), [("train", 2061, 787), ("validation", 115, 51)])
def test_every_published_row_loads(shared: Path, name: str, count: int, annotated: int) -> None:
    problems = list(load_strategyqa(str(shared / "strategyqa" / f"{name}.json"), split="train"))
    assert (len(problems), sum(bool(problem.steps) for problem in problems)) == (count, annotated)
    assert Counter(remark for problem in problems for remark in problem.remarks) == {
        "facts_unpaired": count - annotated
    }
    for problem in problems:
        assert problem.answer in ("yes", "no")
        assert problem.facts and problem.rationale.splitlines() == list(problem.facts)
        assert problem.step_count
        for step in problem.steps[:-1]:
            assert step.subquestion and step.solution and not step.answer
        for step in problem.steps[-1:]:
            assert (step.solution, step.answer) == ("", problem.answer)


def test_fact_j_answers_subquestion_j_and_the_last_one_yes_or_no(tmp_path: Path) -> None:
    problem = loaded(tmp_path / "a.json")
    assert (problem.id, problem.question, problem.step_count) == (
        "strategyqa/a/own1",
        "Would ice float on olive oil?",
        3,
    )
    assert [(step.subquestion, step.solution, step.answer) for step in problem.steps] == [
        ("How heavy is ice?", "Ice weighs 0.92 kg a litre.", ""),
        ("How heavy is olive oil?", "Olive oil weighs 0.91 kg a litre.", ""),
        ("Is answer 1 less than answer 2?", "", "no"),
    ]


def test_unpaired_facts_leave_a_rationale_and_no_steps(tmp_path: Path) -> None:
    problem = loaded(tmp_path / "a.json", facts=["Ice floats."])
    assert (problem.steps, problem.rationale, problem.step_count, problem.remarks) == (
        (),
        "Ice floats.",
        3,
        ("facts_unpaired",),
    )


def test_a_hub_copy_without_decomposition_and_with_one_text_of_facts_loads(tmp_path: Path) -> None:
    problem = loaded(tmp_path / "a.json", facts="Ice floats.", decomposition=None, answer="True")
    assert (problem.facts, problem.answer, problem.step_count) == (("Ice floats.",), "yes", None)
    assert problem.remarks == ("no_decomposition",)


@pytest.mark.parametrize(
    ("subquestion", "readable"),
    [
        ("Is #2 in #1?", "Is answer 2 in answer 1?"),
        ("Who is #1's wife?", "Who is answer 1's wife?"),
        ("Did#1 end?", "Did answer 1 end?"),
        ("Is either (#1) or # 2 cold?", "Is either (answer 1) or answer 2 cold?"),
        ("Do the answers to #1 and #2 rhyme?", "Do the answers to question 1 and question 2 rhyme?"),
        ("Is it number one?", "Is it number one?"),
    ],
)
def test_references_become_words(subquestion: str, readable: str) -> None:
    assert readable_references(subquestion) == readable


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"answer": "maybe"}, "answer: expected true or false, found 'maybe'"),
        ({"answer": 1}, "answer: expected true or false, found '1'"),
        ({"facts": [1]}, "facts[0]: expected a text, found a number"),
        ({"decomposition": ["Is it?", " "]}, "decomposition[1]: expected a text, found an empty text"),
        ({"decomposition": {}}, "decomposition: expected a list of texts, found an object"),
        ({"question": ""}, "question: is empty"),
    ],
)
def test_a_wrong_row_is_named_by_place_and_field(tmp_path: Path, fields: dict[str, object], said: str) -> None:
    with pytest.raises(UserError) as error:
        loaded(tmp_path / "a.json", **fields)
    assert str(error.value) == f"{tmp_path / 'a.json'} row 1: {said}"


def test_a_gsm8k_row_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"question": "How many?", "answer": "Two.\n#### 2"}), encoding="utf-8")
    with pytest.raises(UserError, match="this looks like a gsm8k row: set dataset = 'gsm8k'"):
        list(load_strategyqa(str(path), split="train"))
