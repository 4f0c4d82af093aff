"""`socratic annotate`: what a teacher is asked and what it costs; and what others have asked theirs."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted_server import Fault, ScriptedServer
from taught import PRICES, Case, Heard, boxes, question, teacher

from socratic_distill.errors import UserError
from socratic_distill.pipeline import run_stages
from socratic_distill.recipe import load_recipe
from socratic_distill.records import Prompt
from socratic_distill.run import Run


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(teacher) as server:
        yield server


@pytest.fixture
def case(tmp_path: Path, server: ScriptedServer) -> Case:
    return Case(tmp_path, server.base_url)


# --- what is asked


def test_every_problem_is_taught_so_often_and_stands_in_order(case: Case, server: ScriptedServer) -> None:
    heard = case.annotate("annotate.attempts=2")
    rows = case.rows()
    assert [(row.problem, row.attempt) for row in rows] == [
        (problem, attempt) for problem in case.ids() for attempt in range(2)
    ]
    assert {row.source for row in rows} == {"a-teacher"}
    for row in rows:
        number = int(row.problem.removeprefix("box/"))
        if number % 7:
            assert (row.answer, len(row.steps), row.unreadable) == (str(3 * number), 1, "")
            assert row.text == teacher(Prompt(pieces=(question(number), "Again.")))
        else:
            assert (row.text, row.steps) == ("Hm.", ())
            assert row.unreadable
    # Those that can't be read are asked for once more.
    assert len(server.bodies) == 2 * (20 + 4 + 2)
    facts = case.facts()
    assert (facts["rows"], facts["readable"], facts["requests"]) == (40, 36, 52)
    assert any("40 annotations by a-teacher: 36 readable" in line for line in heard.said)


def test_nothing_is_asked_again_whatever_is_reordered_added_or_removed(case: Case, server: ScriptedServer) -> None:
    case.annotate()
    before = {row.problem: row for row in case.rows()}
    server.forget()
    case.problems([40, *range(20, 3, -1), 41])
    case.annotate()
    assert sorted(boxes(server)) == [40, 40, 41]
    assert {row.problem: row for row in case.rows() if row.problem in before} == {
        problem: row for problem, row in before.items() if problem not in ("box/1", "box/2", "box/3")
    }
    server.forget()
    (case.run / "annotations.jsonl").unlink()
    case.annotate("annotate.server.concurrency=3", "annotate.server.timeout=9")
    assert server.bodies == []


def test_more_attempts_ask_for_the_new_ones_alone(case: Case, server: ScriptedServer) -> None:
    case.problems(range(1, 5))
    case.annotate()
    first = case.rows()
    server.forget()
    case.annotate("annotate.attempts=3")
    assert sorted(boxes(server)) == [1, 1, 2, 2, 3, 3, 4, 4]
    assert [row for row in case.rows() if row.attempt == 0] == first
    assert len({body["seed"] for body in server.bodies}) == 2


def test_problems_of_one_text_are_asked_once(case: Case, server: ScriptedServer) -> None:
    rows = [{"id": name, "question": question(2), "answer": 6} for name in ("a", "b", "c")]
    (case.folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    case.annotate("problems.validation=0")
    assert boxes(server) == [2]
    assert [(row.problem, row.answer) for row in case.rows()] == [("a", "6"), ("b", "6"), ("c", "6")]


def test_unreadable_replies_are_paid_for_again_only_if_the_recipe_says_so(case: Case, server: ScriptedServer) -> None:
    case.annotate()
    server.forget()
    case.annotate("annotate.exemplars=grade_school", "annotate.shots=0")  # another prompt is another request
    assert len(server.bodies) == 26
    server.forget()
    case.annotate("annotate.retry=['unreadable']")
    assert boxes(server) == [7, 14]


def test_failures_are_recorded_and_asked_again_only_if_the_recipe_says_so(case: Case, server: ScriptedServer) -> None:
    server.fault = lambda number: Fault(status=422, message="no such luck") if number < 3 else None
    heard = case.annotate("annotate.server.concurrency=1")
    failed = [row for row in case.rows() if row.unreadable == "failed"]
    assert [row.problem for row in failed] == case.ids()[:3]
    assert any("3 requests failed" in line and "annotate.retry" in line for line in heard.said)
    server.forget()
    server.fault = lambda number: None
    case.annotate("annotate.max_tokens=64")
    assert server.bodies == []
    case.annotate("annotate.retry=['failed']")
    assert boxes(server) == [1, 2, 3]
    assert not [row for row in case.rows() if row.unreadable == "failed"]


# --- money


def test_what_the_ceiling_leaves_no_room_for_is_said_and_asked_when_it_is_raised(
    case: Case, server: ScriptedServer
) -> None:
    case.problems(range(1, 4))
    case.annotate(*PRICES, "annotate.max_usd=9")
    each = case.facts()["spending"]["usd"] / 3
    case.problems([number for number in range(1, 40) if number % 5 and number % 7])
    server.forget()
    heard = case.annotate(*PRICES, "annotate.max_usd=0.005", "annotate.server.concurrency=1")
    facts = case.facts()
    assert facts["over_budget"] == [row.unreadable for row in case.rows()].count("over_budget") > 0
    assert facts["spending"]["usd"] <= 0.005
    assert facts["projected_usd"] == pytest.approx(each * facts["rows"], rel=0.1)
    loud = [line for line in heard.said if line.startswith("OUT OF MONEY")]
    assert len(loud) == 1
    assert f"{facts['over_budget']} annotations" in loud[0] and "annotate.max_usd" in loud[0]
    assert any(re.fullmatch(r"\$0\.\d+ spent, about \$0\.\d+ in all", status) for status in heard.statuses)
    unasked = facts["over_budget"]
    server.forget()
    case.annotate(*PRICES, "annotate.max_usd=9")
    assert len(server.bodies) == unasked
    assert case.facts()["over_budget"] == 0


def test_a_ceiling_without_prices_is_refused_before_anything_is_sent(case: Case, server: ScriptedServer) -> None:
    with pytest.raises(UserError, match="max_usd needs prices"):
        case.annotate("annotate.max_usd=1")
    assert server.bodies == []


def test_a_dry_run_says_what_it_would_take_and_neither_sends_nor_writes(case: Case, server: ScriptedServer) -> None:
    case.annotate("problems.train_limit=5")
    server.forget()
    before = {path.name: path.read_bytes() for path in case.run.iterdir() if not path.name.startswith(("p", "r"))}
    heard = case.annotate(*PRICES, "annotate.max_usd=3", "annotate.attempts=2", dry_run=True)
    after = {path.name: path.read_bytes() for path in case.run.iterdir() if not path.name.startswith(("p", "r"))}
    assert after == before and server.bodies == []
    [asks] = [line for line in heard.said if "asks a-teacher" in line]
    assert "for 35 of 40 annotations" in asks
    [tokens] = [line for line in heard.said if "input and" in line]
    [money] = [line for line in heard.said if "at most" in line]
    read, written = (int(found.replace(",", "")) for found in re.findall(r"([\d,]+) (?:input|output)", tokens))
    expected, worst = map(float, re.findall(r"\$([\d.]+)", money))
    assert expected == pytest.approx((read + 2 * written) / 1e6, abs=1e-4)
    assert any("max_usd = $3.00" in line for line in heard.said)
    case.annotate(*PRICES, "annotate.max_usd=3", "annotate.attempts=2")
    spent = case.facts()["spending"]
    assert expected / 1.5 < spent["usd"] < expected * 1.5
    assert spent["usd"] < worst


def test_a_dry_run_before_the_problems_are_there_says_so(case: Case) -> None:
    heard = Heard()
    run = Run(load_recipe(case.folder / "taught.toml"), case.run, heard)
    run_stages(run, ("annotate",), dry_run=True)
    assert heard.said == ["annotate: to be planned once problems.jsonl is made"]
    assert not case.run.exists()


def test_what_changes_no_row_makes_nothing_again(case: Case) -> None:
    case.annotate()
    heard = case.annotate("annotate.server.timeout=7", "annotate.server.tries=2", *PRICES, "annotate.actors=5")
    assert heard.said == []


# --- other sources


def test_no_source_but_a_local_teacher_needs_torch(case: Case) -> None:
    (case.folder / "texts.jsonl").write_text(
        json.dumps({"question": question(1), "output": "Q1: How many?\nA1: 3 pens.\nThe answer is 3"}) + "\n"
    )
    commands = [
        case.command(stage="load"),
        *(
            case.command(f"annotate.source={source}", f"annotate.file={case.folder / 'texts.jsonl'}")
            for source in ("human", "import", "teacher")
        ),
    ]
    code = (
        "import sys; from socratic_distill.app.command_line import main\n"
        f"assert [main(command) for command in {commands!r}] == [0, 0, 0, 0]\n"
        "print(sorted({'torch', 'transformers', 'datasets', 'matplotlib'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_an_import_accounts_for_every_row_of_its_file(case: Case) -> None:
    texts = [
        *((number, teacher(Prompt(pieces=(question(number),)))) for number in (3, 1, 7, 1)),
        (77, "Never asked."),
    ]
    (case.folder / "texts.jsonl").write_text(
        "".join(json.dumps({"instruction": question(number), "output": text}) + "\n" for number, text in texts)
    )
    overrides = ("annotate.source=import", f"annotate.file={case.folder / 'texts.jsonl'}")
    heard = case.annotate(*overrides)
    rows = {(row.problem, row.attempt): row for row in case.rows()}
    assert set(rows) == {("box/1", 0), ("box/1", 1), ("box/3", 0), ("box/7", 0)}
    assert rows["box/3", 0].answer == "9"
    assert rows["box/7", 0].unreadable and rows["box/7", 0].text == "Hm."
    facts = case.facts()
    assert (facts["file_rows"], facts["rows"], facts["unknown"], facts["problems_without"]) == (5, 4, 1, 17)
    assert any("1 of its rows" in line and "texts.jsonl:5" in line for line in heard.said)
    assert any("17 of 20 problems have no row" in line for line in heard.said)
    with (case.folder / "texts.jsonl").open("a") as file:
        file.write("{}\n")
    with pytest.raises(UserError, match=r"texts\.jsonl:6: question: is missing"):
        case.annotate(*overrides)


@pytest.mark.slow
def test_a_local_teacher_reads_its_own_chat_template(case: Case) -> None:
    from socratic_distill.recipe import Scratch
    from socratic_distill.scratch import make_scratch

    model, tokenizer = make_scratch(
        Scratch(hidden=16, layers=1, heads=1, vocabulary=300, context=2048), ["How many pens?"], seed=0
    )
    tokenizer.chat_template = (
        "{% for message in messages %}[{{ message['role'] }}]{{ message['content'] }}{{ eos_token }}{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    folder = case.folder / "teacher"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    case.problems(range(1, 4))
    overrides = ("annotate.engine=transformers", f"annotate.model={folder}", "annotate.max_tokens=4")
    case.annotate(*overrides)
    assert len(case.rows()) == 3
    assert {row.source for row in case.rows()} == {str(folder)}
    asked, ended = case.journalled()
    assert {end.completion.finish_reason for end in ended.values()} <= {"end", "length"}
    ids = tokenizer.apply_chat_template(
        [
            {"role": ("user", "assistant")[place % 2], "content": piece}
            for place, piece in enumerate(next(iter(asked.values())).prompt.pieces)
        ],
        add_generation_prompt=True,
        return_dict=False,
    )
    assert ended[next(iter(asked))].completion.prompt_tokens == len(ids)
    texts = [row.text for row in case.rows()]
    (case.run / "annotations.jsonl").unlink()
    case.annotate(*overrides)
    assert [row.text for row in case.rows()] == texts
    assert case.journalled() == (asked, ended)
