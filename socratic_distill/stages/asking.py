"""How a teacher is asked, here or on Ray's actors; what an annotation is does not depend on which.

On Ray a worker keeps a journal of its own for each block of annotations; only the driver writes the run's.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from socratic_distill.engines import Engine
from socratic_distill.engines.allowance import Allowance
from socratic_distill.engines.driver import Finished, drive
from socratic_distill.engines.journal import (
    Ended,
    Journal,
    Journalled,
    Row,
    ended,
    read_journal,
    replay_journal,
)
from socratic_distill.engines.teachers import (
    teacher_allowance,
    teacher_engine,
    teacher_identity,
    teacher_server,
    teacher_window,
)
from socratic_distill.errors import UserError
from socratic_distill.reasoning.dialogue import Dialogue
from socratic_distill.reasoning.exemplars import Exemplar
from socratic_distill.reasoning.teaching import TEACHER, teach
from socratic_distill.recipe import Annotate
from socratic_distill.records import Annotation, AnswerKind, Problem, Record, Sampling, Turn
from socratic_distill.scale import Lease, SharedAllowance, Worker, over_ray

Exemplars = Mapping[AnswerKind, tuple[Exemplar, ...]]


class Task(Record):
    """One annotation to be asked for."""

    problem: Problem
    attempt: int

    @property
    def key(self) -> str:
        """What tells it from all others of a run."""
        return f"{self.attempt}:{self.problem.id}"

    def dialogue(self, settings: Annotate, exemplars: Exemplars) -> Dialogue[Annotation]:
        """Open its dialogue."""
        suited = exemplars[self.problem.answer_kind]
        return teach(self.problem, settings=settings, exemplars=suited, attempt=self.attempt)


def tasks(problems: Sequence[Problem], *, attempts: int) -> Iterator[Task]:
    """Go through every problem's first attempt, then every problem's second, ..."""
    for attempt in range(attempts):
        for problem in problems:
            yield Task(problem=problem, attempt=attempt)


Asking = AbstractContextManager[Iterator[Finished[Annotation]]]
"""Yields annotations as they end; leaving it waits for what is in flight here, and keeps it."""


def ask_here(
    work: Iterator[Task],
    *,
    settings: Annotate,
    exemplars: Exemplars,
    journal: Journal,
    allowance: Allowance | SharedAllowance,
) -> Asking:
    """Ask from this process."""
    assert isinstance(allowance, Allowance), "only actors share one"
    return _driven(work, settings, exemplars, journal, lambda: teacher_engine(settings, allowance))


def ask_on_ray(
    work: Iterator[Task],
    *,
    settings: Annotate,
    exemplars: Exemplars,
    journal: Journal,
    allowance: Allowance | SharedAllowance,
) -> Asking:
    """Ask from Ray's actors; what the journal answers to its end is asked nowhere."""
    return closing(_on_ray(work, settings, exemplars, journal, allowance))


def open_allowance(settings: Annotate, ledger: Path) -> AbstractContextManager[Allowance | SharedAllowance]:
    """Open what asking may cost, one for all actors. Raises UserError for a ceiling without prices."""
    if settings.executor == "ray" and settings.engine == "openai":
        Allowance(settings.prices, settings.max_usd)  # a mistake is told here, not from an actor
        return closing(
            SharedAllowance(settings.prices, settings.max_usd, server=teacher_server(settings), path=ledger.resolve())
        )
    return teacher_allowance(settings, ledger)


@contextmanager
def _driven(
    work: Iterator[Task], settings: Annotate, exemplars: Exemplars, journal: Journal, open_engine: Callable[[], Engine]
) -> Iterator[Iterator[Finished[Annotation]]]:
    with _journalled(open_engine, journal, settings, teacher_identity(settings)) as engine:
        yield _drive(work, settings, exemplars, engine)


def _journalled(
    open_engine: Callable[[], Engine], journal: Journal, settings: Annotate, identity: Mapping[str, Any]
) -> Journalled:
    return Journalled(open_engine, journal, identity=identity, retry_failed="failed" in settings.retry)


