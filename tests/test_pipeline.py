"""The pipeline on a tiny scratch run: what is done is not done again, and what is stopped goes on."""

import fcntl
import json
import os
import random
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from fakes import Quiet, forked, kill, wait_for
from transformers import AutoModelForCausalLM

from socratic_distill.app.command_line import main
from socratic_distill.artifacts import manifest_path, read_manifest, read_rows
from socratic_distill.errors import UserError
from socratic_distill.pipeline import STAGES, run_recipe, run_stages, states
from socratic_distill.recipe import load_recipe
from socratic_distill.records import SolutionRow
from socratic_distill.run import Run
from socratic_distill.training.log import read_log

pytestmark = pytest.mark.usefixtures("single_thread")

TINY = """\
name = "tiny"
[problems]
dataset = "grade_school"
train = "count=40 steps=1-2 seed=1 distractors=0"
test = "count=8 steps=1-2 seed=2 distractors=0"
[train]
student = "scratch"
epochs = 1
[train.scratch]
hidden = 32
layers = 1
heads = 2
vocabulary = 300
[solve.answer_only]
strategy = "answer_only"
max_tokens = 8
[solve.cot]
strategy = "cot"
max_tokens = 24
[solve.socratic_iterative]
strategy = "socratic_iterative"
calculator = true
max_tokens = 12
[evaluate]
bootstrap = 100
"""
STUDENTS = ("answer_only", "cot", "decomposer", "solver")
SOLVES = ("answer_only", "cot", "socratic_iterative")


def run(
    runs: Path, *overrides: str, stages: Sequence[str] = STAGES, fresh: bool = False, dry_run: bool = False
) -> list[str]:
    """Run stages of the tiny recipe and return what was said: from the run folder's own recipe where there is one."""
    own = runs / "tiny" / "recipe.toml"
    progress = Quiet()
    recipe = load_recipe(own if own.exists() else runs / "tiny.toml", overrides)
    run_stages(Run(recipe, runs / "tiny", progress), stages, fresh=fresh, dry_run=dry_run)
    return progress.said


