"""What was asked of a model and what came back: nothing that was answered is asked, or paid for, again.

A row is written as a request is handed to an engine, and one as its answer arrives; in memory is only where they lie.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Literal, Protocol, Self, runtime_checkable

from pydantic import Field, TypeAdapter, ValidationError

from socratic_distill.artifacts import RowAppender, appending, fingerprint
from socratic_distill.engines import Engine
from socratic_distill.errors import UserError
from socratic_distill.reasoning.dialogue import Ask, Dialogue, Result
from socratic_distill.records import Completion, Prompt, Record, Sampling


class Asked(Record):
    """A request, as it is handed to an engine."""

    key: str
    kind: Literal["asked"] = "asked"
    identity: Any
    """What decides the answer besides prompt and sampling, such as the model's name: a JSON value."""
    prompt: Prompt
    sampling: Sampling


class Ended(Record):
    """What came back for a request."""

    key: str
    kind: Literal["answered", "failed"]
    completion: Completion


Row = Annotated[Asked | Ended, Field(discriminator="kind")]

_ROW: TypeAdapter[Asked | Ended] = TypeAdapter(Row)


def request_key(identity: Any, prompt: Prompt, sampling: Sampling) -> str:
    """Return 16 hexadecimal digits that stand for all that decides an answer; the seed tells attempts apart."""
    return fingerprint([identity, prompt.model_dump(mode="json"), sampling.model_dump(mode="json")])


def ended(key: str, completion: Completion) -> Ended:
    """Make the row for what came back."""
    return Ended(key=key, kind="failed" if completion.finish_reason == "failed" else "answered", completion=completion)


def read_journal(path: Path) -> Iterator[Asked | Ended]:
    """Read a journal's rows, without a torn last line; an absent file has none."""
    if path.exists():
        with path.open("rb") as file:
            yield from (_ROW.validate_json(line) for line in file if line.endswith(b"\n"))


