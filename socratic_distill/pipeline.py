"""Runs stages in order over one recipe: makes what is missing or out of date, and says why."""

import fcntl
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Literal

from socratic_distill.artifacts import changes, manifest_path, read_manifest, write_manifest, write_whole
from socratic_distill.errors import UserError
from socratic_distill.recipe import Recipe, dump_recipe
from socratic_distill.run import QUIET, NotMade, Progress, Run, Target
from socratic_distill.shelf import Shelf

STAGES = ("load", "annotate", "verify", "train", "solve", "evaluate", "report")
"""The stages in order; each is a module of `stages` whose `targets` offers what it can make."""

BESIDES = {"export": "train"}
"""Commands that a whole run leaves out, by the stage whose place they could take."""

State = Literal["done", "changed", "begun", "missing"]


def run_recipe(recipe: Recipe, *, runs: Path | str = "runs", progress: Progress = QUIET) -> Run:
    """Do all stages of a recipe in order, skipping what is done, and return the run."""
    run = Run(recipe, Path(runs) / recipe.name, progress)
    run_stages(run, STAGES)
    return run


def state_of(run: Run, target: Target) -> tuple[State, list[str]]:
    """Tell whether an artifact is up to date, and if it is not, what changed."""
    path = run.path(target.artifact)
    manifest = read_manifest(path)
    if manifest is None:
        return ("begun" if path.exists() else "missing"), []
    if not path.exists():
        return "missing", []
    differences = changes(manifest, settings=target.settings, inputs=target.inputs)
    return ("changed", differences) if differences else ("done", [])


def run_stages(
    run: Run, stages: Sequence[str], *, fresh: bool = False, dry_run: bool = False, shelf: Shelf | None = None
) -> None:
    """Bring the artifacts of some stages up to date.

    `fresh` makes them all again; `dry_run` only says what would be done. What another run has put on the `shelf` is
    taken from there. Raises UserError where a stage needs what an earlier one has not made, or has made by other
    settings.
    """
    if dry_run:
        begins = ""
        for stage in stages:
            begins = _say_plan(run, stage, fresh=fresh, begins=begins)
        return
    with _alone_in(run.folder):
        write_whole(run.path("recipe.toml"), dump_recipe(run.recipe))
        try:
            for stage in STAGES[: STAGES.index(BESIDES.get(stages[0], stages[0]))]:
                _refuse_outdated(run, stage)
            for stage in stages:
                for target in _targets(run, stage):
                    _bring_up_to_date(run, target, fresh=fresh, shelf=shelf)
        except NotMade as missing:
            raise UserError(str(missing)) from None


def states(run: Run) -> Iterator[tuple[str, str, State | None, list[str]]]:
    """Tell of every artifact, by stage: its name, its state and what changed; None where it waits for another."""
    for stage in STAGES:
        try:
            for target in _targets(run, stage):
                state, differences = state_of(run, target)
                yield stage, target.artifact, state, differences
        except NotMade as missing:
            yield stage, "", None, [f"waits for {missing.artifact}"]


def _targets(run: Run, stage: str) -> Iterator[Target]:
    targets: Iterator[Target] = import_module(f"socratic_distill.stages.{stage}").targets(run)
    return targets


def _refuse_outdated(run: Run, stage: str) -> None:
    for target in _targets(run, stage):
        state, differences = state_of(run, target)
        if state == "changed":
            why = "; ".join(differences)
            raise UserError(f"{target.artifact} is out of date, for {why}; run `socratic {stage}` or `socratic run`")


def _bring_up_to_date(run: Run, target: Target, *, fresh: bool, shelf: Shelf | None) -> None:
    if shelf is None or not target.shared or fresh:
        _make_up_to_date(run, target, fresh=fresh)
        return
    with shelf.turn(target):
        if state_of(run, target)[0] != "done":
            shelf.catch_up(target, run)
            if not shelf.take(target, run):
                shelf.put(target, run)  # where this one stops, another can go on
        _make_up_to_date(run, target, fresh=fresh)
        shelf.put(target, run)


def _make_up_to_date(run: Run, target: Target, *, fresh: bool) -> None:
    state, differences = state_of(run, target)
    path = run.path(target.artifact)
    if state == "done" and not fresh:
        target.tidy()
        return
    if fresh:
        _remove(path)
    elif state == "changed":
        run.progress.say(f"{target.artifact}: made again, for {'; '.join(differences)}")
    # Without its manifest an artifact is not whole: a stop half way can't leave an old one that seems to fit.
    manifest = manifest_path(path).read_bytes() if manifest_path(path).exists() else None
    manifest_path(path).unlink(missing_ok=True)
    before = _files(path)
    try:
        facts = target.make()
    except BaseException:
        if manifest is not None and _files(path) == before:  # refused or stopped before anything was touched
            write_whole(manifest_path(path), manifest)
        raise
    write_manifest(path, settings=target.settings, inputs=target.inputs, facts=facts)
    target.tidy()


def _say_plan(run: Run, stage: str, *, fresh: bool, begins: str) -> str:
    """Say what a stage would do; `begins` is the first artifact that earlier ones would make, and so is returned."""
    first = begins
    words = {"missing": "to be made", "begun": "to be gone on with", "changed": "to be made again", "done": "done"}
    try:
        for target in _targets(run, stage):
            state, differences = state_of(run, target)
            what = "to be made again, from nothing" if fresh else words[state]
            if what == "done" and begins:
                what = f"done, and looked at again once {begins} is made"
            elif what != "done":
                first = first or target.artifact
            run.progress.say(
                f"{stage}: {target.artifact}: {what}{', for ' if differences else ''}{'; '.join(differences)}"
            )
            for line in target.plan() if fresh or state != "done" else ():
                run.progress.say(f"{stage}: {line}")
    except NotMade as missing:
        run.progress.say(f"{stage}: to be planned once {missing.artifact} is made")
    return first


def _files(path: Path) -> dict[Path, tuple[int, int]]:
    """Tell apart what an artifact was and is: its files with their sizes and times."""
    stats = {file: file.stat() for file in (path, *path.rglob("*")) if file.is_file()}
    return {file: (stat.st_size, stat.st_mtime_ns) for file, stat in stats.items()}


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep two commands out of one run folder; the lock goes with the process, however it ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise UserError(f"can't write to {folder}: {error.strerror}; name another --runs") from error
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another command is at work in {folder}; wait for it or name another --runs") from None
        yield
