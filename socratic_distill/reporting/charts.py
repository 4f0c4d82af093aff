"""The report's charts, as inline SVG text: accuracy, accuracy by steps, faults, training and annotations."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.lines import Line2D

from socratic_distill.reasoning.attribution import Fault
from socratic_distill.reporting.drawing import (
    ACCENT,
    AMBER,
    GREEN,
    INK,
    MUTED,
    PAPER,
    PURPLE,
    RUST,
    figure,
    is_narrow,
    label_axes,
    panels,
    rows_of,
    short,
    svg,
    top,
)
from socratic_distill.reporting.faults import kinds_of
from socratic_distill.reporting.funnel import layers
from socratic_distill.reporting.summary import StepAccuracy, Summary, by_accuracy

FEWEST_PROBLEMS = 5
"""A step count with fewer test problems is not drawn."""
MOST_POINTS = 160
"""A training curve of more points is drawn as means of neighbours."""
FAULT_COLOURS: dict[Fault, str] = {
    "reading": AMBER,
    "arithmetic": PURPLE,
    "decomposer": ACCENT,
    "solver": RUST,
    "student": GREEN,
    "unknown": MUTED,
}
LEAST_WRITTEN = 7
"""Percent of the axis; the number of a shorter part of a bar stands in the table alone."""


def accuracy_chart(summary: Summary, *, width: int) -> str:
    """Draw each solve's accuracy with its Wilson interval, and the constant answer's; empty without solves."""
    rows = [(short(name), s.accuracy, s.interval, s.trained) for name, s in by_accuracy(summary).items() if s.problems]
    if not rows:
        return ""
    constant = summary.constant
    if constant.problems:
        rows.append((short(f"always '{constant.answer}'"), constant.accuracy, constant.interval, False))
    narrow = is_narrow(width)
    with figure(width, height=(46 if narrow else 32) * len(rows) + 50) as drawn:
        axes = drawn.subplots()
        for row, (name, accuracy, (low, high), trained) in enumerate(rows):
            axes.plot([100 * low, 100 * high], [row, row], color=ACCENT if trained else MUTED, linewidth=2)
            face = ACCENT if trained else PAPER
            edge = ACCENT if trained else MUTED
            axes.plot([100 * accuracy], [row], "o", markersize=8, mfc=face, mec=edge, clip_on=False)
            at_right = axes.get_yaxis_transform()
            axes.text(1.02, row, f"{100 * accuracy:.1f}", transform=at_right, va="center", fontweight="bold")
            if narrow:
                axes.text(0, row - 0.2, name, va="bottom", bbox={"facecolor": PAPER, "linewidth": 0, "pad": 1})
        if constant.problems:
            axes.axvline(100 * constant.accuracy, color=MUTED, linewidth=1, linestyle=(0, (4, 4)), zorder=1)
        axes.set_xlim(0, top([high for _, _, (_, high), _ in rows]))
        rows_of(axes, [name for name, *_ in rows], narrow=narrow)
        axes.set_xlabel("Problems solved (%), Wilson 95 % interval")
        told = "; ".join(f"{n} {100 * a:.1f} ({100 * i[0]:.1f} to {100 * i[1]:.1f})" for n, a, i, _ in rows)
        return svg(drawn, f"accuracy-{width}", f"Accuracy in percent, with its 95 % interval: {told}")


def steps_chart(summary: Summary, *, width: int) -> str:
    """Draw accuracy by number of gold steps, a panel per solve over the others; empty where there is too little."""
    lines = {name: drawn_steps(solve.by_steps) for name, solve in by_accuracy(summary).items()}
    return steps_panels(lines, "steps", width=width)


def steps_panels(lines: Mapping[str, Sequence[StepAccuracy]], name: str, *, width: int, reference: str = "") -> str:
    """Draw lines of accuracy by number of gold steps, a panel each, the others in grey behind it.

    The reference is dashed in all panels. Empty where no line has two points.
    """
    lines = {name: line for name, line in lines.items() if len(line) > 1}
    if not lines:
        return ""
    ticks = sorted({bin_.steps for line in lines.values() for bin_ in line})
    dashed = reference in lines and len(lines) > 1
    with panels(list(lines), width, shared=True, above=24 if dashed else 0) as (drawn, by_name):
        for own, axes in by_name.items():
            for other, line in lines.items():
                if other == reference and other != own:
                    axes.plot(*_shares(line), color=INK, linewidth=1.4, linestyle=(0, (4, 2)))
                elif other != own:
                    axes.plot(*_shares(line), color=MUTED, alpha=0.35, linewidth=1.2)
            axes.plot(*_shares(lines[own]), "o-", color=ACCENT, linewidth=2, markersize=5, clip_on=False)
            for bin_ in lines[own]:
                low, high = bin_.interval
                axes.plot([bin_.steps] * 2, [100 * low, 100 * high], color=ACCENT, linewidth=1.2)
            axes.set_xticks(ticks)
            axes.grid(axis="x", visible=False)
            axes.set_ylim(0, top([bin_.interval[1] for line in lines.values() for bin_ in line]))
        if dashed:
            drawn.legend(handles=_keys_of_lines(reference), loc="outside upper left", ncols=2, borderaxespad=0)
        label_axes(drawn, x="Steps of the gold reasoning", y="Problems solved (%)")
        told = f"Accuracy in percent by number of gold steps, with 95 % intervals, for {', '.join(lines)}"
        return svg(drawn, f"{name}-{width}", told)


def _keys_of_lines(reference: str) -> list[Line2D]:
    own = Line2D([], [], color=ACCENT, marker="o", markersize=5, label="mean, 95 % interval")
    return [own, Line2D([], [], color=INK, linewidth=1.4, linestyle=(0, (4, 2)), label=short(reference))]


def faults_chart(faults: Mapping[str, tuple[Mapping[Fault, int], int]], name: str = "faults", *, width: int) -> str:
    """Draw where wrong solutions went wrong as a bar per solve, in percent of all that it solved or tried to.

    Takes each solve's counts by kind and the number of its attempts; empty where nothing went wrong.
    """
    kinds = kinds_of(counts for counts, _ in faults.values())
    rows = {solve: (counts, attempts) for solve, (counts, attempts) in faults.items() if attempts}
    if not kinds or not rows:
        return ""
    narrow = is_narrow(width)
    legend_rows = math.ceil(len(kinds) / (3 if narrow else 6))
    with figure(width, height=(46 if narrow else 34) * len(rows) + 50 + 22 * legend_rows) as drawn:
        axes = drawn.subplots()
        longest = top([sum(counts.values()) / attempts for counts, attempts in rows.values()])
        for row, (solve, (counts, attempts)) in enumerate(rows.items()):
            left = 0.0
            for kind in kinds:
                share = 100 * counts.get(kind, 0) / attempts
                if share:
                    bar: dict[str, Any] = {"color": FAULT_COLOURS[kind], "edgecolor": PAPER, "linewidth": 1.5}
                    axes.barh(row, share, left=left, height=0.4 if narrow else 0.62, **bar)
                    if share > LEAST_WRITTEN * longest / 100:
                        centre = left + share / 2
                        axes.text(centre, row, f"{share:.0f}", color=PAPER, ha="center", va="center", fontsize=11)
                left += share
            if narrow:
                axes.text(0, row - 0.26, short(solve), va="bottom")
        axes.set_xlim(0, longest)
        rows_of(axes, list(rows), narrow=narrow)
        keys = [matplotlib.patches.Patch(color=FAULT_COLOURS[kind], label=kind) for kind in kinds]
        drawn.legend(handles=keys, loc="outside upper left", ncols=3 if narrow else 6, borderaxespad=0, **KEYS)
        axes.set_xlabel("Wrong solutions (% of all)")
        told = "; ".join(
            f"{solve}: {', '.join(f'{kind} {counts[kind]}' for kind in kinds if counts.get(kind))} of {attempts}"
            for solve, (counts, attempts) in rows.items()
        )
        return svg(drawn, f"{name}-{width}", f"Where wrong solutions went wrong: {told}")


KEYS: dict[str, Any] = {"handlelength": 1.0, "handleheight": 0.9, "columnspacing": 1.2, "handletextpad": 0.5}
"""A legend of small squares."""


def training_chart(summary: Summary, *, width: int) -> str:
    """Draw each student's training and validation loss in a panel of its own; empty without training."""
    students = {name: s for name, s in summary.students.items() if s.train_points or s.validation_points}
    if not students:
        return ""
    means = max(math.ceil(len(student.train_points) / MOST_POINTS) for student in students.values())
    with panels(list(students), width, shared=False) as (drawn, by_name):
        for name, axes in by_name.items():
            student = students[name]
            trained, validated = _columns(_thinned(student.train_points)), _columns(student.validation_points)
            axes.plot(*trained, color=MUTED, linewidth=1.2, label="training")
            axes.plot(*validated, "o-", color=ACCENT, linewidth=1.5, markersize=5, label="validation")
            axes.set_ylim(bottom=0)
            axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(4, integer=True))
            axes.grid(axis="x", visible=False)
        handles, labels = next(iter(by_name.values())).get_legend_handles_labels()
        drawn.legend(handles, labels, loc="outside upper left", ncols=2, borderaxespad=0)
        averaged = f" (training: means of up to {means} points)" if means > 1 else ""
        label_axes(drawn, x=f"Optimiser step{averaged}", y="Loss (nats per target token)")
        told = f"Training and validation loss in nats per target token, by step, of {', '.join(students)}"
        return svg(drawn, f"training-{width}", told)


