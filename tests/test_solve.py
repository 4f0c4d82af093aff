"""How a solve is put together: samples, retries, decompositions and the calculator, and what a run says of them."""

import json
from pathlib import Path

import pytest
from fakes import Quiet
from sampled import PENS, Script, solved

from socratic_distill.artifacts import read_rows
from socratic_distill.errors import UserError
from socratic_distill.pipeline import run_stages
from socratic_distill.reasoning.dialogue import reseeded
from socratic_distill.reasoning.solving import dialogue_of, sampling_of, strategy_of
from socratic_distill.recipe import Solve, load_recipe
from socratic_distill.records import Prompt, Sampling, Solution, SolutionRow
from socratic_distill.reporting.summary import Summary
from socratic_distill.run import Run
from socratic_distill.stages.solve import targets

pytestmark = pytest.mark.usefixtures("single_thread")

TINY = """\
name = "tiny"
[problems]
dataset = "grade_school"
train = "count=20 steps=1-2 seed=1 distractors=0"
test = "count=4 steps=1-2 seed=2 distractors=0"
[train]
student = "scratch"
epochs = 1
[train.scratch]
hidden = 16
layers = 1
heads = 2
vocabulary = 300
[solve.plain]
strategy = "cot"
engine = "transformers"
max_tokens = 12
[solve.sampled]
strategy = "cot"
engine = "transformers"
max_tokens = 12
temperature = 0.8
samples = 3
[solve.all]
strategy = "socratic_planned"
engine = "transformers"
calculator = true
max_tokens = 12
temperature = 0.8
samples = 2
decompositions = 2
retries = 1
[evaluate]
bootstrap = 100
"""
NEW = {"samples", "decompositions", "retries", "retry_temperature"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, single_thread: None) -> Run:
    """A whole run of the tiny recipe; it is not to be changed."""
    folder = tmp_path_factory.mktemp("solve")
    (folder / "tiny.toml").write_text(TINY, encoding="utf-8")
    made = Run(load_recipe(folder / "tiny.toml"), folder / "tiny", Quiet())
    run_stages(made, ("load", "annotate", "verify", "train", "solve", "evaluate", "report"))
    return made


def rows(run: Run, name: str) -> list[SolutionRow]:
    return read_rows(run.path(f"solutions/{name}.jsonl"), SolutionRow)


def solution_of(solve: Solve, **scripts: Script) -> tuple[Solution, list[str]]:
    """Solve a problem as a solve says; returns what was asked, by student and what was begun, too."""
    finished, _ = solved(dialogue_of(PENS, strategy_of(solve), solve, "none"), scripts)
    return finished.result, [f"{turn.student} {turn.begun}".strip() for turn in finished.turns]


# --- what a recipe may say

REFUSED = {
    "samples=4": "solve.x: samples needs a temperature above 0",
    "decompositions=4": "solve.x: decompositions needs a temperature above 0",
    "decompositions=4 temperature=1": "solve.x: decompositions needs samples",
    "retry_temperature=1": "solve.x: retry_temperature needs retries",
    "samples=1 temperature=1": "solve.x.samples: ",
    "decompositions=1 samples=2 temperature=1": "solve.x.decompositions: ",
    "retries=0": "solve.x.retries: ",
    "retries=1 retry_temperature=0": "solve.x.retry_temperature: ",
}


