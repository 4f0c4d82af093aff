"""The report on a made-up run: what its sentence, page and tables say, and that model text stays text."""

import io
import json
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.console import Console

from socratic_distill.records import Solution, Step, Turn
from socratic_distill.reporting.charts import accuracy_chart, funnel_chart, steps_chart, training_chart
from socratic_distill.reporting.funnel import Funnel
from socratic_distill.reporting.page import (
    SolvedBy,
    SolvedProblem,
    magnitude,
    render_html,
    render_markdown,
    terminal_table,
)
from socratic_distill.reporting.summary import (
    Constant,
    ProblemCounts,
    SolveSummary,
    StepAccuracy,
    StudentSummary,
    Summary,
    p_words,
    points,
    verdict,
)
from socratic_distill.statistics import compare_all, wilson

SKILL = {"socratic_iterative": 0.72, "socratic_planned": 0.66, "cot": 0.5, "answer_only": 0.28, "untrained": 0.03}
HOSTILE = "</script><script>alert(1)</script><!-- <img src=x onerror=alert(2)> \u2028 \u2029 ]]> & \" '"


def solve_summary(name: str, solved: Sequence[bool], steps: Sequence[int], *, trained: bool = True) -> SolveSummary:
    correct, problems = sum(solved), len(solved)
    bins = []
    for count in sorted(set(steps)):
        there = [right for right, taken in zip(solved, steps, strict=True) if taken == count]
        interval = wilson(sum(there), len(there))
        bins.append(StepAccuracy(steps=count, correct=sum(there), problems=len(there), interval=interval))
    pair = name.startswith(("socratic_iterative", "socratic_planned"))
    return SolveSummary(
        strategy=name if trained else "cot",
        students=("decomposer", "solver") if pair else (name,),
        calculator=name != "answer_only",
        facts="",
        trained=trained,
        accuracy=correct / problems if problems else 0.0,
        correct=correct,
        problems=problems,
        interval=wilson(correct, problems),
        unreadable=0 if pair else 7,
        unreadable_reasons={} if pair else {"no_answer": 4, "length": 3},
        by_steps=tuple(bins),
        tokens_per_problem=141.2 if pair else 63.8,
        seconds_per_problem=0.47,
        parameters=134_515_008 * (1 + pair),
        parameter_note="two students of 134.5M" if pair else "",
        marks=612,
        marks_changed=31,
    )


def student_summary(seed: int) -> StudentSummary:
    rng = np.random.default_rng(seed)
    losses = 0.25 + 2.2 * np.exp(-np.arange(420) / 45) + 0.06 * rng.random(420)
    return StudentSummary(
        base="smollm2-135m",
        parameters=134_515_008,
        trained_problems=1800,
        target_tokens=98_431,
        epochs=3,
        best_validation_loss=0.291,
        seconds=803.5,
        train_points=tuple((step + 1, float(loss)) for step, loss in enumerate(losses)),
        validation_points=((140, 0.41), (280, 0.31), (420, 0.291)),
    )


def made_up(solved: dict[str, list[bool]], steps: Sequence[int]) -> Summary:
    problems = len(steps)
    return Summary(
        name="quickstart",
        dataset="grade_school (procedural, seed 3)",
        created="2025-01-31",
        version="0.1.0",
        solves={name: solve_summary(name, right, steps, trained=name != "untrained") for name, right in solved.items()},
        constant=Constant(
            answer="12", accuracy=0.045, correct=round(0.045 * problems), problems=problems, interval=(0.024, 0.083)
        ),
        comparisons=tuple(compare_all(solved)),
        students={name: student_summary(index) for index, name in enumerate(("answer_only", "decomposer", "solver"))},
        problems=ProblemCounts(train=1800, validation=200, test=problems),
        funnel=Funnel(
            source="human",
            asked=2000,
            answered=2000,
            readable=2000,
            consistent=1952,
            kept=1940,
            reasons={"answer": 48, "arithmetic": 12},
        ),
        remarks={"rationale_disagrees": 31},
        notes=("A problem of one operation has one step, its question.",),
    )


@pytest.fixture(scope="module")
def outcomes() -> dict[str, list[bool]]:
    rng = np.random.default_rng(5)
    hardness = rng.random(200)
    noise = rng.normal(0, 0.15, (len(SKILL), 200))
    return {name: (hardness + noise[row] < skill).tolist() for row, (name, skill) in enumerate(SKILL.items())}


@pytest.fixture(scope="module")
def summary(outcomes: dict[str, list[bool]]) -> Summary:
    return made_up(outcomes, [1 + index % 6 for index in range(199)] + [8])


def dialogue(index: int, *, right: dict[str, bool], text: str = "") -> SolvedProblem:
    """A problem about loaves, solved by each solve; a hostile text may stand wherever a model writes."""
    loaves, price = 12 + index, 3
    gold = (
        Step(subquestion="How many loaves are sold?", solution=f"All but 2: <<{loaves}-2={loaves - 2}>>{loaves - 2}."),
        Step(subquestion="What do they earn?", solution=f"{loaves - 2} * {price}", answer=str((loaves - 2) * price)),
    )
    by = {}
    for name, correct in right.items():
        answer = str((loaves - 2) * price if correct else loaves * price)
        steps = gold if correct else (Step(subquestion="What is earned?" + text, solution=text or "?", answer=answer),)
        by[name] = SolvedBy(
            correct=correct,
            answer=answer + text if not correct and index % 5 else "" if not correct else answer,
            unreadable="" if correct or index % 5 else "no_answer",
            solution=Solution(text=f"So it is {answer}. {text}", steps=() if name == "answer_only" else steps, marks=1),
            turns=(Turn(student="solver", text=answer + text, finish_reason="end", prompt_tokens=40, tokens=9),),
        )
    return SolvedProblem(
        id=f"loaves/{index}",
        question=f"A baker has {loaves} loaves, keeps 2 and sells the rest at {price} coins. What is earned?{text}",
        answer=str((loaves - 2) * price),
        step_count=2,
        gold_steps=gold,
        by=by,
    )


@pytest.fixture(scope="module")
def dialogues(outcomes: dict[str, list[bool]]) -> list[SolvedProblem]:
    return [dialogue(i, right={name: right[i] for name, right in outcomes.items()}) for i in range(200)]


@pytest.fixture(scope="module")
def page(summary: Summary, dialogues: list[SolvedProblem]) -> str:
    return render_html(summary, dialogues)


class Parts(HTMLParser):
    """Collects what a browser would see: tags, ids, links and the text of scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value for key, value in attrs if key == "id" and value]
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.lasttag == "script" and self.cdata_elem == "script":
            self.scripts[-1] += data


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
        "solves": {f"$x^2$ {HOSTILE}": summary.solves["cot"], "[red]cot": summary.solves["cot"]},
        "comparisons": (),
        "students": {HOSTILE: summary.students["solver"]},
        "constant": summary.constant.model_copy(update={"answer": HOSTILE}),
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
    unknown = {name: solve.model_copy(update={"by_steps": ()}) for name, solve in summary.solves.items()}
    bare = summary.model_copy(update={"solves": unknown, "students": {}, "comparisons": (), "notes": (), "remarks": {}})
    assert steps_chart(bare, width=720) == training_chart(bare, width=720) == ""
    page = render_html(bare, [])
    assert 'id="steps"' not in page and 'id="training"' not in page and 'id="problems"' not in page
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
