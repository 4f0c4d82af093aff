"""The checks: each with annotations that pass and that fail, and none that any text can stop."""

from fractions import Fraction
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socratic_distill.reasoning.checks import CHECKS, asked_words, is_question, numbers, spelt_numbers
from socratic_distill.recipe import CheckName, Verify
from socratic_distill.records import Annotation, Problem, Step

PROBLEM = Problem(
    id="own/1",
    split="train",
    question="Ann picks 4 bags of 6 plums and gives half of them away. At $3 a plum, what are the other plums worth?",
    answer="36",
    answer_kind="number",
)
GOOD = (
    ("How many plums does Ann pick?", "4 bags of 6 are 4*6 = <<4*6=24>>24 plums.", "24"),
    ("How many plums are left?", "Half of 24 is 24/2 = <<24/2=12>>12.", "12"),
    ("What are the plums worth?", "They are worth 12*3 = $<<12*3=36>>36.", "36"),
)
SETTINGS = Verify()


def annotation(*steps: tuple[str, str, str], rationale: str = "", answer: str = "36", cut: bool = False) -> Annotation:
    """What a teacher could have written."""
    return Annotation(
        problem="own/1",
        source="teacher",
        rationale=rationale,
        steps=tuple(Step(subquestion=asked, solution=solved, answer=found) for asked, solved, found in steps),
        answer=answer,
        cut=cut,
    )


def passes(check: CheckName, given: Annotation, problem: Problem = PROBLEM, settings: Verify = SETTINGS) -> bool:
    return CHECKS[check](problem, given, settings)


def test_every_check_that_a_recipe_can_name_is_in_the_table() -> None:
    assert list(CHECKS) == list(get_args(CheckName))


@pytest.mark.parametrize("check", CHECKS)
def test_sound_steps_and_a_sound_rationale_pass_every_check(check: CheckName) -> None:
    assert passes(check, annotation(*GOOD))
    assert passes(check, annotation(rationale="4*6 = 24 plums, 24/2 = 12 stay.\nThey are worth 12*3 = 36 dollars."))


@pytest.mark.parametrize("check", [check for check in CHECKS if check not in ("answer", "arithmetic", "cut")])
def test_a_check_of_steps_passes_what_has_none(check: CheckName) -> None:
    assert passes(check, annotation(rationale="No. The 24 plums? 24.", answer="24"))
    assert passes(check, annotation(answer=""))


@pytest.mark.parametrize(("answer", "right"), [("36", True), ("$36.00", True), ("35", False), ("", False)])
def test_the_answer_must_be_gold(answer: str, right: bool) -> None:
    assert passes("answer", annotation(*GOOD, answer=answer)) == right


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("4*6 = <<4*6=24>>24", True),
        ("4*6 = <<4*6=25>>24", False),
        ("4*6 = 24, so 24/2 = 13", False),
        ("10/3 = 3.33", True),
        ("n + 2 = 5, so it is 3", True),  # not calculable
        ("nothing is calculated", True),
    ],
)
def test_one_wrong_equation_anywhere_fails(text: str, right: bool) -> None:
    assert passes("arithmetic", annotation(*GOOD, rationale=text)) == right
    assert passes("arithmetic", annotation(*GOOD, ("How much?", text, "36"))) == right
    assert passes("arithmetic", annotation((f"What is left, as {text}?", "36", "36"))) == right


@pytest.mark.parametrize(
    ("first", "later", "used"),
    [
        ("24", "Half of 24 is 12.", True),
        ("24", "24/2 = 12", True),
        ("24", "3x24 plums", True),
        ("24.0", "1,024 and 24", True),
        ("1,024", "1024 / 2", True),
        ("-24", "12 - 24 is below zero", True),
        ("3 plums", "The three plums cost 9.", True),
        ("1/2", "1/2 of it", True),
        ("24", "Half of 240 is 12.", False),
        ("24", "It is 36.", False),
        ("24", "", False),
        ("red", "It is 36.", True),  # no number to look for
        ("", "It is 36.", True),
    ],
)
def test_a_step_s_answer_must_be_used_later(first: str, later: str, used: bool) -> None:
    steps = (("How many?", "some", first), ("And then?", later, "36"))
    assert passes("unused_answer", annotation(*steps)) == used
    between = (steps[0], ("And between?", "nothing", ""), steps[1])
    assert passes("unused_answer", annotation(*between)) == used


def test_a_step_s_answer_is_not_used_by_its_own_or_an_earlier_solution() -> None:
    assert passes("unused_answer", annotation(("How many?", "24 are 24", "24")))
    assert not passes("unused_answer", annotation(("How many?", "24 are 24", "24"), ("And?", "36", "36")))
    earlier = (("How many?", "24 and 12", "12"), ("And now?", "12*2", "24"), ("And?", "36", "36"))
    assert not passes("unused_answer", annotation(*earlier))


@pytest.mark.parametrize(
    ("fewest", "most", "right"), [(1, 16, True), (3, 3, True), (4, 16, False), (1, 2, False), (3, 16, True)]
)
def test_the_number_of_steps_is_within_its_bounds(fewest: int, most: int, right: bool) -> None:
    assert passes("step_count", annotation(*GOOD), settings=Verify(min_steps=fewest, max_steps=most)) == right


@pytest.mark.parametrize(
    ("one", "other", "right"),
    [
        ("How many plums?", "How many plums?", False),
        ("How many plums?", "  how MANY - plums", False),
        ("How many plums?", "How many plums are left?", True),
        ("How many plums for 2?", "How many plums for 3?", True),
    ],
)
def test_a_subquestion_is_asked_once(one: str, other: str, right: bool) -> None:
    between = ("What else?", "nothing", "")
    assert passes("repeated_subquestion", annotation((one, "1", "1"), between, (other, "2", "2"))) == right


