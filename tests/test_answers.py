import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socratic_distill.reasoning.answers import Reading, read_answer, same_answer
from socratic_distill.records import AnswerKind

KINDS: tuple[AnswerKind, ...] = ("number", "boolean", "choice", "text")
COLOURS = ("red", "dark red", "a blue one")

READ: list[tuple[str, str]] = [
    ("70,000", "70000"),
    ("-5", "-5"),
    ("−5", "-5"),
    ("-$5", "-5"),
    ("$-5", "-5"),
    ("(-5)", "-5"),
    ("x=-5", "-5"),
    ("5-3", "3"),
    ("5 - 3", "3"),
    ("5 -3", "3"),
    ("$1,250.50", "1250.5"),
    ("$ 3", "3"),
    ("9.00", "9"),
    ("18...", "18"),
    ("18)", "18"),
    ("1.", "1"),
    (".5", "0.5"),
    ("007", "7"),
    ("-0", "0"),
    ("1/2", "1/2"),
    ("10/4", "5/2"),
    ("10/5", "2"),
    ("-\\frac{1}{2}", "-1/2"),
    ("-½", "-1/2"),
    ("3½", "7/2"),
    ("3 1/2", "7/2"),
    ("-3 1/2", "-7/2"),
    ("3 and 1/2", "7/2"),
    ("2/3 cup", "2/3"),
    ("10-3=7", "7"),
    ("1e3", "1000"),
    ("2.5E-3", "0.0025"),
    ("5 dollars", "5"),
    ("12cm", "12"),
    ("25%", "25"),
    ("1,2,3", "3"),
    ("**18**", "18"),
    ("__18__", "18"),
    ("\\boxed{18}", "18"),
    ("70{,}000", "70000"),
    ("１８", "18"),
    ("Rs.500", "500"),
    ("A1: 16 of the H2O", "16"),
    ("5 then 6\n\nQuestion: and of 7?", "6"),
    ("5 then 6\n**Q:** and of 7?", "6"),
    ("Q1: how many? 6\nQ2: and then? 7", "7"),
    ("#### 18\nThanks!! 2024", "18"),
    ("5 #### 18 cookies of 20 #### 30", "18"),
    ("#### $1,250.50.", "1250.5"),
    ("#### - 5", "-5"),
    ("#### 10-3=7", "7"),
    ("#### 10 -3 = 7 left", "7"),
    ("#### 18 = 6 * 3", "18"),
    ("#### 7 (since 10-3=7, and not 8)", "7"),
    ("#### 48/2=<<48/2=24>>24 clips", "24"),
    ("The answer is 18. Q: There are 15 trees", "18"),
    ("The answer is 18.\nThe answer is 20.", "18"),
    ("THE ANSWER IS: **$70,000**.", "70000"),
    ("The answer is\n18 of them", "18"),
    ("The answer is ... 18", "18"),
    ("The answer is 4 boxes x 5 apples = 20 apples", "20"),
    ("The answer is 18, not 20. I was wrong.", "18"),
    ("**Final answer:** 18", "18"),
    ("Final answer is 18", "18"),
    ("Final answer: total = 9.5", "9.5"),
    ("The answer isn't clear, so 6", "6"),
]

UNREADABLE: list[tuple[str, str]] = [
    ("", "empty"),
    (" \n ", "empty"),
    ("18 ####", "empty"),
    ("18 #### \n19", "empty"),
    ("18 #### none", "no_number"),
    ("18. The answer is unknown. 20", "no_number"),
    ("none", "no_number"),
    ("H2O", "no_number"),
    ("1/0", "division_by_zero"),
    ("3 1/0", "division_by_zero"),
    ("10:30", "malformed_number"),
    ("3.14.15", "malformed_number"),
    ("1/2/2020", "malformed_number"),
    ("1,00,000", "malformed_number"),
    ("1.250,50", "malformed_number"),
    ("5²", "malformed_number"),
    ("2^5", "malformed_number"),
    ("2**5", "malformed_number"),
    ("1e999999999", "number_out_of_range"),
    ("1e-999999999", "number_out_of_range"),
    ("7" * 10_000, "number_out_of_range"),
    ("7" * 10_000 + "/3", "number_out_of_range"),
    ("1 1/" + "7" * 10_000, "number_out_of_range"),
    ("#### 5-3", "not_computed"),
    ("#### 5 x 3", "not_computed"),
    ("#### x+9", "not_computed"),
    ("#### 3-5 apples", "not_computed"),
    ("#### 1,2,3", "ambiguous"),
    ("#### 3, 4 and 5", "ambiguous"),
    ("#### 3 or 4", "ambiguous"),
]


@pytest.mark.parametrize(("text", "answer"), READ)
def test_a_number_is_read(text: str, answer: str) -> None:
    assert read_answer(text, "number") == Reading(answer)


