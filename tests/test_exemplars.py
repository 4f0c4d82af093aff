"""That our own worked examples are right, each of them, and how a user's own are read."""

import itertools
import json
import re
from pathlib import Path
from typing import get_args

import pytest

from socratic_distill.errors import UserError
from socratic_distill.reasoning.answers import read_answer, same_answer
from socratic_distill.reasoning.arithmetic import equations, last_number, marks, step_answer
from socratic_distill.reasoning.checks import CHECKS
from socratic_distill.reasoning.exemplars import OWN, Exemplar, Style, read_exemplars
from socratic_distill.reasoning.teacher_prompts import format_reply
from socratic_distill.reasoning.transcripts import read_transcript
from socratic_distill.recipe import Verify
from socratic_distill.records import Annotation, AnswerKind, Problem

STYLES: tuple[Style, ...] = get_args(Style)


def kind_of(dataset: str) -> AnswerKind:
    return "boolean" if dataset == "strategyqa" else "number"


def exemplars_of(dataset: str, style: Style = "socratic") -> tuple[Exemplar, ...]:
    return read_exemplars(dataset, kind=kind_of(dataset), style=style)


# --- our own exemplars, each of them

CALCULATION = re.compile(r"(?P<said>\S+) = \$?<<(?P<expression>[^=]+)=(?P<stated>[^>]+)>>(?P<result>[\d.]*\d)")
"""How each calculation is written: `3*4 = $<<3*4=12>>12`."""

EXEMPLARS = [pytest.param(name, one, id=f"{name}-{at}") for name in OWN for at, one in enumerate(exemplars_of(name))]


@pytest.mark.parametrize("dataset", OWN)
def test_every_data_set_has_six_exemplars_for_each_style(dataset: str) -> None:
    for style in STYLES:
        assert len(exemplars_of(dataset, style)) >= 6
    assert all(one.rationale and one.steps for one in exemplars_of(dataset))
    assert all(bool(one.facts) == (dataset == "strategyqa") for one in exemplars_of(dataset))


def test_no_exemplar_asks_what_another_asks() -> None:
    questions = [one.question for name in OWN for one in exemplars_of(name)]
    assert len(set(questions)) == len(questions)


@pytest.mark.parametrize(("dataset", "exemplar"), EXEMPLARS)
def test_every_equation_of_an_exemplar_is_right(dataset: str, exemplar: Exemplar) -> None:
    texts = [exemplar.rationale, *(step.solution for step in exemplar.steps)]
    stated = [mark for text in texts for mark in itertools.chain(marks(text), equations(text))]
    assert all(mark.right for mark in stated)
    for text in texts if dataset != "strategyqa" else []:
        found = list(CALCULATION.finditer(text))
        assert len(found) == text.count("<<") > 0, f"a calculation without its mark, or none, in {text!r}"
        for one in found:
            assert one["said"] == one["expression"]
            assert last_number(one["result"]) == one["stated"]


@pytest.mark.parametrize(("dataset", "exemplar"), EXEMPLARS)
def test_an_exemplars_reasoning_leads_to_its_answer(dataset: str, exemplar: Exemplar) -> None:
    assert exemplar.steps[-1].answer == exemplar.answer
    lines = exemplar.rationale.strip().splitlines()
    assert len(lines) == len(exemplar.steps), "told how many steps to take, a teacher sees as many lines"
    if dataset == "strategyqa":
        assert lines[-1].startswith(f"So {exemplar.answer},")
        assert read_answer(exemplar.steps[-1].solution, "boolean").answer == exemplar.answer
    else:
        assert step_answer(lines[-1]) == exemplar.answer
        assert [step_answer(step.solution) for step in exemplar.steps] == [step.answer for step in exemplar.steps]


@pytest.mark.parametrize(("dataset", "exemplar"), EXEMPLARS)
def test_an_exemplar_passes_every_check_of_annotations(dataset: str, exemplar: Exemplar) -> None:
    problem = Problem(
        id="1",
        split="train",
        question=exemplar.question,
        answer=exemplar.answer,
        answer_kind=kind_of(dataset),
        facts=exemplar.facts,
    )
    annotation = Annotation(
        problem="1", source="ours", rationale=exemplar.rationale, steps=exemplar.steps, answer=exemplar.answer
    )
    assert [name for name, check in CHECKS.items() if not check(problem, annotation, Verify())] == []
    assert all(step.subquestion.endswith("?") for step in exemplar.steps)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(("dataset", "exemplar"), EXEMPLARS)
def test_an_exemplar_is_a_reply_that_is_read_as_it_was_written(dataset: str, exemplar: Exemplar, style: Style) -> None:
    kind = kind_of(dataset)
    for structured in (False, True):
        reply = format_reply(exemplar, style=style, structured=structured)
        read = read_transcript(reply, style=style, kind=kind)
        assert read.unreadable == ""
        assert same_answer(read.answer, exemplar.answer, kind=kind)
        if style == "cot":
            assert read.rationale == exemplar.rationale.strip()
        else:
            assert [(step.subquestion, step.solution) for step in read.steps] == [
                (step.subquestion, step.solution) for step in exemplar.steps
            ]
            assert read.steps[-1].answer == exemplar.answer
            if kind == "number":
                assert [step.answer for step in read.steps] == [step.answer for step in exemplar.steps]


# --- exemplars of the user's own

