"""The report's charts, as inline SVG text whose colours are the page's CSS variables.

Sizes are CSS pixels: a chart is drawn for the width it is shown at, so that its text is never scaled.
"""

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from socratic_distill.reporting.funnel import layers
from socratic_distill.reporting.summary import StepAccuracy, Summary, by_accuracy

FEWEST_PROBLEMS = 5
"""A step count with fewer test problems is not drawn."""
MOST_POINTS = 160
"""A training curve of more points is drawn as means of neighbours."""
LONGEST_NAME = 30
"""Characters; longer names are cut, in charts only."""

# Matplotlib knows no CSS variables: each colour stands in for one, with what it is outside of the page.
INK, MUTED, GRID, ACCENT, PAPER = "#0a0a01", "#0a0a02", "#0a0a03", "#0a0a04", "#0a0a05"
CSS_COLOURS = {
    INK: "currentColor",
    MUTED: "var(--muted, #5d6570)",
    GRID: "var(--grid, #d5d8dc)",
    ACCENT: "var(--accent, #0b62a4)",
    PAPER: "var(--paper, #ffffff)",
}
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "socratic-distill",
    "text.parse_math": False,
    "font.size": 12,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "axes.facecolor": "none",
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.color": GRID,
    "ytick.labelcolor": MUTED,
    "figure.facecolor": "none",
    "legend.frameon": False,
    "legend.labelcolor": INK,
}
NARROW = 500

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"


def accuracy_chart(summary: Summary, *, width: int) -> str:
    """Draw each solve's accuracy with its Wilson interval, and the constant answer's; empty without solves."""
    rows = [(_short(name), s.accuracy, s.interval, s.trained) for name, s in by_accuracy(summary).items() if s.problems]
    if not rows:
        return ""
    constant = summary.constant
    if constant.problems:
        rows.append((_short(f"always '{constant.answer}'"), constant.accuracy, constant.interval, False))
    narrow = width < NARROW
    with _figure(width, height=(46 if narrow else 32) * len(rows) + 50) as figure:
        axes = figure.subplots()
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
        axes.set_xlim(0, _top([high for _, _, (_, high), _ in rows]))
        axes.set_ylim(len(rows) - 0.5, -0.9 if narrow else -0.5)
        axes.set_yticks(range(len(rows)), [""] * len(rows) if narrow else [name for name, *_ in rows])
        axes.tick_params(axis="y", labelcolor=INK, length=0, pad=10)
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("Problems solved (%), Wilson 95 % interval")
        told = "; ".join(f"{n} {100 * a:.1f} ({100 * i[0]:.1f} to {100 * i[1]:.1f})" for n, a, i, _ in rows)
        return _svg(figure, f"accuracy-{width}", f"Accuracy in percent, with its 95 % interval: {told}")


def steps_chart(summary: Summary, *, width: int) -> str:
    """Draw accuracy by number of gold steps, a panel per solve over the others; empty where there is too little."""
    lines = {name: drawn_steps(solve.by_steps) for name, solve in by_accuracy(summary).items()}
    lines = {name: line for name, line in lines.items() if len(line) > 1}
    if not lines:
        return ""
    ticks = sorted({bin_.steps for line in lines.values() for bin_ in line})
    with _panels(list(lines), width, shared=True) as (figure, panels):
        for name, axes in panels.items():
            for line in lines.values():
                axes.plot(*_shares(line), color=MUTED, alpha=0.35, linewidth=1.2)
            axes.plot(*_shares(lines[name]), "o-", color=ACCENT, linewidth=2, markersize=5, clip_on=False)
            for bin_ in lines[name]:
                low, high = bin_.interval
                axes.plot([bin_.steps] * 2, [100 * low, 100 * high], color=ACCENT, linewidth=1.2)
            axes.set_xticks(ticks)
            axes.grid(axis="x", visible=False)
            axes.set_ylim(0, _top([bin_.interval[1] for line in lines.values() for bin_ in line]))
        figure.supxlabel("Steps of the gold reasoning", fontsize=12, color=MUTED)
        figure.supylabel("Problems solved (%)", fontsize=12, color=MUTED)
        told = f"Accuracy in percent by number of gold steps, with 95 % intervals, for {', '.join(lines)}"
        return _svg(figure, f"steps-{width}", told)


def training_chart(summary: Summary, *, width: int) -> str:
    """Draw each student's training and validation loss in a panel of its own; empty without training."""
    students = {name: s for name, s in summary.students.items() if s.train_points or s.validation_points}
    if not students:
        return ""
    means = max(math.ceil(len(student.train_points) / MOST_POINTS) for student in students.values())
    with _panels(list(students), width, shared=False) as (figure, panels):
        for name, axes in panels.items():
            student = students[name]
            trained, validated = _columns(_thinned(student.train_points)), _columns(student.validation_points)
            axes.plot(*trained, color=MUTED, linewidth=1.2, label="training")
            axes.plot(*validated, "o-", color=ACCENT, linewidth=1.5, markersize=5, label="validation")
            axes.set_ylim(bottom=0)
            axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(4, integer=True))
            axes.grid(axis="x", visible=False)
        handles, labels = next(iter(panels.values())).get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=2, borderaxespad=0)
        averaged = f" (training: means of up to {means} points)" if means > 1 else ""
        figure.supxlabel(f"Optimiser step{averaged}", fontsize=12, color=MUTED)
        figure.supylabel("Loss (nats per target token)", fontsize=12, color=MUTED)
        told = f"Training and validation loss in nats per target token, by step, of {', '.join(students)}"
        return _svg(figure, f"training-{width}", told)


