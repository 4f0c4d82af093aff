"""Exports: the same examples that our own training learns from, in a form that other trainers read."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from datasets import load_dataset, load_from_disk
from fakes import Quiet

from socratic_distill.errors import UserError
from socratic_distill.pipeline import run_stages
from socratic_distill.reasoning.prompts import DONE
from socratic_distill.recipe import load_recipe
from socratic_distill.run import Run
from socratic_distill.training.lessons import lessons_by_student

RECIPE = """\
name = "own"
[problems]
dataset = "grade_school"
train = "count=30 steps=2-3 seed=1"
test = "count=2 steps=2-3 seed=2"
[train]
student = "scratch"
[solve.cot]
strategy = "cot"
[solve.pair]
strategy = "socratic_iterative"
"""


def exported(folder: Path, *overrides: str) -> Run:
    (folder / "own.toml").write_text(RECIPE, encoding="utf-8")
    run = Run(load_recipe(folder / "own.toml", overrides), folder / "own", Quiet())
    run_stages(run, ("load", "annotate", "verify"))
    run_stages(run, ("export",))
    return run


def read(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_learned_piece_is_one_pair_after_all_that_its_student_read(tmp_path: Path) -> None:
    run = exported(tmp_path)
    for student, lessons in lessons_by_student(run).items():
        for split, rows in lessons.items():
            pairs = read(run.path(f"exports/{student}/{split}.jsonl"))
            assert [pair["completion"] for pair in pairs] == [
                lesson.pieces[place] for lesson in rows for place in lesson.learned
            ]
            assert all(pair["prompt"].endswith("\n") and pair.keys() == {"prompt", "completion"} for pair in pairs)
    problem = run.problems("train")[0]
    asked = [pair for pair in read(run.path("exports/decomposer/train.jsonl")) if problem.question in pair["prompt"]]
    assert [pair["completion"] for pair in asked] == [*(step.subquestion for step in problem.steps), DONE]
    for earlier, later in pairwise(asked):
        assert later["prompt"].startswith(earlier["prompt"] + earlier["completion"] + "\n")


def test_datasets_reads_both_formats_alike(tmp_path: Path) -> None:
    lines = exported(tmp_path)
    folder = lines.path("exports/solver")
    from_lines = load_dataset(
        "json",
        data_files={split: str(folder / f"{split}.jsonl") for split in ("train", "validation")},
        cache_dir=str(tmp_path / "cache"),
    )
    with_datasets = exported(tmp_path, "export.format=datasets")
    from_disk = load_from_disk(str(with_datasets.path("exports/solver")))
    assert {split: rows.to_list() for split, rows in from_disk.items()} == {
        split: rows.to_list() for split, rows in from_lines.items()
    }


def test_an_export_before_verification_names_the_command(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(RECIPE, encoding="utf-8")
    run = Run(load_recipe(tmp_path / "own.toml"), tmp_path / "own", Quiet())
    with pytest.raises(UserError, match="run `socratic load` first"):
        run_stages(run, ("export",))
