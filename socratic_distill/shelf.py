"""Artifacts that several runs share: what one has made, the others take, found by what made it.

A place on the shelf only says which run has an artifact, or was the last to begin it; taking is a copy, in which large
files are hard links.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from socratic_distill.artifacts import changes, fingerprint, goes_on, manifest_path, read_manifest, write_whole
from socratic_distill.run import Run, Target


@dataclass(frozen=True)
class Shelf:
    """A folder with a file for each artifact that some run has made, or has begun."""

    folder: Path

    @contextmanager
    def turn(self, target: Target) -> Iterator[None]:
        """Wait until no other run makes the same artifact; it is then there to be taken."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._place(target).with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # goes with the process, however it ends
            yield

    def take(self, target: Target, run: Run) -> bool:
        """Copy an artifact into a run, its manifest last; False where no run has it whole."""
        source = self._source(target)
        if source is None or not source.exists():
            return False
        manifest = read_manifest(source)
        if manifest is None or changes(manifest, settings=target.settings, inputs=target.inputs):
            return False
        path = run.path(target.artifact)
        manifest_path(path).unlink(missing_ok=True)
        if source.is_dir():
            shutil.rmtree(path, ignore_errors=True)
            shutil.copytree(
                source, path, copy_function=_linked, ignore=shutil.ignore_patterns(manifest_path(source).name)
            )
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, path)
        write_whole(manifest_path(path), manifest_path(source).read_text(encoding="utf-8"))
        run.progress.say(f"{target.artifact}: taken from {os.path.relpath(source, self.folder.parent)}")
        return True

    def catch_up(self, target: Target, run: Run) -> None:
        """Copy those growing files of the run that has an artifact, or began it, which go on where this run's end."""
        if (source := self._source(target)) is None:
            return
        folder = source.parents[len(Path(target.artifact).parts) - 1]
        for name in target.grows:
            theirs, ours = folder / name, run.path(name)
            if theirs.exists() and theirs != ours and goes_on(theirs, ours):
                ours.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(theirs, ours)

    def put(self, target: Target, run: Run) -> None:
        """Say that a run has an artifact, or begins it; it lies beside the shelf, so both can be moved together."""
        write_whole(self._place(target), os.path.relpath(run.path(target.artifact), self.folder.parent))

    def _source(self, target: Target) -> Path | None:
        try:
            return self.folder.parent / self._place(target).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def _place(self, target: Target) -> Path:
        return self.folder / fingerprint([target.artifact, target.settings, target.inputs])


def _linked(source: str, destination: str) -> None:
    """Link weights, which safetensors writes to a new file since 0.8 and so never in place; copy what is small."""
    if Path(source).suffix == ".safetensors":
        try:
            os.link(source, destination)
            return
        except OSError:  # another file system, or one without links
            pass
    shutil.copyfile(source, destination)