@pytest.mark.parametrize(
    ("subquestion", "answer", "right"),
    [
        ("What is half of the plums, 12 of them?", "12", False),
        ("What are the $12.00 plums?", "12 dollars", False),
        ("What is half of the 120 plums?", "12", True),
        ("How many are the 6 plums in a bag?", "6", True),  # the problem has it
        ("Are half of the plums left?", "half", True),  # the problem has that word too
        ("Is it in the wooden crate?", "Wooden crate", False),
        ("Is it in the crate?", "wooden crate", True),
        ("Which one is it?", "1", True),  # not a number here
        ("Is it true, or not?", "true", True),
        ("Is it a plum?", "a", True),
        ("What is it?", "", True),
    ],
)
def test_a_subquestion_does_not_hold_its_own_answer(subquestion: str, answer: str, right: bool) -> None:
    assert passes("gives_away", annotation((subquestion, "so", answer))) == right


def test_a_subquestion_may_hold_what_an_earlier_step_found() -> None:
    later = ("What is 24 minus 0?", "24", "24")
    assert passes("gives_away", annotation(GOOD[0], later))
    assert not passes("gives_away", annotation(later, GOOD[0]))
    place = ("Where are the plums?", "In the cellar.", "The cellar")
    again = ("What is it that has plums, the cellar?", "The cellar.", "the cellar")
    assert passes("gives_away", annotation(place, again))
    assert not passes("gives_away", annotation(again, place))


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("How many plums are left?", True),
        ("The plums are worth?", True),
        ('"How many are left?"', True),
        ("How many plums are left", True),
        ("By how much do they differ.", True),
        ("Calculate the total", True),
        ("When did Ann pick the plums", True),
        ("When Ann picks plums, there are 24.", False),
        ("Define a variable", True),
        ("Then find the number of plums.", True),
        ("After a half is given away, how many plums stay", True),
        ("**Is it 4?**", True),
        ("The plums are worth 36 dollars.", False),
        ("Howard has 4 plums.", False),
        ("There are 4 bags, which hold 6 plums", False),
        ("?", False),
        ("", False),
    ],
)
def test_what_asks_is_told_from_what_states(text: str, asks: bool) -> None:
    assert is_question(text) == asks
    assert passes("not_a_question", annotation(*GOOD, (text, "so", "36"))) == asks


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("Ann has 4 bags. How many plums does she have left?", {"plum", "left"}),
        ("Ann has 4 bags. If she sells apples at $2.50 how much money does she earn?", {"monei", "earn"}),
        ("Is an apple a fruit?", {"appl", "fruit"}),
        ("What does Ann pay? She pays in coins.", {"ann", "pay"}),
        ("Tell me the price of two boxes.", {"tell", "pric", "two", "box"}),
        ("So how many are there?", set()),
        ("", set()),
    ],
)
def test_what_a_problem_asks_for_is_after_its_last_question_word(question: str, words: set[str]) -> None:
    assert asked_words(question) == words


@pytest.mark.parametrize(
    ("last", "right"),
    [
        ("How many plums?", True),
        ("What is one plum worth?", True),
        ("Is answer 1 more than answer 2?", True),
        ("What is 12 times 3?", False),
        ("", False),
    ],
)
def test_the_last_subquestion_asks_what_the_problem_asks(last: str, right: bool) -> None:
    assert passes("off_question", annotation(("What is 4 times 6?", "24", "24"), (last, "36", "36"))) == right
    bare = PROBLEM.model_copy(update={"question": "How many is it?"})
    assert passes("off_question", annotation((last, "36", "36")), bare)


def test_a_cut_text_is_marked() -> None:
    assert not passes("cut", annotation(*GOOD, cut=True))


def test_numbers_are_found_beside_operators_and_in_words() -> None:
    assert numbers("48/2=24, 3x4 and 1/3") >= {Fraction(48), Fraction(2), Fraction(24), Fraction(3), Fraction(4)}
    assert Fraction(1, 3) in numbers("48/2=24, 3x4 and 1/3")
    assert numbers("$1,200.50 or -3%") == {Fraction(2401, 2), Fraction(3)}
    assert spelt_numbers("Twelve of the three, none often") == {Fraction(12), Fraction(3)}


TEXTS = st.text(max_size=40) | st.text(alphabet="<>=0123456789+-*/().,%$x ^:\n½²５e?#", max_size=40)


@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS), max_size=4), TEXTS, TEXTS, TEXTS)
def test_no_text_stops_a_check(steps: list[tuple[str, str, str]], rationale: str, answer: str, question: str) -> None:
    for problem in (PROBLEM, PROBLEM.model_copy(update={"question": question, "answer_kind": "text"})):
        for check in CHECKS:
            assert isinstance(passes(check, annotation(*steps, rationale=rationale, answer=answer), problem), bool)


@pytest.mark.parametrize("piece", ["1/", "3x", "9,", "-", " ", "\n", "1 ", "a ", "? ", ". ", ",how", "²", "<<1=1>>"])
def test_hostile_text_takes_linear_time(piece: str) -> None:
    text = piece * (100_000 // len(piece))  # quadratic time would be minutes
    many = annotation(*[(piece, piece, piece)] * 3_000, rationale=text, answer=text)
    one = annotation((text, text, text), (text, text, text), answer=text)
    problem = PROBLEM.model_copy(update={"question": text})
    for check in CHECKS:
        passes(check, many)
        passes(check, one, problem)
