"""Teachers' texts from files: whose they are, where they stand in a row, and what is wrong with one."""

import json
from pathlib import Path
from typing import Any

import pytest

from socratic_distill.errors import UserError
from socratic_distill.problems import load_problems
from socratic_distill.problems.imported import Imported, import_texts, plain_question
from socratic_distill.recipe import Annotate
from socratic_distill.records import Problem

TEXT = "Q1: How many pens are there?\nA1: There are 3*4 = 12 pens.\nThe answer is 12"
QUESTION = "A box has 3 rows of 4 pens. How many pens are there?"


def problem(name: str, question: str = QUESTION) -> Problem:
    return Problem(id=name, split="train", question=question, answer="12", answer_kind="number")


def imported(
    folder: Path, rows: list[Any], problems: list[Problem] | None = None, *, listed: bool = False, **settings: Any
) -> Imported:
    path = folder / ("texts.json" if listed else "texts.jsonl")
    path.write_text(json.dumps(rows) if listed else "".join(json.dumps(row) + "\n" for row in rows))
    chosen = Annotate.model_validate({"source": "import", "file": str(path), **settings})
    return import_texts(problems or [problem("p")], settings=chosen)


@pytest.mark.parametrize(
    "written",
    [
        "  A box has 3 rows\n of 4 pens.  How many pens are there ?",
        "a BOX has 3 rows of 4 pens , how many pens are there",
        "A “box” has 3 rows of 4 pens. How many pens are ‘there’?",
        "A box has 3 rows of 4\xa0pens How many pens are there?!",
    ],
)
def test_a_question_is_the_same_however_it_is_spaced_quoted_and_punctuated(written: str) -> None:
    assert plain_question(written) == plain_question(QUESTION)


@pytest.mark.parametrize(
    ("one", "other"),
    [("It costs $ 6.", "It costs $6."), ("He has 1,200 pens.", "He has 1200 pens"), ("Tom’s 5 % off", "Tom's 5% off")],
)
def test_numbers_and_signs_are_the_same_however_they_are_set(one: str, other: str) -> None:
    assert plain_question(one) == plain_question(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("He has 1.5 kg.", "He has 15 kg."),
        ("Solve x^2 + 1 = 0", "Solve x^2 - 1 = 0"),
        ("He has 3 pens.", "He has 4 pens."),
        ("He eats 1, 2 and 3.", "He eats 12 and 3."),
    ],
)
def test_other_questions_stay_others(one: str, other: str) -> None:
    assert plain_question(one) != plain_question(other)


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize(
    "row",
    [
        {"question": QUESTION, "response": TEXT},
        {"problem": QUESTION, "completion": TEXT, "answer": "13"},
        {"instruction": "Solve it step by step.", "input": QUESTION, "output": TEXT},
        {"prompt": QUESTION, "text": TEXT},
        {"query": QUESTION, "questions": ["Q1: How many pens are there?"], "answers": [TEXT.partition("\n")[2]]},
        {
            "question": QUESTION,
            "output": {"steps": [{"question": "How many pens are there?", "answer": "There are 3*4 = 12 pens."}]},
        },
    ],
)
def test_question_and_text_are_found_in_rows_of_many_shapes(tmp_path: Path, row: dict[str, Any], listed: bool) -> None:
    [annotation] = imported(tmp_path, [row], listed=listed, model="sage").annotations
    assert (annotation.problem, annotation.source, annotation.answer) == ("p", "sage", "12")
    [step] = annotation.steps
    assert step.subquestion == "How many pens are there?"
    assert "3*4 = 12" in annotation.text


def test_fields_that_are_named_are_taken_alone(tmp_path: Path) -> None:
    row = {"question": "Another?", "asked": QUESTION, "output": "Nothing.", "told": TEXT}
    [annotation] = imported(tmp_path, [row], question_field="asked", text_field="told").annotations
    assert annotation.text == TEXT
    assert annotation.source == "texts"


def test_rationales_of_lists_are_their_answers(tmp_path: Path) -> None:
    row = {"question": QUESTION, "questions": ["How many?"], "answers": ["There are 3*4 = 12 pens.\nThe answer is 12"]}
    [annotation] = imported(tmp_path, [row], style="cot").annotations
    assert (annotation.rationale, annotation.answer, annotation.steps) == ("There are 3*4 = 12 pens.", "12", ())


def test_several_rows_of_one_problem_are_its_attempts_in_order(tmp_path: Path) -> None:
    problems = [problem("p"), problem("q", "What else?")]
    texts = [(QUESTION, "one"), ("What else?", "two"), (QUESTION, TEXT)]
    found = imported(tmp_path, [{"question": question, "output": text} for question, text in texts], problems)
    assert [(one.problem, one.attempt, one.text) for one in found.annotations] == [
        ("p", 0, "one"),
        ("p", 1, TEXT),
        ("q", 0, "two"),
    ]
    assert [one.unreadable != "" for one in found.annotations] == [True, False, True]


