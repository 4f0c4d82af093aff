"""The study's charts, as inline SVG text: accuracy along an axis, by steps and against cost, and faults."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator
from matplotlib.transforms import offset_copy

from socratic_distill.reporting.charts import drawn_steps, faults_chart, steps_panels
from socratic_distill.reporting.drawing import (
    ACCENT,
    INK,
    MUTED,
    PAPER,
    figure,
    is_narrow,
    label_axes,
    panels,
    rows_of,
    short,
    svg,
    top,
)
from socratic_distill.reporting.findings import Axis, Cell, SolveFindings, reference_of, solves_of
from socratic_distill.reporting.templates import magnitude, operations

LOG_FROM = 4
"""An axis whose largest number is more than so many times its smallest is logarithmic."""
DASHED = (0, (4, 2))

Cost = Literal["solving", "training"]
Points = list[tuple[float, SolveFindings]]


def axis_chart(axis: Axis, cells: Mapping[str, Cell], name: str, *, width: int) -> str:
    """Draw accuracy along an axis, with intervals and every seed; empty where there are not two values of it.

    Ordered values are a line per solve, each in a panel of its own over the others; others are a panel per value.
    """
    if len(cells) < 2 or not solves_of(cells.values()):
        return ""
    return _lines(axis, cells, name, width) if axis.x else _rows(axis, cells, name, width)


def steps_chart(cell: Cell, name: str, *, width: int) -> str:
    """Draw accuracy by number of gold steps in a cell, a panel per solve; empty where there is too little."""
    lines = {
        solve: drawn_steps(cell.solves[solve].by_steps, seeds=max(1, len(cell.solves[solve].seeds)))
        for solve in solves_of([cell])
    }
    return steps_panels(lines, name, width=width, reference=reference_of([cell]))


def cell_faults_chart(cell: Cell, name: str, *, width: int) -> str:
    """Draw where a cell's wrong solutions went wrong, over all seeds; empty where none did."""
    faults = {
        solve: (cell.solves[solve].faults, sum(seed.problems for seed in cell.solves[solve].seeds))
        for solve in solves_of([cell])
    }
    return faults_chart(faults, name, width=width)


def cost_chart(cells: Sequence[Cell], name: str, *, cost: Cost, width: int) -> str:
    """Draw accuracy against what solving a problem, or the training, costs; a panel per solve over the others.

    The cells, which must have the same problems, are numbered in their order; empty where nothing cost anything.
    """
    spent = {solve: _spent(cells, solve, cost) for solve in solves_of(cells)}
    spent = {solve: found for solve, found in spent.items() if found}
    everywhere = [at for found in spent.values() for _, at, _ in found]
    if len(everywhere) < 2:
        return ""
    reference = reference_of(cells)
    narrow = is_narrow(width)
    low, high = min(everywhere) / 1.6, max(everywhere) * 1.6
    ticks = cost_ticks(low, high, most=3 if narrow else 4)
    with panels(list(spent), width, shared=True, above=44 if narrow else 24) as (drawn, by_name):
        for own, axes in by_name.items():
            axes.set_xscale("log")
            for other, found in spent.items():
                if other not in (own, reference):
                    axes.plot(*_columns(found), "o", color=MUTED, alpha=0.35, markersize=4)
            if reference in spent and reference != own:
                axes.plot(*_columns(spent[reference]), "x", color=INK, markersize=5)
            for number, at, solve in spent[own]:
                _interval(axes, at, solve, markersize=6)
                if len(cells) > 1:  # neighbours often cost alike: one has its number on the left
                    side = -1 if number % 2 else 1
                    placed: dict[str, Any] = {
                        "xytext": (5 * side, 0),
                        "textcoords": "offset points",
                        "va": "center",
                        "fontsize": 10,
                    }
                    axes.annotate(str(number), (at, 100 * solve.accuracy), ha="right" if side < 0 else "left", **placed)
            axes.set_xticks(
                ticks, [operations(tick).removesuffix("FLOP").replace(".0 ", "").replace(" ", "") for tick in ticks]
            )
            axes.xaxis.set_minor_locator(NullLocator())
            axes.set_xlim(low, high)
            axes.set_ylim(0, top([solve.interval[1] for found in spent.values() for *_, solve in found]))
        keys = [_key("this solve, 95 % interval", marker="o", color=ACCENT)]
        if reference in spent and len(spent) > 1:
            keys.append(_key(short(reference), marker="x", color=INK))
        keys.append(_key("the others", marker="o", color=MUTED, alpha=0.35, markersize=4))
        drawn.legend(handles=keys, loc="outside upper left", ncols=2 if narrow else 3, borderaxespad=0, **CLOSE)
        what = "per problem" if cost == "solving" else "of training all its students"
        label_axes(drawn, x=f"Estimated FLOPs {what} (log scale)", y="Problems solved (%)")
        told = "; ".join(
            f"{own}: {', '.join(f'{operations(at)} {_spoken(solve)}' for _, at, solve in found)}"
            for own, found in spent.items()
        )
        return svg(drawn, f"{name}-{width}", f"Accuracy in percent against estimated operations {what}. {told}")


