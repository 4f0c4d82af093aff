"""Rows of a data set, from a local file or from the Hugging Face hub, each with the place to name when it is wrong.

A source that exists as a file is read as one; only a text that names no file is looked up on the hub.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from socratic_distill.errors import UserError
from socratic_distill.reasoning.answers import MARKER
from socratic_distill.records import Split

Fields = dict[str, object]

SIGNATURES: dict[str, tuple[str, ...]] = {
    "svamp": ("Body", "Question", "Equation"),
    "strategyqa": ("qid", "question", "facts"),
    "gsm8k": ("question", "answer"),
    "files": ("question", "answer"),
}
"""The fields by which a complaint tells which data set a row looks like; the first that fits. A GSM8K row has its
answer marker besides."""

_HUB_NAME = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(:(?P<config>[\w.+-]+))?(@(?P<split>[^\s@]+))?")
_FILE_SUFFIXES = (".json", ".jsonl")


@dataclass(frozen=True)
class Row:
    """One row as it is published, not yet checked."""

    where: str
    """`own.jsonl:3`, `train.json row 3` or `owner/name[train] row 3`: every complaint begins with it."""
    number: int
    """Its line in a JSONL file, else its place, both from 1."""
    fields: Fields


def rows(source: str, *, split: Split, config: str | None = None) -> Iterator[Row]:
    """Read a path or, where nothing is there, a hub name, row by row.

    A file holds a JSON object a line, or one JSON list of objects. A hub name is `owner/name`, with a configuration
    and a split if wanted: `openai/gsm8k:socratic@train`, `owner/name@train[:90%]`; `config` and `split` stand in
    where it names none. Raises UserError, in one line, for what can't be read and for a source without rows.
    """
    path = Path(source).expanduser()
    hub = _HUB_NAME.fullmatch(source)
    if path.is_file():
        found = _file_rows(path)
    elif source and path.exists():
        raise UserError(f"{source} is no file; name one of the files in it")
    elif hub and path.suffix not in _FILE_SUFFIXES:
        found = _hub_rows(hub["name"], hub["config"] or config, hub["split"] or split)
    else:
        raise UserError(
            f"no such file: {source or '(empty)'}; write the path of a .jsonl or .json file, "
            "or a hub name such as openai/gsm8k:socratic@train"
        )
    first = next(found, None)
    if first is None:
        raise UserError(f"{source}: no rows; a data set needs at least one")
    yield first
    yield from found


def source_stem(source: str, *, split: Split) -> str:
    """Name a source within problem ids: a file's stem, or `gsm8k-socratic-train` for a hub name."""
    hub = _HUB_NAME.fullmatch(source)
    path = Path(source)
    if not hub or path.expanduser().exists() or path.suffix in _FILE_SUFFIXES:
        return path.stem
    parts = (hub["name"].partition("/")[2], hub["config"], hub["split"] or split)
    return "-".join(part for part in parts if part)


def required(row: Row, name: str, *, dataset: str) -> object:
    """Take a field that must be there."""
    if name not in row.fields:
        raise complaint(row, name, "is missing", dataset=dataset)
    return row.fields[name]


def text_field(row: Row, name: str, *, dataset: str) -> str:
    """Take a text that must be there, white space tidied."""
    value = required(row, name, dataset=dataset)
    if not isinstance(value, str):
        raise complaint(row, name, f"expected a text, found {kind_of(value)}", dataset=dataset)
    if not value.strip():
        raise complaint(row, name, "is empty", dataset=dataset)
    return tidy(value)


def texts_field(row: Row, name: str, *, dataset: str) -> tuple[str, ...]:
    """Take a list of texts, a line each; a lone text is a list of one, an absent field an empty list."""
    value = row.fields.get(name)
    items = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(items, list):
        raise complaint(row, name, f"expected a list of texts, found {kind_of(items)}", dataset=dataset)
    for index, item in enumerate(items):
        if not isinstance(item, str) or not item.strip():
            raise complaint(row, f"{name}[{index}]", f"expected a text, found {kind_of(item)}", dataset=dataset)
    return tuple(one_line(item) for item in items)


def complaint(row: Row, field: str, what: str, *, dataset: str) -> UserError:
    """Say what is wrong with a field of a row and, where the row looks like another data set's, that it does."""
    likely = next((name for name in SIGNATURES if _looks_like(name, row.fields)), dataset)
    advice = "" if likely == dataset else f"; this looks like a {likely} row: set dataset = {likely!r}"
    return UserError(f"{row.where}: {field}: {what}{advice}")


def _looks_like(dataset: str, fields: Fields) -> bool:
    marked = dataset != "gsm8k" or MARKER in str(fields.get("answer"))
    return marked and fields.keys() >= set(SIGNATURES[dataset])


def one_line(text: str) -> str:
    """Collapse all white space, line ends included, to single spaces."""
    return " ".join(text.split())


def tidy(text: str) -> str:
    """Collapse white space inside each line and drop blank lines."""
    return "\n".join(line for line in map(one_line, text.split("\n")) if line)


def kind_of(value: object) -> str:
    """Name a JSON value's kind in a complaint."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else "true or false"
    if isinstance(value, str):
        return "a text" if value.strip() else "an empty text"
    names = {int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), f"a {type(value).__name__}")


def _file_rows(path: Path) -> Iterator[Row]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise UserError(f"{path}: can't be read: {error.strerror}") from None
    if path.suffix != ".jsonl" and text.lstrip().startswith("["):
        # A list: whatever it holds besides objects is refused below, by its place.
        values = _parsed(text, str(path))
        assert isinstance(values, list)
        places = ((f"{path} row {number}", number, value) for number, value in enumerate(values, start=1))
    else:
        # Not splitlines: JSON texts may hold the other Unicode line ends.
        lines = ((number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip())
        places = ((f"{path}:{number}", number, _parsed(line, f"{path}:{number}")) for number, line in lines)
    for where, number, value in places:
        if not isinstance(value, dict):
            raise UserError(f"{where}: expected a JSON object, found {kind_of(value)}")
        yield Row(where, number, value)


def _parsed(text: str, where: str) -> object:
    """Parse JSON strictly: no NaN, and nothing that could not be written again as UTF-8."""
    try:
        value: object = json.loads(text, parse_constant=_refused)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        place = where if error.lineno == 1 else f"{where}:{error.lineno}"
        raise UserError(f"{place}: malformed JSON: {error.msg} at column {error.colno}") from None
    except UnicodeEncodeError:
        raise UserError(f"{where}: malformed JSON: half of a surrogate pair") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: malformed JSON: {one_line(str(error))}") from None
    return value


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")


def _hub_rows(name: str, config: str | None, split: str) -> Iterator[Row]:
    # The import takes a second, and `socratic --help` should not pay for it.
    import datasets
    from datasets.exceptions import DatasetNotFoundError, DatasetsError

    try:
        loaded = datasets.load_dataset(name, config, split=split)
    except DatasetNotFoundError:
        raise UserError(
            f"no file and no hub data set is called {name!r}; check the name, or log in if it is private"
        ) from None
    except ConnectionError:
        raise UserError(
            f"{name!r} is no file here, and the Hugging Face hub can't be reached; write the path of a local copy"
        ) from None
    except (DatasetsError, OSError, ValueError, RuntimeError) as error:
        said = f"configuration {config!r}, split {split!r}" if config else f"split {split!r}"
        raise UserError(f"hub data set {name!r}, {said}: {one_line(str(error))[:300]}") from None
    for number, fields in enumerate(loaded, start=1):
        yield Row(f"{name}[{split}] row {number}", number, dict(fields))