@pytest.mark.parametrize(("text", "reason"), UNREADABLE)
def test_what_cannot_be_read_as_a_number_has_a_reason(text: str, reason: str) -> None:
    assert read_answer(text, "number") == Reading(None, reason)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("9.00", "9", True),
        ("1/2", "0.5", True),
        ("2/4", "1/2", True),
        ("25%", "25", True),
        ("25%", "0.25", False),  # a percent sign is a unit, as a dollar sign is
        ("0.3333", "1/3", True),
        ("0.333", "1/3", False),
        ("0.3334", "1/3", False),
        ("0.33333", "1/3", True),
        ("0.33334", "1/3", False),
        ("-0.6667", "-2/3", True),
        ("-0.6667", "2/3", False),
        ("0.6666", "2/3", False),  # cut, not rounded
        ("0.1010", "10/99", True),  # a rounding may end in zero
        ("0.0313", "1/32", True),
        ("0.33333", "0.3333", False),  # neither is a fraction
        ("33333/100000", "1/3", False),
        ("3", "299999/100000", False),  # an integer is no rounded decimal
        ("18 apples", "18", True),
        ("-5", "5", False),
        ("10-3=7", "7", True),
        ("#### 18\nThanks!! 2024", "18", True),
        ("5", "five", False),
        ("five", "five", False),
        ("1e3", "1,000", True),
    ],
)
def test_numbers_are_equal_as_exact_rationals(one: str, other: str, same: bool) -> None:
    assert same_answer(one, other, kind="number") is same
    assert same_answer(other, one, kind="number") is same


@pytest.mark.parametrize(
    ("text", "reading"),
    [
        ("yes", Reading("yes")),
        ("NO.", Reading("no")),
        ("True", Reading("yes")),
        ("#### FALSE", Reading("no")),
        ("Yes, since nobody was there.", Reading("yes")),
        ("It had no end, so the answer is true. Q: is no yes?", Reading("yes")),
        ("Then it is bigger. So yes", Reading("yes")),
        ("There is no sea there, so yes.", Reading("yes")),
        ("Yes, there is no sea there.", Reading("yes")),
        ("The answer is not true", Reading("no")),
        ("The answer is yes, no doubt", Reading("yes")),
        ("yes\nQ: another? no", Reading("yes")),
        ("Yes. Then again, no.", Reading(None, "ambiguous")),
        ("It may be yes or no here", Reading(None, "ambiguous")),
        ("#### yes/no", Reading(None, "ambiguous")),
        ("#### True or false", Reading(None, "ambiguous")),
        ("Norway", Reading(None, "no_boolean")),
        ("nobody, the truest yes-man, no-one, yesterday", Reading(None, "no_boolean")),
        ("no's", Reading(None, "no_boolean")),
        ("yes #### maybe", Reading(None, "no_boolean")),
        ("", Reading(None, "empty")),
    ],
)
def test_yes_and_no_are_read_as_whole_words(text: str, reading: Reading) -> None:
    assert read_answer(text, "boolean") == reading


@pytest.mark.parametrize(
    ("text", "reading"),
    [
        ("B", Reading("B")),
        ("#### b", Reading("B")),
        ("(C)", Reading("C")),
        ("C) a blue one", Reading("C")),
        ("**B**", Reading("B")),
        ("The answer is B.", Reading("B")),
        ("The answer is option C because of that", Reading("C")),
        ("#### B because it is", Reading("B")),
        ("(B), as (A) is not", Reading("B")),
        ("so it is (B)", Reading("B")),
        ("Dark Red.", Reading("B")),
        ("The answer is dark red, I think", Reading("B")),
        ("It is red\n", Reading("A")),
        ("#### A blue one", Reading("C")),
        ("red or a blue one", Reading(None, "ambiguous")),
        ("(A) or (B)", Reading(None, "ambiguous")),
        ("bored", Reading(None, "no_choice")),
        ("#### E", Reading(None, "no_choice")),
        ("#### ", Reading(None, "empty")),
    ],
)
def test_a_choice_is_read_by_letter_or_by_its_text(text: str, reading: Reading) -> None:
    assert read_answer(text, "choice", choices=COLOURS) == reading


def test_a_choices_letter_and_its_text_are_the_same_answer() -> None:
    assert same_answer("dark red", "B", kind="choice", choices=COLOURS)
    assert not same_answer("red", "B", kind="choice", choices=COLOURS)
    assert same_answer("(d)", "D", kind="choice")


def test_texts_are_compared_without_case_spaces_and_outer_punctuation() -> None:
    assert read_answer("It rains.\n#### The  Old\tTown!\nmore", "text") == Reading("the old town")
    assert same_answer('"the old town".', "The Old  Town", kind="text")
    assert not same_answer("old town", "new town", kind="text")
    assert read_answer("...", "text") == Reading(None, "empty")


