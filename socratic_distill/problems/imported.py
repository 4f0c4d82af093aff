"""Teachers' raw texts from a file, each matched to the problem that asks its question.

A text that can't be read is an annotation with its reason; only a row that is no row stops the import.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from socratic_distill.errors import UserError
from socratic_distill.problems.sources import Row, kind_of, rows
from socratic_distill.reasoning.transcripts import read_lists, read_transcript
from socratic_distill.recipe import Annotate
from socratic_distill.records import Annotation, Problem, Transcript

QUESTION_FIELDS = ("question", "problem", "instruction", "prompt", "query", "input")
TEXT_FIELDS = ("output", "response", "completion", "text", "generation", "steps")
LIST_FIELDS = ("questions", "answers")
"""Subquestions and their solutions kept apart, where none of `TEXT_FIELDS` is there."""


@dataclass(frozen=True)
class Imported:
    """What came of a file: each of its rows is an annotation, or of no problem at hand."""

    annotations: tuple[Annotation, ...]
    """In the order of the problems, then of the file's rows."""
    rows: int
    unknown: int
    """Rows whose question none of the problems asks."""
    first_unknown: str
    """Where the first of them is, such as `texts.jsonl:3`; empty where there is none."""
    without: int
    """Problems that no row is for."""


def import_texts(problems: Sequence[Problem], *, settings: Annotate) -> Imported:
    """Read the file that `settings` names, JSON lines or a JSON list, and match its rows to problems by question.

    Several rows of one problem are its attempts; where several problems ask the same, they take turns. Raises
    UserError, naming file and line, for a row without question or text, and where no row is of any problem.
    """
    if not settings.file:
        raise UserError(
            'annotate.source = "import" needs annotate.file: JSON lines, or a JSON list, of teachers\' texts'
        )
    path = Path(settings.file).expanduser()
    if not path.is_file():
        raise UserError(f"annotate.file: no such file: {settings.file}")
    source = settings.model or path.stem
    asking: dict[str, list[int]] = {}
    for place, problem in enumerate(problems):
        asking.setdefault(plain_question(problem.question), []).append(place)
    found: list[list[Annotation]] = [[] for _ in problems]
    unknown: list[Row] = []
    count = 0
    for row in rows(str(path), split="train"):
        count += 1
        places = _places(row, asking, settings.question_field)
        if not places:
            _content(row, settings)  # a row that is none is told of, whatever it asks
            unknown.append(row)
            continue
        place = min(places, key=lambda one: len(found[one]))
        found[place].append(_annotation(row, problems[place], settings, source, attempt=len(found[place])))
    if len(unknown) == count:
        asked = _questions(unknown[0], settings.question_field)[0]
        raise UserError(
            f"{settings.file}: none of its {count} rows asks what a problem to learn from asks; the first, "
            f"{unknown[0].where}, asks {asked[:80]!r}: check problems.train, annotate.question_field"
        )
    return Imported(
        annotations=tuple(annotation for group in found for annotation in group),
        rows=count,
        unknown=len(unknown),
        first_unknown=unknown[0].where if unknown else "",
        without=sum(not group for group in found),
    )


_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_QUOTES_AND_STOPS = re.compile(r"[.,;:!?…](?!\d)|[\"'`´‘’‚‛“”„‟«»′″]")
_AROUND_SIGNS = re.compile(r"\s*+([^\w\s])\s*+")


def plain_question(question: str) -> str:
    """Write a question so that it is the same however it is spaced, quoted, punctuated and capitalised."""
    text = _THOUSANDS.sub("", unicodedata.normalize("NFKC", question).casefold())
    text = _QUOTES_AND_STOPS.sub(" ", text)
    return " ".join(_AROUND_SIGNS.sub(r"\1", text).split())


def _places(row: Row, asking: dict[str, list[int]], field: str) -> list[int]:
    for question in _questions(row, field):
        if places := asking.get(plain_question(question)):
            return places
    return []


def _questions(row: Row, field: str) -> list[str]:
    """Return what may be the question of a row: fields of several names may be there, of which one asks it."""
    if field and field not in row.fields:
        raise _wrong(row, field, "is missing")
    names = [field] if field else [name for name in QUESTION_FIELDS if name in row.fields]
    if not names:
        raise _wrong(row, "question", f"is missing; {_naming(row, 'question_field')}")
    for name in names:
        if not isinstance(row.fields[name], str):
            raise _wrong(row, name, f"expected a text, found {kind_of(row.fields[name])}")
    return [str(row.fields[name]) for name in names]


def _annotation(row: Row, problem: Problem, settings: Annotate, source: str, attempt: int) -> Annotation:
    content = _content(row, settings)
    if isinstance(content, str):
        text = content
        read = read_transcript(text, style=settings.style, kind=problem.answer_kind, choices=problem.choices)
    else:
        text, read = _from_lists(*content, problem, settings)
    return Annotation(
        problem=problem.id,
        source=source,
        attempt=attempt,
        rationale=read.rationale,
        steps=read.steps,
        answer=read.answer,
        text=text,
        unreadable=read.unreadable,
    )


def _from_lists(
    questions: Sequence[str], answers: Sequence[str], problem: Problem, settings: Annotate
) -> tuple[str, Transcript]:
    text = "\n".join((*questions, *answers))
    if settings.style == "socratic":
        return text, read_lists(questions, answers, kind=problem.answer_kind, choices=problem.choices)
    said = "\n".join(answers)
    return text, read_transcript(said, style="cot", kind=problem.answer_kind, choices=problem.choices)


def _content(row: Row, settings: Annotate) -> str | tuple[list[str], list[str]]:
    """Return the teacher's text, or its lists of questions and answers."""
    if settings.text_field and settings.text_field not in row.fields:
        raise _wrong(row, settings.text_field, "is missing")
    names = [settings.text_field] if settings.text_field else [name for name in TEXT_FIELDS if name in row.fields]
    if names:
        value = row.fields[names[0]]
        if isinstance(value, list | dict):  # JSON that was parsed with the row
            return json.dumps(value, ensure_ascii=False)
        if not isinstance(value, str):
            raise _wrong(row, names[0], f"expected a text, found {kind_of(value)}")
        return value
    if not row.fields.keys() >= set(LIST_FIELDS):
        raise _wrong(row, "output", f"is missing, and there are no questions and answers; {_naming(row, 'text_field')}")
    questions, answers = (_texts(row, name) for name in LIST_FIELDS)
    return questions, answers


def _texts(row: Row, name: str) -> list[str]:
    value = row.fields[name]
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list):
        raise _wrong(row, name, f"expected a list of texts, found {kind_of(items)}")
    for index, item in enumerate(items):
        if not isinstance(item, str):
            raise _wrong(row, f"{name}[{index}]", f"expected a text, found {kind_of(item)}")
    return items


def _naming(row: Row, setting: str) -> str:
    return f"name the field in annotate.{setting}: {_listed(row.fields)}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "the row has none"


def _wrong(row: Row, field: str, what: str) -> UserError:
    return UserError(f"{row.where}: {field}: {what}")