CLOSE: dict[str, Any] = {"handlelength": 1.6, "columnspacing": 1.4, "handletextpad": 0.6}


def cost_ticks(low: float, high: float, *, most: int) -> list[float]:
    """Choose round numbers within a logarithmic axis: as many as there is room for, at least one."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps, every in (((1, 2, 5), 1), ((1, 3), 1), ((1,), 1), ((1,), 2), ((1,), 3), ((1,), 6)):
        ticks = [step * 10.0**decade for decade in decades if decade % every == 0 for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= most:
            return ticks or [low]
    return ticks[:most]


def _lines(axis: Axis, cells: Mapping[str, Cell], name: str, width: int) -> str:
    number_of = dict(zip(axis.values, axis.x, strict=True))
    numbers = [number_of[value] for value in cells]
    log = min(numbers) > 0 and max(numbers) > LOG_FROM * min(numbers)
    places = dict(zip(cells, numbers if log else map(float, range(len(cells))), strict=True))
    lines = {
        solve: [(places[value], cell.solves[solve]) for value, cell in cells.items() if solve in cell.solves]
        for solve in solves_of(cells.values())
    }
    reference = reference_of(cells.values())
    narrow = is_narrow(width)
    with panels(list(lines), width, shared=True, above=44 if narrow else 24) as (drawn, by_name):
        for own, axes in by_name.items():
            if log:
                axes.set_xscale("log")
            for other, line in lines.items():
                if other == reference and other != own:
                    axes.plot(*_shares(line), color=INK, linewidth=1.4, linestyle=DASHED)
                elif other != own:
                    axes.plot(*_shares(line), color=MUTED, alpha=0.35, linewidth=1.2)
            axes.plot(*_shares(lines[own]), "-", color=ACCENT, linewidth=2)
            for at, solve in lines[own]:
                _interval(axes, at, solve, markersize=6)
                _seeds(axes, drawn, [(at, score) for score in _scores(solve)], x=6)
            _place_values(axes, places, numbers, log=log, narrow=narrow)
            axes.grid(axis="x", visible=False)
            axes.set_ylim(0, _top_with_seeds(solve for line in lines.values() for _, solve in line))
        keys = [_key("mean, 95 % interval", marker="o", color=ACCENT, linestyle="-"), *_seeds_key(cells.values())]
        if reference and len(lines) > 1:
            keys.append(_key(short(reference), color=INK, linestyle=DASHED, linewidth=1.4))
        drawn.legend(handles=keys, loc="outside upper left", ncols=2 if narrow else 3, borderaxespad=0, **CLOSE)
        scale = " (log scale)" if log else ""
        label_axes(drawn, x=f"{axis.x_label or axis.name}{scale}", y="Problems solved (%)")
        return svg(drawn, f"{name}-{width}", _told(axis, cells, list(lines)))


def _place_values(
    axes: Axes, places: Mapping[str, float], numbers: Sequence[float], *, log: bool, narrow: bool
) -> None:
    """Put the values on the x axis; where they stand close together only some are named."""
    axes.xaxis.set_minor_locator(NullLocator())
    at = list(places.values())
    axes.set_xticks(at)
    first, last = (math.log(at[0]), math.log(at[-1])) if log else (at[0], at[-1])
    labels, free = [], -math.inf
    for place, number in zip(at, numbers, strict=True):
        share = ((math.log(place) if log else place) - first) / (last - first)
        fits = share >= free
        labels.append(magnitude(number).replace(".0", "") if fits else "")
        free = share + (0.38 if narrow else 0.24) if fits else free
    axes.set_xticklabels(labels)
    edge = 0.12 * (last - first)
    axes.set_xlim(*((math.exp(first - edge), math.exp(last + edge)) if log else (first - edge, last + edge)))


def _rows(axis: Axis, cells: Mapping[str, Cell], name: str, width: int) -> str:
    solves = solves_of(cells.values())
    narrow = is_narrow(width)
    columns = 1 if narrow else min(len(cells), 3)
    down = math.ceil(len(cells) / columns)
    with figure(width, height=((46 if narrow else 30) * len(solves) + 34) * down + 60) as drawn:
        grid: Any = drawn.subplots(down, columns, sharex=True, sharey=True, squeeze=False)
        places: list[Axes] = list(grid.flat)
        for unused in places[len(cells) :]:
            unused.set_visible(False)
        for axes, (value, cell) in zip(places, cells.items(), strict=False):
            axes.set_title(short(value), fontweight="bold")
            axes.tick_params(labelbottom=True)
            for row, solve in enumerate(solves):
                if narrow:
                    axes.text(
                        0, row - 0.24, short(solve), va="bottom", bbox={"facecolor": PAPER, "linewidth": 0, "pad": 1}
                    )
                if solve not in cell.solves:
                    continue
                found = cell.solves[solve]
                low, high = found.interval
                colour = ACCENT if found.trained else MUTED
                axes.plot([100 * low, 100 * high], [row, row], color=colour, linewidth=2)
                face = ACCENT if found.trained else PAPER
                axes.plot([100 * found.accuracy], [row], "o", markersize=7, mfc=face, mec=colour, clip_on=False)
                _seeds(axes, drawn, [(score, row) for score in _scores(found)], y=-8)
                placed: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center", "fontweight": "bold"}
                axes.text(1.02, row, f"{100 * found.accuracy:.1f}", **placed)
            axes.set_xlim(0, _top_with_seeds(one for cell in cells.values() for one in cell.solves.values()))
            rows_of(axes, solves, narrow=narrow)
        keys = [_key("mean, 95 % interval", marker="o", color=ACCENT, linestyle="-"), *_seeds_key(cells.values())]
        drawn.legend(handles=keys, loc="outside upper left", ncols=2, borderaxespad=0, **CLOSE)
        drawn.supxlabel("Problems solved (%)", fontsize=12, color=MUTED)
        return svg(drawn, f"{name}-{width}", _told(axis, cells, solves))


def _interval(axes: Axes, at: float, solve: SolveFindings, *, markersize: float) -> None:
    low, high = solve.interval
    colour = ACCENT if solve.trained else MUTED
    axes.plot([at, at], [100 * low, 100 * high], color=colour, linewidth=1.4)
    face = ACCENT if solve.trained else PAPER
    axes.plot([at], [100 * solve.accuracy], "o", markersize=markersize, mfc=face, mec=colour, clip_on=False, zorder=4)


def _seeds(axes: Axes, drawn: Figure, points: Sequence[tuple[float, float]], *, x: float = 0, y: float = 0) -> None:
    """Draw every seed as a small dot beside its mean."""
    if not points:  # an empty line with a place of its own leaves the layout no room
        return
    beside = offset_copy(axes.transData, fig=drawn, x=x, y=y, units="points")
    dot: dict[str, Any] = {"markersize": 3.2, "mfc": "none", "mec": MUTED, "mew": 1, "clip_on": False, "zorder": 3}
    axes.plot(*_columns_of(points), "o", transform=beside, **dot)


def _scores(solve: SolveFindings) -> list[float]:
    """Give each seed's accuracy in percent; one seed alone is its own mean, so there is nothing to add."""
    return [100 * seed.correct / max(1, seed.problems) for seed in solve.seeds] if len(solve.seeds) > 1 else []