class Journal:
    """The row file at `path`; nothing is written, nor a torn last line cut off, before the first request.

    Raises UserError naming the file and line of a row that can't be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[str, int] = {}  # by key: the byte at which its last answer begins
        self._failed: set[str] = set()  # those of them that are failures
        self._files = ExitStack()
        self._appender: RowAppender | None = None
        self._reader: BufferedReader | None = None
        if path.exists():
            self._load()

    def _load(self) -> None:
        place = 0
        with self._path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    return
                try:
                    row = _ROW.validate_json(line)
                except ValidationError as error:
                    what = error.errors(include_url=False, include_input=False)[0]["msg"]
                    raise UserError(
                        f"{self._path}:{number}: not a row of this version ({what}); put it right, or remove the line:"
                        " what it answers is then asked anew"
                    ) from None
                if isinstance(row, Ended):
                    self._note(row, place)
                place += len(line)

    def _note(self, row: Ended, place: int) -> None:
        if row.kind == "answered":
            self._failed.discard(row.key)
        elif row.key in self._places and row.key not in self._failed:
            return  # an answer stays one
        else:
            self._failed.add(row.key)
        self._places[row.key] = place

    def __contains__(self, key: str) -> bool:
        """Say whether a request was answered, or has failed."""
        return key in self._places

    def __len__(self) -> int:
        """Count the requests that were answered or have failed."""
        return len(self._places)

    def failed(self, key: str) -> bool:
        """Say whether the last that is known of a request is that it failed."""
        return key in self._failed

    def completion(self, key: str) -> Completion:
        """Read what came back for a request that is in the journal."""
        if self._reader is None:
            self._reader = self._files.enter_context(self._path.open("rb"))
        self._reader.seek(self._places[key])
        row = _ROW.validate_json(self._reader.readline())
        assert isinstance(row, Ended) and row.key == key
        return row.completion

    def ask(self, key: str, *, identity: Any, prompt: Prompt, sampling: Sampling) -> None:
        """Write down a request. Raises UserError where the disk is full."""
        self.add(Asked(key=key, identity=identity, prompt=prompt, sampling=sampling))

    def end(self, key: str, completion: Completion) -> None:
        """Write down what came back for a request. Raises UserError where the disk is full."""
        self.add(ended(key, completion))

    def add(self, row: Asked | Ended) -> None:
        """Write down a row that another process made. Raises UserError where the disk is full."""
        place = self._append(row)
        if isinstance(row, Ended):
            self._note(row, place)

    def _append(self, row: Record) -> int:
        if self._appender is None:
            self._appender = self._files.enter_context(appending(self._path))
        return self._appender.append(row)

    def close(self) -> None:
        """Close the file."""
        self._files.close()
        self._appender = self._reader = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def replay_journal(
    dialogue: Dialogue[Result], journal: Journal, *, identity: Any, retry_failed: bool
) -> tuple[Ask | None, list[tuple[str, Ask, Completion]]]:
    """Go through a dialogue as far as the journal answers.

    Returns the first ask that it does not answer, None where there is none, and what it does answer, by key.
    """
    replies: list[tuple[str, Ask, Completion]] = []
    reply = None
    while True:
        try:
            ask = dialogue.send(reply)
        except StopIteration:
            return None, replies
        assert isinstance(ask, Ask) and ask.sampling is not None, "a teacher is asked one thing at a time"
        key = request_key(identity, ask.prompt, ask.sampling)
        if key not in journal or (retry_failed and journal.failed(key)):
            return ask, replies
        reply = journal.completion(key)
        replies.append((key, ask, reply))


@runtime_checkable
class _Closable(Protocol):
    def close(self) -> None: ...


class Journalled:
    """An engine that asks another one only for what the journal does not hold; a context manager.

    `open_engine` is called at the first request that must be asked. `identity` is what decides its answers besides
    prompt and sampling, as a JSON value. `retry_failed` asks once more for what failed in an earlier session. Requests
    that found no room under a ceiling were never sent, so no answer is written for them.
    """

    def __init__(
        self, open_engine: Callable[[], Engine], journal: Journal, *, identity: Any, retry_failed: bool = False
    ) -> None:
        self._open_engine, self._journal, self._identity = open_engine, journal, identity
        self._retry_failed = retry_failed
        self._engine: Engine | None = None
        self._known: list[tuple[str, str]] = []  # request and journal key of what the journal answers
        self._waiting: dict[str, list[str]] = {}  # by journal key: the requests that the inner engine is at
        self._retried: set[str] = set()
        self._ended: deque[tuple[str, Completion]] = deque()  # kept until written, wherever Ctrl-C breaks in
        self.asked = 0
        """Requests handed to the inner engine."""

    def submit(self, key: str, prompt: Prompt, sampling: Sampling) -> None:
        """Take a request; it is asked if neither the journal nor a waiting request of the same content answers it."""
        content = request_key(self._identity, prompt, sampling)
        if content in self._waiting:
            self._waiting[content].append(key)
        elif self._answered(content):
            self._known.append((key, content))
        else:
            if self._engine is None:
                self._engine = self._open_engine()
            self._journal.ask(content, identity=self._identity, prompt=prompt, sampling=sampling)
            self._waiting[content] = [key]
            self._engine.submit(content, prompt, sampling)
            self.asked += 1

    def _answered(self, content: str) -> bool:
        if content not in self._journal:
            return False
        if not (self._retry_failed and self._journal.failed(content)) or content in self._retried:
            return True
        self._retried.add(content)
        return False

    def poll(self, timeout: float | None = None) -> list[tuple[str, Completion]]:
        """Return what the journal answers, else wait for the inner engine and write down what has ended."""
        if self._known:
            known, self._known = self._known, []
            return [(key, self._journal.completion(content)) for key, content in known]
        if self._engine is None:
            return []
        self._ended.extend(self._engine.poll(timeout))
        return self._written()

    def _written(self) -> list[tuple[str, Completion]]:
        finished = []
        while self._ended:
            content, completion = self._ended[0]
            # An engine may return once more, when it is closed, what has been written.
            if content in self._waiting and completion.finish_reason != "over_budget":
                self._journal.end(content, completion)
            self._ended.popleft()
            finished += [(key, completion) for key in self._waiting.pop(content, ())]
        return finished

    def close(self) -> None:
        """Close the inner engine, where it can be closed, and write down what it was still waiting for."""
        closable = self._engine if isinstance(self._engine, _Closable) else None
        try:
            if closable is not None:
                closable.close()
        finally:
            if self._engine is closable is not None:
                self._ended.extend(self._engine.poll())
            self._written()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
