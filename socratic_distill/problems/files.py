"""The user's own problems, a JSON object a line. `OwnRow` is the list of fields; a wrong row stops the load.

The shortest row is `{"question": "What is 2 + 3?", "answer": 5}`.
"""

from collections.abc import Iterator
from string import ascii_uppercase

from pydantic import ValidationError

from socratic_distill.errors import UserError
from socratic_distill.problems.sources import Row, complaint, one_line, rows, source_stem, tidy
from socratic_distill.reasoning.answers import MARKER, read_answer, same_answer
from socratic_distill.reasoning.arithmetic import step_answer
from socratic_distill.records import AnswerKind, Problem, Record, Split, Step

Scalar = str | int | float | bool

RESERVED = (" **", MARKER, "[done]")
"""What no subquestion may hold: students are taught to read these as the end of one, of a solution, of all."""


class OwnStep(Record):
    """One step of a row."""

    subquestion: str
    solution: str = ""
    """May be left out where the step has an answer."""
    answer: Scalar | None = None
    """Default: the gold answer for the last step, else the solution's last number; empty where no number is wanted."""


class OwnRow(Record):
    """A row as a user writes it."""

    question: str
    answer: Scalar
    """The gold answer."""
    answer_kind: AnswerKind | None = None
    """Default: `boolean` where the answer is true or false, `choice` where there are choices, else `number`."""
    choices: tuple[str, ...] = ()
    """The options of a `choice`; the answer is one of them or its letter, A for the first."""
    facts: tuple[str, ...] = ()
    """What a student may be given besides the question."""
    rationale: str = ""
    """A chain of thought, a line a step, without the final answer's marker. Default: the steps' solutions."""
    steps: tuple[OwnStep, ...] = ()
    id: str | int | None = None
    """Default: `<file's stem>/<line>`."""


def load_files(source: str, *, split: Split) -> Iterator[Problem]:
    """Read the user's own problems from a JSONL file, a JSON list or the hub.

    Raises UserError that names file, line and field: `own.jsonl:3: steps[1].solution: expected a text`. Remark:
    `rationale_disagrees` (the last solution's own last number is not the gold answer).
    """
    stem = source_stem(source, split=split)
    for row in rows(source, split=split):
        yield _problem(row, stem, split)


def _problem(row: Row, stem: str, split: Split) -> Problem:
    own = _checked(row)
    kind: AnswerKind = own.answer_kind or _kind_of_answer(own)
    question, rationale = tidy(own.question), tidy(own.rationale)
    choices = tuple(one_line(choice) for choice in own.choices)
    facts = tuple(one_line(fact) for fact in own.facts)
    if not question:
        raise _wrong(row, "question", "is empty")
    for name, texts in (("choices", choices), ("facts", facts)):
        if "" in texts:
            raise _wrong(row, f"{name}[{texts.index('')}]", "is empty")
    if kind == "choice" and len(set(choices)) < max(2, len(choices)):
        raise _wrong(row, "choices", "a choice needs at least two options, all different")
    if len(choices) > len(ascii_uppercase):
        raise _wrong(row, "choices", f"are {len(choices)}, and only {len(ascii_uppercase)} have a letter")
    for letter, choice in zip(ascii_uppercase, choices, strict=False):
        if choice.upper() in ascii_uppercase[: len(choices)] and choice.upper() != letter:
            raise _wrong(row, "choices", f"{choice!r} is also the letter of another option; write its text out")
    if kind != "choice" and choices:
        raise _wrong(row, "choices", f"are for answer_kind 'choice', and this is {kind!r}")
    if MARKER in rationale:
        raise _wrong(row, "rationale", f"may not hold {MARKER}, which marks the final answer")
    gold = _gold(row, "answer", own.answer, kind, choices)
    steps = _steps(row, own, gold, kind=kind, choices=choices)
    value = step_answer(steps[-1].solution) if steps and kind == "number" else ""
    return Problem(
        id=str(own.id) if own.id is not None else f"{stem}/{row.number}",
        split=split,
        question=question,
        answer=gold,
        answer_kind=kind,
        choices=choices,
        facts=facts,
        rationale=rationale or "\n".join(step.solution for step in steps if step.solution),
        steps=steps,
        step_count=len(steps) or len(rationale.splitlines()) or None,
        remarks=("rationale_disagrees",) if value and not same_answer(value, gold, kind=kind) else (),
    )


