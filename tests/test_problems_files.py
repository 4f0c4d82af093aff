"""The user's own files: every field, every complaint, and a round trip."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socratic_distill.errors import UserError
from socratic_distill.problems.files import load_files
from socratic_distill.records import Problem

OWN = {"question": "Ann has 2 boxes of 3 pens and loses 1. How many are left?", "answer": 5}
STEPS = [
    {"subquestion": "How many are in the boxes?", "solution": "2*3 = <<2*3=6>>6."},
    {"subquestion": "How many are left?", "solution": "6-1 = <<6-1=5>>5."},
]


def loaded(path: Path, *rows: dict[str, object]) -> list[Problem]:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return list(load_files(str(path), split="train"))


def test_the_shortest_row_is_a_question_and_an_answer(tmp_path: Path) -> None:
    (problem,) = loaded(tmp_path / "own.jsonl", OWN)
    expected = Problem(id="own/1", split="train", question=str(OWN["question"]), answer="5", answer_kind="number")
    assert problem == expected


def test_steps_take_their_answers_from_their_solutions_and_the_last_from_gold(tmp_path: Path) -> None:
    (problem,) = loaded(tmp_path / "own.jsonl", OWN | {"steps": STEPS, "id": 7})
    assert [step.answer for step in problem.steps] == ["6", "5"]
    assert (problem.id, problem.step_count) == ("7", 2)
    assert problem.rationale == "2*3 = <<2*3=6>>6.\n6-1 = <<6-1=5>>5."


@pytest.mark.parametrize(
    ("row", "kind", "answer"),
    [
        ({"answer": True}, "boolean", "yes"),
        ({"answer": "No"}, "boolean", "no"),
        ({"answer": "false", "answer_kind": "boolean"}, "boolean", "no"),
        ({"answer": "$1,250.50"}, "number", "1250.5"),
        ({"answer": 9.0}, "number", "9"),
        ({"answer": "a blue pen", "answer_kind": "text"}, "text", "a blue pen"),
    ],
)
def test_the_kind_of_answer_is_told_or_seen(tmp_path: Path, row: dict[str, object], kind: str, answer: str) -> None:
    (problem,) = loaded(tmp_path / "own.jsonl", OWN | row)
    assert (problem.answer_kind, problem.answer) == (kind, answer)


def test_choices_make_it_a_choice(tmp_path: Path) -> None:
    (problem,) = loaded(tmp_path / "own.jsonl", OWN | {"choices": ["a pen", "a cup"], "answer": "B"})
    assert (problem.answer_kind, problem.choices, problem.answer) == ("choice", ("a pen", "a cup"), "B")


def test_a_step_of_a_yes_or_no_problem_has_no_answer_of_its_own(tmp_path: Path) -> None:
    steps = [{"subquestion": "When was it built?", "solution": "In 1906."}, {"subquestion": "Was that before 1950?"}]
    (problem,) = loaded(tmp_path / "own.jsonl", OWN | {"answer": True, "steps": steps})
    assert [(step.solution, step.answer) for step in problem.steps] == [("In 1906.", ""), ("", "yes")]


def test_a_last_solution_that_disagrees_with_gold_is_remarked(tmp_path: Path) -> None:
    (problem,) = loaded(tmp_path / "own.jsonl", OWN | {"answer": 4, "steps": STEPS})
    assert (problem.steps[-1].answer, problem.remarks) == ("4", ("rationale_disagrees",))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"question": "?"}, "answer: is missing"),
        ({"answer": 1}, "question: is missing"),
        (OWN | {"question": " "}, "question: is empty"),
        (OWN | {"question": 3}, "question: expected a text"),
        (OWN | {"answer": None}, "answer: expected a text, a number, true or false"),
        (OWN | {"answer": "many"}, "answer: can't be read as a number (no_number): 'many'"),
        (OWN | {"answer": "5-3"}, "answer: can't be read as a number (not_computed): '5-3'"),
        (OWN | {"answer": "maybe", "answer_kind": "boolean"}, "answer: can't be read as a boolean"),
        (OWN | {"answer_kind": "float"}, "answer_kind: "),
        (OWN | {"hint": "add"}, "hint: unknown field; choose one of question, answer, answer_kind, choices, facts"),
        (OWN | {"facts": "It is so."}, "facts: expected a list"),
        (OWN | {"facts": ["So.", ""]}, "facts[1]: is empty"),
        (OWN | {"facts": [1]}, "facts[0]: expected a text"),
        (OWN | {"choices": ["one"], "answer": "one"}, "choices: a choice needs at least two options"),
        (OWN | {"choices": ["C", "D", "E"], "answer": "E"}, "choices: 'C' is also the letter of another option"),
        (OWN | {"choices": [f"pen {n}" for n in range(27)], "answer": "pen 1"}, "choices: are 27, and only 26"),
        (OWN | {"choices": ["1", "5"], "answer_kind": "number"}, "choices: are for answer_kind 'choice'"),
        (OWN | {"choices": ["a pen", "a cup"], "answer": "a hat"}, "answer: can't be read as a choice"),
        (OWN | {"rationale": "So it is #### 5"}, "rationale: may not hold ####"),
        (OWN | {"steps": {}}, "steps: expected a list"),
        (OWN | {"steps": ["add"]}, "steps[0]: expected an object"),
        (OWN | {"steps": [{"solution": "5"}]}, "steps[0].subquestion: is missing"),
        (
            OWN | {"steps": [STEPS[0], {"subquestion": "How many?", "solution": 5}]},
            "steps[1].solution: expected a text",
        ),
        (OWN | {"steps": [{"subquestion": " ", "solution": "5"}]}, "steps[0].subquestion: is empty"),
        (OWN | {"steps": [{"subquestion": "Why?\nHow?"}]}, "steps[0].subquestion: must be a single line"),
        (OWN | {"steps": [{"subquestion": "Why ** how?"}]}, "steps[0].subquestion: may not hold '**'"),
        (OWN | {"steps": [{"subquestion": "Why?", "solution": "#### 5"}]}, "steps[0].solution: may not hold ####"),
        (
            OWN | {"steps": [{"subquestion": "Why?"}, STEPS[1]]},
            "steps[0].solution: is empty, and so is the step's answer",
        ),
        (
            OWN | {"steps": [STEPS[0], STEPS[1] | {"answer": 6}]},
            "steps[1].answer: the last step's answer must be the gold",
        ),
        (
            OWN | {"steps": [STEPS[0] | {"note": "x"}]},
            "steps[0].note: unknown field; choose one of subquestion, solution",
        ),
        (OWN | {"steps": [STEPS[0] | {"answer": []}]}, "steps[0].answer: expected a text, a number, true or false"),
        ({"question": "?", "answer": "Two.\n#### 2"}, "this looks like a gsm8k row: set dataset = 'gsm8k'"),
        ({"ID": "1", "Body": "A.", "Question": "B?", "Equation": "1.0"}, "this looks like a svamp row"),
    ],
)
def test_a_wrong_row_is_named_by_file_line_and_field(tmp_path: Path, row: dict[str, object], said: str) -> None:
    path = tmp_path / "own.jsonl"
    with pytest.raises(UserError, match=r"\A[^\n]*\Z") as error:
        loaded(path, OWN, row)
    assert str(error.value).startswith(f"{path}:2: ")
    assert said in str(error.value)


texts = st.text(st.characters(codec="utf-8", exclude_characters="#*["), min_size=1).map(
    lambda text: " ".join(text.split())
)
worded = texts.filter(bool)


@given(
    question=worded,
    answer=st.integers(-(10**9), 10**9),
    facts=st.lists(worded, max_size=3),
    steps=st.lists(
        st.fixed_dictionaries({"subquestion": worded, "solution": worded, "answer": st.integers(0, 99)}), max_size=4
    ),
)
def test_what_is_written_is_what_is_loaded(
    tmp_path_factory: pytest.TempPathFactory,
    question: str,
    answer: int,
    facts: list[str],
    steps: list[dict[str, object]],
) -> None:
    closed = [*steps[:-1], *({**step, "answer": answer} for step in steps[-1:])]
    row: dict[str, object] = {"question": question, "answer": answer, "facts": facts, "steps": closed}
    (problem,) = loaded(tmp_path_factory.getbasetemp() / "own.jsonl", row)
    assert (problem.question, problem.answer, list(problem.facts)) == (question, str(answer), facts)
    assert [step.model_dump() for step in problem.steps] == [step | {"answer": str(step["answer"])} for step in closed]
