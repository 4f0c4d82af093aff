"""A study's page on made-up findings: what it says and draws, what it does not claim, and that text stays text."""

import io
import re
import warnings
from xml.etree import ElementTree

import pytest
from made_up import HOSTILE, Parts
from made_up_study import FEW, LONG, SIZES, findings, plain_findings
from rich.console import Console

from socratic_distill.reporting.findings import (
    Cell,
    Findings,
    cell_verdict,
    reference_of,
    slices,
    solves_of,
    standing_notes,
)
from socratic_distill.reporting.study_charts import axis_chart, cell_faults_chart, cost_chart, cost_ticks, steps_chart
from socratic_distill.reporting.study_page import MOST_CHARTS, render_study_html, render_study_markdown, study_table


@pytest.fixture(scope="module")
def found() -> Findings:
    return findings(solves=FEW)


@pytest.fixture(scope="module")
def plain() -> Findings:
    return plain_findings()


@pytest.fixture(scope="module")
def page(found: Findings) -> str:
    first, *others = found.cells  # every kind of chart once: drawing takes long
    return render_study_html(found.model_copy(update={"cells": (first, *map(undrawn, others))}))


def undrawn(cell: Cell) -> Cell:
    """Leave out what would be drawn of a cell by itself."""
    solves = {
        name: solve.model_copy(update={"by_steps": (), "faults": {}, "flops_per_problem": 0.0, "train_flops": 0.0})
        for name, solve in cell.solves.items()
    }
    return cell.model_copy(update={"solves": solves})


def texts_of(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("}text")]


def terminal_text(found: Findings) -> str:
    written = io.StringIO()
    Console(width=100, file=written).print(study_table(found))
    return written.getvalue()


def changed(found: Findings, **update: object) -> Findings:
    """Change the first cell alone, and leave no other and nothing to draw."""
    cell = undrawn(found.cells[0]).model_copy(update=update)
    return found.model_copy(update={"cells": (cell,), "axes": (), "contrasts": ()})


def test_the_record_survives_json(found: Findings) -> None:
    assert Findings.model_validate_json(found.model_dump_json()) == found


def test_the_page_needs_no_network_and_no_script_and_its_ids_are_unique(found: Findings, page: str) -> None:
    parts = Parts(page)
    assert len(parts.ids) == len(set(parts.ids))
    assert not {"script", "link", "img", "iframe", "object"} & set(parts.tags)
    policy = next(value for _, value in parts.attributes if value and value.startswith("default-src"))
    assert policy.startswith("default-src 'none'") and "script-src" not in policy
    links = [value or "" for key, value in parts.attributes if key in ("href", "src", "xlink:href")]
    within = [link for link in links if link.startswith("#")]
    assert within and all(link[1:] in parts.ids for link in within)
    assert {link for link in links if link not in within} == {
        f"./{report}" for cell in found.cells for report in cell.reports
    }


def test_the_sentences_of_the_axes_come_first(found: Findings, page: str) -> None:
    first = page.index("At no source can the data tell")
    assert page.index("14 points") < first < page.index("<main>")
    assert page.index("2 more</summary>") < first  # of the first axis


def test_without_axes_the_cell_says_who_did_best(plain: Findings) -> None:
    assert cell_verdict(plain.cells[0]) in render_study_html(plain).replace("\u00a0", " ").replace("<wbr>", "")
    assert "were not compared" in cell_verdict(plain.cells[0])


def test_every_number_stands_in_the_tables(found: Findings, page: str) -> None:
    for text in (page, render_study_markdown(found), terminal_text(found)):
        for cell in found.cells:
            for solve in cell.solves.values():
                low, high = solve.interval
                assert f"{100 * solve.accuracy:.1f} %" in text and f"{100 * low:.1f} to {100 * high:.1f}" in text
    pair = found.cells[0].comparisons[1]
    for text in (page, render_study_markdown(found)):
        assert f"{100 * pair.difference:+.1f}" in text and "sign flips" in text and "not shown" in text
        assert f"{pair.only_a:,}" in text and "Contrasts between cells" in text
        assert "1.8M" in text and "9.6M" in text  # the parameters of the contrast


def test_no_ratio_stands_where_the_baseline_touches_zero(found: Findings) -> None:
    pair = found.cells[0].comparisons[0].model_copy(update={"relative": None, "relative_interval": None})
    without = changed(found, comparisons=(pair,))
    assert "touches zero" in render_study_html(without).split("</main>")[0]
    assert "– (b's interval touches zero)" in render_study_markdown(without)


