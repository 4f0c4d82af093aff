"""The report on a made-up run: what its sentence, page and tables say, and that model text stays text."""

import io
import json
import re
from xml.etree import ElementTree

import pytest
from made_up import HOSTILE, OVERLAP, Parts, dialogue, drawn_outcomes, made_up
from rich.console import Console

from socratic_distill.reporting.charts import (
    accuracy_chart,
    faults_chart,
    funnel_chart,
    steps_chart,
    training_chart,
)
from socratic_distill.reporting.funnel import Funnel
from socratic_distill.reporting.page import SolvedProblem, render_html, render_markdown, terminal_table
from socratic_distill.reporting.summary import Constant, Summary, p_words, points, set_apart, verdict
from socratic_distill.reporting.templates import magnitude, operations


@pytest.fixture(scope="module")
def outcomes() -> dict[str, list[bool]]:
    return drawn_outcomes()


@pytest.fixture(scope="module")
def summary(outcomes: dict[str, list[bool]]) -> Summary:
    return made_up(outcomes, [1 + index % 6 for index in range(199)] + [8])


@pytest.fixture(scope="module")
def dialogues(outcomes: dict[str, list[bool]]) -> list[SolvedProblem]:
    return [dialogue(i, right={name: right[i] for name, right in outcomes.items()}) for i in range(200)]


@pytest.fixture(scope="module")
def page(summary: Summary, dialogues: list[SolvedProblem]) -> str:
    return render_html(summary, dialogues)


def terminal_text(summary: Summary) -> str:
    written = io.StringIO()
    Console(width=140, file=written).print(terminal_table(summary))
    return written.getvalue()


def test_the_sentence_says_who_won_by_how_much_and_how_sure_that_is() -> None:
    right = {"answer_only": [True] * 31 + [False] * 69, "socratic_iterative": [True] * 62 + [False] * 38}
    assert verdict(made_up(right, [1] * 100)) == (
        "socratic_iterative solved 62 of 100, answer_only 31: 31 points more "
        "(95 % interval 22 to 40, Holm-adjusted p < 0.001)."
    )


def test_the_sentence_admits_that_the_data_cannot_tell_the_best_two_apart() -> None:
    assert verdict(made_up({"cot": [True, False, False] * 20, "answer_only": [False, True, False] * 20}, [1] * 60)) == (
        "The data cannot tell the best two apart: cot solved 20 of 60, answer_only 20: as many "
        "(95 % interval -20 to 20, Holm-adjusted p = 1.00)."
    )


def test_the_sentence_says_what_does_not_beat_the_constant_answer(outcomes: dict[str, list[bool]]) -> None:
    summary = made_up(outcomes, [1] * 200)
    high = summary.model_copy(
        update={"constant": Constant(answer="no", accuracy=0.45, correct=90, problems=200, interval=(0.38, 0.52))}
    )
    assert verdict(high).endswith("answer_only does not beat always answering 'no' (90 of 200).")
    higher = summary.model_copy(
        update={"constant": Constant(answer="no", accuracy=0.95, correct=190, problems=200, interval=(0.91, 0.97))}
    )
    assert verdict(higher).endswith("None beats always answering 'no' (190 of 200).")


def test_the_sentence_names_an_untrained_solve_that_did_better() -> None:
    right = {"cot": [True] * 20 + [False] * 80, "untrained": [True] * 50 + [False] * 50}
    told = verdict(made_up(right, [1] * 100))
    assert told.startswith("cot solved 20 of 100 (95 % interval")
    assert told.endswith("Without training, untrained solved more: 50 of 100.")


def test_the_sentence_of_an_empty_run_compares_nothing() -> None:
    assert "nothing to compare" in verdict(made_up({}, []))
    assert "nothing to compare" in verdict(made_up({"cot": [], "answer_only": []}, []))


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        (points(0.31), "31"),
        (points(-0.0004), "0"),
        (points(-0.125), "-12.5"),
        (p_words(0.0496), "= 0.0496"),
        (p_words(0.0009), "< 0.001"),
        (p_words(0.42), "= 0.42"),
        (magnitude(134_515_008), "134.5M"),
        (magnitude(812), "812"),
        (operations(31.4e9), "31 GFLOP"),
        (operations(2.5e12), "2.5 TFLOP"),
        (operations(0), "–"),
    ],
)
def test_numbers_are_written_without_saying_more_or_less_than_they_are(written: str, wanted: str) -> None:
    assert written == wanted


def test_the_summary_survives_json_and_has_the_promised_keys(summary: Summary) -> None:
    written = summary.model_dump_json()
    assert Summary.model_validate_json(written) == summary
    rows = json.loads(written)
    assert {"accuracy", "correct", "problems", "interval", "unreadable"} <= rows["solves"]["cot"].keys()
    assert {"a", "b", "difference", "interval", "p_value", "p_adjusted"} <= rows["comparisons"][0].keys()


