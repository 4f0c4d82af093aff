"""What a student reads and writes, and that it is read back as it was written."""

from hypothesis import given
from hypothesis import strategies as st

from socratic_distill.reasoning.answers import MARKER
from socratic_distill.reasoning.prompts import (
    DONE,
    SEPARATOR,
    format_answer,
    format_dialogue,
    format_plan,
    format_rationale,
    format_step,
    parse_dialogue,
    parse_plan,
    parse_step,
    problem_piece,
)
from socratic_distill.records import Problem, Step


def one_line(text: str) -> str:
    return " ".join(text.split())


def no_sign(text: str) -> bool:
    """Loaders keep the marker out of every text but the last line, and part lines at the first separator."""
    return MARKER not in text and SEPARATOR not in f" {text}"


# Preconditions of every round trip: white space collapsed as loaders do, no marker and no separator inside.
lines = st.text(max_size=20).map(one_line).filter(no_sign)
spelling = st.text(alphabet="a1#* ", max_size=9).map(one_line).filter(no_sign)
texts = st.one_of(lines, spelling)
written = texts.filter(bool)


def ends_apart(step: Step) -> bool:
    """A solution that ends in `#` would lend its sign to the marker."""
    return not step.solution.endswith("#") and not step.answer.startswith("#")


steps = st.builds(Step, subquestion=written, solution=texts, answer=texts).filter(ends_apart)


@given(steps)
def test_a_step_is_read_as_it_was_written(step: Step) -> None:
    assert parse_step(step.subquestion, format_step(step)) == step


@given(st.text(), st.text())
def test_any_text_is_read_as_a_step_whose_parts_hold_no_outer_space(subquestion: str, text: str) -> None:
    step = parse_step(subquestion, text)
    assert (step.solution, step.answer) == (step.solution.strip(), step.answer.strip())
    assert step.answer == "" or MARKER in text


@given(st.lists(steps, max_size=3).map(tuple), written)
def test_a_dialogue_is_read_as_it_was_written(dialogue: tuple[Step, ...], answer: str) -> None:
    text = format_dialogue(dialogue, answer)
    assert parse_dialogue(text) == tuple((step.subquestion, step.solution) for step in dialogue)
    assert text.endswith(format_answer(answer))


@given(st.lists(steps, max_size=3).map(tuple))
def test_a_plan_is_read_as_it_was_written(plan: tuple[Step, ...]) -> None:
    assert parse_plan(format_plan(plan)) == tuple(step.subquestion for step in plan)


def test_a_dialogue_is_read_up_to_the_first_marker_and_lines_without_a_separator_are_passed_over() -> None:
    text = "How many? ** 3 pens.\nWell then.\nHow much? ** $6.\n#### 6\nWhy? ** Because."
    assert parse_dialogue(text) == (("How many?", "3 pens."), ("How much?", "$6."))


def test_a_solution_may_hold_the_separator_of_which_the_first_parts_the_line() -> None:
    step = Step(subquestion="What is 2 squared?", solution="2 ** 2 is 4.")
    assert parse_dialogue(format_dialogue((step,), "4")) == (("What is 2 squared?", "2 ** 2 is 4."),)


def test_an_answer_without_a_solution_is_the_whole_completion() -> None:
    assert format_step(Step(subquestion="Is it?", solution="", answer="yes")) == "#### yes"
    assert format_step(Step(subquestion="Which?", solution="The moon has no air.")) == "The moon has no air."
    assert format_rationale("", "yes") == "#### yes"


def test_blank_lines_of_a_plan_are_passed_over() -> None:
    assert parse_plan("\n How many? \n\n\tHow much?\n") == ("How many?", "How much?")
    assert parse_plan(" \n") == ()


def test_being_done_is_a_text_that_no_engine_can_take_for_an_empty_completion() -> None:
    assert DONE.strip() == DONE != ""


def test_the_first_piece_shows_facts_then_the_question_then_lettered_choices() -> None:
    problem = Problem(
        id="own/1",
        split="test",
        question=" Which one swims? ",
        answer="B",
        answer_kind="choice",
        choices=("a stone", "a trout"),
        facts=("Stones sink.", "Trout are fish."),
    )
    assert problem_piece(problem) == (
        "Fact: Stones sink.\nFact: Trout are fish.\nWhich one swims?\n(A) a stone\n(B) a trout"
    )


def test_the_first_piece_shows_no_gold_answer_and_no_gold_reasoning(two_problems: list[Problem]) -> None:
    for problem in two_problems:
        bare = {"answer": "", "rationale": "", "steps": (), "step_count": None}
        assert problem_piece(problem) == problem_piece(problem.model_copy(update=bare))
