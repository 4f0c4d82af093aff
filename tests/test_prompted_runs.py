"""Runs in which a prompted model solves, or plays one of a pair, behind our own server or here."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import Quiet, Stopped
from scripted_server import Fault, ScriptedServer

from socratic_distill.artifacts import read_rows
from socratic_distill.engines.allowance import Allowance
from socratic_distill.engines.prompted import prompted_api, prompted_engine, prompted_identity
from socratic_distill.errors import UserError
from socratic_distill.pipeline import run_stages
from socratic_distill.reasoning.prompting import prompting_of
from socratic_distill.reasoning.solving import strategy_of
from socratic_distill.recipe import Prompted, Scratch, Solve, load_recipe
from socratic_distill.records import Prompt, Sampling, Score, SolutionRow
from socratic_distill.run import Progress, Run
from socratic_distill.scratch import make_scratch
from socratic_distill.students import Encoder, save_student

pytestmark = pytest.mark.usefixtures("single_thread")

PROMPTED = """
[solve.{name}.prompted]
model = "big"
students = [{students}]
shots = 2
[solve.{name}.prompted.server]
base_url = "{url}"
api = "{api}"
concurrency = 4
"""
RECIPE = """\
name = "prompted"
[problems]
dataset = "files"
train = "{folder}/train.jsonl"
test = "{folder}/test.jsonl"
[train]
student = "scratch"
epochs = 1
[train.scratch]
hidden = 16
layers = 1
heads = 2
vocabulary = 300
[evaluate]
bootstrap = 100
"""


def question(number: int) -> str:
    return f"Box {number} has 3 rows of {number} pens. How many pens are in it?"


def big(prompt: Prompt) -> str:
    """Play every part, from a chat or from a plain text: a step of reasoning and an answer, or a subquestion."""
    text = "\n".join((*prompt.pieces, prompt.begun))
    told, shown = text.partition("Problem: ")[0], text.rpartition("Problem: ")[2]
    found = re.search(r"Box (\d+) has", shown)
    assert found is not None, "it was asked for something else"
    number = int(found[1])
    if "Do not solve the problem" in told:
        asked = shown.count("How many pens are there")
        return "[done]" if asked else f"Subquestion: How many pens are there in box {number}?"
    return f"There are 3*{number} = <<3*{number}={3 * number}>>{3 * number} pens.\n#### {3 * number}\nGood luck!"


class Case:
    """A recipe, its problems and its run, in a folder of their own."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.text = RECIPE.format(folder=folder)
        steps = lambda number: [  # noqa: E731
            {"subquestion": f"How many pens are there in box {number}?", "solution": "", "answer": str(3 * number)}
        ]
        for name, numbers in (("train", range(1, 13)), ("test", range(20, 24))):
            rows = [
                {"id": f"box/{number}", "question": question(number), "answer": 3 * number, "steps": steps(number)}
                for number in numbers
            ]
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def solve(self, name: str, text: str, *, students: str = "", api: str = "chat") -> "Case":
        self.text += f"[solve.{name}]\n{text}\n" + PROMPTED.format(name=name, students=students, url=self.url, api=api)
        return self

    def run(
        self,
        *overrides: str,
        stages: tuple[str, ...] = ("load", "annotate", "verify", "train", "solve"),
        progress: Progress | None = None,
    ) -> Run:
        (self.folder / "prompted.toml").write_text(self.text, encoding="utf-8")
        run = Run(load_recipe(self.folder / "prompted.toml", overrides), self.folder / "run", progress or Quiet())
        run_stages(run, stages)
        return run


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(big) as server:
        yield server


@pytest.fixture
def case(tmp_path: Path, server: ScriptedServer) -> Case:
    return Case(tmp_path, server.base_url)


def rows(run: Run, name: str) -> list[SolutionRow]:
    return read_rows(run.path(f"solutions/{name}.jsonl"), SolutionRow)