def funnel_chart(summary: Summary, *, width: int) -> str:
    """Draw how many annotations reached each stage, and above it what stopped the others; empty without any."""
    whole = summary.funnel.asked
    if not whole:
        return ""
    rows = layers(summary.funnel)
    narrow = is_narrow(width)
    with figure(width, height=(40 if narrow else 28) * len(rows) + 50) as drawn:
        axes = drawn.subplots()
        for row, layer in enumerate(rows):
            share = 100 * layer.annotations / whole
            axes.barh(row, share, height=0.3 if layer.lost else 0.55, color=MUTED if layer.lost else ACCENT)
            told = f"{layer.annotations:,}"
            weight = "normal" if layer.lost else "bold"
            axes.text(1.02, row, told, transform=axes.get_yaxis_transform(), va="center", fontweight=weight)
            if narrow:
                above = row - (0.2 if layer.lost else 0.32)
                axes.text(0, above, short(layer.name), va="bottom", fontsize=11, color=MUTED if layer.lost else INK)
        axes.set_xlim(0, 100)
        rows_of(axes, [layer.name for layer in rows], narrow=narrow)
        for label, layer in zip(axes.get_yticklabels(), rows, strict=True):
            label.set_color(MUTED if layer.lost else INK)
        axes.set_xlabel(f"Share of {whole:,} annotations (%)")
        spoken = "; ".join(f"{layer.name} {layer.annotations:,}" for layer in rows)
        return svg(drawn, f"funnel-{width}", f"Annotations: {spoken}")


def drawn_steps(by_steps: Sequence[StepAccuracy], *, seeds: int = 1) -> list[StepAccuracy]:
    """Leave out the step counts that have too few problems to say anything; over seeds, each problem counts once."""
    return [bin_ for bin_ in by_steps if bin_.problems >= FEWEST_PROBLEMS * seeds]


def _shares(line: Sequence[StepAccuracy]) -> tuple[list[int], list[float]]:
    return [bin_.steps for bin_ in line], [100 * bin_.correct / bin_.problems for bin_ in line]


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _thinned(points: Sequence[tuple[int, float]]) -> list[tuple[float, float]]:
    """Average neighbours until at most MOST_POINTS are left."""
    size = math.ceil(len(points) / MOST_POINTS) or 1
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]
