"""Runs that train with LoRA: students are adapters of one base, from training by way of a stop to solving."""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from fakes import Quiet, forked, kill, wait_for
from safetensors.torch import load_file
from scripted_server import ScriptedServer

from socratic_distill.adapters import ADAPTER_WEIGHTS, is_adapter
from socratic_distill.app.command_line import main
from socratic_distill.artifacts import read_manifest, read_rows
from socratic_distill.engines import Engine
from socratic_distill.engines.transformers import TransformersEngine
from socratic_distill.merging import merge_all
from socratic_distill.pipeline import run_stages, states
from socratic_distill.reasoning.solving import strategy_of
from socratic_distill.recipe import load_recipe
from socratic_distill.records import Prompt, SolutionRow
from socratic_distill.run import QUIET, Run
from socratic_distill.stages.solve import solved
from socratic_distill.students import Bases, load_student
from socratic_distill.training.log import read_log

RECIPE = """\
name = "tiny"
[problems]
dataset = "grade_school"
train = "count=40 steps=1-2 seed=1 distractors=0"
test = "count=8 steps=1-2 seed=2 distractors=0"
[train]
student = "scratch"
epochs = 3
learning_rate = 1e-2
[train.scratch]
hidden = 32
layers = 1
heads = 2
vocabulary = 300
[train.lora]
rank = 2
dropout = 0.1
[solve.pair]
strategy = "socratic_iterative"
engine = "transformers"
calculator = true
max_tokens = 12
precision = "fp32"
window = 3
"""
PAIR = ("decomposer", "solver")
TRAINED = ("load", "annotate", "verify", "train")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Compute on one thread: so small a student gains nothing from more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def opened(runs: Path, *overrides: str) -> tuple[Run, Quiet]:
    (runs / "tiny.toml").write_text(RECIPE, encoding="utf-8")
    progress = Quiet()
    return Run(load_recipe(runs / "tiny.toml", overrides), runs / "tiny", progress), progress


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Path:
    """A folder of runs with a trained and solved one in it; it is not to be changed."""
    runs = tmp_path_factory.mktemp("runs")
    run_stages(opened(runs)[0], (*TRAINED, "solve"))
    return runs


@pytest.fixture
def runs(made: Path, tmp_path: Path) -> Path:
    """A copy of the run, to be changed."""
    return shutil.copytree(made, tmp_path / "runs")


def texts(run: Run) -> dict[str, list[str]]:
    rows = read_rows(run.path("solutions/pair.jsonl"), SolutionRow)
    return {row.problem: [turn.text for turn in row.turns] for row in rows}


def weights(runs: Path, student: str) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_file(runs / "tiny" / "students" / student / ADAPTER_WEIGHTS)
    return found


def test_a_student_is_saved_as_its_adapter_alone(made: Path) -> None:
    for student in PAIR:
        folder = made / "tiny" / "students" / student
        assert is_adapter(folder)
        assert [path.name for path in folder.glob("*.safetensors")] == [ADAPTER_WEIGHTS]
        assert not list(folder.glob("checkpoint-*"))
        manifest = read_manifest(folder)
        assert manifest is not None and manifest["base"]["name"] == "scratch"
        moved = [name for name, weight in weights(made, student).items() if "lora_B" in name and weight.any()]
        assert len(moved) == 7, "every layer's adapter has learned"
    assert weights(made, "solver").keys() == weights(made, "decomposer").keys()


def test_training_leaves_the_base_as_it_was(made: Path) -> None:
    base = made / "tiny" / "base"
    untouched = {name: weight.float() for name, weight in load_file(base / "model.safetensors").items()}
    student = load_student(made / "tiny" / "students" / "solver", dtype=torch.float32)
    found = {
        name.replace(".base_layer", ""): weight
        for name, weight in student.model.named_parameters()
        if "lora_" not in name
    }
    assert found.keys() == untouched.keys()
    assert all(torch.equal(found[name], weight) for name, weight in untouched.items())


def test_the_adapter_of_the_best_epoch_is_saved(made: Path) -> None:
    for student in PAIR:
        validated = [line.loss for line in read_log(made / "tiny" / "students" / student) if line.validation]
        manifest = read_manifest(made / "tiny" / "students" / student)
        assert manifest is not None and len(validated) == 3
        assert manifest["trained"]["best_loss"] == min(validated) < validated[0] * 1.001


def test_what_is_done_is_not_done_again(runs: Path) -> None:
    run, progress = opened(runs)
    run_stages(run, (*TRAINED, "solve"))
    assert progress.said == []
    assert {state for stage, _, state, _ in states(run) if stage in ("train", "solve")} == {"done"}


