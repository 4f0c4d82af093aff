"""What all charts share: figures in the pages' style, panels, and inline SVG whose colours are the page's variables.

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

LONGEST_NAME = 30
"""Characters; longer names are cut, in charts only."""

# Matplotlib knows no CSS variables: each colour stands in for one, with what it is outside of the page.
INK, MUTED, GRID, ACCENT, PAPER = "#0a0a01", "#0a0a02", "#0a0a03", "#0a0a04", "#0a0a05"
AMBER, PURPLE, RUST, GREEN = "#0a0a06", "#0a0a07", "#0a0a08", "#0a0a09"
CSS_COLOURS = {
    INK: "currentColor",
    MUTED: "var(--muted, #5d6570)",
    GRID: "var(--grid, #d5d8dc)",
    ACCENT: "var(--accent, #0b62a4)",
    PAPER: "var(--paper, #ffffff)",
    AMBER: "var(--unreadable, #7a5a00)",
    PURPLE: "var(--purple, #6a4ba8)",
    RUST: "var(--wrong, #ad3a0a)",
    GREEN: "var(--right, #0a6e55)",
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

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"


@contextmanager
def figure(width: int, *, height: float) -> Iterator[Figure]:
    """Open a figure of so many CSS pixels in the pages' style."""
    with matplotlib.rc_context(STYLE):
        yield Figure(figsize=(width / 72, height / 72), dpi=72, layout="constrained")


@contextmanager
def panels(
    names: Sequence[str], width: int, *, shared: bool, above: int = 0
) -> Iterator[tuple[Figure, dict[str, Axes]]]:
    """Open a figure with a titled panel per name, two or three in a row; `above` is room for a legend."""
    narrow = is_narrow(width)
    columns = min(len(names), 2 if narrow else 3)
    rows = math.ceil(len(names) / columns)
    with figure(width, height=(150 if narrow else 190) * rows + 50 + above) as drawn:
        grid: Any = drawn.subplots(rows, columns, sharex=shared, sharey=shared, squeeze=False)
        cells: list[Axes] = list(grid.flat)
        for unused in cells[len(names) :]:
            unused.set_visible(False)
        by_name = dict(zip(names, cells, strict=False))
        for position, (name, axes) in enumerate(by_name.items()):
            axes.set_title(short(name, 18 if narrow else LONGEST_NAME), fontsize=10 if narrow else 12)
            if position + columns >= len(names):
                axes.tick_params(labelbottom=True)
        yield drawn, by_name


def rows_of(axes: Axes, names: Sequence[str], *, narrow: bool) -> None:
    """Give horizontal rows their names, from the top; where it is narrow the caller writes them above the rows."""
    axes.set_ylim(len(names) - 0.5, -0.9 if narrow else -0.5)
    axes.set_yticks(range(len(names)), [""] * len(names) if narrow else [short(name) for name in names])
    axes.tick_params(axis="y", labelcolor=INK, length=0, pad=10)
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)


def label_axes(drawn: Figure, *, x: str, y: str) -> None:
    """Write what the panels of a figure share on their axes."""
    drawn.supxlabel(x, fontsize=12, color=MUTED)
    drawn.supylabel(y, fontsize=12, color=MUTED)


def is_narrow(width: int) -> bool:
    """Tell whether a chart is drawn for a telephone."""
    return width < 500


def short(name: str, longest: int = LONGEST_NAME) -> str:
    """Cut a name that would leave its chart no room."""
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def top(shares: Sequence[float]) -> float:
    """Give the percentage at which an axis that must hold these shares ends."""
    return min(100.0, 10 * math.ceil(10 * max(shares) + 0.1))


def svg(drawn: Figure, name: str, told: str) -> str:
    """Write a figure as an SVG element: ids are its own, colours the page's, no size but its view box."""
    written = io.BytesIO()
    drawn.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
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