@pytest.mark.parametrize("api", ["chat", "completions"])
def test_a_model_alone_needs_no_student_and_stands_in_the_same_table(
    case: Case, server: ScriptedServer, api: str
) -> None:
    for name, strategy in (("cot_prompted", "cot"), ("socratic_prompted", "socratic_iterative")):
        case.solve(name, f'strategy = "{strategy}"', api=api)
    run = case.run(stages=("load", "annotate", "verify", "train", "solve", "evaluate"))
    assert not run.path("students").exists()
    for name, turns in (("cot_prompted", 1), ("socratic_prompted", 3)):
        assert [len(row.turns) for row in rows(run, name)] == [turns] * 4
        assert all(score.correct for score in read_rows(run.path(f"scores/{name}.jsonl"), Score))
    assert {body["model"] for body in server.bodies} == {"big"}
    assert all(("stop" in body) == (api == "completions") for body in server.bodies)
    assert '"socratic_prompted"' in run.path("summary.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("played", ["decomposer", "solver"])
def test_a_model_plays_one_of_a_pair_and_only_the_other_is_trained(
    case: Case, server: ScriptedServer, played: str
) -> None:
    calculator = "calculator = true" if played == "decomposer" else ""
    text = f'strategy = "socratic_iterative"\nengine = "transformers"\nmax_tokens = 12\n{calculator}'
    run = case.solve("mixed", text, students=f'"{played}"').run()
    [trained] = {"decomposer", "solver"} - {played}
    assert [path.name for path in run.path("students").iterdir()] == [trained]
    asked = [turn.student for row in rows(run, "mixed") for turn in row.turns]
    assert asked.count(played) == len(server.bodies)
    if played == "decomposer":
        assert {row.solution.steps[0].subquestion for row in rows(run, "mixed")} == {
            f"How many pens are there in box {number}?" for number in range(20, 24)
        }


def test_nothing_is_asked_again_for_a_change_that_changes_no_reply(case: Case, server: ScriptedServer) -> None:
    case.solve("cot_prompted", 'strategy = "cot"').run()
    assert len(server.bodies) == 4
    prompted = "solve.cot_prompted.prompted"
    case.run(f"{prompted}.server.concurrency=1", f"{prompted}.prices={{input = 1, output = 2}}")
    assert len(server.bodies) == 4
    case.run(f"{prompted}.shots=1")
    assert len(server.bodies) == 8
    case.run(f"{prompted}.model=bigger", f"{prompted}.shots=1")
    assert len(server.bodies) == 12


def test_what_the_ceiling_leaves_no_room_for_is_recorded_and_asked_once_it_is_raised(
    case: Case, server: ScriptedServer
) -> None:
    prompted = "solve.cot_prompted.prompted"
    prices = (f"{prompted}.prices={{input = 1, output = 2}}", f"{prompted}.server.concurrency=1")
    case.solve("cot_prompted", 'strategy = "cot"').run(f"{prompted}.model=other")
    [length] = {len(json.dumps(body, ensure_ascii=False).encode()) for body in server.bodies}
    worst = (length + 1000 + 2 * 320) / 1e6  # a template's tokens are 592 here, so one or two replies fit in
    server.forget()
    run = case.run(*prices, f"{prompted}.max_usd={worst:.6f}")
    unfinished = [row.solution.unfinished for row in rows(run, "cot_prompted")]
    assert 0 < unfinished.count("cot_over_budget") < 4
    assert len(server.bodies) == unfinished.count("")
    assert run.path("solutions/cot_prompted.ledger.jsonl").exists()
    run_stages(run, ("evaluate",))
    assert f"of 4 problems {4 - unfinished.count('')} were not asked" in run.path("summary.json").read_text()
    run = case.run(*prices, f"{prompted}.max_usd=9")
    assert [row.solution.unfinished for row in rows(run, "cot_prompted")] == [""] * 4
    assert len(server.bodies) == 4


def test_a_ceiling_without_prices_is_refused_before_anything_is_sent(case: Case, server: ScriptedServer) -> None:
    with pytest.raises(UserError, match="max_usd needs prices"):
        case.solve("cot_prompted", 'strategy = "cot"').run("solve.cot_prompted.prompted.max_usd=1")
    assert server.bodies == []


def test_what_fails_is_recorded_with_its_reason(case: Case, server: ScriptedServer) -> None:
    server.fault = lambda number: Fault(status=422, message="no such luck") if number == 1 else None
    run = case.solve("cot_prompted", 'strategy = "cot"').run()
    assert sorted(row.solution.unfinished for row in rows(run, "cot_prompted")) == ["", "", "", "cot_failed"]
    server.forget()
    server.fault = lambda number: None
    run.path("solutions/cot_prompted.jsonl").unlink()
    assert [row.solution.unfinished for row in rows(case.run(), "cot_prompted")] == [""] * 4
    assert len(server.bodies) == 1


def test_what_was_answered_is_not_asked_again_after_a_stop_or_a_change_and_back(
    case: Case, server: ScriptedServer
) -> None:
    server.latency = 0.1
    case.solve("pair", 'strategy = "socratic_iterative"')
    with pytest.raises(KeyboardInterrupt):
        case.run("solve.pair.prompted.server.concurrency=1", progress=Stopped())
    assert 3 <= len(server.bodies) < 3 * 4
    case.run()
    assert len(server.bodies) == 3 * 4
    case.run("problems.test_limit=1")
    case.run()
    assert len(server.bodies) == 3 * 4


def test_a_chat_that_cannot_be_interrupted_is_refused_before_anything_is_sent(
    case: Case, server: ScriptedServer
) -> None:
    case.solve("cot_prompted", 'strategy = "cot"\ncalculator = true')
    with pytest.raises(UserError, match="calculator"):
        case.run()
    assert server.bodies == []


def test_a_calculator_acts_on_what_goes_on_with_a_plain_text(case: Case, server: ScriptedServer) -> None:
    def wrong(prompt: Prompt) -> str:
        text = big(Prompt(pieces=prompt.pieces, begun=prompt.begun.rpartition("Solution:")[0]))
        stated = re.sub(r"=\d+>>", "=1>>", text)
        written = prompt.begun.rpartition("Solution:")[2]
        return stated.partition(">>")[2] if "<<" in written else " " + stated

    server.script = wrong
    run = case.solve("cot_prompted", 'strategy = "cot"\ncalculator = true', api="completions").run()
    for row in rows(run, "cot_prompted"):
        number = int(row.problem.removeprefix("box/"))
        assert f"<<3*{number}={3 * number}>>{3 * number} pens.\n#### {3 * number}" in row.solution.text
        assert (row.solution.marks, row.solution.marks_changed, len(row.turns)) == (1, 1, 2)
        assert row.turns[1].begun.startswith("There are")


# --- engines


def identity(**changed: object) -> str:
    server = {"base_url": "http://localhost:9/v1", "concurrency": 1}
    prompted = {"model": "m", "server": server, "shots": 1, **changed}
    solve = Solve.model_validate({"strategy": "cot", "prompted": prompted})
    assert solve.prompted is not None
    made = prompting_of(
        solve,
        strategy_of(solve),
        students=("cot",),
        dataset="svamp",
        kinds={"number"},
        api=prompted_api(solve.prompted),
    )
    return json.dumps(prompted_identity(solve.prompted, made), sort_keys=True)


def test_what_decides_the_replies_tells_models_apart(tmp_path: Path) -> None:
    own = tmp_path / "own.jsonl"
    own.write_text(json.dumps({"question": "What is 1+1?", "answer": 2, "rationale": "It is 2."}) + "\n")
    changes: list[dict[str, object]] = [
        {"model": "other"},
        {"shots": 2},
        {"exemplars": str(own)},
        {"server": {"base_url": "http://localhost:9/v1", "api": "completions"}},
        {"server": {"base_url": "http://localhost:9/v1", "body": {"reasoning_effort": "low"}}},
    ]
    assert len({identity(), *(identity(**change) for change in changes)}) == 6
    same: list[dict[str, object]] = [
        {"prices": {"input": 1, "output": 1}, "max_usd": 3},
        {"server": {"base_url": "http://elsewhere:9/v1", "concurrency": 9}},
        {"exemplars": "svamp"},
    ]
    assert {identity(**change) for change in same} == {identity()}


def test_a_model_without_a_chat_template_goes_on_with_one_text(tmp_path: Path) -> None:
    model, tokenizer = make_scratch(Scratch(hidden=16, layers=1, heads=2, vocabulary=300), ["3 pens cost 6."], seed=0)
    save_student(tmp_path, model, Encoder(tokenizer), name="base", base="scratch")
    prompted = Prompted(model=str(tmp_path), engine="transformers")
    assert prompted_api(prompted) == "completions"
    engine = prompted_engine(prompted, Allowance())
    engine.submit("k", Prompt(pieces=("What do 3 pens cost? ",), begun="3 pens"), Sampling(max_tokens=2))
    [(_, completion)] = engine.poll()
    # What ends every piece of a trained student's prompt must not stand in a plain text.
    assert completion.prompt_tokens == len(tokenizer("What do 3 pens cost? 3 pens", add_special_tokens=False).input_ids)
