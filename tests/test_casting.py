"""Which engine plays a student: here, with OpenVINO and behind a server it writes the same."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from converted import need_openvino, saved
from fakes import Quiet
from scripted_server import ScriptedServer
from transformers import AutoModelForCausalLM, AutoTokenizer

from socratic_distill.artifacts import read_manifest
from socratic_distill.engines.casting import settled, student_engine
from socratic_distill.errors import UserError
from socratic_distill.pipeline import run_stages
from socratic_distill.recipe import Solve, load_recipe
from socratic_distill.records import Prompt, SolutionRow
from socratic_distill.run import QUIET, Run
from socratic_distill.students import LoadedStudent

RECIPE = """\
name = "served"
[problems]
dataset = "grade_school"
train = "count=20 steps=1 seed=1 distractors=0"
test = "count=4 steps=1 seed=2 distractors=0"
[train]
student = "scratch"
epochs = 1
[train.scratch]
hidden = 32
layers = 1
heads = 2
vocabulary = 300
[solve.here]
strategy = "cot"
engine = "transformers"
precision = "fp32"
max_tokens = 12
[solve.there]
strategy = "cot"
engine = "openai"
max_tokens = 12
[solve.there.server]
base_url = "{url}"
api = "{api}"
[solve.there.models]
cot = "lora-cot"
"""


def solved(folder: Path, url: str, *stages: str, api: str = "completions") -> Run:
    (folder / "served.toml").write_text(RECIPE.format(url=url, api=api), encoding="utf-8")
    run = Run(load_recipe(folder / "served.toml"), folder / "served", QUIET)
    run_stages(run, ("load", "annotate", "verify", "train", *stages))
    return run


def rows(run: Run, name: str) -> list[SolutionRow]:
    path = run.path(f"solutions/{name}.jsonl")
    return [SolutionRow.model_validate_json(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_served_student_writes_what_it_writes_here(tmp_path: Path) -> None:
    folder = tmp_path / "served" / "students" / "cot"

    def write(prompt: Prompt) -> str:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        ids = torch.tensor([json.loads(prompt.begun)])
        written = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False)
        return str(tokenizer.decode(written[0, ids.shape[1] :], skip_special_tokens=True))

    with ScriptedServer(write) as server:
        run = solved(tmp_path, server.base_url, "solve")
        assert [body["model"] for body in server.bodies] == ["lora-cot"] * 4
    here, there = ({row.problem: row.turns[0].text for row in rows(run, name)} for name in ("here", "there"))
    assert there.keys() == here.keys() and any(there.values())
    assert {key: text.split() for key, text in there.items()} == {key: text.split() for key, text in here.items()}


def test_students_are_not_asked_by_chat(tmp_path: Path) -> None:
    run = solved(tmp_path, "http://localhost:9/v1", api="chat")
    with pytest.raises(UserError, match=r"server\.api=completions"):
        run_stages(run, ("solve",))


OPENVINO = """
[solve.narrow]
strategy = "cot"
engine = "openvino"
max_tokens = 12
[solve.wide]
strategy = "cot"
engine = "openvino"
precision = "fp32"
max_tokens = 12
[solve.untrained]
strategy = "cot"
engine = "openvino"
trained = false
precision = "fp32"
max_tokens = 12
"""


def test_openvino_solves_what_transformers_solves_and_says_in_what_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_openvino()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    recipe = tmp_path / "served.toml"
    recipe.write_text(RECIPE.format(url="http://localhost:9", api="completions").split("[solve.there]")[0] + OPENVINO)
    heard = Quiet()
    run = Run(load_recipe(recipe), tmp_path / "served", heard)
    run_stages(run, ("load", "annotate", "verify", "train", "solve"))
    here, wide = ({row.problem: row.turns[0].text for row in rows(run, name)} for name in ("here", "wide"))
    assert wide == here and any(here.values())
    made = {name: read_manifest(run.path(f"solutions/{name}.jsonl")) or {} for name in ("here", "narrow", "wide")}
    numbers = {name: tuple(manifest["precision"].values()) for name, manifest in made.items()}
    assert numbers["here"] == numbers["wide"] == ("f32", "f32", "f32")
    assert numbers["narrow"] in (("i8", "bf16", "u8"), ("i8", "f32", "u8"))
    assert made["narrow"]["settings"]["precision"] == "int8"
    assert any("solve narrow: engine openvino, weights i8" in text for text in heard.said)
    assert len([text for text in heard.said if text.startswith("converts ")]) == 3
    assert len(rows(run, "untrained")) == 4


# --- what `auto` is


DYNAMIC = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}


@pytest.fixture
def llama_folder(tiny_student: Callable[[str], LoadedStudent], tmp_path: Path) -> Path:
    need_openvino()
    return saved(tiny_student("llama"), tmp_path / "solver")


def change(folder: Path, **settings: object) -> str:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | settings), encoding="utf-8")
    return str(folder)


def test_auto_is_openvino_at_int8_for_a_student_that_it_can_take(llama_folder: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    auto = settled(Solve(strategy="cot"), [str(llama_folder)])
    assert (auto.engine, auto.precision) == ("openvino", "int8")
    assert settled(Solve(strategy="cot", precision="fp32"), [str(llama_folder)]).precision == "fp32"


@pytest.mark.parametrize(
    "settings",
    [{"model_type": "bloom"}, {"model_type": "mistral", "sliding_window": 64}, {"rope_parameters": DYNAMIC}],
)
def test_auto_is_transformers_for_students_of_another_kind(llama_folder: Path, settings: dict[str, object]) -> None:
    source = change(llama_folder, **settings)
    auto = settled(Solve(strategy="cot"), [source])
    assert (auto.engine, auto.precision) == ("transformers", "auto")
    with pytest.raises(UserError, match="can't be had"):
        student_engine(source, "solver", Solve(strategy="cot", engine="openvino"))


def test_int8_is_openvinos_alone(llama_folder: Path) -> None:
    with pytest.raises(UserError, match='needs engine = "openvino"'):
        settled(Solve(strategy="cot", engine="transformers", precision="int8"), [str(llama_folder)])
    with pytest.raises(UserError, match="bloom"):
        settled(Solve(strategy="cot", precision="int8"), [change(llama_folder, model_type="bloom")])


def test_what_transformers_solved_before_keeps_its_name(llama_folder: Path) -> None:
    solve = Solve(strategy="cot", engine="transformers")
    assert settled(solve, [str(llama_folder)]) == solve