def funnel_chart(summary: Summary, *, width: int) -> str:
    """Draw how many annotations reached each stage, and above it what stopped the others; empty without any."""
    whole = summary.funnel.asked
    if not whole:
        return ""
    rows = layers(summary.funnel)
    narrow = width < NARROW
    with _figure(width, height=(40 if narrow else 28) * len(rows) + 50) as figure:
        axes = figure.subplots()
        for row, layer in enumerate(rows):
            share = 100 * layer.annotations / whole
            axes.barh(row, share, height=0.3 if layer.lost else 0.55, color=MUTED if layer.lost else ACCENT)
            told = f"{layer.annotations:,}"
            weight = "normal" if layer.lost else "bold"
            axes.text(1.02, row, told, transform=axes.get_yaxis_transform(), va="center", fontweight=weight)
            if narrow:
                above = row - (0.2 if layer.lost else 0.32)
                axes.text(0, above, _short(layer.name), va="bottom", fontsize=11, color=MUTED if layer.lost else INK)
        axes.set_xlim(0, 100)
        axes.set_ylim(len(rows) - 0.5, -0.9 if narrow else -0.5)
        axes.set_yticks(range(len(rows)), [""] * len(rows) if narrow else [_short(layer.name) for layer in rows])
        axes.tick_params(axis="y", length=0, pad=10)
        for label, layer in zip(axes.get_yticklabels(), rows, strict=True):
            label.set_color(MUTED if layer.lost else INK)
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(f"Share of {whole:,} annotations (%)")
        spoken = "; ".join(f"{layer.name} {layer.annotations:,}" for layer in rows)
        return _svg(figure, f"funnel-{width}", f"Annotations: {spoken}")


def drawn_steps(by_steps: Sequence[StepAccuracy]) -> list[StepAccuracy]:
    """Leave out the step counts that have too few problems to say anything."""
    return [bin_ for bin_ in by_steps if bin_.problems >= FEWEST_PROBLEMS]


@contextmanager
def _figure(width: int, *, height: int) -> Iterator[Figure]:
    """Open a figure of so many CSS pixels in the report's style."""
    with matplotlib.rc_context(STYLE):
        yield Figure(figsize=(width / 72, height / 72), dpi=72, layout="constrained")


@contextmanager
def _panels(names: Sequence[str], width: int, *, shared: bool) -> Iterator[tuple[Figure, dict[str, Axes]]]:
    """Open a figure with a titled panel per name, two or three in a row."""
    columns = min(len(names), 2 if width < NARROW else 3)
    rows = math.ceil(len(names) / columns)
    with _figure(width, height=(150 if width < NARROW else 190) * rows + 50) as figure:
        grid: Any = figure.subplots(rows, columns, sharex=shared, sharey=shared, squeeze=False)
        cells: list[Axes] = list(grid.flat)
        for unused in cells[len(names) :]:
            unused.set_visible(False)
        panels = dict(zip(names, cells, strict=False))
        for position, (name, axes) in enumerate(panels.items()):
            axes.set_title(_short(name), fontsize=10 if width < NARROW else 12)
            if position + columns >= len(names):
                axes.tick_params(labelbottom=True)
        yield figure, panels


def _short(name: str) -> str:
    """Cut a name that would leave its chart no room."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def _top(shares: Sequence[float]) -> float:
    """Give the percentage at which an axis that must hold these shares ends."""
    return min(100.0, 10 * math.ceil(10 * max(shares) + 0.1))


def _shares(line: Sequence[StepAccuracy]) -> tuple[list[int], list[float]]:
    return [bin_.steps for bin_ in line], [100 * bin_.correct / bin_.problems for bin_ in line]


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _thinned(points: Sequence[tuple[int, float]]) -> list[tuple[float, float]]:
    """Average neighbours until at most MOST_POINTS are left."""
    size = math.ceil(len(points) / MOST_POINTS) or 1
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]


def _svg(figure: Figure, name: str, told: str) -> str:
    """Write a figure as an SVG element: ids are its own, colours the page's, no size but its view box."""
    written = io.BytesIO()
    figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    root = ElementTree.fromstring(written.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            # Matplotlib's own <style> would style the whole page, and its metadata name its version.
            if child.tag in (f"{{{SVG}}}style", f"{{{SVG}}}metadata"):
                parent.remove(child)
    for element in root.iter():
        for key, value in element.attrib.items():
            element.set(key, _attribute(key, value, name))
    width = root.attrib.pop("width")
    root.attrib.pop("height")
    root.set("style", f"width: {width.removesuffix('pt')}px")
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-title")
    title = ElementTree.Element(f"{{{SVG}}}title", {"id": f"{name}-title"})
    title.text = told
    root.insert(0, title)
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", XLINK)
    return ElementTree.tostring(root, encoding="unicode")


def _attribute(key: str, value: str, name: str) -> str:
    if key == "id":
        return f"{name}-{value}"
    if key == f"{{{XLINK}}}href":
        return value.replace("#", f"#{name}-", 1)
    for colour, css in CSS_COLOURS.items():
        value = value.replace(colour, css)
    return value.replace("url(#", f"url(#{name}-")