def test_problems_that_ask_the_same_take_turns(tmp_path: Path) -> None:
    problems = [problem("p"), problem("q")]
    found = imported(tmp_path, [{"question": QUESTION, "output": str(turn)} for turn in range(3)], problems)
    assert [(one.problem, one.attempt, one.text) for one in found.annotations] == [
        ("p", 0, "0"),
        ("p", 1, "2"),
        ("q", 0, "1"),
    ]


def test_every_row_is_accounted_for(tmp_path: Path) -> None:
    problems = [problem("p"), problem("q", "What else?"), problem("r", "And then?")]
    rows = [{"question": asked, "output": TEXT} for asked in ("Who?", QUESTION, "Where?", QUESTION)]
    found = imported(tmp_path, rows, problems)
    assert found.rows == len(found.annotations) + found.unknown == 4
    assert found.first_unknown.endswith("texts.jsonl:1")
    assert found.without == 2


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({"output": TEXT}, r"texts\.jsonl:2: question: is missing; .*annotate\.question_field: output"),
        ({"question": 7, "output": TEXT}, r"texts\.jsonl:2: question: expected a text, found a number"),
        ({"question": QUESTION, "answer": "12"}, r"texts\.jsonl:2: output: is missing, .*annotate\.text_field"),
        ({"question": "Unknown?", "answer": "12"}, r"texts\.jsonl:2: output: is missing"),
        ({"question": QUESTION, "output": None}, r"texts\.jsonl:2: output: expected a text, found null"),
        (
            {"question": QUESTION, "questions": ["a", 1], "answers": ["b"]},
            r"texts\.jsonl:2: questions\[1\]: expected a text, found a number",
        ),
        ({"question": QUESTION, "questions": {}, "answers": "b"}, r"texts\.jsonl:2: questions: expected a list"),
        (["a row"], r"texts\.jsonl:2: expected a JSON object, found a list"),
    ],
)
def test_a_row_that_is_none_is_told_with_its_line(tmp_path: Path, row: Any, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        imported(tmp_path, [{"question": QUESTION, "output": TEXT}, row])


def test_a_field_that_is_named_and_absent_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"texts\.jsonl:1: told: is missing"):
        imported(tmp_path, [{"question": QUESTION, "output": TEXT}], text_field="told")


def test_a_file_for_other_problems_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none of its 1 rows .*texts\.jsonl:1, asks 'Who\?'"):
        imported(tmp_path, [{"question": "Who?", "output": TEXT}])


@pytest.mark.parametrize(("file", "complaint"), [("", "needs annotate.file"), ("absent.jsonl", "no such file")])
def test_a_file_that_is_not_there_is_told(file: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        import_texts([problem("p")], settings=Annotate(source="import", file=file))


@pytest.mark.parametrize(
    ("dataset", "train", "test", "texts", "style", "count", "unknown"),
    [
        (
            "gsm8k",
            "gsm8k/socratic_train.jsonl",
            "gsm8k/socratic_validation.jsonl",
            "gsm8k/chatgpt_subquestions_train.jsonl",
            "socratic",
            800,
            0,
        ),
        (
            "svamp",
            "svamp/train.json",
            "svamp/validation.json",
            "svamp/chatgpt_subquestions_train.json",
            "socratic",
            699,
            0,
        ),
        # One question's first letter is a Cyrillic one in the published train split, and a Latin one here.
        (
            "gsm8k",
            "gsm8k/train.jsonl",
            "gsm8k/socratic_validation.jsonl",
            "gsm8k/llama3_70b_rationales_train.jsonl",
            "cot",
            7442,
            1,
        ),
        (
            "strategyqa",
            "strategyqa/train.json",
            "strategyqa/validation.json",
            "strategyqa/chatgpt_rationales_train.json",
            "cot",
            1800,
            0,
        ),
    ],
)
def test_every_row_of_real_teachers_finds_its_problem(
    shared: Path, dataset: str, train: str, test: str, texts: str, style: str, count: int, unknown: int
) -> None:
    problems = load_problems(dataset, train=str(shared / train), test=str(shared / test), validation=0)
    learned = [one for one in problems if one.split != "test"]
    settings = Annotate.model_validate({"source": "import", "file": str(shared / texts), "style": style})
    found = import_texts(learned, settings=settings)
    assert (found.rows, found.unknown) == (count, unknown)
    assert {one.attempt for one in found.annotations} == {0}
