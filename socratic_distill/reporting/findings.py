"""What a study found, over all its runs, as one record.

All shares are between 0 and 1; intervals are 95 %, and resample the test problems alone, never the training.
"""

from collections.abc import Iterable, Sequence

from socratic_distill.reasoning.attribution import Fault
from socratic_distill.records import Record
from socratic_distill.reporting.summary import (
    SIGNIFICANT,
    Constant,
    ProblemCounts,
    StepAccuracy,
    counted,
    p_words,
    percent,
    points,
)
from socratic_distill.statistics import Interval, SeedsComparison

FEWEST_SEEDS = 5
"""With fewer nothing is claimed about training again."""


class SeedScore(Record):
    """How one trained set of students did: a dot in a chart."""

    seed: int
    correct: int
    problems: int
    unreadable: int


class SolveFindings(Record):
    """How one way of solving did in one cell, over its seeds, and at what cost."""

    strategy: str
    students: tuple[str, ...]
    trained: bool
    options: str = ""
    """What sets it apart from its plain strategy, in words, such as `gold subquestions` or `8 samples`."""
    oracle: bool = False
    """Something was taken from the gold reasoning, so it competes with no other."""
    prompted: bool = False
    """A model as it is plays a part, so it competes with no student."""
    seeds: tuple[SeedScore, ...]
    accuracy: float
    """Mean over problems and seeds."""
    interval: Interval
    """Of one seed Wilson's; of several a bootstrap of the problems, of each of which the mean over seeds is taken."""
    by_steps: tuple[StepAccuracy, ...]
    """Summed over seeds; the intervals are of the mean over seeds."""
    tokens_per_problem: float
    """Written, over all students."""
    seconds_per_problem: float
    flops_per_problem: float
    """Estimated: 2 for each weight and each token that is read or written once; 0 where a prompted model takes part."""
    parameters: int
    train_seconds: float
    """All its students together, mean over seeds; 0 where none was trained."""
    train_flops: float
    """Estimated: 6 for each weight and each token of training, over all epochs and all its students."""
    faults: dict[Fault, int]
    """Where the wrong solutions went wrong, summed over seeds."""


class Cell(Record):
    """One combination of the axes' values, under which all ways of solving stand on the same problems."""

    name: str
    """The values joined, such as `human-small`; that of the study where it has no axes."""
    values: dict[str, str]
    """The value of each axis."""
    dataset: str
    problems: ProblemCounts
    trained_problems: int
    """The most that any student learned from."""
    solves: dict[str, SolveFindings]
    comparisons: tuple[SeedsComparison, ...]
    """Every pair of solves; the Holm family is this cell's."""
    constant: Constant
    reports: tuple[str, ...]
    """Each run's report.html, relative to the study's folder, in the order of the seeds."""


class Axis(Record):
    """One axis, for a chart of accuracy along it."""

    name: str
    values: tuple[str, ...]
    """In the study's order; ascending by x where it has one."""
    x_label: str = ""
    """What x measures, such as `parameters of one student`; empty where the values have no order."""
    x: tuple[float, ...] = ()
    sentences: tuple[str, ...] = ()
    """What the numbers say of this axis, such as where one way of solving overtakes another."""


class Contrast(Record):
    """Two solves of different cells on the same test problems, such as a small pair and a large student."""

    comparison: SeedsComparison
    """Its `a` and `b` are `cell/solve`; the Holm family is all contrasts of the study."""
    parameters_a: int
    parameters_b: int


class Findings(Record):
    """All that a study says, in numbers: `study.json`."""

    name: str
    created: str
    """ISO date."""
    version: str
    """Of this package."""
    seeds: tuple[int, ...]
    margin: float
    """Differences within it count as none, in the tests of equivalence."""
    axes: tuple[Axis, ...]
    cells: tuple[Cell, ...]
    contrasts: tuple[Contrast, ...]
    notes: tuple[str, ...]
    """Sentences that the page says as they are."""


def slices(findings: Findings, axis: Axis) -> dict[str, dict[str, Cell]]:
    """Group the cells into those that differ along one axis alone, by what they share; in each, by the axis' value."""
    found: dict[str, dict[str, Cell]] = {}
    for value in axis.values:
        for cell in findings.cells:
            if cell.values.get(axis.name) == value:
                shared = ", ".join(f"{name} {other}" for name, other in cell.values.items() if name != axis.name)
                found.setdefault(shared, {})[value] = cell
    return found


def solves_of(cells: Iterable[Cell]) -> list[str]:
    """Name all solves of some cells, that of the highest mean accuracy first."""
    found: dict[str, list[float]] = {}
    for cell in cells:
        for name, solve in cell.solves.items():
            found.setdefault(name, []).append(solve.accuracy)
    return sorted(found, key=lambda name: -sum(found[name]) / len(found[name]))