@pytest.mark.parametrize("settings", REFUSED)
def test_what_makes_no_sense_is_refused_in_one_clear_line(settings: str, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(TINY, encoding="utf-8")
    overrides = [f"solve.x.{setting}" for setting in ("strategy=cot", *settings.split())]
    with pytest.raises(UserError) as told:
        load_recipe(tmp_path / "tiny.toml", overrides)
    assert REFUSED[settings] in str(told.value)
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 200


@pytest.mark.parametrize("strategy", ["cot", "answer_only", "socratic_unified"])
def test_decompositions_of_what_decomposes_nothing_are_refused(strategy: str) -> None:
    solve = Solve(strategy=strategy, decompositions=2, samples=2, temperature=1)
    with pytest.raises(UserError, match="needs a strategy that asks a decomposer or a planner"):
        strategy_of(solve)


def test_a_solve_that_uses_none_of_it_is_told_apart_by_none_of_it(run: Run) -> None:
    settings = {target.artifact: target.settings for target in targets(run)}
    assert not NEW & settings["solutions/plain.jsonl"].keys()
    assert settings["solutions/sampled.jsonl"]["samples"] == 3
    assert NEW - settings["solutions/all.jsonl"].keys() == {"retry_temperature"}


def test_rows_from_before_still_read_and_are_graded_under_the_same_fingerprint() -> None:
    old = {"text": "#### 6", "steps": [], "unfinished": "", "marks": 0, "marks_changed": 0}
    solution = Solution.model_validate(old)
    assert solution.model_dump(mode="json", exclude_none=True) == old


# --- how it is put together


def test_a_plain_solve_asks_with_its_own_sampling() -> None:
    solve = Solve(strategy="cot", temperature=0.3, seed=4, max_tokens=9, top_p=0.5)
    heard: list[Sampling] = []

    def script(_: Prompt, sampling: Sampling) -> str:
        heard.append(sampling)
        return "#### 6"

    solution, _ = solution_of(solve, cot=script)
    assert solution == Solution(text="#### 6")
    assert heard == [Sampling(temperature=0.3, seed=4, max_tokens=9, top_p=0.5)]


def test_every_sample_has_a_seed_of_its_own_derived_from_the_solves() -> None:
    solve = Solve(strategy="cot", temperature=0.7, samples=4, seed=9)
    heard: list[Sampling] = []

    def script(_: Prompt, sampling: Sampling) -> str:
        heard.append(sampling)
        return f"#### {len(heard) // 2}"

    solution, asked = solution_of(solve, cot=script)
    assert (solution.votes, solution.text, asked) == (("0", "1", "1", "2"), "#### 1", ["cot"] * 4)
    assert heard == [reseeded(sampling_of(solve), number) for number in range(4)]


def test_each_sample_has_its_own_steps_and_calculator_and_all_are_counted() -> None:
    solve = Solve(strategy="cot", temperature=0.7, samples=2, retries=2, calculator=True)

    def script(prompt: Prompt, sampling: Sampling) -> str:
        return "2+2=5 #### 5" if prompt.begun else "<<1+1=3>>"

    solution, asked = solution_of(solve, cot=script)
    assert (solution.votes, solution.retries, solution.marks, solution.marks_changed) == (("5", "5"), 4, 6, 6)
    assert asked == ["cot", "cot", "cot <<1+1=2>>", "cot <<1+1=2>>"] * 3


def test_retries_have_the_temperature_that_is_set() -> None:
    heard: list[float] = []

    def script(_: Prompt, sampling: Sampling) -> str:
        heard.append(sampling.temperature)
        return "1+1=3"

    solution_of(Solve(strategy="cot", retries=2, retry_temperature=0.4), cot=script)
    assert heard == [0, 0.4, 0.4]


def test_decompositions_are_solved_as_the_solve_says() -> None:
    solve = Solve(strategy="socratic_planned", temperature=0.7, samples=3, decompositions=2, retries=1, calculator=True)
    solution, asked = solution_of(
        solve,
        planner=lambda *_: "How many?",
        solver=lambda prompt, _: "2. #### 2" if prompt.begun else "<<1+1=3>>",
    )
    assert (solution.text, solution.votes) == ("<<1+1=2>>2. #### 2", ("2",) * 6)
    assert (asked.count("planner"), asked.count("solver"), asked.count("solver <<1+1=2>>")) == (2, 6, 6)
    assert (solution.retries, solution.marks_changed) == (0, 6)


# --- a whole run


def test_a_run_keeps_every_ask_of_every_sample(run: Run) -> None:
    assert [len(row.turns) for row in rows(run, "plain")] == [1] * 4
    for row in rows(run, "sampled"):
        assert len(row.turns) == len(row.solution.votes or ()) == 3
        assert row.solution.text in [turn.text for turn in row.turns]
    assert len({turn.text for row in rows(run, "sampled") for turn in row.turns}) > 4, "the samples differ"
    for row in rows(run, "all"):
        assert sum(turn.student == "planner" and not turn.begun for turn in row.turns) >= 2
        assert 2 <= len(row.solution.votes or ()) <= 4
        assert row.solution.retries is not None
    plain = json.loads(run.path("solutions/plain.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert (plain["solution"]["votes"], plain["solution"]["retries"]) == (None, None)


def test_the_summarys_tokens_are_all_that_were_written(run: Run) -> None:
    summary = Summary.model_validate_json(run.path("summary.json").read_text(encoding="utf-8"))
    for name, solve in summary.solves.items():
        written = sum(turn.tokens for row in rows(run, name) for turn in row.turns)
        assert solve.tokens_per_problem == pytest.approx(written / 4)
    assert summary.solves["sampled"].tokens_per_problem > 2 * summary.solves["plain"].tokens_per_problem
