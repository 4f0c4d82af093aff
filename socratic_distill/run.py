"""A run: one recipe's folder, the interface between stages. A stage offers targets; only the pipeline makes them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from socratic_distill.artifacts import manifest_path, read_rows
from socratic_distill.recipe import Recipe
from socratic_distill.records import Annotation, Problem, Split, Verdict


class Track(Protocol):
    """Shows how far one long piece of work is."""

    def advance(self, steps: float = 1, status: str = "") -> None:
        """Go on by so many steps; `status` is what to say beside them, such as tokens per second."""


class Progress(Protocol):
    """How a stage talks to whoever runs it."""

    def say(self, text: str) -> None:
        """Tell one thing, in a line."""

    def track(self, text: str, total: float, *, done: float = 0) -> AbstractContextManager[Track]:
        """Show a piece of work of `total` steps, of which `done` were done before."""


class _Quiet:
    """Tells nobody anything."""

    def say(self, text: str) -> None:
        """Say nothing."""

    @contextmanager
    def track(self, text: str, total: float, *, done: float = 0) -> Iterator[Track]:
        """Show nothing."""
        yield self

    def advance(self, steps: float = 1, status: str = "") -> None:
        """Count nothing."""


QUIET: Progress = _Quiet()


class NotMade(Exception):
    """Something that a target needs does not exist yet; says which artifact and the command that makes it."""

    def __init__(self, artifact: str, command: str) -> None:
        super().__init__(f"{artifact} is not made yet; run `socratic {command}` first")
        self.artifact = artifact


@dataclass(frozen=True)
class Target:
    """One artifact that a stage can make."""

    artifact: str
    """Its path within the run folder."""
    settings: Mapping[str, Any]
    """Every setting that can change its content."""
    inputs: Mapping[str, str]
    """Fingerprints of what it is made from, by name."""
    make: Callable[[], Mapping[str, Any]]
    """Makes it, going on where a stopped one was, and returns what else its manifest should say."""
    tidy: Callable[[], None] = lambda: None
    """Removes what only a stopped one needs; called once the manifest is there."""
    plan: Callable[[], Sequence[str]] = lambda: ()
    """Says, line by line, what making it would ask for and cost; writes and sends nothing."""
    grows: tuple[str, ...] = ()
    """Row files that making it only adds to: what was asked and answered, and what it cost, if that can cost."""
    shared: bool = True
    """Another run that has the same settings and inputs would make the same; False where the run's name is in it."""


@dataclass(frozen=True)
class Run:
    """A recipe, its folder, and who is told of the work."""

    recipe: Recipe
    folder: Path
    progress: Progress

    def path(self, artifact: str) -> Path:
        """Return where an artifact lies."""
        return self.folder / artifact

    def problems(self, *splits: Split) -> list[Problem]:
        """Read the problems of some splits, in order; all where none is named."""
        rows = read_rows(self._made("problems.jsonl", "load"), Problem)
        return [row for row in rows if not splits or row.split in splits]

    def annotations(self) -> list[Annotation]:
        """Read all annotations, the rejected ones too."""
        return read_rows(self._made("annotations.jsonl", "annotate"), Annotation)

    def kept(self) -> list[Annotation]:
        """Read the annotations that were verified and kept, in order."""
        verdicts = read_rows(self._made("verdicts.jsonl", "verify"), Verdict)
        keep = {(verdict.problem, verdict.attempt) for verdict in verdicts if verdict.kept}
        return [row for row in self.annotations() if (row.problem, row.attempt) in keep]

    def _made(self, artifact: str, command: str) -> Path:
        path = self.path(artifact)
        if not (path.exists() and manifest_path(path).exists()):
            raise NotMade(artifact, command)
        return path


Stage = Callable[[Run], Iterator[Target]]
"""Offers a stage's targets in order. Raises NotMade where what they need does not exist."""


def by_problem(annotations: Sequence[Annotation]) -> dict[str, list[Annotation]]:
    """Group annotations by problem, in order."""
    groups: dict[str, list[Annotation]] = {}
    for annotation in annotations:
        groups.setdefault(annotation.problem, []).append(annotation)
    return groups