def test_the_page_needs_no_network_and_its_ids_are_unique(summary: Summary, page: str) -> None:
    parts = Parts(page)
    assert len(parts.ids) == len(set(parts.ids))
    assert not {"link", "img", "iframe", "object"} & set(parts.tags)
    links = [value or "" for key, value in parts.attributes if key in ("href", "src", "xlink:href")]
    assert links and all(link.startswith("#") and link[1:] in parts.ids for link in links)
    assert "url(http" not in page and "@import" not in page
    for name, solve in summary.solves.items():
        assert name in page and f"{100 * solve.accuracy:.1f}" in page
    for number in (
        "Only the first",
        "Holm-adjusted",
        "rationale disagrees",
        "rejected: answer",
        "A problem of one",
    ):
        assert number in page


def test_the_page_is_the_same_each_time(summary: Summary, dialogues: list[SolvedProblem], page: str) -> None:
    assert render_html(summary, dialogues) == page


def test_hostile_model_text_stays_text(summary: Summary) -> None:
    hostile = dialogue(1, right={"cot": False, "answer_only": True}, text=HOSTILE)
    page = render_html(summary, [hostile])
    parts = Parts(page)
    assert parts.tags.count("script") == 2 and "img" not in parts.tags
    assert "alert(1)</script>" not in page and "<!--" not in page and "\u2028" not in page
    assert json.loads(parts.scripts[0])["problems"] == [hostile.model_dump(mode="json")]
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", page)


def test_hostile_names_and_notes_stay_text(summary: Summary) -> None:
    update = {
        "name": HOSTILE,
        "notes": (HOSTILE,),
        "remarks": {HOSTILE: 1},
        "solves": {
            f"$x^2$ {HOSTILE}": summary.solves["cot"],
            "[red]cot": summary.solves["cot"].model_copy(update={"prompted": HOSTILE}),
        },
        "comparisons": (),
        "students": {HOSTILE: summary.students["solver"]},
        "constant": summary.constant.model_copy(update={"answer": HOSTILE}),
        "overlap": OVERLAP.model_copy(update={"examples": ((HOSTILE, HOSTILE),)}),
    }
    hostile = summary.model_copy(update=update)
    page = render_html(hostile, [])
    assert "script" not in Parts(page).tags and "img" not in Parts(page).tags
    markdown = render_markdown(hostile)
    assert "<script" not in markdown and "<!--" not in markdown and "\u2028" not in markdown
    assert "[red]cot" in terminal_text(hostile)


def test_only_the_page_s_own_script_may_run(page: str) -> None:
    policy = next(value for key, value in Parts(page).attributes if value and value.startswith("default-src"))
    assert "default-src 'none'" in policy and re.search(r"script-src 'sha256-[\w+/]{43}='$", policy)


def test_a_long_run_is_cut_and_says_so(summary: Summary) -> None:
    many = [dialogue(index, right={"cot": True}) for index in range(301)]
    page = render_html(summary, many)
    assert "The first 300 of 301 test problems" in page
    assert len(json.loads(Parts(page).scripts[0])["problems"]) == 300
    assert "All 300 test problems" in render_html(summary, many[:300])


def test_charts_keep_text_as_text_and_name_themselves(summary: Summary) -> None:
    for draw in (accuracy_chart, steps_chart, training_chart, funnel_chart):
        for width in (720, 340):
            chart = ElementTree.fromstring(draw(summary, width=width))
            assert chart[0].tag.endswith("title") and chart[0].text and chart.get("role") == "img"
            assert chart.get("viewBox", "").startswith(f"0 0 {width}")
            assert any(element.tag.endswith("}text") for element in chart.iter())
            assert not any(element.tag.endswith("}style") for element in chart.iter())
    assert "always '12'" in accuracy_chart(summary, width=720)


def test_a_chart_without_enough_to_draw_is_left_out(summary: Summary) -> None:
    nothing = {"by_steps": (), "faults": {}, "quality": None, "by_place": ()}
    unknown = {name: solve.model_copy(update=nothing) for name, solve in summary.solves.items()}
    update = {"solves": unknown, "students": {}, "comparisons": (), "notes": (), "remarks": {}, "overlap": None}
    bare = summary.model_copy(update=update)
    assert steps_chart(bare, width=720) == training_chart(bare, width=720) == faults_chart({}, width=720) == ""
    page = render_html(bare, [])
    for section in ("steps", "training", "problems", "faults", "subquestions", "overlap"):
        assert f'id="{section}"' not in page and f'href="#{section}"' not in page
    assert render_markdown(bare).count("## ") == 2


