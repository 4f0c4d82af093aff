"""Students behind a server: asked with their own token ids, they write what they write here."""

import json
from pathlib import Path

import pytest
import torch
from scripted_server import ScriptedServer
from transformers import AutoModelForCausalLM, AutoTokenizer

from socratic_distill.errors import UserError
from socratic_distill.pipeline import run_stages
from socratic_distill.recipe import load_recipe
from socratic_distill.records import Prompt, SolutionRow
from socratic_distill.run import QUIET, Run

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
