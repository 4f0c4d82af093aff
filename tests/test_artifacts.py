"""Files of a run folder: whole whatever happens to them, and honest about what made them."""

import errno
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from socratic_distill.artifacts import (
    RowAppender,
    appending,
    changes,
    fingerprint,
    fingerprint_records,
    manifest_path,
    read_manifest,
    read_rows,
    write_manifest,
    write_rows,
    write_whole,
)
from socratic_distill.errors import UserError
from socratic_distill.records import Record, Verdict

TEXTS = st.lists(st.text(max_size=40), min_size=1, max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


class Line(Record):
    """A row of these tests."""

    key: int
    text: str


def rows_of(texts: list[str]) -> list[Line]:
    return [Line(key=key, text=text) for key, text in enumerate(texts)]


def append_all(path: Path, rows: list[Line]) -> None:
    with appending(path) as file:
        for row in rows:
            file.append(row)


@contextmanager
def full_after(size: int) -> Iterator[None]:
    """Let no file grow beyond `size` bytes: a write stops short there and the next one fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@given(texts=TEXTS, share=st.floats(0, 1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_row_file_cut_at_any_byte_and_gone_on_with_equals_a_whole_one(
    tmp_path: Path, texts: list[str], share: float
) -> None:
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    rows = rows_of(texts)
    write_rows(whole, rows)
    content = whole.read_bytes()
    cut.write_bytes(content[: round(share * len(content))])
    kept = read_rows(cut, Line)
    assert kept == rows[: len(kept)]
    append_all(cut, rows[len(kept) :])
    assert cut.read_bytes() == content
    assert read_rows(cut, Line) == rows


def test_a_torn_last_line_longer_than_a_read_block_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"key":0,"text":"a"}\n{"key":1,"text":"' + b"b" * 200_000)
    assert read_rows(path, Line) == rows_of(["a"])
    append_all(path, [])
    assert path.read_bytes() == b'{"key":0,"text":"a"}\n'


def test_an_absent_file_has_no_rows(tmp_path: Path) -> None:
    assert read_rows(tmp_path / "none.jsonl", Line) == []


def test_a_row_of_another_shape_is_named_by_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"key":0,"text":"a"}\n{"key":1,"txt":"b"}\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"rows\.jsonl:2: not a row of this version .* remove the file"):
        read_rows(path, Line)


def test_text_of_any_language_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = rows_of(["", "line\nbreak\u2028and\x85more", "größer, 大きい, \U0001f9ee", '"\\'])
    append_all(path, rows)
    assert read_rows(path, Line) == rows
    assert path.read_bytes().count(b"\n") == len(rows)


@pytest.mark.parametrize("room", [0, 1, 40, 60])
def test_a_full_disk_leaves_no_half_row_and_keeps_those_before(tmp_path: Path, room: int) -> None:
    path = tmp_path / "rows.jsonl"
    rows = rows_of(["first", "second" * 20])
    append_all(path, rows[:1])
    whole = path.read_bytes()
    with full_after(len(whole) + room), pytest.raises(UserError, match="the rows before it are kept: make room"):
        append_all(path, rows[1:])
    assert path.read_bytes() == whole
    append_all(path, rows[1:])
    assert read_rows(path, Line) == rows


def test_a_full_file_system_leaves_no_half_row(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system takes root")
    try:
        path, rows = disk / "rows.jsonl", rows_of(["x" * 700] * 200)
        with pytest.raises(UserError, match="No space left on device"):
            append_all(path, rows)
        kept = read_rows(path, Line)
        assert 60 < len(kept) < 100
        assert path.read_bytes().endswith(b"\n")
        with pytest.raises(UserError, match="No space left"):
            write_rows(path, rows)
        assert read_rows(path, Line) == kept
        assert [one.name for one in disk.iterdir()] == ["rows.jsonl"]
        with pytest.raises(UserError, match="can't write"):
            append_all(path, rows[len(kept) :])
        assert read_rows(path, Line) == kept
    finally:
        subprocess.run(["umount", str(disk)], check=True)


class StopsShort(FileIO):
    """A file on a disk with room for `room` more bytes."""

    room = 0

    def write(self, content: object, /) -> int:
        """Write what fits; fail where nothing does."""
        assert isinstance(content, bytes)
        if self.room == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= (written := super().write(content[: self.room]))
        return written


@pytest.mark.parametrize("room", range(0, 31, 5))
def test_a_write_that_stops_short_and_then_fails_is_taken_back(tmp_path: Path, room: int) -> None:
    path = tmp_path / "rows.jsonl"
    with StopsShort(path, "ab") as file:
        appender = RowAppender(path, file)
        file.room = 1000
        appender.append(Line(key=0, text="a"))
        file.room = room
        with pytest.raises(UserError, match="No space left on device"):
            appender.append(Line(key=1, text="b" * 50))
        file.room = 1000
        appender.append(Line(key=2, text="c"))
    assert [row.key for row in read_rows(path, Line)] == [0, 2]


def test_a_file_that_can_not_be_written_whole_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_whole(path, "old")
    with full_after(2), pytest.raises(UserError, match=r"can't write .*summary\.json: File too large"):
        write_whole(path, "new and longer")
    assert path.read_text(encoding="utf-8") == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["summary.json"]


def test_a_folder_that_can_not_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file", encoding="utf-8")
    with pytest.raises(UserError, match="can't write"):
        write_whole(tmp_path / "runs" / "tiny" / "recipe.toml", "x")
    with pytest.raises(UserError, match="can't write"), appending(tmp_path / "runs" / "rows.jsonl"):
        pass


@given(content=st.dictionaries(st.text(max_size=4), JSON, max_size=6))
@settings(deadline=None)
def test_a_fingerprint_does_not_depend_on_the_order_of_keys(content: dict[str, object]) -> None:
    def turned(value: object) -> object:
        if isinstance(value, dict):
            return {key: turned(value[key]) for key in reversed(value)}
        return [turned(one) for one in value] if isinstance(value, list) else value

    assert fingerprint(content) == fingerprint(turned(content))


@given(a=JSON, b=JSON)
@settings(deadline=None)
def test_a_fingerprint_tells_contents_apart(a: object, b: object) -> None:
    # repr tells True from 1, and dictionaries are compared sorted
    import json

    same = json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)
    assert (fingerprint(a) == fingerprint(b)) is same


def test_records_are_told_apart_by_content_and_order() -> None:
    a, b = (Verdict(problem=name, attempt=0, kept=True) for name in "ab")
    assert fingerprint_records([a, b]) == fingerprint_records([a, b])
    assert len({fingerprint_records(rows) for rows in ([], [a], [b], [a, b], [b, a])}) == 5


def test_a_manifest_lies_beside_a_file_and_in_a_folder(tmp_path: Path) -> None:
    assert manifest_path(tmp_path / "solutions" / "cot.jsonl") == tmp_path / "solutions" / "cot.manifest.json"
    assert manifest_path(tmp_path / "students" / "cot") == tmp_path / "students" / "cot" / "manifest.json"


def test_a_manifest_says_what_made_the_artifact(tmp_path: Path) -> None:
    artifact = tmp_path / "cot.jsonl"
    write_manifest(artifact, settings={"epochs": 3, "stop": ("a",)}, inputs={"gold": "12"}, facts={"rows": 7})
    manifest = read_manifest(artifact)
    assert manifest is not None
    assert manifest["settings"] == {"epochs": 3, "stop": ["a"]}
    assert manifest["rows"] == 7
    assert {"python", "torch", "transformers", "socratic-distill"} <= set(manifest["versions"])
    assert changes(manifest, settings={"stop": ("a",), "epochs": 3}, inputs={"gold": "12"}) == []


@pytest.mark.parametrize("content", ["", "{", "[]", '"text"', "{}", '{"settings": {}}', '{"inputs": {}}', "\xff"])
def test_a_manifest_that_can_not_be_read_is_none(tmp_path: Path, content: str) -> None:
    manifest_path(tmp_path / "cot.jsonl").write_text(content, encoding="latin-1")
    assert read_manifest(tmp_path / "cot.jsonl") is None


def test_changes_are_told_in_words() -> None:
    manifest = {
        "settings": {"epochs": 3, "lora": None, "scratch": {"hidden": 128, "layers": 2}, "gone": "x"},
        "inputs": {"train": "a", "students/cot": "b", "base": "c"},
    }
    found = changes(
        manifest,
        settings={"epochs": 4, "lora": {"rank": 8}, "scratch": {"hidden": 64, "layers": 2}, "new": True},
        inputs={"train": "a", "students/cot": "B", "validation": "d"},
    )
    assert found == [
        "epochs 3 -> 4",
        'lora null -> {"rank": 8}',
        "scratch.hidden 128 -> 64",
        'gone "x" -> null',
        "new null -> true",
        "students/cot changed",
        "base changed",
        "validation changed",
    ]
