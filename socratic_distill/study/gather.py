"""Puts what the runs of a study found into one record; runs that are not done yet are left out, and said."""

import importlib.metadata
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from socratic_distill.artifacts import fingerprint_records, read_manifest, read_rows
from socratic_distill.reasoning.solving import own_students, prompted_students, trained_students
from socratic_distill.recipe import Evaluate
from socratic_distill.records import Score, SolutionRow
from socratic_distill.reporting.findings import Axis, Cell, Contrast, Findings, SeedScore, SolveFindings
from socratic_distill.reporting.summary import StepAccuracy, Summary, set_apart
from socratic_distill.run import QUIET, Run
from socratic_distill.stages.report import read_summary
from socratic_distill.statistics import BySeed, compare_over_seeds, mean_interval
from socratic_distill.study.sentences import sentences_of
from socratic_distill.study.settings import AxisKind, Point, Study, kind_of

X_LABELS: dict[AxisKind, str] = {
    "size": "weights of one student",
    "amount": "problems learned from",
    "category": "",
}


class _Ran:
    """One run that is done."""

    def __init__(self, point: Point, folder: Path) -> None:
        self.point = point
        self.run = Run(point.recipe, folder / point.recipe.name, QUIET)
        self.summary: Summary = read_summary(self.run)
        self.tested = fingerprint_records(self.run.problems("test"))
        """Stands for the test problems: what has the same was tested on the same."""
        self.scores = {name: self._scores(name) for name in point.recipe.solve}

    def _scores(self, name: str) -> dict[str, Score]:
        rows = read_rows(self.run.path(f"scores/{name}.jsonl"), Score)
        return {score.problem: score for score in sorted(rows, key=lambda score: score.problem)}

    def rows(self, name: str) -> list[SolutionRow]:
        return read_rows(self.run.path(f"solutions/{name}.jsonl"), SolutionRow)

    def trained(self, student: str) -> Mapping[str, float]:
        """Return a student's weights, seconds and operations of training."""
        manifest = read_manifest(self.run.path(f"students/{student}"))
        assert manifest is not None, f"{student} was trained, for a run that is done asked it"
        trained, parameters = manifest["trained"], manifest["parameters"]
        epochs = manifest["settings"]["epochs"]
        return {
            "parameters": parameters,
            "seconds": trained["seconds"],
            "flops": 6.0 * parameters * trained["tokens"] * epochs,
        }


def findings_of(study: Study, points: Sequence[Point], *, folder: Path) -> Findings:
    """Gather what the runs of these points found; those of a cell must have solved the same problems."""
    by_cell: dict[str, list[_Ran]] = {}
    for point in points:
        by_cell.setdefault(point.cell, []).append(_Ran(point, folder))
    cells = [_cell(name, ran, study) for name, ran in by_cell.items()]
    contrasts, left_out = _contrasts(study, by_cell)
    return Findings(
        name=study.name,
        created=datetime.now(UTC).date().isoformat(),
        version=importlib.metadata.version("socratic-distill"),
        seeds=tuple(sorted({point.seed for point in points})),
        margin=study.margin,
        axes=tuple(_axis(study, name, cells) for name in study.axes),
        cells=tuple(cells),
        contrasts=contrasts,
        notes=(*left_out, *_notes({name: ran[0].summary.notes for name, ran in by_cell.items()})),
    )


def _cell(name: str, ran: Sequence[_Ran], study: Study) -> Cell:
    first, settings = ran[0].summary, ran[0].point.recipe.evaluate
    outcomes = _outcomes(ran)
    return Cell(
        name=name,
        values=ran[0].point.values,
        dataset=first.dataset,
        problems=first.problems,
        trained_problems=max((one.trained_problems for one in first.students.values()), default=0),
        solves={solve: _solve(solve, ran, outcomes[solve]) for solve in outcomes},
        comparisons=tuple(
            compare_over_seeds(outcomes, margin=study.margin, seed=settings.seed, resamples=settings.bootstrap)
        ),
        constant=first.constant,
        reports=tuple(f"{one.run.folder.name}/report.html" for one in ran),
    )


def _outcomes(ran: Sequence[_Ran]) -> dict[str, BySeed]:
    """Tell by solve what each seed solved."""
    order = list(next(iter(ran[0].scores.values())))
    for one in ran:
        assert all(list(scores) == order for scores in one.scores.values()), "the seeds of a cell share its problems"
    return {
        name: {one.point.seed: [score.correct for score in one.scores[name].values()] for one in ran}
        for name in ran[0].scores
    }


