"""The shelf: what one run has made another takes, whole and only where it is the same."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes import Quiet, Stopped, forked, wait_for
from safetensors.torch import load_file, save_file
from scripted_server import ScriptedServer
from taught import PRICES, Case, boxes, teacher

from socratic_distill.artifacts import manifest_path, write_manifest
from socratic_distill.pipeline import run_stages
from socratic_distill.recipe import load_recipe, recipe_of
from socratic_distill.run import Progress, Run, Target
from socratic_distill.shelf import Shelf

RECIPE: dict[str, Any] = {
    "name": "one",
    "problems": {"dataset": "grade_school", "train": "count=1", "test": "count=1"},
    "solve": {"cot": {"strategy": "cot"}},
}


def run_in(folder: Path, name: str) -> Run:
    return Run(recipe_of({**RECIPE, "name": name}, place="test"), folder / name, Quiet())


def target(artifact: str = "rows.jsonl", **settings: object) -> Target:
    return Target(artifact, settings, {"rows": "a"}, dict)


def made(run: Run, what: Target, content: Mapping[str, str]) -> None:
    """Make an artifact: one file, or a folder of some."""
    path = run.path(what.artifact)
    for name, text in content.items():
        file = path / name if name else path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    write_manifest(path, settings=what.settings, inputs=what.inputs, facts={"fact": 1})


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    shelf = Shelf(tmp_path / "shelf")
    shelf.folder.mkdir()
    return shelf


def test_what_one_run_has_another_takes_with_its_manifest(tmp_path: Path, shelf: Shelf) -> None:
    one, two, what = run_in(tmp_path, "one"), run_in(tmp_path, "two"), target(seed=1)
    made(one, what, {"": "a row\n"})
    shelf.put(what, one)
    assert shelf.take(what, two)
    assert two.path("rows.jsonl").read_text() == "a row\n"
    assert json.loads(manifest_path(two.path("rows.jsonl")).read_text())["fact"] == 1


def test_a_folder_is_taken_whole_and_its_weights_are_one_file(tmp_path: Path, shelf: Shelf) -> None:
    one, two, what = run_in(tmp_path, "one"), run_in(tmp_path, "two"), target("students/cot")
    made(one, what, {"model.safetensors": "weights", "train_log.jsonl": "line"})
    made(two, target("students/cot", seed=9), {"left_over.txt": "of another training"})
    shelf.put(what, one)
    assert shelf.take(what, two)
    ours, theirs = (run.path("students/cot") for run in (two, one))
    assert sorted(path.name for path in ours.iterdir()) == sorted(path.name for path in theirs.iterdir())
    assert (ours / "model.safetensors").samefile(theirs / "model.safetensors")
    assert not (ours / "train_log.jsonl").samefile(theirs / "train_log.jsonl")


def test_weights_that_are_written_again_change_no_other_run(tmp_path: Path, shelf: Shelf) -> None:
    one, two, what = run_in(tmp_path, "one"), run_in(tmp_path, "two"), target("students/cot")
    made(one, what, {"train_log.jsonl": "line"})
    ours, theirs = (run.path("students/cot/model.safetensors") for run in (two, one))
    save_file({"weight": torch.ones(2)}, theirs)
    shelf.put(what, one)
    assert shelf.take(what, two) and ours.samefile(theirs)
    save_file({"weight": torch.zeros(2)}, ours)
    assert load_file(theirs)["weight"].tolist() == [1, 1]


@pytest.mark.parametrize(
    "other", [target(seed=2), target("other.jsonl", seed=1), target()], ids=["settings", "artifact", "fewer_settings"]
)
def test_what_was_made_by_anything_else_is_not_taken(other: Target, tmp_path: Path, shelf: Shelf) -> None:
    one, two, what = run_in(tmp_path, "one"), run_in(tmp_path, "two"), target(seed=1)
    made(one, what, {"": "a row\n"})
    shelf.put(what, one)
    assert not shelf.take(other, two)
    assert not two.path(other.artifact).exists()


def test_what_was_made_anew_since_or_never_finished_is_not_taken(tmp_path: Path, shelf: Shelf) -> None:
    one, two, what = run_in(tmp_path, "one"), run_in(tmp_path, "two"), target(seed=1)
    made(one, what, {"": "a row\n"})
    shelf.put(what, one)
    made(one, target(seed=2), {"": "another row\n"})
    assert not shelf.take(what, two)
    manifest_path(one.path("rows.jsonl")).unlink()
    assert not shelf.take(what, two)


def test_what_was_removed_is_not_taken(tmp_path: Path, shelf: Shelf) -> None:
    one, two, what = run_in(tmp_path, "one"), run_in(tmp_path, "two"), target(seed=1)
    made(one, what, {"": "a row\n"})
    shelf.put(what, one)
    one.path("rows.jsonl").unlink()
    assert not shelf.take(what, one) and not shelf.take(what, two)


@pytest.mark.parametrize(
    ("ours", "theirs", "after"),
    [
        (None, "1\n2\n", "1\n2\n"),
        ("1\n", "1\n2\n", "1\n2\n"),
        ("1\n2 is torn", "1\n2\n3\n", "1\n2\n3\n"),
        ("1\n2\n", "1\n", "1\n2\n"),
        ("5\n", "1\n2\n", "5\n"),
    ],
    ids=["none", "fewer", "torn", "more", "others"],
)
def test_growing_files_are_caught_up_with_where_they_go_on(
    ours: str | None, theirs: str, after: str, tmp_path: Path, shelf: Shelf
) -> None:
    one, two = run_in(tmp_path, "one"), run_in(tmp_path, "two")
    what = Target("solutions/rows.jsonl", {}, {}, dict, grows=("solutions/ledger.jsonl",))
    for run, text in ((one, theirs), (two, ours)):
        path = run.path("solutions/ledger.jsonl")
        path.parent.mkdir(parents=True)
        if text is not None:
            path.write_text(text)
    shelf.catch_up(what, two)  # nobody has begun it
    shelf.put(what, one)
    shelf.catch_up(what, two)
    assert two.path("solutions/ledger.jsonl").read_text() == after


def test_no_run_asks_a_teacher_again_what_another_has_paid_for(tmp_path: Path, shelf: Shelf) -> None:
    paid = (*PRICES, "annotate.server.concurrency=1")
    with ScriptedServer(teacher, latency=0.2) as server:
        case = Case(tmp_path, server.base_url)
        case.problems(range(1, 5))

        def annotate(name: str, *overrides: str, progress: Progress | None = None) -> Run:
            recipe = load_recipe(tmp_path / "taught.toml", [*paid, *overrides])
            run = Run(recipe, tmp_path / name, progress or Quiet())
            run_stages(run, ("load", "annotate"), shelf=shelf)
            return run

        with pytest.raises(KeyboardInterrupt):
            annotate("one", progress=Stopped())
        assert 0 < len(server.bodies) < 4
        two = annotate("two")
        assert sorted(boxes(server)) == [1, 2, 3, 4]
        one = annotate("one")
        for name in ("annotations.jsonl", "journal.jsonl", "ledger.jsonl"):
            assert one.path(name).read_bytes() == two.path(name).read_bytes()
        server.forget()
        annotate("one", "annotate.max_usd=9")
        assert server.bodies == []


def _make_in_turn(folder: Path, name: str) -> None:
    shelf, run, what = Shelf(folder / "shelf"), run_in(folder, name), target(seed=1)
    with shelf.turn(what):
        if not shelf.take(what, run):
            with (folder / "made.txt").open("a") as log:
                log.write(f"{name}\n")
            made(run, what, {"": "a row\n"})
        shelf.put(what, run)


def test_of_several_that_want_the_same_at_once_one_makes_it(tmp_path: Path, shelf: Shelf) -> None:
    processes = [forked(_make_in_turn, tmp_path, name) for name in ("one", "two", "three")]
    for process in processes:
        wait_for(process)
    assert len((tmp_path / "made.txt").read_text().split()) == 1
    assert {(tmp_path / name / "rows.jsonl").read_text() for name in ("one", "two", "three")} == {"a row\n"}