def test_step_counts_with_too_few_problems_are_tabled_but_not_drawn(summary: Summary) -> None:
    chart = ElementTree.fromstring(steps_chart(summary, width=720))
    drawn = {element.text for element in chart.iter() if element.tag.endswith("}text")}
    assert "6" in drawn and "8" not in drawn
    assert "\n| 8 | " in render_markdown(summary)


def test_a_run_without_a_single_solved_problem_still_renders() -> None:
    for empty in (made_up({}, []), made_up({"cot": [], "answer_only": []}, [])):
        nothing = empty.model_copy(
            update={
                "constant": Constant(answer="", accuracy=0, correct=0, problems=0, interval=(0, 1)),
                "funnel": Funnel(source="teacher"),
                "students": {},
            }
        )
        assert "nothing to compare" in render_html(nothing, [])
        assert "nothing to compare" in render_markdown(nothing)
        assert terminal_text(nothing)


def test_markdown_tables_have_a_cell_for_every_column(summary: Summary) -> None:
    markdown = render_markdown(summary)
    assert verdict(summary) in markdown and "&#39;" not in markdown
    for table in re.findall(r"(?:^\|.*\|\n)+", markdown, flags=re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1
        assert re.fullmatch(r"[|:-]+", table.splitlines()[1])
    assert "\n\n\n" not in markdown


def test_the_terminal_table_has_the_best_first_and_the_constant_last(summary: Summary) -> None:
    lines = terminal_text(summary).splitlines()
    names = [*summary.solves, "always '12'"]
    found = [name for line in lines for name in names if line.startswith(f"{name} ") and "/" in line]
    assert found == ["socratic_iterative", "socratic_planned", "cot", "answer_only", "untrained", "always '12'"]


def test_faults_stand_in_a_chart_in_the_tables_and_beside_the_problem(summary: Summary, page: str) -> None:
    markdown = render_markdown(summary)
    counted = sum(summary.solves["cot"].faults.values())
    assert counted == summary.solves["cot"].problems - summary.solves["cot"].correct
    faults = {name: (solve.faults, solve.problems) for name, solve in summary.solves.items()}
    told = ElementTree.fromstring(faults_chart(faults, width=720))[0].text or ""
    assert f"cot: reading {summary.solves['cot'].faults['reading']}" in told and "decomposer" in told
    assert 'id="faults"' in page and "its solver is right once it is given the gold subquestions" in page
    assert "## Where it goes wrong" in markdown
    wrong = dialogue(1, right={"cot": False})
    by = {"cot": wrong.by["cot"].model_copy(update={"fault": "arithmetic"})}
    shown = json.loads(Parts(render_html(summary, [wrong.model_copy(update={"by": by})])).scripts[0])
    assert shown["problems"][0]["by"]["cot"]["fault"] == "arithmetic" and "arithmetic" in shown["faults"]


def test_subquestions_and_steps_are_held_against_gold_and_what_was_not_computed_says_so(
    summary: Summary, page: str
) -> None:
    for text in (page, render_markdown(summary)):
        assert "not computed" in text and "0.913" in text and "made-up-encoder" in text
        assert "Step by step" in text and "88.0 %" in text  # 176 of 200 asked on at the first place


def test_overlap_is_told_as_written_and_with_numbers_masked(summary: Summary, page: str) -> None:
    assert re.search(r"same as a training question</th><td[^>]*>0.5 %<small>1 of 200", page)
    assert "| the same as a training question | 1 | 48 |" in render_markdown(summary)


def test_what_sets_a_solve_apart_stands_beside_its_name_in_every_table(summary: Summary) -> None:
    apart = {"oracle": "subquestions", "prompted": "big-teacher", "options": "8 samples, up to 3 retries"}
    told = "prompted big-teacher, gold subquestions, 8 samples, up to 3 retries"
    changed = summary.solves["socratic_planned"].model_copy(update=apart)
    assert set_apart(changed) == told
    shown = summary.model_copy(update={"solves": {**summary.solves, "socratic_planned": changed}})
    assert told in render_html(shown, []) and told in render_markdown(shown) and told in terminal_text(shown)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, ""),
        ({"guidance": "steps"}, "guided by the number of steps"),
        ({"guidance": "equations", "oracle": "guidance"}, "gold equations"),
        ({"oracle": "history", "facts": "gold"}, "all that goes before is gold, gold facts"),
    ],
)
def test_guidance_and_oracles_are_told_in_words(summary: Summary, fields: dict[str, str], told: str) -> None:
    assert set_apart(summary.solves["socratic_iterative"].model_copy(update=fields)) == told