def _seeds_key(cells: Iterable[Cell]) -> list[Line2D]:
    several = any(_scores(solve) for cell in cells for solve in cell.solves.values())
    return [_key("one seed", marker="o", mfc="none", mec=MUTED, markersize=3.2)] if several else []


def _key(label: str, **style: Any) -> Line2D:
    return Line2D([], [], label=label, **{"linestyle": "none", "markersize": 6, **style})


def _top_with_seeds(solves: Iterable[SolveFindings]) -> float:
    shares = [share for solve in solves for share in (solve.interval[1], *(score / 100 for score in _scores(solve)))]
    return top(shares)


def _shares(line: Points) -> tuple[list[float], list[float]]:
    return [at for at, _ in line], [100 * solve.accuracy for _, solve in line]


def _columns(found: Sequence[tuple[int, float, SolveFindings]]) -> tuple[list[float], list[float]]:
    return [at for _, at, _ in found], [100 * solve.accuracy for *_, solve in found]


def _columns_of(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _spent(cells: Sequence[Cell], solve: str, cost: Cost) -> list[tuple[int, float, SolveFindings]]:
    """List the cells' numbers from 1, with what a solve cost in each; what cost nothing has no place on a log axis."""
    found = [(number, cell.solves[solve]) for number, cell in enumerate(cells, start=1) if solve in cell.solves]
    priced = [(n, one.flops_per_problem if cost == "solving" else one.train_flops, one) for n, one in found]
    return [(number, at, one) for number, at, one in priced if at > 0]


def _told(axis: Axis, cells: Mapping[str, Cell], solves: Sequence[str]) -> str:
    parts = []
    for solve in solves:
        along = [f"{value} {_spoken(cell.solves[solve])}" for value, cell in cells.items() if solve in cell.solves]
        parts.append(f"{solve}: {', '.join(along)}")
    return f"Accuracy in percent by {axis.name}, with 95 % intervals. {'; '.join(parts)}"


def _spoken(solve: SolveFindings) -> str:
    low, high = solve.interval
    return f"{100 * solve.accuracy:.1f} ({100 * low:.1f} to {100 * high:.1f})"
