"""Runs a study: every run in its own folder and in a process of its own, several at once where the machine allows.

So what one run leaves in memory is gone with it.
"""

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from socratic_distill.errors import UserError
from socratic_distill.pipeline import STAGES, run_stages
from socratic_distill.run import QUIET, Progress, Run
from socratic_distill.scale import Worker, over_ray
from socratic_distill.shelf import Shelf
from socratic_distill.study.settings import Point, Study

SHELF = "shelf"
BIG = 50e6
"""Weights from which a run is taken to need `GIB_OF_BIG` of memory, else `GIB_OF_SMALL`."""
GIB_OF_BIG, GIB_OF_SMALL = 6.5, 1.0
SECONDS_BETWEEN_LINES = 60.0

Ended = Callable[[Point], None]


def run_points(
    study: Study, points: Sequence[Point], *, folder: Path, at_once: int, progress: Progress, ended: Ended
) -> list[str]:
    """Do all stages of every run, and call `ended` after each that went well; returns which failed, and why.

    A run that fails does not stop the others. Raises UserError where one was killed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    failed: list[str] = []
    by_name = {point.recipe.name: point for point in points}
    if study.executor == "ray":
        outcomes = _on_ray(points, folder, at_once)
    else:
        outcomes = _in_processes(points, folder, at_once, progress)
    for name, error in outcomes:
        if error:
            progress.say(f"{name}: failed: {error}")
            failed.append(f"{name}: {error}")
        else:
            ended(by_name[name])
    return failed


def done(point: Point, folder: Path, progress: Progress) -> str:
    """Do a run and return why it failed, empty where all went well."""
    try:
        run_stages(Run(point.recipe, folder / point.recipe.name, progress), STAGES, shelf=Shelf(folder / SHELF))
    except UserError as error:
        return str(error)
    except Exception as error:  # a fault of ours: the other runs go on
        traceback.print_exc()
        return f"{type(error).__name__}: {error}"
    return ""


def runs_at_once(study: Study, points: Sequence[Point], parameters: float) -> int:
    """Tell how many runs go at once: what the study says, else one a core as far as memory goes, and one on a GPU."""
    if study.at_once is not None:
        return min(study.at_once, len(points))
    import torch

    if torch.cuda.is_available():
        return 1
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    fitting = int(free / (GIB_OF_BIG if parameters > BIG else GIB_OF_SMALL))
    return max(1, min(_cores(), fitting, len(points)))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# --- in processes of their own


class _Told:
    """Progress that a process sends to the one that began it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._said = time.monotonic()
        self._text, self._total, self._done = "", 0.0, 0.0

    def say(self, text: str) -> None:
        _news.put(f"{self._name}: {text}")

    @contextmanager
    def track(self, text: str, total: float, *, done: float = 0) -> Iterator["_Told"]:
        self._text, self._total, self._done = text, total, done
        yield self

    def advance(self, steps: float = 1, status: str = "") -> None:
        self._done += steps
        if time.monotonic() - self._said > SECONDS_BETWEEN_LINES:
            self._said = time.monotonic()
            self.say(f"{self._text}: {self._done:g} of {self._total:g}, {status}")


_news: Any = None  # of a worker: where its lines go


def _begin(news: Any, parent: int) -> None:
    global _news
    _news = news
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches all; one of us says so

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)  # whoever began us was killed

    threading.Thread(target=watch, daemon=True).start()


def _work(point: str, folder: str) -> str:
    one = Point.model_validate_json(point)
    return done(one, Path(folder), _Told(one.recipe.name))


def _in_processes(points: Sequence[Point], folder: Path, at_once: int, progress: Progress) -> Iterator[tuple[str, str]]:
    context = multiprocessing.get_context("spawn")
    news = context.Queue()

    def listen() -> None:
        while (line := news.get()) is not None:
            progress.say(line)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    with _threads_each(max(1, _cores() // at_once)):
        pool = ProcessPoolExecutor(
            at_once, mp_context=context, initializer=_begin, initargs=(news, os.getpid()), max_tasks_per_child=1
        )
        try:
            names = {pool.submit(_work, point.model_dump_json(), str(folder)): point.recipe.name for point in points}
            for future in as_completed(names):
                yield names[future], future.result()
        except BrokenProcessPool:
            raise UserError(
                "a run was killed, for want of memory perhaps; what is done is kept: lower at_once and go on"
            ) from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            news.put(None)
            listener.join()


@contextmanager
def _threads_each(threads: int) -> Iterator[None]:
    """Let processes that are begun now compute on so many threads."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


# --- on Ray


def _on_ray(points: Sequence[Point], folder: Path, at_once: int) -> Iterator[tuple[str, str]]:
    """Run on Ray's actors, a run at a time each: the folder must be one that all machines see."""
    shared = folder.resolve()

    def make_worker() -> Worker:
        def work(block: list[str]) -> list[str]:
            ran = [Point.model_validate_json(row) for row in block]
            return [f"{point.recipe.name}\n{done(point, shared, QUIET)}" for point in ran]

        return work

    for row in over_ray([point.model_dump_json() for point in points], make_worker, actors=at_once, block=1):
        name, _, error = row.partition("\n")
        yield name, error
