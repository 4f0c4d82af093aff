"""The report as a page, as Markdown and as a terminal table.

Model text reaches the page only as JSON that a script reads and writes with textContent: it is never markup.
"""

import base64
import hashlib
from collections.abc import Sequence
from functools import partial

from markupsafe import Markup
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from socratic_distill.records import Record, Solution, Step, Turn
from socratic_distill.reporting.faults import FAULTS, kinds_of
from socratic_distill.reporting.funnel import MEANINGS, Funnel, layers, spending_words
from socratic_distill.reporting.summary import Summary, by_accuracy, percent, set_apart, verdict
from socratic_distill.reporting.templates import NARROW, WIDE, interval, rendered, share

MOST_PROBLEMS = 300


class SolvedBy(Record):
    """One solve's dialogue on a problem and how it was read."""

    correct: bool
    answer: str
    unreadable: str = ""
    """Why no answer could be read; empty where one was."""
    fault: str = ""
    """Where a wrong solution went wrong; empty where it is right or was not looked into."""
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
        faults_chart,
        funnel_chart,
        steps_chart,
        training_chart,
    )

    embedded = dialogues[:MOST_PROBLEMS]
    faults = {name: (solve.faults, solve.problems) for name, solve in by_accuracy(summary).items()}
    draw = {
        "accuracy": partial(accuracy_chart, summary),
        "steps": partial(steps_chart, summary),
        "faults": partial(faults_chart, faults),
        "training": partial(training_chart, summary),
        "funnel": partial(funnel_chart, summary),
    }
    charts = {
        name: [Markup(chart(width=width)) for width in (WIDE, NARROW)]  # our own SVG, its text escaped
        for name, chart in draw.items()
    }
    script = Markup(rendered("report.js.jinja"))
    return rendered(
        "report.html.jinja",
        **_shown(summary),
        results="solves",
        charts=charts,
        fewest_problems=FEWEST_PROBLEMS,
        dialogues={
            "solves": list(by_accuracy(summary)),
            "problems": [row.model_dump(mode="json") for row in embedded],
            "faults": FAULTS,
        },
        embedded=len(embedded),
        solved=len(dialogues),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() if embedded else "",
    )


def render_markdown(summary: Summary) -> str:
    """Render the report's sentence, tables and notes as Markdown."""
    return rendered("report.md.jinja", **_shown(summary))


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
    table.add_column("solve", overflow="fold")
    for column in ("solved", "accuracy", "interval", "unread", "tokens", "seconds"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, solve in by_accuracy(summary).items():
        apart = set_apart(solve)
        table.add_row(
            Text(name).append(f"\n  {apart}" if apart else "", style="dim"),
            f"{solve.correct:,}/{solve.problems:,}",
            percent(solve.accuracy),
            interval(solve.interval),
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
        interval(constant.interval),
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
        table.add_row(Text(name), f"{layer.annotations:,}", share(layer.annotations, funnel.asked))
    if cost := spending_words(funnel):
        table.caption = Text(f"cost: {cost}")
    return table


def _shown(summary: Summary) -> dict[str, object]:
    """Name what both templates show."""
    return {
        "summary": summary,
        "verdict": verdict(summary),
        "solves": by_accuracy(summary),
        "layers": layers(summary.funnel),
        "meanings": MEANINGS,
        "apart": {name: set_apart(solve) for name, solve in summary.solves.items()},
        "fault_kinds": kinds_of(solve.faults for solve in summary.solves.values()),
        "fault_words": FAULTS,
        "asking": {name: solve.quality for name, solve in by_accuracy(summary).items() if solve.quality},
        "placed": {name: solve.by_place for name, solve in by_accuracy(summary).items() if solve.by_place},
        "cost": spending_words(summary.funnel),
        "step_counts": sorted({bin_.steps for solve in summary.solves.values() for bin_ in solve.by_steps}),
    }