_TEXTS = st.one_of(
    st.text(),
    st.text(alphabet="0123456789.,/-+=$%:eE^()#\n \t½²−x{}\\frac"),
    st.lists(st.sampled_from(["####", "the answer is ", "Q:", "\n", " ", "yes", "no", "(A)", "1/", "-", "$", "3"])).map(
        "".join
    ),
)


@given(_TEXTS, st.sampled_from(KINDS))
def test_reading_never_raises_and_a_canonical_answer_reads_as_itself(text: str, kind: AnswerKind) -> None:
    answer, reason = read_answer(text, kind, choices=COLOURS)
    assert (answer is None) == (reason != "")
    if answer is not None and not (kind == "text" and _is_marked(answer)):
        assert read_answer(answer, kind, choices=COLOURS) == Reading(answer)
        assert same_answer(answer, answer, kind=kind, choices=COLOURS)


def _is_marked(text: str) -> bool:
    return "####" in text or "answer" in text


@given(st.fractions(), st.fractions())
def test_written_fractions_are_equal_only_as_numbers(one: Fraction, other: Fraction) -> None:
    assert read_answer(str(one), "number") == Reading(str(one))
    assert same_answer(str(one), str(other), kind="number") == (one == other)


@given(st.decimals(-(10**9), 10**9, places=3))
def test_a_decimal_is_read_however_it_is_grouped(number: Any) -> None:
    assert same_answer(f"{number:,}", str(number), kind="number")
    assert same_answer(f"${number:,} in all", f"#### {number}", kind="number")


@pytest.mark.parametrize(
    "piece",
    ["1/", "-", "9,", "####", "the answer is", "1 ", "1.", "9:", "\n", " ", "Q:\n", "yes ", "A) ", "$", "1e", "²", "½"],
)
def test_hostile_text_takes_linear_time(piece: str) -> None:
    text = piece * (400_000 // len(piece))  # quadratic time would be minutes
    for kind in KINDS:
        read_answer(text, kind, choices=COLOURS)
        read_answer(f"#### {text}", kind, choices=COLOURS)


def _rows(path: Path) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8")
    rows: list[dict[str, Any]] = (
        json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.split("\n") if line]
    )
    return rows


@pytest.mark.parametrize(("name", "count"), [("train", 7473), ("socratic_train", 800), ("socratic_validation", 200)])
def test_every_gsm8k_answer_is_itself_and_no_other(shared: Path, name: str, count: int) -> None:
    rows = _rows(shared / "gsm8k" / f"{name}.jsonl")
    assert len(rows) == count
    for row in rows:
        gold = row["answer"].rpartition("####")[2].strip()
        assert same_answer(row["answer"], gold, kind="number"), row["answer"]
        assert same_answer(gold, gold, kind="number")
        wrong = str(int(gold.replace(",", "")) + 1)
        assert not same_answer(row["answer"], wrong, kind="number")
        assert not same_answer(f"#### {wrong}", gold, kind="number")


@pytest.mark.parametrize(("name", "count"), [("train", 700), ("validation", 150)])
def test_every_svamp_answer_is_itself_and_no_other(shared: Path, name: str, count: int) -> None:
    rows = _rows(shared / "svamp" / f"{name}.json")
    assert len(rows) == count
    for row in rows:
        gold = str(row["Answer"])
        assert same_answer(f"{row['Equation']} #### {gold}", gold, kind="number")
        assert not same_answer(f"#### {row['Answer'] + 1}", gold, kind="number")


@pytest.mark.parametrize(("name", "count"), [("train", 2061), ("validation", 115)])
def test_every_strategyqa_answer_is_itself_and_no_other(shared: Path, name: str, count: int) -> None:
    rows = _rows(shared / "strategyqa" / f"{name}.json")
    assert len(rows) == count
    for row in rows:
        gold, wrong = ("yes", "no") if row["answer"] else ("no", "yes")
        facts = " ".join(row["facts"])
        assert same_answer(f"{facts} #### {gold}", str(row["answer"]), kind="boolean")
        assert not same_answer(f"{facts} #### {wrong}", str(row["answer"]), kind="boolean")


@pytest.mark.parametrize(
    ("name", "kind", "readable"),
    [
        ("gsm8k/llama3_70b_rationales_train.jsonl", "number", 0.995),
        ("svamp/chatgpt_subquestions_train.json", "number", 0.995),
        ("strategyqa/chatgpt_rationales_train.json", "boolean", 1.0),
    ],
)
def test_real_teachers_answers_are_read(shared: Path, name: str, kind: AnswerKind, readable: float) -> None:
    rows = _rows(shared / name)
    readings = [read_answer(row["output"], kind) for row in rows]
    assert sum(reading.answer is not None for reading in readings) >= readable * len(rows)
