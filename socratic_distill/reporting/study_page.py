"""A study as a page, as Markdown and as a terminal table; the page is one file that needs no network and no script."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Literal, NamedTuple

from markupsafe import Markup
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from socratic_distill.reporting.faults import FAULTS, kinds_of
from socratic_distill.reporting.findings import (
    Axis,
    Cell,
    Findings,
    cell_verdict,
    reference_of,
    slices,
    solves_of,
    standing_notes,
)
from socratic_distill.reporting.summary import percent
from socratic_distill.reporting.templates import NARROW, WIDE, interval, rendered

MOST_CHARTS = 12
"""Charts of one kind that a page draws; the tables have the numbers of all."""
OPEN_CHARTS = 3
"""If there are more, all but the first are folded away."""
MOST_SENTENCES = 6
"""Of an axis, before the rest is folded away."""
COSTS: dict[Literal["solving", "training"], str] = {
    "solving": "what a problem costs to solve",
    "training": "what training cost",
}
TESTS = {"mcnemar": "exact McNemar", "sign_flip": "sign flips"}


class Chart(NamedTuple):
    """A chart for both widths, with its title and what is to be read in it."""

    svg: tuple[Markup, Markup]
    title: str
    caption: str


class Charts(NamedTuple):
    """Charts of one kind: the first `shown` stand there, the others are folded away."""

    drawn: list[Chart]
    shown: int
    left_out: int


class AlongAxis(NamedTuple):
    """What the page shows of one axis."""

    id: str
    name: str
    charts: Charts


class Report(NamedTuple):
    """A link to one run's report."""

    path: str
    label: str


def render_study_html(findings: Findings) -> str:
    """Render a study as one self-contained page."""
    along = [_along(findings, axis, f"axis-{place}") for place, axis in enumerate(findings.axes)]
    along = [one for one in along if one.charts.drawn]
    return rendered(
        "study.html.jinja",
        **_shown(findings),
        results=along[0].id if along else "solves",
        script_hash="",
        along=along,
        by_steps=_by_steps(findings),
        costs=_costs(findings),
        by_fault=_by_fault(findings),
        most_sentences=MOST_SENTENCES,
    )


def render_study_markdown(findings: Findings) -> str:
    """Render a study's sentences, tables and notes as Markdown."""
    return rendered("study.md.jinja", **_shown(findings))


def study_table(findings: Findings) -> Table:
    """Lay a study's solves out for a terminal, cell by cell, the most accurate first and the constant answer last."""
    table = Table(
        title=Text(findings.name), title_justify="left", box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0)
    )
    table.add_column("solve", overflow="fold")
    for column in ("accuracy", "interval", "seeds", "tokens", "seconds"):
        table.add_column(column, justify="right", no_wrap=True)
    for cell in findings.cells:
        table.add_section()
        table.add_row(Text(cell.name, style="bold"), *[""] * 5)
        for name in solves_of([cell]):
            solve = cell.solves[name]
            table.add_row(
                Text(f"  {name}"),
                percent(solve.accuracy),
                interval(solve.interval),
                str(len(solve.seeds)),
                f"{solve.tokens_per_problem:,.0f}",
                f"{solve.seconds_per_problem:.2f}",
            )
        constant = cell.constant
        if constant.problems:
            always = Text(f"  always '{constant.answer}'")
            table.add_row(always, percent(constant.accuracy), interval(constant.interval), *["–"] * 3)
    table.caption = Text("\n".join(sentence for told in verdicts(findings).values() for sentence in told))
    table.caption_justify = "left"
    return table


def verdicts(findings: Findings) -> dict[str, tuple[str, ...]]:
    """Give what a study says of each axis; where it says nothing of any, what it says of each cell."""
    told = {f"Along {axis.name}": axis.sentences for axis in findings.axes if axis.sentences}
    if told:
        return told
    many = len(findings.cells) > 1
    return {(cell.name if many else ""): (cell_verdict(cell),) for cell in findings.cells}


def _shown(findings: Findings) -> dict[str, object]:
    """Name what both templates show."""
    return {
        "findings": findings,
        "verdicts": verdicts(findings),
        "cell_verdicts": {cell.name: cell_verdict(cell) for cell in findings.cells},
        "runs": sum(len(cell.reports) for cell in findings.cells),
        "solves": solves_of(findings.cells),
        "ordered": {cell.name: solves_of([cell]) for cell in findings.cells},
        "reports": {cell.name: _reports(cell) for cell in findings.cells},
        "pairs": [cell for cell in findings.cells if cell.comparisons],
        "tests": TESTS,
        "step_counts": {cell.name: _step_counts(cell) for cell in findings.cells},
        "fault_kinds": kinds_of(solve.faults for cell in findings.cells for solve in cell.solves.values()),
        "fault_words": FAULTS,
        "notes": [*standing_notes(findings), *findings.notes],
    }