def _drive(
    work: Iterator[Task], settings: Annotate, exemplars: Exemplars, engine: Engine
) -> Iterator[Finished[Annotation]]:
    dialogues = ((task.key, task.dialogue(settings, exemplars)) for task in work)
    return drive(dialogues, {TEACHER: engine}, sampling=Sampling(), window=teacher_window(settings))


class _Sent(Record):
    """A task on its way to a worker, with what the journal holds of it."""

    task: Task
    known: tuple[Ended, ...]


class _Returned(Record):
    """What a worker sends back: rows for the journal, and an annotation or the mistake that stopped it."""

    rows: tuple[Row, ...] = ()
    key: str = ""
    annotation: Annotation | None = None
    turns: tuple[Turn, ...] = ()
    mistake: str = ""


def _on_ray(
    work: Iterator[Task],
    settings: Annotate,
    exemplars: Exemplars,
    journal: Journal,
    allowance: Allowance | SharedAllowance,
) -> Generator[Finished[Annotation], None, None]:
    sent, answered = [], []
    identity = teacher_identity(settings)  # once: a local teacher's weights are read for it
    for task in work:
        known = _known(task.dialogue(settings, exemplars), journal, settings, identity)
        if known is None:
            answered.append(task)
        else:
            sent.append(_Sent(task=task, known=known).model_dump_json())
    with _driven(iter(answered), settings, exemplars, journal, _nobody) as finished:
        yield from finished
    if not sent:
        return
    lease = allowance.lease() if isinstance(allowance, SharedAllowance) else None
    share = _share(settings)
    make_worker = _worker_maker(share, exemplars, lease, identity)
    cpus = 0.1 if settings.engine == "openai" else 1.0
    for row in over_ray(sent, make_worker, actors=settings.actors, block=teacher_window(share), cpus=cpus):
        returned = _Returned.model_validate_json(row)
        for entry in returned.rows:
            journal.add(entry)
        if returned.mistake:
            raise UserError(returned.mistake)
        if returned.annotation is not None:
            yield Finished(returned.key, returned.annotation, returned.turns)


def _known(
    dialogue: Dialogue[Annotation], journal: Journal, settings: Annotate, identity: Mapping[str, Any]
) -> tuple[Ended, ...] | None:
    """Return what the journal answers of a dialogue; None where it answers all."""
    ask, replies = replay_journal(dialogue, journal, identity=identity, retry_failed="failed" in settings.retry)
    if ask is None:
        return None
    return tuple(ended(key, reply) for key, _, reply in replies)


def _share(settings: Annotate) -> Annotate:
    """Return one actor's settings: its part of the requests in flight."""
    if settings.server is None:
        return settings
    concurrency = -(-settings.server.concurrency // settings.actors)
    server = settings.server.model_copy(update={"concurrency": concurrency})
    return settings.model_copy(update={"server": server})


def _nobody() -> Engine:
    raise AssertionError("the journal was to answer these")


def _worker_maker(
    settings: Annotate, exemplars: Exemplars, lease: Lease | None, identity: Mapping[str, Any]
) -> Callable[[], Worker]:
    def make_worker() -> Worker:
        engine = teacher_engine(settings, lease or Allowance())
        mistake = ""

        def work(block: list[str]) -> list[str]:
            nonlocal mistake
            if mistake:  # the engine is closed, and the driver is told already
                return [_Returned(mistake=mistake).model_dump_json()]
            sent = [_Sent.model_validate_json(row) for row in block]
            known = [row for one in sent for row in one.known]
            returned = []
            with TemporaryDirectory() as folder:
                path = Path(folder) / "journal.jsonl"
                with Journal(path) as journal:
                    for row in known:
                        journal.add(row)
                    journalled = _journalled(
                        lambda: engine, journal, settings, identity
                    )  # left open for the next block
                    try:
                        for one in _drive((each.task for each in sent), settings, exemplars, journalled):
                            returned.append(_Returned(key=one.key, annotation=one.result, turns=one.turns))
                    except UserError as error:
                        mistake = str(error)
                        journalled.close()
                rows = tuple(read_journal(path))[len(known) :]
            return [one.model_dump_json() for one in (_Returned(rows=rows, mistake=mistake), *returned)]

        return work

    return make_worker
