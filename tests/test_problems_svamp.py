"""SVAMP: published rows whole, and the annotation that is written from equations."""

import json
from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socratic_distill.errors import UserError
from socratic_distill.problems.svamp import annotation_steps, load_svamp, operations
from socratic_distill.reasoning.answers import same_answer
from socratic_distill.reasoning.arithmetic import evaluate, marks
from socratic_distill.records import Problem

ROW = {
    "ID": "own-1",
    "Body": "Ann has 4 pens and 3 pencils.",
    "Question": "How many are left if 2 break?",
    "Type": "Subtraction",
}


def loaded(path: Path, **fields: object) -> Problem:
    path.write_text(
        json.dumps([ROW | {"Equation": "( ( 4.0 + 3.0 ) - 2.0 )", "Answer": 5.0} | fields]), encoding="utf-8"
    )
    (problem,) = load_svamp(str(path), split="train")
    return problem


@pytest.mark.parametrize(
    ("name", "steps", "remarks"),
    [
        ("train", {0: 2, 1: 545, 2: 153}, {"no_operation": 1, "equation_disagrees": 1}),
        ("validation", {1: 108, 2: 42}, {}),
    ],
)
def test_every_published_row_loads(shared: Path, name: str, steps: dict[int, int], remarks: dict[str, int]) -> None:
    problems = list(load_svamp(str(shared / "svamp" / f"{name}.json"), split="train"))
    assert Counter(len(problem.steps) for problem in problems) == steps
    assert Counter(remark for problem in problems for remark in problem.remarks) == remarks
    for problem in problems:
        assert same_answer(problem.answer, problem.answer, kind="number") and not problem.answer.endswith(".0")
        if problem.steps:
            assert problem.steps[-1].answer == problem.answer
            assert problem.question.endswith(problem.steps[-1].subquestion)
            assert all(mark.right for step in problem.steps for mark in marks(step.solution))


def test_154_of_the_700_published_equations_have_two_operations(shared: Path) -> None:
    rows = json.loads((shared / "svamp" / "train.json").read_text(encoding="utf-8"))
    assert Counter(len(operations(row["Equation"])) for row in rows) == {0: 1, 1: 545, 2: 154}


def test_each_operation_is_a_step_innermost_first(tmp_path: Path) -> None:
    problem = loaded(tmp_path / "a.json")
    assert problem.question == "Ann has 4 pens and 3 pencils. How many are left if 2 break?"
    assert (problem.id, problem.answer, problem.step_count) == ("svamp/a/own-1", "5", 2)
    assert [step.model_dump() for step in problem.steps] == [
        {
            "subquestion": "What is the total of 4 and 3?",
            "solution": "Adding 4 and 3 gives 4+3 = <<4+3=7>>7.",
            "answer": "7",
        },
        {
            "subquestion": "How many are left if 2 break?",
            "solution": "Taking 2 from 7 leaves 7-2 = <<7-2=5>>5.",
            "answer": "5",
        },
    ]
    assert problem.rationale.splitlines() == [step.solution for step in problem.steps]


@pytest.mark.parametrize(
    ("equation", "solutions"),
    [
        ("( 4.0 - ( 3.0 - 9.0 ) )", ["3-9 = <<3-9=-6>>-6.", "4-(-6) = <<4-(-6)=10>>10."]),
        ("( 60.0 * ( 55.0 / 15.0 ) )", ["55/15 = <<55/15=3.6667>>3.6667.", "60*(55/15) = <<60*(55/15)=220>>220."]),
        ("( ( 3.0 / 2.0 ) * 2.0 )", ["3/2 = <<3/2=1.5>>1.5.", "1.5*2 = <<1.5*2=3>>3."]),
        ("( 1.25 + 2 )", ["1.25+2 = <<1.25+2=3.25>>3.25."]),
    ],
)
def test_marks_state_the_exact_calculation(equation: str, solutions: list[str]) -> None:
    steps = annotation_steps(operations(equation), "How many?", gold="1")
    for step, solution in zip(steps, solutions, strict=True):
        assert step.solution.endswith(solution)


@pytest.mark.parametrize(
    ("equation", "answer", "remark"),
    [
        ("( 4.0 + 3.0 )", 8.0, "equation_disagrees"),
        ("8.0", 8.0, "no_operation"),
        ("( 4.0 / 0.0 )", 8.0, "equation_unreadable"),
        ("4 + 3", 7.0, "equation_unreadable"),
        ("( 4.0 + 3.0", 7.0, "equation_unreadable"),
        ("( 4.0 ^ 3.0 )", 64.0, "equation_unreadable"),
        ("(" * 100_000, 7.0, "equation_unreadable"),
    ],
)
def test_an_equation_that_can_not_teach_leaves_no_steps_and_a_remark(
    tmp_path: Path, equation: str, answer: float, remark: str
) -> None:
    problem = loaded(tmp_path / "a.json", Equation=equation, Answer=answer)
    assert (problem.steps, problem.rationale, problem.step_count, problem.remarks) == ((), "", None, (remark,))


def test_the_hubs_texts_for_answers_and_its_other_fields_are_read(tmp_path: Path) -> None:
    problem = loaded(tmp_path / "a.json", Answer="5.0", question_concat="...")
    assert (problem.answer, len(problem.steps)) == ("5", 2)


equations = st.recursive(
    st.integers(0, 99).map(lambda number: f"{number}.0"),
    lambda inner: st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda parts: f"( {' '.join(parts)} )"),
    max_leaves=6,
)


@given(equations)
def test_an_equations_last_operation_has_its_value(equation: str) -> None:
    expected = evaluate(equation)
    try:
        found = operations(equation)
    except ValueError:
        assert expected is None or len(equation) > 50
    else:
        assert len(found) == sum(equation.count(operator) for operator in "+-*/")
        assert (found[-1].value if found else Fraction(equation)) == expected


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            {"question": "How many?", "answer": "Two.\n#### 2"},
            "Body: is missing; this looks like a gsm8k row: set dataset = 'gsm8k'",
        ),
        (
            {"question": "How many?", "answer": 2},
            "Body: is missing; this looks like a files row: set dataset = 'files'",
        ),
        ({"text": "How many?"}, "Body: is missing"),
        (ROW | {"Equation": "2.0"}, "Answer: is missing"),
        (ROW | {"Equation": "2.0", "Answer": "many"}, "Answer: expected a number, found 'many'"),
        (ROW | {"Equation": 2.0, "Answer": 2.0}, "Equation: expected a text, found a number"),
    ],
)
def test_a_wrong_row_is_named_by_place_and_field(tmp_path: Path, row: dict[str, object], said: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([row]), encoding="utf-8")
    with pytest.raises(UserError) as error:
        list(load_svamp(str(path), split="train"))
    assert str(error.value) == f"{path} row 1: {said}"
