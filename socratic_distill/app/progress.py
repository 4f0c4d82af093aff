"""Progress on a terminal by rich; elsewhere a line now and then, so that a log stays readable."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

SECONDS_BETWEEN_LINES = 30.0


class _Bar:
    def __init__(self, bars: Bars, task: TaskID) -> None:
        self._bars, self._task = bars, task

    def advance(self, steps: float = 1, status: str = "") -> None:
        self._bars.update(self._task, advance=steps, status=status)


class _Lines:
    def __init__(self, console: Console, text: str, total: float, done: float) -> None:
        self._console, self._text, self._total = console, text, total
        self._begun = self._done = done
        self._started = self._said = time.monotonic()

    def advance(self, steps: float = 1, status: str = "") -> None:
        self._done += steps
        now = time.monotonic()
        if now - self._said < SECONDS_BETWEEN_LINES:
            return
        self._said = now
        left = (now - self._started) / (self._done - self._begun) * (self._total - self._done)
        self._console.print(
            f"{self._text}: {self._done:g} of {self._total:g}, {status}, about {left / 60:.1f} minutes left",
            highlight=False,
            soft_wrap=True,
            markup=False,
        )


class ConsoleProgress:
    """Tells a person at a terminal, or a log, how the work goes."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, highlight=False, soft_wrap=True, markup=False)

    @contextmanager
    def track(self, text: str, total: float, *, done: float = 0) -> Iterator[_Bar | _Lines]:
        """Show a bar on a terminal, lines elsewhere."""
        if not self._console.is_terminal:
            yield _Lines(self._console, text, total, done)
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[status]}"),
        )
        with Bars(*columns, console=self._console, transient=True) as bars:
            yield _Bar(bars, bars.add_task(text, total=total, completed=int(done), status=""))
