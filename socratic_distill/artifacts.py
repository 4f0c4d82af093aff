"""Files of a run folder: rows appended as they come and keyed by content, a manifest written last.

A row file may end in half a row after a crash: reading drops it and the next append cuts it off.
"""

import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from socratic_distill.errors import UserError
from socratic_distill.records import Record

R = TypeVar("R", bound=Record)


def fingerprint(content: Any) -> str:
    """Return 16 hexadecimal digits that stand for a JSON value, whatever the order of its keys."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def fingerprint_records(records: Iterable[Record]) -> str:
    """Return 16 hexadecimal digits that stand for records in their order."""
    digest = hashlib.sha256()
    for record in records:
        digest.update(record.model_dump_json().encode())
        digest.update(b"\n")
    return digest.hexdigest()[:16]


def fingerprint_file(path: Path) -> str:
    """Return 16 hexadecimal digits that stand for a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def read_rows(path: Path, kind: type[R]) -> list[R]:
    """Read a row file, without a torn last line; an absent file has no rows.

    Raises UserError naming the file and line of a row that can't be read.
    """
    return list(_rows(path, kind))


def _rows(path: Path, kind: type[R]) -> Iterator[R]:
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                yield kind.model_validate_json(line)
            except ValidationError as error:
                what = error.errors()[0]
                raise UserError(
                    f"{path}:{number}: not a row of this version ({what['msg']}); remove the file to make it again"
                ) from None


class RowAppender:
    """Appends rows one by one; a row that can't be written whole is taken back."""

    def __init__(self, path: Path, file: FileIO) -> None:
        self._path, self._file = path, file
        self._size = file.tell()

    def append(self, row: Record) -> int:
        """Write a row through to the file and return the byte at which it begins. Raises UserError for a full disk."""
        line = row.model_dump_json().encode() + b"\n"
        try:
            rest = line
            while rest:  # an unbuffered write may stop short before it fails
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._take_back()
            raise UserError(
                f"can't write {self._path}: {error.strerror}; the rows before it are kept: make room and run it again"
            ) from error
        self._size += len(line)
        return self._size - len(line)

    def _take_back(self) -> None:
        try:
            os.ftruncate(self._file.fileno(), self._size)
        except OSError:
            return  # the torn line is cut at the next start


@contextmanager
def appending(path: Path) -> Iterator[RowAppender]:
    """Open a row file for appending, its torn last line cut off."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Unbuffered: after a failed write nothing is left to be written again at close.
        opened = path.open("ab", buffering=0)
    except OSError as error:
        raise UserError(f"can't write {path}: {error.strerror}") from error
    with opened as file:
        whole = _whole_size(path)
        file.truncate(whole)
        file.seek(whole)
        yield RowAppender(path, file)


def _whole_size(path: Path) -> int:
    """Return the size of a file up to the end of its last whole line."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - 65_536)
            file.seek(start)
            if (newline := file.read(end - start).rfind(b"\n")) >= 0:
                return start + newline + 1
            end = start
    return 0


def goes_on(path: Path, before: Path) -> bool:
    """Tell whether a row file begins with all whole lines of another one, which may be absent, and has more."""
    if not before.exists():
        return True
    left = _whole_size(before)
    if path.stat().st_size <= left:
        return False
    with path.open("rb") as file, before.open("rb") as other:
        while left:
            block = other.read(min(left, 2**20))
            if file.read(len(block)) != block:
                return False
            left -= len(block)
    return True


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file so that it is either whole or as it was. Raises UserError where the disk is full."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise UserError(f"can't write {path}: {error.strerror}") from error


def write_rows(path: Path, rows: Iterable[Record]) -> None:
    """Write a row file at once."""
    write_whole(path, b"".join(row.model_dump_json().encode() + b"\n" for row in rows))


# Manifests: what made an artifact, written when it is whole.


def manifest_path(artifact: Path) -> Path:
    """Return where an artifact's manifest lies: in a folder, or beside a file."""
    return artifact / "manifest.json" if artifact.suffix == "" else artifact.with_suffix(".manifest.json")


def read_manifest(artifact: Path) -> dict[str, Any] | None:
    """Read an artifact's manifest; None where it is absent or not readable, so the artifact is made again."""
    try:
        manifest: dict[str, Any] = json.loads(manifest_path(artifact).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError, UnicodeDecodeError):
        return None
    return manifest if isinstance(manifest, dict) and {"settings", "inputs"} <= manifest.keys() else None


def write_manifest(
    artifact: Path, *, settings: Mapping[str, Any], inputs: Mapping[str, str], facts: Mapping[str, Any]
) -> None:
    """Say what made an artifact; its presence says that the artifact is whole.

    `settings` and `inputs` are what can change its content; `facts` is what else is good to know.
    """
    content = {
        "settings": settings,
        "inputs": inputs,
        **facts,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "commit": commit(),
    }
    write_whole(manifest_path(artifact), json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def changes(manifest: Mapping[str, Any], *, settings: Mapping[str, Any], inputs: Mapping[str, str]) -> list[str]:
    """List what differs from a manifest, in words: `settings.epochs 3 -> 4`; empty where the artifact is up to date."""
    before = {"settings": manifest["settings"], "inputs": manifest["inputs"]}
    # Through JSON, as the manifest went: a tuple there is a list here.
    after = json.loads(json.dumps({"settings": settings, "inputs": inputs}))
    return list(_differences(before, after, ""))


def _differences(before: Any, after: Any, path: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys([*before, *after]):
            yield from _differences(before.get(key), after.get(key), f"{path}.{key}" if path else key)
    elif before != after:
        if path.startswith("inputs."):
            yield f"{path.removeprefix('inputs.')} changed"
        else:
            yield f"{path.removeprefix('settings.')} {json.dumps(before)} -> {json.dumps(after)}"


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions of what an output can depend on."""
    names = ("socratic-distill", "torch", "transformers", "tokenizers", "accelerate", "peft")
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def commit() -> str | None:
    """Return the commit of a checkout that this package runs from, `+dirty` where it was changed; None elsewhere."""
    folder = Path(__file__).resolve().parent.parent
    if not (folder / ".git").exists():
        return None
    try:
        head = _git(folder, "rev-parse", "HEAD")
        return head + ("+dirty" if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    run = subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True)
    return run.stdout.strip()