def _steps(row: Row, own: OwnRow, gold: str, *, kind: AnswerKind, choices: tuple[str, ...]) -> tuple[Step, ...]:
    steps = []
    for index, step in enumerate(own.steps):
        place = f"steps[{index}]"
        subquestion, solution = one_line(step.subquestion), one_line(step.solution)
        if not subquestion:
            raise _wrong(row, f"{place}.subquestion", "is empty")
        if "\n" in step.subquestion.strip():
            raise _wrong(row, f"{place}.subquestion", "must be a single line")
        for reserved in RESERVED:
            if reserved in subquestion:
                raise _wrong(row, f"{place}.subquestion", f"may not hold {reserved.strip()!r}")
        if MARKER in solution:
            raise _wrong(row, f"{place}.solution", f"may not hold {MARKER}, which marks the final answer")
        is_last = index == len(own.steps) - 1
        if is_last:
            answer = gold
            own_answer = gold if step.answer is None else _gold(row, f"{place}.answer", step.answer, kind, choices)
            if not same_answer(own_answer, gold, kind=kind, choices=choices):
                raise _wrong(row, f"{place}.answer", f"the last step's answer must be the gold answer, {gold!r}")
        elif step.answer is not None:
            answer = _text(step.answer)
        else:
            answer = step_answer(solution) if kind == "number" else ""
        if MARKER in answer:
            raise _wrong(row, f"{place}.answer", f"may not hold {MARKER}")
        if not solution and not answer:
            raise _wrong(row, f"{place}.solution", "is empty, and so is the step's answer")
        steps.append(Step(subquestion=subquestion, solution=solution, answer=answer))
    return tuple(steps)


def _gold(row: Row, field: str, value: Scalar, kind: AnswerKind, choices: tuple[str, ...]) -> str:
    text = _text(value)
    # Read as a student's answer after its marker is, so that `5-3` is refused and not taken for -3.
    read = read_answer(f"{MARKER} {text}", kind, choices=choices)
    if read.answer is None or MARKER in text:
        reason = read.reason or f"it holds {MARKER}"
        raise _wrong(row, field, f"can't be read as a {kind} ({reason}): {text[:40]!r}")
    # Case and punctuation are not graded, but a student should learn a text as it was written.
    return text if kind == "text" else read.answer


def _kind_of_answer(own: OwnRow) -> AnswerKind:
    if isinstance(own.answer, bool):
        return "boolean"
    if own.choices:
        return "choice"
    return "boolean" if _text(own.answer).lower() in ("yes", "no") else "number"


def _text(value: Scalar) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return one_line(str(value))


def _checked(row: Row) -> OwnRow:
    try:
        return OwnRow.model_validate(row.fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
    fields = OwnRow.model_fields | OwnStep.model_fields
    place = ""
    for part in first["loc"]:
        # Pydantic adds the member of a union that it tried, which is no field.
        if isinstance(part, int) or part in fields or first["type"] == "extra_forbidden":
            place += f"[{part}]" if isinstance(part, int) else f".{part}" if place else part
    known = OwnStep.model_fields if place.startswith("steps[") else OwnRow.model_fields
    what = {
        "extra_forbidden": f"unknown field; choose one of {', '.join(known)}",
        "missing": "is missing",
        "string_type": "expected a text",
        "tuple_type": "expected a list",
        "model_type": "expected an object",
    }.get(first["type"], one_line(first["msg"]))
    if first["loc"][-1] in ("str", "int", "float", "bool"):
        what = "expected a text, a number, true or false"
    raise _wrong(row, place, what)


def _wrong(row: Row, field: str, what: str) -> UserError:
    return complaint(row, field, what, dataset="files")
