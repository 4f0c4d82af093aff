"""The journal: what was answered is never asked again, wherever the session before it was cut."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socratic_distill.artifacts import fingerprint
from socratic_distill.engines import Engine
from socratic_distill.engines.driver import drive
from socratic_distill.engines.journal import Asked, Ended, Journal, Journalled, request_key
from socratic_distill.engines.scripted import ScriptedEngine
from socratic_distill.errors import UserError
from socratic_distill.reasoning.dialogue import Ask, Dialogue
from socratic_distill.records import Completion, FinishReason, Prompt, Sampling

S = Sampling(temperature=0.7)
MODEL = {"model": "m"}


def prompt(text: str) -> Prompt:
    return Prompt(pieces=(text,))


def completion(text: str, finish_reason: FinishReason = "end") -> Completion:
    return Completion(text=text, finish_reason=finish_reason, prompt_tokens=3, tokens=2)


class Counting:
    """A continuous engine that answers one request a poll, the last first, and keeps what it was asked."""

    def __init__(self, finish_reason: FinishReason = "end") -> None:
        self.finish_reason = finish_reason
        self.asked: list[str] = []
        self._waiting: list[tuple[str, str]] = []

    def submit(self, key: str, prompt: Prompt, sampling: Sampling) -> None:
        assert key not in [one for one, _ in self._waiting], "a key is unique among those that wait"
        self.asked.append(prompt.pieces[-1])
        self._waiting.append((key, prompt.pieces[-1]))

    def poll(self, timeout: float | None = None) -> list[tuple[str, Completion]]:
        if not self._waiting:
            return []
        key, text = self._waiting.pop()
        return [(key, completion(f"<{text}>", self.finish_reason))]


def unwanted() -> Engine:
    raise AssertionError("nothing had to be asked")


def answers(
    path: Path,
    texts: Iterable[str],
    open_engine: Callable[[], Engine],
    *,
    retry_failed: bool = False,
    identity: object = MODEL,
) -> dict[str, Completion]:
    """Ask all texts in one session, each under its own text as the key."""
    found: dict[str, Completion] = {}
    with (
        Journal(path) as journal,
        Journalled(open_engine, journal, identity=identity, retry_failed=retry_failed) as engine,
    ):
        for text in texts:
            engine.submit(text, prompt(text), S)
        while finished := engine.poll():
            found |= dict(finished)
    return found


def kinds(path: Path) -> list[str]:
    return [line.split('"kind":"')[1].split('"')[0] for line in path.read_text().splitlines()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def test_what_was_answered_is_not_asked_again(path: Path) -> None:
    first = Counting()
    assert answers(path, "abc", lambda: first) == {text: completion(f"<{text}>") for text in "abc"}
    assert sorted(first.asked) == ["a", "b", "c"]
    assert answers(path, "cab", unwanted) == {text: completion(f"<{text}>") for text in "abc"}
    second = Counting()
    assert set(answers(path, "xbya", lambda: second)) == set("xbya")
    assert sorted(second.asked) == ["x", "y"]


def test_a_request_is_told_from_another_by_all_that_decides_its_answer() -> None:
    keys = [
        request_key(identity, one, sampling)
        for identity in ({"model": "m"}, {"model": "n"}, {"model": "m", "body": {"effort": "low"}})
        for one in (prompt("a"), Prompt(pieces=("a", "")), Prompt(pieces=("a",), begun="b"), Prompt(pieces=("a", "b")))
        for sampling in (S, S.model_copy(update={"seed": 1}), S.model_copy(update={"max_tokens": 9}))
    ]
    assert len(set(keys)) == len(keys)
    assert request_key({"a": 1, "b": 2}, prompt("a"), S) == request_key({"b": 2, "a": 1}, prompt("a"), S)


def test_another_model_is_asked_anew(path: Path) -> None:
    answers(path, "a", Counting)
    other = Counting()
    answers(path, "a", lambda: other, identity={"model": "n"})
    assert other.asked == ["a"]


def test_a_failure_is_kept_and_asked_again_only_if_wanted(path: Path) -> None:
    answers(path, "ab", lambda: Counting("failed"))
    assert {one.finish_reason for one in answers(path, "ab", unwanted).values()} == {"failed"}
    again = Counting()
    assert {one.finish_reason for one in answers(path, "ab", lambda: again, retry_failed=True).values()} == {"end"}
    assert sorted(again.asked) == ["a", "b"]
    answers(path, "ab", unwanted, retry_failed=True)


def test_what_fails_once_more_is_not_asked_a_third_time_in_a_session(path: Path) -> None:
    answers(path, "a", lambda: Counting("failed"))
    engine = Counting("failed")
    with Journal(path) as journal, Journalled(lambda: engine, journal, identity=MODEL, retry_failed=True) as journalled:
        for turn in range(3):
            journalled.submit(str(turn), prompt("a"), S)
            assert [(key, one.finish_reason) for key, one in journalled.poll()] == [(str(turn), "failed")]
    assert engine.asked == ["a"]


def test_what_found_no_room_under_the_ceiling_is_as_if_not_asked(path: Path) -> None:
    found = answers(path, "a", lambda: Counting("over_budget"))
    assert found["a"].finish_reason == "over_budget"
    assert kinds(path) == ["asked"]
    assert answers(path, "a", Counting)["a"] == completion("<a>")


def test_what_is_too_long_is_an_answer(path: Path) -> None:
    answers(path, "a", lambda: Counting("prompt_too_long"))
    assert answers(path, "a", unwanted, retry_failed=True)["a"].finish_reason == "prompt_too_long"


def test_two_open_requests_of_one_content_are_asked_once_and_both_answered(path: Path) -> None:
    engine = Counting()
    with Journal(path) as journal, Journalled(lambda: engine, journal, identity=MODEL) as journalled:
        for key in ("one", "two"):
            journalled.submit(key, prompt("a"), S)
        assert journalled.poll() == [("one", completion("<a>")), ("two", completion("<a>"))]
        assert journalled.poll() == []
    assert engine.asked == ["a"]
    assert kinds(path) == ["asked", "answered"]


def test_a_request_is_written_before_the_engine_has_it(path: Path) -> None:
    class Reading(Counting):
        def submit(self, key: str, prompt: Prompt, sampling: Sampling) -> None:
            last = Asked.model_validate_json(path.read_text().splitlines()[-1])
            assert (last.key, last.identity, last.prompt, last.sampling) == (key, MODEL, prompt, sampling)
            super().submit(key, prompt, sampling)

    answers(path, "ab", Reading)
    assert kinds(path).count("asked") == 2


def test_an_answer_is_written_before_it_is_told(path: Path) -> None:
    with Journal(path) as journal, Journalled(Counting, journal, identity=MODEL) as engine:
        for text in "ab":
            engine.submit(text, prompt(text), S)
        engine.poll()
        last = Ended.model_validate_json(path.read_text().splitlines()[-1])
        assert (last.kind, last.completion) == ("answered", completion("<b>"))


def test_answers_are_read_from_where_they_lie_however_the_journal_has_grown(path: Path) -> None:
    with Journal(path) as journal, Journalled(Counting, journal, identity=MODEL) as engine:
        for turn in range(40):
            engine.submit("new", prompt(f"{turn} é\n{'x' * turn * 97}"), S)
            engine.poll()
            for old in range(turn + 1):
                engine.submit(str(old), prompt(f"{old} é\n{'x' * old * 97}"), S)
            assert [one.text[:3].strip("< ") for _, one in engine.poll()] == [str(old) for old in range(turn + 1)]
        assert engine.asked == len(journal) == 40


class Closing(Counting):
    """An engine that ends what is in flight as it is closed."""

    def __init__(self, drops: bool = False) -> None:
        super().__init__()
        self.drops, self.closed = drops, False

    def close(self) -> None:
        self.closed = True
        if self.drops:
            raise KeyboardInterrupt

    def poll(self, timeout: float | None = None) -> list[tuple[str, Completion]]:
        if not self.closed:
            raise KeyboardInterrupt
        return [finished for _ in self.asked for finished in super(Closing, self).poll()]


@pytest.mark.parametrize("drops", [False, True])
def test_what_was_in_flight_as_the_session_was_stopped_is_kept(path: Path, drops: bool) -> None:
    with pytest.raises(KeyboardInterrupt):
        answers(path, "abc", lambda: Closing(drops))
    assert set(answers(path, "abc", unwanted)) == set("abc")


def test_what_an_engine_returns_once_more_when_closed_is_written_once(path: Path) -> None:
    class Repeating(Counting):
        def __init__(self) -> None:
            super().__init__()
            self.ended: list[tuple[str, Completion]] = []

        def close(self) -> None:
            self.ended += super().poll()

        def poll(self, timeout: float | None = None) -> list[tuple[str, Completion]]:
            self.ended = self.ended or super().poll()
            return self.ended

    with Journal(path) as journal, Journalled(Repeating, journal, identity=MODEL) as engine:
        for text in "ab":
            engine.submit(text, prompt(text), S)
        assert engine.poll() == [("b", completion("<b>"))]
    assert kinds(path) == ["asked", "asked", "answered", "answered"]
    assert set(answers(path, "ab", unwanted)) == set("ab")


def test_an_answer_whose_writing_was_interrupted_is_written_at_the_close(path: Path) -> None:
    class Interrupted(Journal):
        interruptions = 1

        def end(self, key: str, completion: Completion) -> None:
            if self.interruptions:
                self.interruptions -= 1
                raise KeyboardInterrupt
            super().end(key, completion)

    with Interrupted(path) as journal, Journalled(Counting, journal, identity=MODEL) as engine:
        engine.submit("a", prompt("a"), S)
        with pytest.raises(KeyboardInterrupt):
            engine.poll()
    assert set(answers(path, "a", unwanted)) == {"a"}


def test_a_batch_engine_writes_nothing_more_once_closed(path: Path) -> None:
    def script(prompt: Prompt) -> str:
        raise AssertionError("it was stopped")

    with Journal(path) as journal, Journalled(lambda: ScriptedEngine(script), journal, identity=MODEL) as engine:
        engine.submit("a", prompt("a"), S)
    assert kinds(path) == ["asked"]


def test_an_answer_stays_one_whatever_comes_after_it(path: Path) -> None:
    with Journal(path) as journal:
        journal.end("k", completion("yes"))
        journal.end("k", completion("", "failed"))
        assert not journal.failed("k")
        assert journal.completion("k").text == "yes"
    with Journal(path) as journal:
        assert not journal.failed("k")
        assert journal.completion("k").text == "yes"


def test_a_journal_that_nothing_is_asked_of_is_not_touched(path: Path) -> None:
    with Journal(path) as journal:
        assert len(journal) == 0
    assert not path.exists()
    path.write_bytes(b'{"key": "torn')
    with Journal(path) as journal:
        assert "torn" not in journal
    assert path.read_bytes() == b'{"key": "torn'


def test_a_torn_last_line_is_cut_and_asked_again(path: Path) -> None:
    answers(path, "a", Counting)
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    engine = Counting()
    answers(path, "a", lambda: engine)
    assert engine.asked == ["a"]
    assert kinds(path) == ["asked", "asked", "answered"]
    answers(path, "a", unwanted)


@pytest.mark.parametrize(
    "broken",
    [b"", b"{", b"[]", b'{"key":"k","kind":"told"}', b'{"key":"k","kind":"answered","completion":{"text":"a"}}'],
)
def test_a_malformed_row_is_told_with_its_line(path: Path, broken: bytes) -> None:
    answers(path, "a", Counting)
    asked, answered = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join((asked, broken, answered, b"")))
    with pytest.raises(UserError, match=r"journal\.jsonl:2: not a row"):
        Journal(path)


# --- cut anywhere


def talk(text: str) -> Dialogue[str]:
    """Ask once or twice, the second time about the first reply; some dialogues ask the same."""
    first: Completion = yield Ask("teacher", prompt(text), S)
    if text < "c":
        return first.text
    second: Completion = yield Ask("teacher", Prompt(pieces=(text, first.text)), S.model_copy(update={"seed": 1}))
    return second.text


def session(path: Path, engine: Engine) -> dict[str, str]:
    def dialogues() -> Iterator[tuple[str, Dialogue[str]]]:
        for place, text in enumerate("abcdeabé"):
            yield str(place), talk(text)

    with Journal(path) as journal, Journalled(lambda: engine, journal, identity=MODEL) as journalled:
        driven = drive(dialogues(), {"teacher": journalled}, sampling=S, window=3)
        return {finished.key: finished.result for finished in driven}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], bytes]:
    """A whole session's results and journal."""
    path = tmp_path_factory.mktemp("whole") / "journal.jsonl"
    return session(path, Counting()), path.read_bytes()


def test_a_whole_session_asks_each_content_once(whole: tuple[dict[str, str], bytes]) -> None:
    results, journal = whole
    rows = [line.decode() for line in journal.splitlines()]
    assert len(results) == 8
    assert len(rows) == 2 * len({fingerprint(row) for row in rows if '"asked"' in row}) == 20


@settings(max_examples=150)
@given(data=st.data())
def test_a_session_after_a_cut_at_any_byte_equals_a_whole_one(
    data: st.DataObject, whole: tuple[dict[str, str], bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    results, journal = whole
    cut = data.draw(st.integers(0, len(journal)))
    path = tmp_path_factory.mktemp("cut") / "journal.jsonl"
    path.write_bytes(journal[:cut])
    answered = journal[:cut].count(b'"kind":"answered"') - (b'"kind":"answered"' in journal[:cut].rpartition(b"\n")[2])
    engine = Counting()
    assert session(path, engine) == results
    assert len(engine.asked) == 10 - answered
    again = Counting()
    assert session(path, again) == results
    assert again.asked == []