def test_what_the_sample_cannot_tell_is_a_dash(found: Findings) -> None:
    pair = found.cells[0].comparisons[0].model_copy(update={"smallest": None, "equivalence_p": 0.01})
    page = render_study_html(changed(found, comparisons=(pair,)))
    assert "cannot be told" in page and re.search(r">yes<small>p = 0\.0100", page)


@pytest.mark.parametrize(
    ("seeds", "said", "unsaid"),
    [
        (1, "Students were trained once. With fewer than five seeds nothing is claimed about training again.", "dot"),
        (3, "trained with 3 seeds; each seed is a dot in the charts. With fewer than five seeds nothing", "scatter"),
        (5, "How far the dots scatter is what training again does; no interval or p-value holds it.", "fewer than"),
    ],
)
def test_the_notes_claim_nothing_about_training_again(found: Findings, seeds: int, said: str, unsaid: str) -> None:
    cell = found.cells[0]
    score = cell.solves["cot"].seeds[0]
    solves = {
        name: solve.model_copy(update={"seeds": tuple(score.model_copy(update={"seed": s}) for s in range(seeds))})
        for name, solve in cell.solves.items()
    }
    about = standing_notes(changed(found, solves=solves))[1]
    assert said in about and unsaid not in about


def test_cells_group_into_those_that_differ_along_one_axis_alone(found: Findings) -> None:
    size, source = found.axes
    assert list(slices(found, size)) == ["source human", f"source {LONG}"]
    assert [list(cells) for cells in slices(found, size).values()] == [list(SIZES)] * 2
    assert list(slices(found, source)) == [f"size {size}" for size in SIZES]
    assert {cell.name for cell in slices(found, size)["source human"].values()} == {f"{size}-human" for size in SIZES}


def test_an_oracle_is_drawn_and_never_wins(found: Findings) -> None:
    cell = found.cells[0]
    assert solves_of([cell])[0] == "gold_subquestions"
    assert "gold_subquestions" not in cell_verdict(cell)
    assert reference_of([cell]) == "cot"


def test_a_long_axis_is_logarithmic_with_a_panel_for_each_solve(found: Findings) -> None:
    size = found.axes[0]
    cells = slices(found, size)["source human"]
    chart = axis_chart(size, cells, "a", width=720)
    assert {"912.4k", "3.4M", "9.6M", *found.cells[0].solves, "weights of one student (log scale)"} <= {
        *texts_of(chart)
    }
    near = size.model_copy(update={"x": (800.0, 1600.0, 3200.0), "x_label": "problems"})
    assert {"problems", "3.2k", "1.6k"} <= {*texts_of(axis_chart(near, cells, "a", width=720))}


def test_values_without_an_order_have_a_panel_each(found: Findings) -> None:
    source = found.axes[1]
    cells = slices(found, source)["size tiny"]
    texts = texts_of(axis_chart(source, cells, "a", width=720))
    assert "human" in texts and any(text.startswith("annotations_of") and text.endswith("…") for text in texts)
    assert f"{100 * cells['human'].solves['cot'].accuracy:.1f}" in texts


