"""Reading rows from files and the hub, and what is said where that fails."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socratic_distill.errors import UserError
from socratic_distill.problems.sources import rows, source_stem, tidy

OWN = {"question": "What is 2 + 3?", "answer": 5}


def test_jsonl_and_a_json_list_give_the_same_rows(tmp_path: Path) -> None:
    lines, listed = tmp_path / "a.jsonl", tmp_path / "a.json"
    lines.write_text(f"{json.dumps(OWN)}\n\n{json.dumps(OWN)}", encoding="utf-8")
    listed.write_text(json.dumps([OWN, OWN], indent=1), encoding="utf-8")
    by_line, by_place = list(rows(str(lines), split="train")), list(rows(str(listed), split="train"))
    assert [row.fields for row in by_line] == [row.fields for row in by_place] == [OWN, OWN]
    assert [row.where for row in by_line] == [f"{lines}:1", f"{lines}:3"]
    assert [row.where for row in by_place] == [f"{listed} row 1", f"{listed} row 2"]


def test_json_lines_in_a_json_file_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(f"{json.dumps(OWN)}\n{json.dumps(OWN)}\n", encoding="utf-8-sig")
    assert [row.number for row in rows(str(path), split="train")] == [1, 2]


def test_a_line_separator_inside_a_text_ends_no_row(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"question": "a\u2028b"}\n', encoding="utf-8")
    assert [row.fields for row in rows(str(path), split="train")] == [{"question": "a\u2028b"}]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b"", "no rows"),
        ("a.json", b"[]", "no rows"),
        ("a.jsonl", b"\n \n", "no rows"),
        ("a.jsonl", b'{"a": 1}\n{"a": \n', ":2: malformed JSON: Expecting value"),
        ("a.json", b'[\n{"a": 1},\n{"a" 2}]', ":3: malformed JSON"),
        ("a.jsonl", b'{"a": 1}\n[1]\n', ":2: expected a JSON object, found a list"),
        ("a.json", b'[{"a": 1}, "b"]', " row 2: expected a JSON object, found a text"),
        ("a.jsonl", b'{"a": NaN}', ":1: malformed JSON: NaN is no JSON number"),
        ("a.jsonl", b'{"a": "\\ud800"}', ":1: malformed JSON: half of a surrogate pair"),
        ("a.jsonl", b"[" * 100_000, ":1: malformed JSON"),
        ("a.jsonl", b'{"a": ' + b"9" * 5000 + b"}", ":1: malformed JSON"),
        ("a.jsonl", b'{"a": "caf\xe9"}', "not UTF-8 (byte 10)"),
    ],
)
def test_what_can_not_be_read_is_named_by_file_and_line(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"\A[^\n]*\Z") as error:
        list(rows(str(path), split="train"))
    assert str(error.value).startswith(str(path))
    assert said in str(error.value)


@pytest.mark.parametrize("source", ["missing.jsonl", "folder/missing.jsonl", "gsm8k", ""])
def test_a_missing_file_is_named_with_what_could_be_written_instead(source: str) -> None:
    with pytest.raises(UserError, match=r"no such file: .*; write the path .* hub name such as openai/gsm8k"):
        next(rows(source, split="train"))


def test_a_folder_is_no_source(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no file; name one of the files in it"):
        next(rows(str(tmp_path), split="train"))


@pytest.mark.parametrize(
    ("source", "asked", "stem", "where"),
    [
        ("owner/name", ("owner/name", None, "test"), "name-test", "owner/name[test] row 2"),
        ("owner/name:main@train", ("owner/name", "main", "train"), "name-main-train", "owner/name[train] row 2"),
        ("o/n@train[:90%]", ("o/n", None, "train[:90%]"), "n-train[:90%]", "o/n[train[:90%]] row 2"),
    ],
)
def test_a_hub_name_says_configuration_and_split(
    monkeypatch: pytest.MonkeyPatch, source: str, asked: tuple[str, str | None, str], stem: str, where: str
) -> None:
    calls: list[tuple[str, str | None, str]] = []

    def hub(name: str, config: str | None, *, split: str) -> list[dict[str, object]]:
        calls.append((name, config, split))
        return [OWN, OWN]

    monkeypatch.setattr("datasets.load_dataset", hub)
    assert [row.where for row in rows(source, split="test")][1] == where
    assert calls == [asked]
    assert source_stem(source, split="test") == stem


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (ConnectionError("down"), "'owner/name' is no file here, and the Hugging Face hub can't be reached"),
        (ValueError("Unknown split\n'dev'"), "hub data set 'owner/name', split 'train': Unknown split 'dev'"),
        (RuntimeError("scripts are no longer supported"), "scripts are no longer supported"),
    ],
)
def test_what_the_hub_says_becomes_one_line(monkeypatch: pytest.MonkeyPatch, failure: Exception, said: str) -> None:
    def hub(name: str, config: str | None, *, split: str) -> None:
        raise failure

    monkeypatch.setattr("datasets.load_dataset", hub)
    with pytest.raises(UserError, match=r"\A[^\n]*\Z") as error:
        next(rows("owner/name", split="train"))
    assert said in str(error.value)


def test_a_name_that_the_hub_does_not_know_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from datasets.exceptions import DatasetNotFoundError

    def hub(name: str, config: str | None, *, split: str) -> None:
        raise DatasetNotFoundError(name)

    monkeypatch.setattr("datasets.load_dataset", hub)
    with pytest.raises(UserError, match="no file and no hub data set is called 'owner/name'"):
        next(rows("owner/name", split="train"))


@given(st.text())
def test_tidying_is_idempotent_and_leaves_no_blank_line(text: str) -> None:
    once = tidy(text)
    assert tidy(once) == once
    assert all(line.strip() for line in once.split("\n")) or once == ""
