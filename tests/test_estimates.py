"""Estimates: what is left to ask, by what the journal holds."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from socratic_distill.engines.driver import drive
from socratic_distill.engines.estimates import Estimate, estimate
from socratic_distill.engines.journal import Journal, Journalled
from socratic_distill.engines.scripted import ScriptedEngine
from socratic_distill.reasoning.dialogue import Ask, Dialogue
from socratic_distill.recipe import Prices
from socratic_distill.records import Completion, Prompt, Sampling

S = Sampling(max_tokens=100, temperature=0.7)
LONG = "word " * 80


def talk(text: str) -> Dialogue[str]:
    """Ask, and once more where the reply is short."""
    reply: Completion = yield Ask("teacher", Prompt(pieces=(text,)), S)
    if len(reply.text.split()) < 2:
        reply = yield Ask("teacher", Prompt(pieces=(text, reply.text, "Again.")), S)
    return reply.text


def estimated(path: Path, texts: str, retry_failed: bool = False) -> Estimate:
    with Journal(path) as journal:
        return estimate(
            (talk(f"{text}: {LONG}") for text in texts),
            journal,
            identity="m",
            retry_failed=retry_failed,
            reply_bytes=40,
            most_asks=2,
        )


def asked(path: Path, texts: str, reply: str) -> None:
    def dialogues() -> Iterator[tuple[str, Dialogue[str]]]:
        for text in texts:
            yield text, talk(f"{text}: {LONG}")

    engine = ScriptedEngine(lambda prompt: reply if len(prompt.pieces) == 1 else "at last")
    with Journal(path) as journal, Journalled(lambda: engine, journal, identity="m") as journalled:
        list(drive(dialogues(), {"teacher": journalled}, sampling=S))


def test_with_an_empty_journal_a_token_is_four_bytes_and_at_worst_one(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    found = estimated(path, "ab")
    size = len(f'["a: {LONG}"]')
    assert (found.requests, found.dialogues, found.answered) == (2, 2, 0)
    assert (found.expected.input_tokens, found.expected.output_tokens) == (round(2 * size / 4), 20)
    assert found.worst.output_tokens == 2 * 2 * 100
    assert found.worst.input_tokens > 2 * 2 * size
    assert not path.exists()


def test_what_is_answered_is_free_and_tells_how_long_the_rest_will_be(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    asked(path, "abc", "a reply of six words here")
    found = estimated(path, "abcd")
    assert (found.requests, found.dialogues, found.answered) == (1, 4, 3)
    assert found.expected.output_tokens == 7
    assert found.expected.input_tokens == pytest.approx(81, abs=1)
    assert estimated(path, "abc").expected == estimated(path, "abc").worst == estimated(path, "").expected


def test_a_dialogue_half_way_is_left_to_ask_for_less(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    asked(path, "a", "short")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]))
    found = estimated(path, "a")
    assert (found.requests, found.worst.output_tokens) == (1, 100)


def test_failures_count_only_where_they_are_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    asked(path, "a", "a reply of six words here")
    path.write_bytes(path.read_bytes().replace(b'"answered"', b'"failed"'))
    assert estimated(path, "a").requests == 0
    assert estimated(path, "a", retry_failed=True).requests == 1


def test_dollars_are_those_of_the_tokens(tmp_path: Path) -> None:
    found = estimated(tmp_path / "journal.jsonl", "ab")
    expected, worst = found.usd(Prices(input=1, output=10))
    assert expected == pytest.approx((found.expected.input_tokens + 10 * found.expected.output_tokens) / 1e6)
    assert worst == pytest.approx((found.worst.input_tokens + 10 * found.worst.output_tokens) / 1e6)