def test_every_seed_is_a_dot_and_one_seed_alone_is_none(found: Findings) -> None:
    size = found.axes[0]
    cells = slices(found, size)["source human"]
    assert "one seed" in texts_of(axis_chart(size, cells, "a", width=720))
    alone = {value: only_first_seed(cell) for value, cell in cells.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns where a chart has no room
        assert "one seed" not in texts_of(axis_chart(size, alone, "a", width=720))


def only_first_seed(cell: Cell) -> Cell:
    solves = {name: solve.model_copy(update={"seeds": solve.seeds[:1]}) for name, solve in cell.solves.items()}
    return cell.model_copy(update={"solves": solves})


def test_charts_name_themselves_and_tell_their_numbers(found: Findings) -> None:
    cell = found.cells[0]
    size = found.axes[0]
    for width in (720, 340):
        charts = [
            axis_chart(size, slices(found, size)["source human"], "a", width=width),
            steps_chart(cell, "b", width=width),
            cell_faults_chart(cell, "c", width=width),
            cost_chart(found.cells, "d", cost="solving", width=width),
            cost_chart(found.cells, "e", cost="training", width=width),
        ]
        for chart in map(ElementTree.fromstring, charts):
            assert chart[0].tag.endswith("title") and chart[0].text and chart.get("role") == "img"
            assert chart.get("viewBox", "").startswith(f"0 0 {width}")
    cot = cell.solves["cot"]
    assert f"tiny {100 * cot.accuracy:.1f} (" in (ElementTree.fromstring(charts[0])[0].text or "")


def test_a_chart_without_enough_to_draw_is_left_out(plain: Findings) -> None:
    (cell,) = plain.cells
    assert steps_chart(cell, "a", width=720) == cell_faults_chart(cell, "b", width=720) == ""
    assert cost_chart([cell], "c", cost="solving", width=720) == ""
    page = render_study_html(plain)
    for section in ("steps", "cost", "faults", "pairs", "contrasts"):
        assert f'id="{section}"' not in page and f'href="#{section}"' not in page
    assert [line for line in render_study_markdown(plain).splitlines() if line.startswith("## ")] == [
        "## All solves",
        "## Notes",
    ]


def test_an_empty_study_still_renders(found: Findings) -> None:
    nothing = found.model_copy(update={"cells": (), "axes": (), "contrasts": (), "notes": ()})
    assert "size_and_source" in render_study_html(nothing) and "size_and_source" in render_study_markdown(nothing)
    assert terminal_text(nothing)


def test_a_study_of_many_cells_draws_some_and_says_so(found: Findings) -> None:
    cell = undrawn(found.cells[0])
    wrong = {name: solve.model_copy(update={"faults": {"student": 9}}) for name, solve in list(cell.solves.items())[:1]}
    cells = tuple(
        cell.model_copy(update={"name": f"cell{place}", "solves": wrong, "comparisons": ()})
        for place in range(MOST_CHARTS + 2)
    )
    page = render_study_html(found.model_copy(update={"cells": cells, "axes": (), "contrasts": ()}))
    assert page.count("2 more charts would stand here") == 1
    assert f"({MOST_CHARTS - 1} more)</summary>" in page


@pytest.mark.parametrize(
    ("low", "high", "most", "wanted"),
    [
        (1e9, 1e12, 4, [1e9, 1e10, 1e11, 1e12]),
        (1e9, 1e13, 3, [1e10, 1e12]),
        (3e9, 4e9, 3, [3e9]),
        (1.5e9, 6e9, 4, [2e9, 5e9]),
    ],
)
def test_cost_ticks_are_few_and_round(low: float, high: float, most: int, wanted: list[float]) -> None:
    assert cost_ticks(low, high, most=most) == pytest.approx(wanted)


def test_hostile_text_stays_text(found: Findings) -> None:
    cell = found.cells[0]
    solves = {
        f"[red]{HOSTILE}": cell.solves["cot"].model_copy(update={"strategy": HOSTILE, "options": HOSTILE}),
        HOSTILE: cell.solves["socratic_iterative"],
    }
    update = {"name": HOSTILE, "dataset": HOSTILE, "values": {HOSTILE: HOSTILE}, "solves": solves}
    pair = cell.comparisons[0].model_copy(update={"a": HOSTILE, "b": HOSTILE})
    reports = ("javascript:alert(1)", "//elsewhere.example/x", '"><script>alert(2)</script>')
    hostile = changed(found, **update, comparisons=(pair,), reports=reports).model_copy(
        update={"name": HOSTILE, "notes": (HOSTILE,), "seeds": (0,)}
    )
    page = render_study_html(hostile)
    parts = Parts(page)
    assert not {"script", "img"} & set(parts.tags) and "<!--" not in page
    links = [value or "" for key, value in parts.attributes if key == "href" and value and value[0] != "#"]
    assert len(links) == 3 and all(link.startswith("./") and ":" not in link for link in links)
    markdown = render_study_markdown(hostile)
    assert "<script" not in markdown and "<!--" not in markdown and "\u2028" not in markdown
    assert "[red]" in terminal_text(hostile)


def test_markdown_tables_have_a_cell_for_every_column(found: Findings, plain: Findings) -> None:
    for markdown in (render_study_markdown(found), render_study_markdown(plain)):
        for table in re.findall(r"(?:^\|.*\|\n)+", markdown, flags=re.MULTILINE):
            assert len({line.count("|") for line in table.splitlines()}) == 1
            assert re.fullmatch(r"[|:-]+", table.splitlines()[1])
        assert "\n\n\n" not in markdown


def test_the_terminal_has_the_best_of_each_cell_first(found: Findings) -> None:
    lines = [line.split()[0] for line in terminal_text(found).splitlines() if line.startswith("  ") and line.strip()]
    assert lines[: len(found.cells[0].solves) + 1] == [*solves_of(found.cells[:1]), "always"]