def _along(findings: Findings, axis: Axis, id: str) -> AlongAxis:
    # Matplotlib is slow to import, and only what draws needs it.
    from socratic_distill.reporting.study_charts import axis_chart

    panel = (
        "Each panel shows one way of solving, the others in grey behind it"
        if axis.x
        else f"Each panel is one {axis.name}"
    )
    charts = [
        _chart(
            partial(axis_chart, axis, cells),
            f"{id}-{place}",
            f"Problems solved by {axis.name}{f'; {shared}' if shared else ''}",
            f"{panel}{_dashed(cells.values()) if axis.x else ''}. {_about_dots(cells.values())}",
        )
        for place, (shared, cells) in enumerate(slices(findings, axis).items())
        if place < MOST_CHARTS
    ]
    return AlongAxis(id, axis.name, _charts(charts, wanted=len(slices(findings, axis))))


def _by_steps(findings: Findings) -> Charts:
    from socratic_distill.reporting.charts import FEWEST_PROBLEMS
    from socratic_distill.reporting.study_charts import steps_chart

    charts = [
        _chart(
            partial(steps_chart, cell),
            f"steps-{place}",
            f"Problems solved by number of gold steps{_of(cell, findings)}",
            f"Each panel shows one way of solving, the others in grey behind it{_dashed([cell])}. Means over seeds with"
            f" 95 % intervals. Step counts with fewer than {FEWEST_PROBLEMS} test problems are not drawn.",
        )
        for place, cell in enumerate(findings.cells[:MOST_CHARTS])
    ]
    return _charts(charts, wanted=len(findings.cells))


def _costs(findings: Findings) -> Charts:
    from socratic_distill.reporting.study_charts import cost_chart

    by_dataset: dict[tuple[str, int], list[Cell]] = {}
    for cell in findings.cells:
        by_dataset.setdefault((cell.dataset, cell.problems.test), []).append(cell)
    charts = []
    for place, ((dataset, _), cells) in enumerate(by_dataset.items()):
        numbers = ", ".join(f"{number} {cell.name}" for number, cell in enumerate(cells, start=1))
        key = f" The numbers are cells: {numbers}." if len(cells) > 1 else ""
        of = f"; {dataset}" if len(by_dataset) > 1 else ""
        for cost, title in COSTS.items():
            crosses = f" Crosses: {reference_of(cells)}." if reference_of(cells) else ""
            charts.append(
                _chart(
                    partial(cost_chart, cells, cost=cost),
                    f"cost-{place}-{cost}",
                    f"Problems solved against {title}{of}",
                    f"Each panel shows one way of solving with its 95 % intervals, the others in grey behind it."
                    f"{crosses}{key} What costs nothing has no place on this axis.",
                )
            )
    return _charts(charts[:MOST_CHARTS], wanted=len(charts))


def _by_fault(findings: Findings) -> Charts:
    from socratic_distill.reporting.study_charts import cell_faults_chart

    charts = [
        _chart(
            partial(cell_faults_chart, cell),
            f"faults-{place}",
            f"Where wrong solutions went wrong{_of(cell, findings)}",
            "Shares of all solutions over seeds: a bar ends at the share that is wrong. Counts, without intervals.",
        )
        for place, cell in enumerate(findings.cells[:MOST_CHARTS])
    ]
    return _charts(charts, wanted=len(findings.cells))


def _chart(draw: Callable[..., str], name: str, title: str, caption: str) -> Chart | None:
    """Draw a chart for both widths; None where there is too little to draw."""
    wide, narrow = (Markup(draw(name, width=width)) for width in (WIDE, NARROW))  # our own SVG
    return Chart((wide, narrow), title, caption) if wide else None


def _charts(charts: Sequence[Chart | None], *, wanted: int) -> Charts:
    drawn = [chart for chart in charts if chart is not None]
    return Charts(drawn, len(drawn) if len(drawn) <= OPEN_CHARTS else 1, max(0, wanted - len(charts)))


def _of(cell: Cell, findings: Findings) -> str:
    return f"; {cell.name}" if len(findings.cells) > 1 else ""


def _dashed(cells: Iterable[Cell]) -> str:
    reference = reference_of(cells)
    return f", {reference} dashed" if reference else ""


def _about_dots(cells: Iterable[Cell]) -> str:
    several = any(len(solve.seeds) > 1 for cell in cells for solve in cell.solves.values())
    return f"Means with 95 % intervals{'; each small dot is one seed' if several else ''}."


def _reports(cell: Cell) -> list[Report]:
    seeds = max(([seed.seed for seed in solve.seeds] for solve in cell.solves.values()), key=len, default=[])
    labels = [f"seed {seed}" for seed in seeds] if len(seeds) == len(cell.reports) else []
    return [Report(path, labels[place] if labels else f"run {place + 1}") for place, path in enumerate(cell.reports)]


def _step_counts(cell: Cell) -> list[int]:
    return sorted({bin_.steps for solve in cell.solves.values() for bin_ in solve.by_steps})
