"""The report as a page, as Markdown and as a terminal table.

Model text reaches the page only as JSON that a script reads and writes with textContent: it is never markup.
"""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from socratic_distill.records import Record, Solution, Step, Turn
from socratic_distill.reporting.funnel import MEANINGS, Funnel, layers, spending_words
from socratic_distill.reporting.summary import Summary, by_accuracy, counted, p_words, percent, verdict

MOST_PROBLEMS = 300
WIDE, NARROW = 720, 340
"""Widths in CSS pixels that each chart is drawn for; the page shows the one that fits."""


class SolvedBy(Record):
    """One solve's dialogue on a problem and how it was read."""

    correct: bool
    answer: str
    unreadable: str = ""
    """Why no answer could be read; empty where one was."""
    solution: Solution
    turns: tuple[Turn, ...] = ()


class SolvedProblem(Record):
    """A test problem with all that was made of it."""

    id: str
    question: str
    answer: str
    facts: tuple[str, ...] = ()
    step_count: int | None = None
    gold_steps: tuple[Step, ...] = ()
    by: dict[str, SolvedBy]
    """By the solve's name."""


def render_html(summary: Summary, dialogues: Sequence[SolvedProblem]) -> str:
    """Render the report as one self-contained page; of the dialogues, the first 300 can be read in it."""
    # Matplotlib is slow to import, and only this function draws.
    from socratic_distill.reporting.charts import (
        FEWEST_PROBLEMS,
        accuracy_chart,
        funnel_chart,
        steps_chart,
        training_chart,
    )

    embedded = dialogues[:MOST_PROBLEMS]
    charts = {
        name: [Markup(draw(summary, width=width)) for width in (WIDE, NARROW)]  # our own SVG, its text escaped
        for name, draw in {
            "accuracy": accuracy_chart,
            "steps": steps_chart,
            "training": training_chart,
            "funnel": funnel_chart,
        }.items()
    }
    pages = _pages()
    script = Markup(pages.get_template("report.js.jinja").render())
    return pages.get_template("report.html.jinja").render(
        **_shown(summary),
        charts=charts,
        fewest_problems=FEWEST_PROBLEMS,
        dialogues={"solves": list(by_accuracy(summary)), "problems": [row.model_dump(mode="json") for row in embedded]},
        embedded=len(embedded),
        solved=len(dialogues),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def render_markdown(summary: Summary) -> str:
    """Render the report's sentence, tables and notes as Markdown."""
    return _pages().get_template("report.md.jinja").render(**_shown(summary))


def terminal_table(summary: Summary) -> Table:
    """Lay the solves out for a terminal of 80 columns, the most accurate first and the constant answer last."""
    table = Table(
        title=Text(summary.name),
        title_justify="left",
        caption=Text(verdict(summary)),
        caption_justify="left",
        box=SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("solve", no_wrap=True)
    for column in ("solved", "accuracy", "interval", "unread", "tokens", "seconds"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, solve in by_accuracy(summary).items():
        table.add_row(
            Text(name),
            f"{solve.correct:,}/{solve.problems:,}",
            percent(solve.accuracy),
            _interval(solve.interval),
            f"{solve.unreadable:,}",
            f"{solve.tokens_per_problem:,.0f}",
            f"{solve.seconds_per_problem:.2f}",
        )
    constant = summary.constant
    table.add_section()
    table.add_row(
        Text(f"always '{constant.answer}'"),
        f"{constant.correct:,}/{constant.problems:,}",
        percent(constant.accuracy),
        _interval(constant.interval),
        *["–"] * 3,
    )
    return table


def funnel_table(funnel: Funnel) -> Table:
    """Lay the annotations' funnel out for a terminal; what stopped some of them is indented."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), caption_justify="left")
    table.add_column("annotations", no_wrap=True)
    for column in ("number", "share"):
        table.add_column(column, justify="right", no_wrap=True)
    for layer in layers(funnel):
        name = f"  {layer.name}" if layer.lost else layer.name
        table.add_row(Text(name), f"{layer.annotations:,}", _share(layer.annotations, funnel.asked))
    if cost := spending_words(funnel):
        table.caption = Text(f"cost: {cost}")
    return table


def magnitude(number: int) -> str:
    """Write a large count short: 134.5M."""
    for size, letter in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.1f}{letter}"
    return str(number)


def _pages() -> Environment:
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
        "share": _share,
        "p_short": lambda p: p_words(p).removeprefix("= "),
        "interval": _interval,
        "magnitude": magnitude,
        "thousands": lambda number: f"{number:,}",
        "counted": counted,
        "duration": _duration,
        "words": lambda reason: reason.replace("_", " "),
        "breakable": lambda name: escape(name).replace("_", Markup("_<wbr>")),
        "md": _markdown_text,
    }
    return pages


def _shown(summary: Summary) -> dict[str, object]:
    """Name what both templates show."""
    return {
        "summary": summary,
        "verdict": verdict(summary),
        "solves": by_accuracy(summary),
        "layers": layers(summary.funnel),
        "meanings": MEANINGS,
        "cost": spending_words(summary.funnel),
        "step_counts": sorted({bin_.steps for solve in summary.solves.values() for bin_ in solve.by_steps}),
    }


def _share(part: int, whole: int) -> str:
    return percent(part / whole) if whole else "–"


def _interval(interval: tuple[float, float]) -> str:
    low, high = interval
    return f"{100 * low:.1f} to {100 * high:.1f}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _markdown_text(text: object) -> Markup:
    """Keep text from being read as HTML, as a table's edge or as a new line; what is harmless stays legible."""
    kept = str(escape(str(text))).replace("&#39;", "'").replace("&#34;", '"').replace("&lt; ", "< ")
    return Markup(" ".join(kept.replace("|", "\\|").split()))