def _solve(name: str, ran: Sequence[_Ran], by_seed: BySeed) -> SolveFindings:
    summaries = [one.summary.solves[name] for one in ran]
    first, recipe, outcomes = summaries[0], ran[0].point.recipe, list(by_seed.values())
    costs = [[one.trained(student) for student in trained_students(recipe.solve[name])] for one in ran]
    steps = [score.step_count for score in ran[0].scores[name].values()]
    return SolveFindings(
        strategy=first.strategy,
        students=first.students,
        trained=first.trained,
        options=set_apart(first),
        oracle=bool(first.oracle),
        prompted=bool(first.prompted),
        seeds=tuple(
            SeedScore(seed=one.point.seed, correct=own.correct, problems=own.problems, unreadable=own.unreadable)
            for one, own in zip(ran, summaries, strict=True)
        ),
        accuracy=_mean([own.accuracy for own in summaries]),
        interval=mean_interval(outcomes, seed=recipe.evaluate.seed, resamples=recipe.evaluate.bootstrap),
        by_steps=tuple(
            _at_steps(count, steps, outcomes, recipe.evaluate)
            for count in sorted({one for one in steps if one is not None})
        ),
        tokens_per_problem=_mean([own.tokens_per_problem for own in summaries]),
        seconds_per_problem=_mean([own.seconds_per_problem for own in summaries]),
        flops_per_problem=_mean([_flops(one, name) for one in ran]),
        parameters=first.parameters,
        train_seconds=_mean([sum(one["seconds"] for one in own) for own in costs]),
        train_flops=_mean([sum(one["flops"] for one in own) for own in costs]),
        faults=dict(sum((Counter(own.faults) for own in summaries), Counter())),
    )


def _at_steps(
    count: int, steps: Sequence[int | None], outcomes: Sequence[Sequence[bool]], settings: Evaluate
) -> StepAccuracy:
    own = [[right for right, at in zip(one, steps, strict=True) if at == count] for one in outcomes]
    return StepAccuracy(
        steps=count,
        correct=sum(map(sum, own)),
        problems=sum(map(len, own)),
        interval=mean_interval(own, seed=settings.seed, resamples=settings.bootstrap),
    )


def _flops(ran: _Ran, name: str) -> float:
    """Estimate the operations a problem: 2 for each weight and each token that is read or written once.

    0 where a prompted model plays a part, for nobody knows its weights.
    """
    solve = ran.point.recipe.solve[name]
    if prompted_students(solve):
        return 0.0
    base = ran.summary.solves[name].parameters  # plays every part where none was trained
    weights = {
        student: ran.trained(student)["parameters"] if solve.trained else base for student in own_students(solve)
    }
    rows = ran.rows(name)
    total = 0.0
    for row in rows:
        read: dict[str, int] = {}
        for turn in row.turns:
            known = read.get(turn.student, 0)
            # A prompt goes on from the one before; a shorter one begins another dialogue of the same problem.
            new = turn.prompt_tokens - known if turn.prompt_tokens >= known else turn.prompt_tokens
            total += 2.0 * weights[turn.student] * (new + turn.tokens)
            read[turn.student] = turn.prompt_tokens + turn.tokens
    return total / max(1, len(rows))


def _contrasts(study: Study, by_cell: Mapping[str, Sequence[_Ran]]) -> tuple[tuple[Contrast, ...], tuple[str, ...]]:
    """Compare what the study names across cells, as far as both have run, and say what can't be compared."""
    outcomes: dict[str, BySeed] = {}
    parameters: dict[str, int] = {}
    tested: dict[str, str] = {}
    for side in {side for pair in study.contrasts for side in pair}:
        cell, _, solve = side.rpartition("/")
        if cell in by_cell:
            ran = by_cell[cell]
            outcomes[side] = _outcomes(ran)[solve]
            parameters[side] = ran[0].summary.solves[solve].parameters
            tested[side] = ran[0].tested
    pairs: list[tuple[str, str]] = []
    left_out: list[str] = []
    for a, b in study.contrasts:
        if a not in outcomes or b not in outcomes:
            continue
        if tested[a] != tested[b]:
            left_out.append(f"{a} and {b} can't be compared: they were tested on different problems.")
        elif not outcomes[a].keys() & outcomes[b].keys():
            left_out.append(f"{a} and {b} can't be compared: no seed of theirs is the same.")
        else:
            pairs.append((a, b))
    settings = next(iter(by_cell.values()))[0].point.recipe.evaluate
    found = compare_over_seeds(
        outcomes, pairs=pairs, margin=study.margin, seed=settings.seed, resamples=settings.bootstrap
    )
    return (
        tuple(
            Contrast(comparison=one, parameters_a=parameters[one.a], parameters_b=parameters[one.b]) for one in found
        ),
        tuple(left_out),
    )


def _axis(study: Study, name: str, cells: Sequence[Cell]) -> Axis:
    kind = kind_of(study, name)
    values = [value for value in study.axes[name] if any(cell.values[name] == value for cell in cells)]
    x: list[float] = []
    if kind != "category":
        measured = {value: _measured(kind, [cell for cell in cells if cell.values[name] == value]) for value in values}
        values.sort(key=measured.__getitem__)
        x = [measured[value] for value in values]
    return Axis(
        name=name,
        values=tuple(values),
        x_label=X_LABELS[kind],
        x=tuple(x),
        sentences=sentences_of(name, values, cells),
    )


def _measured(kind: AxisKind, cells: Sequence[Cell]) -> float:
    if kind == "amount":
        return float(max(cell.trained_problems for cell in cells))
    # A pair counts each of its students, which are of one size.
    return float(
        max(solve.parameters / max(1, len(solve.students)) for cell in cells for solve in cell.solves.values())
    )


def _notes(by_cell: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Say each note once, with the cells that it is of where that is not all of them."""
    of: dict[str, list[str]] = {}
    for cell, notes in by_cell.items():
        for note in notes:
            of.setdefault(note, []).append(cell)
    return tuple(note if len(cells) == len(by_cell) else f"{', '.join(cells)}: {note}" for note, cells in of.items())


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