OWN_TOML = """
[[exemplar]]
question = "What is 2 + 3, doubled?"
answer = 10
rationale = "2+3 = <<2+3=5>>5, and 5*2 = <<5*2=10>>10."

[[exemplar.steps]]
subquestion = "What is 2 + 3?"
solution = "2+3 = <<2+3=5>>5."
answer = 5

[[exemplar.steps]]
subquestion = "What is that doubled?"
solution = "5*2 = <<5*2=10>>10."
answer = 10

[[exemplar]]
question = "Is ice warm?"
answer = false
rationale = "Ice is frozen water."
steps = [{ subquestion = "Is frozen water warm?", answer = "no" }]
"""
BOOLEAN_STEP = '{ subquestion = "Is frozen water warm?", answer = "no" }'


def written(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_of_a_users_file_the_exemplars_that_suit_the_answer_kind_are_taken(tmp_path: Path) -> None:
    path = written(tmp_path, "mine.toml", OWN_TOML)
    [number] = read_exemplars(path, kind="number", style="socratic")
    assert (number.answer, [step.answer for step in number.steps]) == ("10", ["5", "10"])
    [boolean] = read_exemplars(path, kind="boolean", style="cot")
    assert (boolean.question, boolean.answer) == ("Is ice warm?", "no")
    with pytest.raises(UserError, match="no exemplar has an answer that reads as a choice; write one, or set shots"):
        read_exemplars(path, kind="choice", style="cot")


def test_lines_of_json_are_read_like_tables(tmp_path: Path) -> None:
    rows = [one.model_dump(mode="json") for one in exemplars_of("svamp")]
    path = written(tmp_path, "mine.jsonl", "\n\n".join(map(json.dumps, rows)))
    assert read_exemplars(path, kind="number", style="socratic") == exemplars_of("svamp")


def test_an_exemplar_without_steps_will_do_for_chains_of_thought(tmp_path: Path) -> None:
    path = written(tmp_path, "mine.toml", '[[exemplar]]\nquestion = "1+1?"\nanswer = 2\nrationale = "1+1 = 2."')
    [one] = read_exemplars(path, kind="number", style="cot")
    assert format_reply(one, style="cot") == "1+1 = 2.\nThe answer is 2"
    with pytest.raises(UserError, match=r"mine\.toml: exemplar\[0\]\.steps: is missing, and style 'socratic' needs it"):
        read_exemplars(path, kind="number", style="socratic")


def test_an_exemplar_without_a_rationale_has_its_solutions_for_one(tmp_path: Path) -> None:
    [one] = (exemplar.model_copy(update={"rationale": ""}) for exemplar in exemplars_of("svamp")[1:2])
    lines = [step.solution for step in one.steps]
    assert format_reply(one, style="cot") == "\n".join([*lines, f"The answer is {one.answer}"])


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('question = "What', 'questions = "What', r"exemplar\[0\]\.question: is missing"),
        ("answer = 10\nrationale", "answer = 10\nhint = 3\nrationale", r"exemplar\[0\]\.hint: unknown field"),
        ('question = "What is 2 + 3, doubled?"', 'question = " "', r"exemplar\[0\]\.question: is empty"),
        ('question = "What is 2 + 3, doubled?"', "question = 7", r"exemplar\[0\]\.question: .*valid string"),
        ("answer = 5", "answer = [5]", r"exemplar\[0\]\.steps\[0\]\.answer: .*valid string"),
        ('doubled?"\nsolution', 'doubled?"\nsolutions', r"exemplar\[0\]\.steps\[1\]\.solutions: unknown field"),
        ('"5*2 = <<5*2=10>>10."\nanswer = 10', '""', r"exemplar\[0\]\.steps\[1\]: needs a subquestion, and a sol"),
        (
            'subquestion = "What is that doubled?"',
            'subquestion = ""',
            r"exemplar\[0\]\.steps\[1\]: needs a subquestion",
        ),
        (BOOLEAN_STEP, BOOLEAN_STEP.replace('"no"', '"yes"'), r"exemplar\[1\]\.steps\[0\]\.answer: the last must be"),
        ("[[exemplar]]\nquestion", "[[exemplars]]\nquestion", r"exemplars: expected \[\[exemplar\]\] tables"),
        ("[[exemplar]]\nquestion", "[[exemplar]\nquestion", "Expected"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(old: str, new: str, complaint: str, tmp_path: Path) -> None:
    assert old in OWN_TOML
    path = written(tmp_path, "mine.toml", OWN_TOML.replace(old, new))
    with pytest.raises(UserError, match=rf"mine\.toml: {complaint}"):
        read_exemplars(path, kind="number", style="socratic")


def test_a_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    for source in ("nothing.toml", "folder/nothing.jsonl"):
        with pytest.raises(UserError, match=f"{source}: can't be read: No such file"):
            read_exemplars(source, kind="number", style="cot")
    with pytest.raises(UserError, match=r"mine\.txt is no file of exemplars; name a .toml"):
        read_exemplars(written(tmp_path, "mine.txt", ""), kind="number", style="cot")
    with pytest.raises(UserError, match=r"mine\.jsonl: Expecting value"):
        read_exemplars(written(tmp_path, "mine.jsonl", "what?"), kind="number", style="cot")
    (tmp_path / "latin.toml").write_bytes(b"question = 'caf\xe9'")
    with pytest.raises(UserError, match=r"latin.toml: not UTF-8 \(byte 15\)"):
        read_exemplars(str(tmp_path / "latin.toml"), kind="number", style="cot")


def test_a_data_set_without_exemplars_gets_those_that_suit_its_answers() -> None:
    assert read_exemplars("files", kind="number", style="cot") == exemplars_of("gsm8k")
    assert read_exemplars("files", kind="boolean", style="cot") == exemplars_of("strategyqa")
    assert read_exemplars("files", kind="choice", style="cot") == ()
    assert read_exemplars("files", kind="text", style="socratic") == ()
