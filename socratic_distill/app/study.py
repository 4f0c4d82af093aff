"""`socratic study`: the plan with its expected hours, the runs, and after each what was found so far."""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from socratic_distill.artifacts import write_whole
from socratic_distill.errors import UserError
from socratic_distill.pipeline import State, states
from socratic_distill.reporting.findings import Findings
from socratic_distill.reporting.study_page import render_study_html, render_study_markdown, study_table
from socratic_distill.run import QUIET, Progress, Run
from socratic_distill.study.gather import findings_of
from socratic_distill.study.plan import expected, expected_parameters
from socratic_distill.study.runner import run_points, runs_at_once
from socratic_distill.study.settings import Point, Study, load_study


def study(
    path: Path, *, overrides: Sequence[str], runs: Path, dry_run: bool, console: Console, progress: Progress
) -> None:
    """Print a study's plan and, unless it is dry, do its runs.

    study.json and study.md grow with each run; study.html comes last. Raises UserError where a run failed.
    """
    settings, points = load_study(path, overrides)
    folder = runs / settings.name
    stand = {point.recipe.name: _stand(point, folder) for point in points}
    done = {name for name, artifacts in stand.items() if set(artifacts.values()) == {"done"}}
    waiting = [point for point in points if point.recipe.name not in done]
    at_once = runs_at_once(settings, points, max(expected_parameters(point.recipe) for point in points))
    console.print(_table(points, done, folder))
    if waiting:
        plan = expected(points, {name: _made(artifacts) for name, artifacts in stand.items()})
        progress.say(
            f"{len(points)} runs, {len(done)} of them done; {plan.students} students to train; "
            f"about {plan.hours:.1f} hours for one run at a time, give or take a factor of three; {at_once} at once"
        )
        if plan.ceilings:
            progress.say(_in_dollars(plan.ceilings))
    if dry_run:
        return

    def ended(point: Point) -> None:
        done.add(point.recipe.name)
        _write(settings, points, done, folder)

    failed = run_points(settings, waiting, folder=folder, at_once=at_once, progress=progress, ended=ended)
    if not done:
        raise UserError(f"all {len(points)} runs failed; the first, {failed[0]}")
    found = _write(settings, points, done, folder)
    write_whole(folder / "study.html", render_study_html(found))  # drawn once, for its charts take seconds
    console.print(study_table(found))
    console.print(f"study: {folder / 'study.html'}", highlight=False, soft_wrap=True, markup=False)
    if failed:
        raise UserError(f"{len(failed)} of {len(points)} runs failed, what they did is kept; the first, {failed[0]}")


def _stand(point: Point, folder: Path) -> dict[str, State | None]:
    """Tell of a run's artifacts, in order, in which state they are; of none where it has not begun."""
    run = Run(point.recipe, folder / point.recipe.name, QUIET)
    return {artifact: state for _, artifact, state, _ in states(run)} if run.folder.is_dir() else {}


def _made(artifacts: Mapping[str, State | None]) -> set[str]:
    """Name those that need not be made: all that are done, up to one that is made again."""
    unchanged = takewhile(lambda artifact: artifacts[artifact] != "changed", artifacts)
    return {artifact for artifact in unchanged if artifacts[artifact] == "done"}


def _in_dollars(ceilings: Sequence[float | None]) -> str:
    """Say what models behind servers may cost."""
    known = [ceiling for ceiling in ceilings if ceiling is not None]
    if free := len(ceilings) - len(known):
        return f"what models behind servers may cost has no ceiling: {free} of {len(ceilings)} lack max_usd"
    return f"models behind servers may cost ${sum(known):,.2f} in all, by their ceilings"


def _table(points: Sequence[Point], done: set[str], folder: Path) -> Table:
    """Lay out the runs there are to do, a row a run."""
    table = Table(title=Text(f"{folder}"), title_justify="left")
    for column in (*points[0].values, "seed", "students", "problems", "state"):
        table.add_column(column)
    for point in points:
        problems = point.recipe.problems
        named = Path(problems.train).name if "/" in problems.train else problems.train
        limit = "" if problems.train_limit is None else f", at most {problems.train_limit:,}"
        state = "done" if point.recipe.name in done else "to be done"
        cells = (*point.values.values(), str(point.seed), point.recipe.train.student, f"{named}{limit}", state)
        table.add_row(*map(Text, cells))
    return table


def _write(settings: Study, points: Sequence[Point], done: set[str], folder: Path) -> Findings:
    """Write what the runs that are done have found."""
    ended = [point for point in points if point.recipe.name in done]
    found = findings_of(settings, ended, folder=folder)
    if len(ended) < len(points):
        found = found.model_copy(update={"notes": (f"{len(ended)} of {len(points)} runs are done.", *found.notes)})
    write_whole(folder / "study.json", found.model_dump_json(indent=2) + "\n")
    write_whole(folder / "study.md", render_study_markdown(found))
    return found
