"""The templates of all pages, with escaping on, and how numbers are written in them."""

import math
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from socratic_distill.reporting.summary import counted, p_words, percent

WIDE, NARROW = 720, 340
"""Widths in CSS pixels that each chart is drawn for; the page shows the one that fits."""


def rendered(template: str, **shown: object) -> str:
    """Render a template of this folder."""
    return _environment().get_template(template).render(**shown)


def magnitude(number: float) -> str:
    """Write a large count short: 134.5M."""
    for size, letter in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.1f}{letter}"
    return f"{number:.0f}"


def operations(number: float) -> str:
    """Write a number of floating point operations with two digits that say something: 31 GFLOP."""
    if number <= 0:
        return "–"
    thousands = min(int(math.log10(number) // 3), len(PREFIXES) - 1) if number >= 1 else 0
    value = number / 1000**thousands
    return f"{value:.0f} {PREFIXES[thousands]}FLOP" if value >= 9.95 else f"{value:.1f} {PREFIXES[thousands]}FLOP"


PREFIXES = ("", "k", "M", "G", "T", "P", "E", "Z")


def interval(bounds: tuple[float, float]) -> str:
    """Write an interval of shares in percent: 30.9 to 48.1."""
    low, high = bounds
    return f"{100 * low:.1f} to {100 * high:.1f}"


def share(part: int, whole: int) -> str:
    """Write a part as a percentage of the whole, a dash where there is none."""
    return percent(part / whole) if whole else "–"


def duration(seconds: float) -> str:
    """Write seconds in the unit that fits."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _environment() -> Environment:
    pages = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    pages.filters |= {
        "percent": percent,
        "share": share,
        "part_of": _part_of,
        "p_short": lambda p: p_words(p).removeprefix("= "),
        "interval": interval,
        "interval_whole": lambda bounds: f"{100 * bounds[0]:+.0f} to {100 * bounds[1]:+.0f}",
        "p_words": p_words,
        "magnitude": magnitude,
        "operations": operations,
        "points": lambda difference: f"{100 * difference:+.1f}",
        "thousands": lambda number: f"{number:,}",
        "counted": counted,
        "duration": duration,
        "words": lambda reason: reason.replace("_", " "),
        "breakable": lambda name: escape(name).replace("_", Markup("_<wbr>")).replace("/", Markup("/<wbr>")),
        "spaced": lambda text: text.replace(" %", "\u00a0%").replace("p = ", "p\u00a0=\u00a0"),
        "below": lambda path: f"./{quote(path)}",  # a link within the page's own folder, whatever the text
        "md": _markdown_text,
    }
    return pages


def _part_of(part: int | None, whole: int) -> Markup:
    """Write a part of a whole as a percentage with the counts below it; a dash where there is none."""
    if part is None or not whole:
        return Markup("–")
    return Markup("{}<small>{:,} of {:,}</small>").format(share(part, whole), part, whole)


def _markdown_text(text: object) -> Markup:
    """Keep text from being read as HTML, as a table's edge or as a new line; what is harmless stays legible."""
    kept = str(escape(str(text))).replace("&#39;", "'").replace("&#34;", '"').replace("&lt; ", "< ")
    return Markup(" ".join(kept.replace("|", "\\|").split()))