def competes(solve: SolveFindings) -> bool:
    """Tell whether a solve is the work of trained students alone, which are compared with each other."""
    return solve.trained and not solve.oracle and not solve.prompted


def reference_of(cells: Iterable[Cell]) -> str:
    """Name the solve that charts show beside all others: a trained chain of thought; empty where there is none."""
    found = {
        name: solve.options
        for cell in cells
        for name, solve in cell.solves.items()
        if solve.strategy == "cot" and competes(solve)
    }
    return min(found, key=lambda name: bool(found[name]), default="")


def cell_verdict(cell: Cell) -> str:
    """Say which trained solve of a cell did best and how sure that is, from the numbers alone."""
    trained = {name: solve for name, solve in cell.solves.items() if competes(solve) and solve.seeds}
    best, *others = sorted(trained, key=lambda name: -trained[name].accuracy) or [""]
    if not best:
        return "No trained solve has been scored, so there is nothing to compare."
    if not others:
        low, high = trained[best].interval
        scored = f"{best} solved {percent(trained[best].accuracy)} (95 % interval {percent(low)} to {percent(high)})"
        return f"{scored}; no other trained solve stands beside it."
    second = others[0]
    scores = f"{best} solved {percent(trained[best].accuracy)}, {second} {percent(trained[second].accuracy)}"
    pair = next((one for one in cell.comparisons if {one.a, one.b} == {best, second}), None)
    if pair is None:
        return f"{scores}; the two were not compared on the same problems."
    low, high = pair.interval if pair.a == best else (-pair.interval[1], -pair.interval[0])
    difference = points(abs(pair.difference))
    more = "as many" if difference == "0" else f"{difference} {'point' if difference == '1' else 'points'} more"
    sure = f"95 % interval {points(low)} to {points(high)}, Holm-adjusted p {p_words(pair.p_adjusted)}"
    apart = "" if pair.p_adjusted < SIGNIFICANT else "The data cannot tell the best two apart: "
    near = f"; within {points(pair.margin)} points they count as equivalent" if is_equivalent(pair) else ""
    return f"{apart}{scores}: {more} ({sure}){near}."


def is_equivalent(pair: SeedsComparison) -> bool:
    """Tell whether two solves are shown to differ by less than the margin."""
    return pair.equivalence_p < SIGNIFICANT


def standing_notes(findings: Findings) -> list[str]:
    """Say what the study's intervals and tests mean, and what they do not."""
    seeds = sorted({len(solve.seeds) for cell in findings.cells for solve in cell.solves.values() if solve.trained})
    families = counted(len(findings.contrasts), "contrast")
    return [
        "Accuracy is the mean over test problems and seeds. Its interval (95 %) is Wilson's for one seed and, for"
        " several, a bootstrap of the problems: it says how far other problems like these would move the number of"
        " these trained students, and nothing of training them again.",
        *_about_seeds(seeds),
        "Two solves are compared on the same problems: by the exact McNemar test for one seed, by a sign-flip test on"
        " the problems' mean differences for several; both are two-sided and conditional on these trained students."
        " Holm's adjustment is over the pairs of one cell"
        + (f", and for the contrasts between cells over all {families}." if len(findings.contrasts) > 1 else "."),
        "The smallest difference is the one that as many problems, varying as these do, show with 80 % power. A"
        " difference that was not found may still be there if it is smaller.",
        f"Two solves are equivalent where two one-sided tests both show that they differ by less than"
        f" {points(findings.margin)} points. Not shown to be equivalent is not shown to differ.",
        "Relative gain is the first solve's accuracy over the second's, minus one. There is none where the interval of"
        " the second touches zero, for then the ratio can be anything.",
        "Floating point operations are estimated: in solving 2 for each weight and each token read or written once, in"
        " training 6 for each weight and each token of every epoch. Where a prompted model takes part, nobody"
        " knows them. Seconds are of the machine the study ran on.",
    ]


def _about_seeds(seeds: Sequence[int]) -> list[str]:
    if not seeds:
        return []
    few, many = seeds[0], seeds[-1]
    times = "once" if many == 1 else f"with {many} seeds" if few == many else f"with {few} to {many} seeds"
    trained = f"Students were trained {times}" + ("." if many == 1 else "; each seed is a dot in the charts.")
    if few >= FEWEST_SEEDS:
        return [f"{trained} How far the dots scatter is what training again does; no interval or p-value holds it."]
    return [f"{trained} With fewer than five seeds nothing is claimed about training again."]