def test_both_students_of_a_solve_share_one_base(runs: Path) -> None:
    run, _ = opened(runs)
    engines: dict[tuple[str, str], Engine] = {}
    bases: Bases = {}
    waiting = [(problem.id, problem) for problem in run.problems("test")[:3]]
    strategy = strategy_of(run.recipe.solve["pair"])
    assert len(list(solved(run, "pair", strategy, waiting, engines, bases))) == 3
    [shared] = bases.values()
    loaded = [engine for engine in engines.values() if isinstance(engine, TransformersEngine)]
    assert len(loaded) == 2 and all(engine._student.model is shared.model for engine in loaded)


def test_merged_students_write_what_the_adapters_wrote(runs: Path) -> None:
    run, _ = opened(runs)
    before = texts(run)
    run.path("solutions/pair.jsonl").unlink()
    for _ in merge_all(run.folder, runs / "merged"):
        pass
    for student in PAIR:
        folder = run.path(f"students/{student}")
        manifest = (folder / "manifest.json").read_text(encoding="utf-8")
        shutil.rmtree(folder)
        (runs / "merged" / student).rename(folder)
        (folder / "manifest.json").write_text(manifest, encoding="utf-8")  # as one saved merged by an earlier version
    run, progress = opened(runs)
    run_stages(run, (*TRAINED, "solve"))
    assert not any("train" in line for line in progress.said), "a student that was saved merged still counts"
    assert texts(run) == before and any(any(told) for told in before.values())


@pytest.mark.parametrize("base", ["", "served-base:"])
def test_a_server_of_two_adapters_is_asked_for_each_by_its_name(runs: Path, base: str) -> None:
    with ScriptedServer(lambda prompt: "[done]") as server:
        names = [f"solve.pair.models.{student}={base}{student}" for student in PAIR] if base else []
        there = (f"base_url={server.base_url}", "api=completions")
        settings = ("solve.pair.engine=openai", *(f"solve.pair.server.{setting}" for setting in there), *names)
        run_stages(opened(runs, *settings)[0], ("solve",))
        asked = {body["model"] for body in server.bodies}
        prompts = [body["prompt"] for body in server.bodies if body["model"].endswith("decomposer")]
    assert asked <= {f"{base}{student}" for student in PAIR} and f"{base}decomposer" in asked
    student = load_student(runs / "tiny" / "students" / "decomposer")
    questions = [problem.question for problem in opened(runs)[0].problems("test")]
    assert prompts[0] in [student.encode(Prompt(pieces=(question,))) for question in questions]


def test_a_student_trained_whole_is_not_taken_for_the_adapter_that_follows_it(runs: Path) -> None:
    recipe = (runs / "tiny.toml").read_text(encoding="utf-8")
    (runs / "whole.toml").write_text(recipe.replace("[train.lora]\nrank = 2\ndropout = 0.1\n", ""), encoding="utf-8")
    folder = runs / "tiny" / "students" / "solver"
    run_stages(Run(load_recipe(runs / "whole.toml"), runs / "tiny", QUIET), TRAINED)
    assert [path.name for path in folder.glob("*.safetensors")] == ["model.safetensors"]
    whole = load_student(folder, dtype=torch.float32)
    assert whole.shared is None
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert "base" not in manifest and manifest["settings"]["lora"] is None
    run_stages(opened(runs)[0], TRAINED)
    assert [path.name for path in folder.glob("*.safetensors")] == [ADAPTER_WEIGHTS]
    assert load_student(folder, dtype=torch.float32).shared is not None


def command(arguments: Sequence[str]) -> None:
    """Run the command line in a process of its own."""
    torch.set_num_threads(1)
    main(arguments)


@pytest.mark.slow
def test_a_training_killed_at_every_epoch_ends_with_the_same_adapters(made: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(RECIPE, encoding="utf-8")
    asked = [str(tmp_path / "tiny.toml"), "--runs", str(tmp_path), "--set=train.checkpoint_minutes=1e-9"]
    for stage in TRAINED[:3]:
        wait_for(forked(command, [stage, *asked]))
    log = tmp_path / "tiny" / "students" / "solver" / "train_log.jsonl"
    for steps in (2, 5):
        process = forked(command, ["train", *asked])
        while process.is_alive() and (not log.exists() or len(log.read_bytes().splitlines()) < steps):
            pass
        kill(process)
        assert not (log.parent / ADAPTER_WEIGHTS).exists()
    wait_for(forked(command, ["train", *asked]))
    for student in PAIR:
        alone, killed = weights(made, student), weights(tmp_path, student)
        assert alone.keys() == killed.keys()
        assert all(torch.equal(alone[name], weight) for name, weight in killed.items())


@pytest.mark.slow
def test_on_ray_adapters_write_what_they_write_here(runs: Path) -> None:
    ray = pytest.importorskip("ray", reason="RAY ABSENT: nothing was solved on it")
    before = texts(opened(runs)[0])
    (runs / "tiny" / "solutions" / "pair.jsonl").unlink()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        run, _ = opened(runs, "solve.pair.executor=ray")
        run_stages(run, ("solve",))
    finally:
        ray.shutdown()
    assert texts(run) == before
