"""Tables of TOML read into frozen settings: an unknown key is an error with its path, and overrides come by path."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from socratic_distill.errors import UserError


class Settings(BaseModel):
    """A table of a TOML file."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]
"""A name that is safe as a file's."""


SettingsType = TypeVar("SettingsType", bound=Settings)


def read_tables(path: Path | str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read a TOML file's tables, with `table.key=value` overrides. Raises UserError naming the file."""
    path = Path(path)
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"no recipe {str(path)!r}") from None
    except IsADirectoryError:
        raise UserError(f"{str(path)!r} is a folder; name a recipe, such as its recipe.toml") from None
    except OSError as error:
        raise UserError(f"can't read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path} is not TOML: {error}") from None
    for override in overrides:
        _override(tables, override)
    return tables


def read_settings(kind: type[SettingsType], overrides: Sequence[str], *, given: Mapping[str, Any]) -> SettingsType:
    """Make one table's settings from `key=value` overrides of what is given. Raises UserError naming the key."""
    table = dict(given)
    for override in overrides:
        _override(table, override)
    return settings_of(kind, table, place="--set")


def settings_of(kind: type[SettingsType], table: Mapping[str, Any], *, place: str) -> SettingsType:
    """Make settings of a table. Raises UserError that names the place it is from and the key."""
    try:
        return kind.model_validate(table)
    except ValidationError as error:
        raise UserError(f"{place}: {_first_mistake(error)}") from None


def _override(tables: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals:
        raise UserError(f"--set takes table.key=value, not {override!r}")
    *parents, key = [part.strip() for part in path.split(".")]
    for parent in parents:
        tables = tables.setdefault(parent, {})
        if not isinstance(tables, dict):
            raise UserError(f"--set {override!r}: {parent!r} is not a table")
    tables[key] = _toml_value(text.strip())


def _toml_value(text: str) -> Any:
    """Read a value as TOML would; what is not TOML is plain text, so paths and names need no quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _first_mistake(error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part != "[key]")
    if first["type"] == "extra_forbidden":
        return f"unknown key {place!r}"
    if first["type"] == "missing":
        return f"{place!r} is missing"
    if first["type"] == "value_error":  # one of ours
        return f"{place}: {first['ctx']['error']}" if place else str(first["ctx"]["error"])
    return f"{place}: {first['msg']} (it is {first['input']!r})"
