"""What a prompted model is told of each student's part, and what of its replies is read."""

import pytest

from socratic_distill.reasoning.prompting_roles import ROLES, instruction, read_text, role_of
from socratic_distill.reasoning.strategies import STRATEGIES


def test_every_student_of_ours_has_a_part() -> None:
    assert {student for strategy in STRATEGIES.values() for student in strategy.students} == ROLES.keys()
    assert role_of("decomposer_equations") is ROLES["decomposer"]


def test_calculator_marks_are_asked_for_where_there_is_something_to_calculate() -> None:
    assert "<<3*4=12>>" in instruction("cot", "number")
    assert "<<" not in instruction("cot", "boolean") + instruction("decomposer", "number")
    assert "yes or no" in instruction("solver", "boolean")


def test_guidance_is_asked_for_by_its_kind() -> None:
    assert "Steps: 2" in instruction("decomposer_steps", "number")
    assert "Equations: " in instruction("planner_equations", "number")
    assert "Before the first" not in instruction("decomposer", "number") + instruction("answer_only", "number")


READ = {
    "as it should be": ("solver", "It is 3*4 = 12. #### 12", "It is 3*4 = 12. #### 12"),
    "space around it": ("solver", "\n It is 12. #### 12 \n\n", "It is 12. #### 12"),
    "a label": ("solver", "**Solution:** It is 12. #### 12", "It is 12. #### 12"),
    "a heading": ("cot", "### Solution:\nIt is 12.\n#### 12", "It is 12.\n#### 12"),
    "an answer is no heading": ("answer_only", "#### 12", "#### 12"),
    "a label before the answer": ("answer_only", "Answer: #### 12", "#### 12"),
    "more after the answer": ("cot", "It is 12.\n#### 12\n\nI hope this helps!\n#### 13", "It is 12.\n#### 12"),
    "a marker without an answer": ("cot", "####\nIt is 12.\n#### 12", "####\nIt is 12.\n#### 12"),
    "thoughts": ("solver", "<think>\n#### 9\n</think>\n\nIt is 12. #### 12", "It is 12. #### 12"),
    "a preface": ("decomposer", "Sure! Here it is:\n\n**Subquestion 2:** How many are left?", "How many are left?"),
    "two at once": ("decomposer", "How many are left?\nHow many were sold?", "How many are left?"),
    "no question": ("decomposer", "Find the rest.\nThen go on.", "Find the rest."),
    "a number": ("decomposer", "1. How many are left?", "How many are left?"),
    "done": ("decomposer", "[Done].", "[done]"),
    "done after a preface": ("decomposer", "All is solved.\n[done]", "[done]"),
    "an operator is no list": ("decomposer", "-3 is what plus 4?", "-3 is what plus 4?"),
    "nothing": ("decomposer", " \n ", ""),
    "a plan": ("planner", "Here is the plan:\n1. How many?\n\n2) **How much?**", "How many?\nHow much?"),
    "a plan without questions": ("planner", "- Count them.\n- Add them.", "Count them.\nAdd them."),
    "anything": ("a_users_own", " Solution: yes ", "Solution: yes"),
}


@pytest.mark.parametrize("case", READ)
def test_a_reply_is_read_without_what_a_student_would_not_write(case: str) -> None:
    student, text, expected = READ[case]
    assert read_text(text, role_of(student), last=True) == (expected, True)


def test_guidance_is_one_line_whatever_is_asked_behind_it() -> None:
    guiding = role_of("planner_equations", 1)
    text = "Plan: Equations: 1+1=2\nHow many?\n"
    assert read_text(text, guiding, last=True) == ("Equations: 1+1=2", True)
    assert read_text("How many?", role_of("planner_equations", 2), last=True) == ("How many?", True)


def test_a_text_that_goes_on_is_left_as_it_is_but_for_its_beginning() -> None:
    assert read_text("\nSolution: It is <<3*4=12>>", role_of("solver"), last=False) == ("It is <<3*4=12>>", False)
    assert read_text(" Solution: x \n", role_of("solver"), begun="a", last=False) == (" Solution: x \n", False)
    assert read_text(" 12. ", role_of("solver"), begun="It is", last=True) == (" 12.", True)
    assert read_text("2\nSo", role_of("solver"), begun="#### 1", last=False) == ("2", True)
    assert read_text("So", role_of("solver"), begun="#### 1\nAnd", last=False) == ("", True)
    assert read_text("How many?\nAnd th", role_of("decomposer"), last=False) == ("How many?", True)
    assert read_text("How ma", role_of("decomposer"), last=False) == ("How ma", False)
