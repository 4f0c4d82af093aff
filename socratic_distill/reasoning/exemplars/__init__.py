"""Worked examples that a teacher is shown: ours, a TOML file for each data set, or the user's in the same form."""

import json
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, ValidationError

from socratic_distill.errors import UserError
from socratic_distill.reasoning.answers import MARKER, read_answer
from socratic_distill.records import AnswerKind, Record, Step

Style = Literal["cot", "socratic"]

FOLDER = Path(__file__).parent
OWN = ("gsm8k", "svamp", "strategyqa", "grade_school")
"""The data sets that have a file here."""

SUITED: dict[AnswerKind, str] = {"number": "gsm8k", "boolean": "strategyqa"}
"""Whose exemplars stand in, by answer kind, where a data set has no file here."""


def _as_text(answer: object) -> object:
    """Let a file write an answer as a number, or as true or false."""
    if isinstance(answer, bool):
        return "yes" if answer else "no"
    return str(answer) if isinstance(answer, int | float) else answer


Answer = Annotated[str, BeforeValidator(_as_text)]


class ExemplarStep(Step):
    """One step of an exemplar: a solution, an answer or both."""

    solution: str = ""
    answer: Answer = ""


class Exemplar(Record):
    """A worked example, as a file has it."""

    question: str
    answer: Answer
    facts: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    rationale: str = ""
    """A chain of thought, a line a step, without the answer's line; where not given, the steps' solutions."""
    steps: tuple[ExemplarStep, ...] = ()
    """The reasoning as subquestions; the last step's answer is the answer. Style `socratic` needs them."""


def read_exemplars(source: str, *, kind: AnswerKind, style: Style) -> tuple[Exemplar, ...]:
    """Read the exemplars that suit an answer kind, from a `.toml` or `.jsonl` file or by a data set's name.

    The TOML holds `[[exemplar]]` tables with the fields of `Exemplar`; JSONL has the same fields, an exemplar a line.
    A data set without a file of its own gets gsm8k's for numbers, strategyqa's for yes and no, and else none.
    Raises UserError that names file and field: `mine.toml: exemplar[0].steps[1].subquestion: is missing`.
    """
    path = Path(source).expanduser()
    if path.suffix not in (".toml", ".jsonl"):
        if path.name != source:
            raise UserError(f"{source} is no file of exemplars; name a .toml or a .jsonl file, or a data set")
        name = source if source in OWN else SUITED.get(kind)
        if name is None:
            return ()
        path = FOLDER / f"{name}.toml"
    found = [_exemplar(table, f"{path}: {place}", style) for place, table in _tables(path)]
    suited = tuple(one for one in found if read_answer(f"{MARKER} {one.answer}", kind, one.choices).answer is not None)
    if not suited:
        raise UserError(f"{path}: no exemplar has an answer that reads as a {kind}; write one, or set shots = 0")
    return suited


def _tables(path: Path) -> list[tuple[str, object]]:
    """Read each exemplar's fields, with the place to name where they are wrong."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{path}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 (byte {error.start}); save it as UTF-8") from None
    try:
        if path.suffix == ".jsonl":
            # Not splitlines: JSON texts may hold the other Unicode line ends.
            lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
            return [(f"line {number}", json.loads(line)) for number, line in lines]
        top = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: {' '.join(str(error).split())}") from None
    tables = top.pop("exemplar", [])
    if top or not isinstance(tables, list):
        raise UserError(f"{path}: {next(iter(top), 'exemplar')}: expected [[exemplar]] tables and nothing else")
    return [(f"exemplar[{index}]", table) for index, table in enumerate(tables)]


def _exemplar(table: object, where: str, style: Style) -> Exemplar:
    try:
        exemplar = Exemplar.model_validate(table)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        what = {"missing": "is missing", "extra_forbidden": "unknown field"}.get(first["type"], first["msg"])
        raise UserError(f"{where}{field}: {what}") from None
    steps = exemplar.steps
    if not exemplar.question.strip():
        raise UserError(f"{where}.question: is empty")
    if not steps and style == "socratic":
        raise UserError(f"{where}.steps: is missing, and style 'socratic' needs it")
    if not steps and not exemplar.rationale.strip():
        raise UserError(f"{where}.rationale: is missing, and so are the steps")
    for index, step in enumerate(steps):
        if not step.subquestion.strip() or not (step.solution.strip() or step.answer):
            raise UserError(f"{where}.steps[{index}]: needs a subquestion, and a solution or an answer")
    if steps and steps[-1].answer != exemplar.answer:
        raise UserError(f"{where}.steps[{len(steps) - 1}].answer: the last must be the answer, {exemplar.answer!r}")
    return exemplar