def snapshot(runs: Path) -> dict[str, tuple[int, bytes]]:
    """Return every file of the run but its lock, with its time; the recipe is written each time and has none."""
    folder = runs / "tiny"
    return {
        str(path.relative_to(folder)): (0 if path.name == "recipe.toml" else path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def changed(before: dict[str, tuple[int, bytes]], after: dict[str, tuple[int, bytes]]) -> set[str]:
    """Return the files that were written since, manifests left out."""
    return {
        name for name in before.keys() | after.keys() if before.get(name) != after.get(name) and "manifest" not in name
    }


def rows(runs: Path, solve: str) -> list[SolutionRow]:
    """Return a solve's rows."""
    return read_rows(runs / "tiny" / "solutions" / f"{solve}.jsonl", SolutionRow)


def timeless(found: Sequence[SolutionRow]) -> list[SolutionRow]:
    """Return rows without their times, by problem."""
    return sorted((row.model_copy(update={"seconds": 0.0}) for row in found), key=lambda row: row.problem)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, single_thread: None) -> Path:
    """A folder of runs with the tiny one in it, whole; it is not to be changed."""
    runs = tmp_path_factory.mktemp("runs")
    (runs / "tiny.toml").write_text(TINY, encoding="utf-8")
    assert run_recipe(load_recipe(runs / "tiny.toml"), runs=runs).folder == runs / "tiny"
    return runs


@pytest.fixture
def runs(made: Path, tmp_path: Path) -> Path:
    """A copy of the made run, to be changed."""
    return shutil.copytree(made, tmp_path / "runs")


def test_a_run_leaves_every_artifact_and_nothing_else(made: Path) -> None:
    names = set(snapshot(made))
    rows_files = {"problems", "annotations", "verdicts"} | {
        f"{part}/{name}" for part in ("solutions", "scores") for name in SOLVES
    }
    reports = {"summary.json", "summary.manifest.json", "report.md", "report.html", "report.manifest.json"}
    weights = {f"students/{student}/model.safetensors" for student in STUDENTS} | {"base/model.safetensors"}
    flat = {name for name in names if not name.startswith(("students", "base"))}
    assert flat == {f"{name}{end}" for name in rows_files for end in (".jsonl", ".manifest.json")} | reports | {
        "recipe.toml"
    }
    assert weights <= names
    assert {f"students/{student}/train_log.jsonl" for student in STUDENTS} <= names
    assert not [name for name in names if "checkpoint" in name or "partial" in name]


def test_a_second_run_makes_nothing_again(runs: Path) -> None:
    before = snapshot(runs)
    assert run(runs) == []
    assert snapshot(runs) == before


def test_a_saved_student_is_a_plain_folder(made: Path) -> None:
    for student in STUDENTS:
        model = AutoModelForCausalLM.from_pretrained(made / "tiny" / "students" / student)
        assert model.generation_config.eos_token_id == model.config.eos_token_id is not None
        manifest = read_manifest(made / "tiny" / "students" / student)
        assert manifest is not None
        assert manifest["settings"]["prompt_version"]
        log = read_log(made / "tiny" / "students" / student)
        assert [line.validation for line in log] == [False] * 3 + [True]


def test_a_changed_solve_alone_is_solved_again_and_says_why(runs: Path) -> None:
    before = snapshot(runs)
    said = run(runs, "solve.cot.max_tokens=12")
    assert "solutions/cot.jsonl: made again, for max_tokens 24 -> 12" in said
    assert [line for line in said if line.startswith("solutions")] == said[:1]
    assert not any(line.startswith("students") for line in said)
    assert changed(before, snapshot(runs)) == {
        "recipe.toml", "solutions/cot.jsonl", "scores/cot.jsonl", "summary.json", "report.md", "report.html"
    }  # fmt: skip
    assert all(turn.tokens <= 12 for row in rows(runs, "cot") for turn in row.turns)


def test_a_changed_training_is_done_again_and_says_why(runs: Path) -> None:
    before = snapshot(runs)
    said = run(runs, "train.epochs=2")
    for student in STUDENTS:
        assert f"students/{student}: made again, for epochs 1 -> 2" in said
    assert "solutions/cot.jsonl: made again, for students/cot changed" in said
    written = changed(before, snapshot(runs))
    assert {f"students/{student}/model.safetensors" for student in STUDENTS} <= written
    assert not {name for name in written if name.startswith(("base", "problems", "annotations", "verdicts"))}


def test_a_setting_that_changes_no_result_makes_nothing_again(runs: Path) -> None:
    assert run(runs, "train.micro_batch_tokens=500", "train.checkpoint_minutes=1", "solve.cot.window=3") == []


def test_a_larger_test_limit_solves_only_what_is_new(runs: Path) -> None:
    run(runs, "problems.test_limit=5")
    few = {solve: rows(runs, solve) for solve in SOLVES}
    assert [len(found) for found in few.values()] == [5, 5, 5]
    before = snapshot(runs)
    said = run(runs, "problems.test_limit=7")
    assert "problems.jsonl: made again, for test_limit 5 -> 7" in said
    assert "solutions/cot.jsonl: made again, for problems changed" in said
    for solve, found in few.items():
        more = rows(runs, solve)
        assert len(more) == 7
        assert all(row in more for row in found), "a row that was there, its time included, was made again"
    assert not {name for name in changed(before, snapshot(runs)) if name.startswith(("students", "base"))}


def test_an_added_solve_trains_and_solves_only_what_is_its_own(runs: Path) -> None:
    before = snapshot(runs)
    run(runs, "solve.planned={strategy='socratic_planned', max_tokens=12}")
    written = changed(before, snapshot(runs))
    assert {name.split("/")[1] for name in written if name.startswith("students")} == {"planner"}
    assert {name for name in written if name.startswith("solutions")} == {"solutions/planned.jsonl"}


def test_a_change_that_is_refused_leaves_what_was_made(runs: Path) -> None:
    with pytest.raises(UserError, match=r"longer than train\.max_tokens"):
        run(runs, "train.max_tokens=16")
    (runs / "tiny/recipe.toml").unlink()
    before = (runs / "tiny/students/cot/model.safetensors").stat().st_mtime_ns
    said = run(runs)
    assert not any(line.startswith("trained") for line in said)
    assert (runs / "tiny/students/cot/model.safetensors").stat().st_mtime_ns == before


def test_a_dry_run_changes_no_file(runs: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("*")}
    said = run(runs, "train.epochs=2", "solve.cot.max_tokens=12", dry_run=True)
    assert "load: problems.jsonl: done" in said
    assert "train: students/cot: to be made again, for epochs 1 -> 2" in said
    assert (
        "solve: solutions/socratic_iterative.jsonl: done, and looked at again once students/answer_only is made" in said
    )
    assert "solve: solutions/cot.jsonl: to be made again, for max_tokens 24 -> 12" in said
    run(runs, dry_run=True, fresh=True)
    assert {path: path.stat().st_mtime_ns for path in runs.rglob("*")} == before
    (tmp_path / "none").mkdir()
    shutil.copy(runs / "tiny.toml", tmp_path / "none")
    assert "annotate: to be planned once problems.jsonl is made" in run(tmp_path / "none", dry_run=True)
    assert [path.name for path in (tmp_path / "none").iterdir()] == ["tiny.toml"]


def test_fresh_makes_it_again_from_nothing_and_alike(runs: Path) -> None:
    before, solved = snapshot(runs), rows(runs, "cot")
    run(runs, stages=["train", "solve"], fresh=True)
    after = snapshot(runs)
    weights = [f"students/{student}/model.safetensors" for student in STUDENTS]
    assert all(before[name][0] != after[name][0] for name in weights)
    assert all(before[name][1] == after[name][1] for name in weights)
    assert rows(runs, "cot") != solved
    assert timeless(rows(runs, "cot")) == timeless(solved)


def test_status_tells_every_artifacts_state(runs: Path, tmp_path: Path) -> None:
    def told(*overrides: str) -> dict[str, tuple[str | None, list[str]]]:
        recipe = load_recipe(runs / "tiny.toml", overrides)
        return {artifact: (state, why) for _, artifact, state, why in states(Run(recipe, runs / "tiny", Quiet()))}

    assert all(state == "done" for state, _ in told().values())
    assert told("solve.cot.max_tokens=12")["solutions/cot.jsonl"] == ("changed", ["max_tokens 24 -> 12"])
    (runs / "tiny" / "students" / "cot" / "manifest.json").unlink()
    assert told()["students/cot"] == ("begun", [])
    assert told()[""] == (None, ["waits for students/cot"])
    shutil.rmtree(runs / "tiny" / "students" / "cot")
    assert told()["students/cot"] == ("missing", [])
    shutil.rmtree(runs / "tiny")
    assert told() == {"problems.jsonl": ("missing", []), "": (None, ["waits for summary.json"])}


def test_two_commands_in_one_run_folder_are_kept_apart(runs: Path) -> None:
    with (runs / "tiny" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(
            UserError, match=r"another command is at work in .*tiny; wait for it or name another --runs"
        ):
            run(runs)
    assert run(runs) == []


@pytest.mark.parametrize(
    ("stage", "missing", "command"),
    [
        ("annotate", "problems.jsonl", "load"),
        ("verify", "annotations.jsonl", "annotate"),
        ("train", "verdicts.jsonl", "verify"),
        ("solve", "students/cot", "train"),
        ("evaluate", "solutions/cot.jsonl", "solve"),
        ("report", "summary.json", "evaluate"),
    ],
)
def test_a_stage_says_which_one_it_needs_first(runs: Path, stage: str, missing: str, command: str) -> None:
    artifact = runs / "tiny" / missing
    (artifact / "manifest.json" if artifact.is_dir() else artifact.with_suffix(".manifest.json")).unlink()
    if missing == "summary.json":
        artifact.unlink()
    with pytest.raises(UserError, match=rf"^{missing} is not made yet; run `socratic {command}` first$"):
        run(runs, stages=[stage])


@pytest.mark.parametrize(("stage", "artifact"), [("annotate", "problems.jsonl"), ("evaluate", "solutions/cot.jsonl")])
def test_an_artifact_that_was_removed_is_not_taken_for_an_empty_one(runs: Path, stage: str, artifact: str) -> None:
    (runs / "tiny" / artifact).unlink()
    with pytest.raises(UserError, match=f"{artifact} is not made yet"):
        run(runs, stages=[stage])


@pytest.mark.parametrize(
    ("limit", "stage", "refused"),
    [
        ("problems.train_limit=20", "annotate", ""),
        (
            "problems.train_limit=20",
            "verify",
            "annotations.jsonl is out of date, for problems changed; run `socratic annotate`",
        ),
        (
            "problems.train_limit=20",
            "report",
            "annotations.jsonl is out of date, for problems changed; run `socratic annotate`",
        ),
        ("problems.test_limit=4", "train", ""),
        ("problems.test_limit=4", "solve", ""),
        (
            "problems.test_limit=4",
            "evaluate",
            "solutions/answer_only.jsonl is out of date, for problems changed; run `socratic solve`",
        ),
    ],
)
def test_a_stage_does_not_build_on_what_is_out_of_date(runs: Path, limit: str, stage: str, refused: str) -> None:
    run(runs, limit, stages=["load"])
    with pytest.raises(UserError, match=refused) if refused else nullcontext():
        run(runs, limit, stages=[stage])


def test_every_artifact_has_a_manifest_of_its_own(made: Path) -> None:
    recipe = load_recipe(made / "tiny.toml")
    artifacts = [artifact for _, artifact, _, _ in states(Run(recipe, made / "tiny", Quiet()))]
    assert len({manifest_path(made / artifact) for artifact in artifacts}) == len(artifacts) > 10


def test_a_solve_stopped_half_way_keeps_what_it_has(runs: Path) -> None:
    path = runs / "tiny" / "solutions" / "socratic_iterative.jsonl"
    whole = path.read_bytes()
    kept = rows(runs, "socratic_iterative")[:5]
    path.with_suffix(".manifest.json").unlink()
    path.write_bytes(
        whole[: whole.index(kept[-1].key.encode()) + 900][: len(b"".join(whole.splitlines(True)[:5])) + 40]
    )
    run(runs, stages=["solve"])
    found = rows(runs, "socratic_iterative")
    assert [row for row in found if row in kept] == kept
    assert len({row.problem for row in found}) == len(found) == 8


def test_a_damaged_student_is_told_in_one_line(runs: Path) -> None:
    weights = runs / "tiny" / "students" / "cot" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"the student in .* is damaged .* remove it and train it again"):
        run(runs, "solve.cot.engine=transformers", stages=["solve"], fresh=True)


def command(arguments: Sequence[str]) -> None:
    """Run the command line in a process of its own, without its output."""
    torch.set_num_threads(1)
    with Path(os.devnull).open("w") as sys.stdout:
        sys.exit(main(arguments))


def moments(folder: Path) -> int:
    """Count what a run has to show: artifacts made, steps trained, problems solved."""
    logs = [*folder.glob("students/*/train_log.jsonl"), *folder.glob("solutions/*.jsonl")]
    # No deeper than a student's folder: checkpoints below it come and go while one looks.
    manifests = [path for depth in ("", "*/", "*/*/") for path in folder.glob(f"{depth}*manifest.json")]
    return len(manifests) + sum(len(path.read_bytes().splitlines()) for path in logs)


@pytest.mark.slow
def test_a_run_killed_ten_times_ends_as_one_left_alone(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(TINY, encoding="utf-8")
    solves = [f"--set=solve.{name}.{key}" for name in SOLVES for key in ("precision=fp32", "window=2")]
    asked = ["run", str(tmp_path / "tiny.toml"), "--set=train.epochs=3", "--set=train.checkpoint_minutes=1e-9", *solves]
    wait_for(forked(command, [*asked, "--runs", str(tmp_path / "alone")]))
    draw, again = random.Random(5), [*asked, "--runs", str(tmp_path / "killed")]
    for moment in sorted(draw.sample(range(1, moments(tmp_path / "alone" / "tiny") - 3), 10)):
        process = forked(command, again)
        while moments(tmp_path / "killed" / "tiny") < moment and process.is_alive():
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.03))
        kill(process)
    wait_for(forked(command, again))

    before, after = (snapshot(tmp_path / name) for name in ("alone", "killed"))
    timed = ("manifest.json", "train_log.jsonl", "summary.json", "report.md", "report.html")
    for name, (_, content) in before.items():
        if not name.startswith("solutions") and not name.endswith(timed):
            assert after[name][1] == content, name
    for solve in SOLVES:
        assert timeless(rows(tmp_path / "killed", solve)) == timeless(rows(tmp_path / "alone", solve))
    for student in STUDENTS:
        one, other = (read_log(tmp_path / name / "tiny" / "students" / student) for name in ("alone", "killed"))
        assert [line.model_copy(update={"seconds": 0}) for line in one] == [
            line.model_copy(update={"seconds": 0}) for line in other
        ]
    one, other = (json.loads((tmp_path / name / "tiny" / "summary.json").read_text()) for name in ("alone", "killed"))
    assert one["comparisons"] == other["comparisons"]
    assert not [name for name in after if "checkpoint" in name]
