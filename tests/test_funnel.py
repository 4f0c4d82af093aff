"""The annotations' funnel: what it counts, says, draws and costs."""

import io
import re
from typing import get_args
from xml.etree import ElementTree

import pytest
from rich.console import Console

from socratic_distill.recipe import CheckName
from socratic_distill.reporting.charts import funnel_chart
from socratic_distill.reporting.funnel import (
    MEANINGS,
    UNANSWERED,
    Funnel,
    funnel_line,
    layers,
    read_spending,
    spending_words,
)
from socratic_distill.reporting.page import funnel_table, render_html, render_markdown
from socratic_distill.reporting.summary import Constant, ProblemCounts, Summary


def funnel(**changed: object) -> Funnel:
    counts = {"asked": 100, "answered": 96, "readable": 90, "consistent": 70, "kept": 60}
    lost = {"answer": 20, "near_duplicate": 7, "no_answer": 6, "failed": 4, "arithmetic": 3}
    return Funnel.model_validate({"source": "teacher", **counts, "reasons": lost, "marks": {"cut": 2}, **changed})


def test_every_reason_stands_above_the_stage_that_it_keeps_from() -> None:
    assert [(layer.name, layer.annotations) for layer in layers(funnel())] == [
        ("asked", 100),
        ("unanswered: failed", 4),
        ("answered", 96),
        ("unreadable: no answer", 6),
        ("readable", 90),
        ("rejected: answer", 20),
        ("consistent", 70),
        ("left out: near duplicate", 7),
        ("rejected: arithmetic", 3),
        ("kept", 60),
    ]
    human = Funnel(source="human", asked=5, answered=5, readable=5, consistent=4, kept=4, reasons={"answer": 1})
    assert [layer.name for layer in layers(human)] == ["written", "rejected: answer", "kept"]


def test_every_reason_of_ours_has_a_meaning() -> None:
    assert {*get_args(CheckName), *UNANSWERED, "near_duplicate", "not_chosen"} == set(MEANINGS)


def test_the_funnel_is_said_in_a_line() -> None:
    assert funnel_line(funnel(reasons={"answer": 30, "failed": 10})) == (
        "kept 60 of 100 annotations (96 answered, 90 readable, 70 consistent); not kept: answer 30, failed 10"
    )
    human = Funnel(source="human", asked=5, answered=5, readable=5, consistent=5, kept=5)
    assert funnel_line(human) == "kept 5 of 5 annotations"


@pytest.mark.parametrize(
    ("spending", "said"),
    [
        ({}, ""),
        ({"usd": 0.0, "requests": 1, "cached_tokens": 0}, "1 request"),
        (
            {"usd": 1.2, "unknown_usd": 0.05, "requests": 1200, "input_tokens": 340_000},
            "$1.20, $0.02 for each that is kept; at most $0.05 more for requests whose end is unknown;"
            " 1,200 requests; 340,000 input tokens",
        ),
        ({"usd": 0.003, "unknown_usd": 0.0}, "$0.003, less than $0.0001 for each that is kept"),
    ],
)
def test_what_annotations_cost_is_said_where_it_is_known(spending: dict[str, float], said: str) -> None:
    assert spending_words(funnel(spending=spending)) == said


def test_a_manifest_s_spending_is_read_whatever_it_lacks() -> None:
    assert read_spending({}) == read_spending({"spending": None}) == {}
    odd = {"usd": 1.5, "requests": 2, "note": "x", "unknown_usd": None, "done": True}
    assert read_spending({"spending": odd}) == {"usd": 1.5, "requests": 2}


def summary(**changed: object) -> Summary:
    """A run that has solved nothing yet."""
    return Summary(
        name="own",
        dataset="files",
        created="2025-01-31",
        version="0.1.0",
        solves={},
        constant=Constant(answer="", accuracy=0, correct=0, problems=0, interval=(0, 1)),
        comparisons=(),
        students={},
        problems=ProblemCounts(train=25, validation=0, test=0),
        funnel=funnel(**changed),
        remarks={},
        notes=(),
    )


HUMAN = {"source": "human", "reasons": {"answer": 40}, "marks": {}}


def test_the_page_and_the_text_tell_each_stage_and_each_reason() -> None:
    for text in (render_html(summary(), []), render_markdown(summary())):
        for name in ("unanswered: failed", "unreadable: no answer", "left out: near duplicate", "the text is cut"):
            assert name in text
        assert "Cost:" not in text and "Without gold answers" not in text
    told = summary(majority=0.625, spending={"usd": 4.82, "requests": 120})
    for text in (render_html(told, []), render_markdown(told)):
        assert "Cost: $4.82, $0.08 for each that is kept; 120 requests." in text
        assert "62.5 % agree with the most frequent answer" in text
    assert "| kept | 60 | 60.0 % |" in render_markdown(told)
    human = render_html(summary(**HUMAN), [])
    assert "written" in human and ">readable<" not in human and "Kept, though" not in human
    assert ">readable<" in render_html(summary(), [])


def test_markdown_has_one_blank_line_between_its_parts() -> None:
    for one in (summary(), summary(**HUMAN), summary(majority=0.5, spending={"usd": 1.0}), summary(asked=0)):
        for noted in (one, one.model_copy(update={"notes": ("So.",), "remarks": {"odd": 1}})):
            assert "\n\n\n" not in render_markdown(noted) and render_markdown(noted).endswith("\n")


def test_hostile_reasons_stay_text() -> None:
    hostile = "</script><img src=x onerror=alert(1)>"
    odd = summary(reasons={hostile: 1}, marks={hostile: 1}, spending={hostile: 1.0})
    assert "<img" not in render_html(odd, []) and "<img" not in render_markdown(odd)


def test_the_terminal_lays_the_funnel_out() -> None:
    written = io.StringIO()
    Console(width=80, file=written).print(funnel_table(funnel(spending={"usd": 4.82})))
    lines = [line.split() for line in written.getvalue().splitlines()]
    assert ["asked", "100", "100.0", "%"] in lines and ["rejected:", "answer", "20", "20.0", "%"] in lines
    assert "cost: $4.82" in written.getvalue()


@pytest.mark.parametrize("width", [720, 340])
def test_a_bar_of_the_funnel_is_as_long_as_its_share(width: int) -> None:
    chart = ElementTree.fromstring(funnel_chart(summary(), width=width))
    assert {"asked", "readable", "60", "rejected: answer"} <= {element.text for element in chart.iter()}
    bars = []
    for group in chart.iter():
        if (group.get("id") or "").startswith(f"funnel-{width}-patch_"):
            for path in group:
                if path.get("clip-path"):
                    places = [float(place) for place in re.findall(r"[ML] ([\d.]+) ", path.get("d", ""))]
                    bars.append(max(places) - min(places))
    assert [bar / bars[0] for bar in bars] == pytest.approx([layer.annotations / 100 for layer in layers(funnel())])


def test_a_funnel_of_nothing_is_not_drawn() -> None:
    nothing = summary().model_copy(update={"funnel": Funnel(source="teacher")})
    assert funnel_chart(nothing, width=720) == ""
    assert "asked" in render_html(nothing, []) and "| asked | 0 | – |" in render_markdown(nothing)
