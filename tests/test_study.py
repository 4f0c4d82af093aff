"""Studies: what their files mean, what runs share, and that a stopped or longer one does only what is new."""

import json
import re
import shutil
import sys
import time
from pathlib import Path

import pytest
from fakes import forked, kill

from socratic_distill.app.command_line import main
from socratic_distill.artifacts import read_manifest
from socratic_distill.errors import UserError
from socratic_distill.reporting.findings import Findings
from socratic_distill.run import QUIET
from socratic_distill.statistics import SeedsComparison
from socratic_distill.study.gather import findings_of
from socratic_distill.study.runner import done as run_one
from socratic_distill.study.sentences import sentences_of
from socratic_distill.study.settings import kind_of, load_study

RECIPE = """\
name = "base"
[problems]
dataset = "grade_school"
train = "count=30 steps=1-2 seed=1 distractors=0"
test = "count=12 steps=1-2 seed=2 distractors=0"
[train]
student = "scratch"
epochs = 1
[train.scratch]
hidden = 16
layers = 1
heads = 2
vocabulary = 300
[solve.cot]
strategy = "cot"
engine = "transformers"
max_tokens = 8
[solve.pair]
strategy = "socratic_iterative"
engine = "transformers"
max_tokens = 8
[evaluate]
bootstrap = 200
"""
STUDY = """\
name = "sizes"
recipe = "base.toml"
seeds = [0, 1]
at_once = 1
contrasts = [["small/pair", "large/cot"]]
[axes.size.large]
train.scratch.hidden = 32
[axes.size.small]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "base.toml").write_text(RECIPE)
    (tmp_path / "sizes.toml").write_text(STUDY)
    return tmp_path


# --- what a study's file means


def test_every_combination_and_seed_is_a_run_of_its_own_name(folder: Path) -> None:
    more = ["axes.amount.few.problems.train_limit=10", "axes.amount.all={}", "contrasts=[]"]
    _, points = load_study(folder / "sizes.toml", more)
    assert [point.recipe.name for point in points] == [
        f"{size}-{amount}-seed{seed}" for size in ("large", "small") for amount in ("few", "all") for seed in (0, 1)
    ]
    first = points[0].recipe
    assert (first.train.scratch.hidden, first.problems.train_limit, first.train.seed) == (32, 10, 0)
    assert points[0].values == {"size": "large", "amount": "few"}


def test_a_seed_changes_training_and_sampling_and_no_greedy_solve(folder: Path) -> None:
    for drawn in ("temperature=0.5", "retries=2"):
        _, points = load_study(folder / "sizes.toml", [f"set.solve.pair.{drawn}"])
        assert {point.recipe.solve["pair"].seed for point in points} == {0, 1}
    assert {point.recipe.solve["cot"].seed for point in points} == {0}


def test_a_value_may_have_fewer_seeds(folder: Path) -> None:
    _, points = load_study(folder / "sizes.toml", ["axes.size.large.seeds=[0]"])
    assert [point.recipe.name for point in points] == ["large-seed0", "small-seed0", "small-seed1"]


def test_without_axes_the_study_is_one_cell_of_its_own_name(folder: Path) -> None:
    _, points = load_study(folder / "sizes.toml", ["axes={}", "contrasts=[]"])
    assert [point.cell for point in points] == ["sizes", "sizes"]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ("{a = {train = {student = 'x'}}, b = {train = {scratch = {hidden = 8}}}}", "size"),
        ("{a = {problems = {train_limit = 5}}, b = {}}", "amount"),
        ("{a = {problems = {train = 'count=5'}, seeds = [0]}}", "amount"),
        ("{a = {train = {learning_rate = 1e-3, scratch = {hidden = 8}}}}", "size"),
        ("{a = {train = {learning_rate = 1e-3}}}", "category"),
        ("{a = {train = {epochs = 5}}}", "category"),
        ("{a = {problems = {train = 'count=5', test = 'count=5'}}}", "category"),
        ("{a = {}}", "category"),
    ],
)
def test_an_axis_is_of_the_kind_of_what_its_values_set(values: str, kind: str, folder: Path) -> None:
    study, _ = load_study(folder / "sizes.toml", [f"axes.x={values}", "contrasts=[]"])
    assert kind_of(study, "x") == kind


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sedes=[1]", "sizes.toml: unknown key 'sedes'"),
        ("axes.size.small.train.hidden=3", "size = small: unknown key 'train.hidden'"),
        ("axes.size={}", "sizes.toml: axes.size has no values"),
        ("axes.size.small.seeds=[7]", "size = small: no seed is left"),
        ("axes.size.small.seeds=1", "size = small: seeds must be a list of whole numbers, not 1"),
        ("seeds=[1, 1]", "seeds names 1 twice"),
        ("solves=[]", "solves: "),
        ("axes={a={x-y={},x={}},b={z={},y-z={}}}", "('x-y', 'z') and ('x', 'y-z') would both be 'x-y-z'"),
        ("seeds=[]", "seeds: "),
        ("solves=['cto']", "solves names 'cto'; the recipe has cot, pair"),
        ("contrasts=[['small/pair', 'huge/cot']]", "contrasts names 'huge/cot'"),
        ("recipe=none.toml", "no recipe"),
        ("axes.size={'../x' = {}}", "axes.size"),
    ],
)
def test_a_mistake_is_named_with_its_place(override: str, message: str, folder: Path) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        load_study(folder / "sizes.toml", [override])


@pytest.mark.parametrize("path", sorted((Path(__file__).parent.parent / "recipes/studies").glob("*.toml")), ids=str)
def test_every_shipped_study_loads_under_its_own_name(path: Path) -> None:
    study, points = load_study(path)
    assert study.name == path.stem
    assert points


# --- whole studies on tiny students


def study(folder: Path, *overrides: str, capsys: pytest.CaptureFixture[str] | None = None) -> str:
    given = [part for override in overrides for part in ("--set", override)]
    code = main(["study", str(folder / "sizes.toml"), "--runs", str(folder / "runs"), *given])
    text = "" if capsys is None else "".join(capsys.readouterr())
    assert code == 0, text
    return text


def findings(folder: Path) -> Findings:
    return Findings.model_validate_json((folder / "runs/sizes/study.json").read_text())


def written(folder: Path) -> dict[str, str]:
    """Return when each student of each run was written."""
    return {
        str(path.parent.relative_to(folder)): json.loads(path.read_text())["written"] + str(path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("students/*/manifest.json"))
    }


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that is done; it is not to be changed."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "base.toml").write_text(RECIPE)
    (folder / "sizes.toml").write_text(STUDY)
    study(folder)
    return folder


@pytest.fixture
def copied(done: Path, tmp_path: Path) -> Path:
    return shutil.copytree(done, tmp_path / "copied")


def test_a_study_finds_every_cell_and_seed_with_its_cost(done: Path) -> None:
    found = findings(done)
    assert [cell.name for cell in found.cells] == ["large", "small"]
    for cell in found.cells:
        assert set(cell.solves) == {"cot", "pair"}
        pair, cot = cell.solves["pair"], cell.solves["cot"]
        assert [score.seed for score in pair.seeds] == [0, 1]
        assert pair.parameters == 2 * cot.parameters
        assert pair.train_flops > cot.train_flops > 0 < cot.flops_per_problem
        assert [(one.a, one.b, one.seeds) for one in cell.comparisons] == [("cot", "pair", 2)]
        assert sum(bin_.problems for bin_ in pair.by_steps) == 24
        assert all((done / "runs/sizes" / report).is_file() for report in cell.reports)
    [axis] = found.axes
    assert axis.values == ("small", "large")
    assert axis.x[0] < axis.x[1]
    assert axis.sentences
    assert [(one.comparison.a, one.comparison.b) for one in found.contrasts] == [("small/pair", "large/cot")]


def test_runs_share_what_is_the_same_and_nothing_else(done: Path) -> None:
    runs = done / "runs/sizes"
    problems = {(runs / name / "problems.jsonl").read_bytes() for name in ("large-seed0", "small-seed1")}
    assert len(problems) == 1
    weights = [
        (runs / name / "students/cot/model.safetensors").stat().st_ino for name in ("small-seed0", "small-seed1")
    ]
    assert len(set(weights)) == 2


def test_a_study_that_is_done_does_nothing_again(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = written(copied)
    said = study(copied, capsys=capsys)
    assert written(copied) == before
    assert "to be done" not in said


@pytest.mark.slow
def test_another_seed_or_solve_does_only_what_is_new(copied: Path) -> None:
    before = written(copied)
    study(
        copied, "seeds=[0,1,2]", 'set.solve.planned={strategy="socratic_planned", engine="transformers", max_tokens=8}'
    )
    after = written(copied)
    new = {name.partition("runs/sizes/")[2] for name in after.keys() - before.keys()}
    students = {f"students/{student}" for student in ("cot", "decomposer", "solver", "planner")}
    assert new == {
        *(f"{size}-seed{seed}/students/planner" for size in ("small", "large") for seed in (0, 1)),
        *(f"{size}-seed2/{student}" for size in ("small", "large") for student in students),
    }
    assert all(after[name] == before[name] for name in before)
    assert [score.seed for score in findings(copied).cells[0].solves["planned"].seeds] == [0, 1, 2]


@pytest.mark.slow
def test_several_at_once_find_the_same_as_one_after_the_other(folder: Path, done: Path) -> None:
    study(folder, "at_once=2", "seeds=[0]")
    for mine, other in zip(findings(folder).cells, findings(done).cells, strict=True):
        for name, solve in mine.solves.items():
            assert solve.seeds == other.solves[name].seeds[:1]


@pytest.mark.slow
def test_on_ray_a_study_finds_the_same(folder: Path, done: Path) -> None:
    study(folder, "executor=ray", "seeds=[0]", "axes.size={small = {}}", "contrasts=[]")
    [cell] = findings(folder).cells
    other = next(cell for cell in findings(done).cells if cell.name == "small")
    for name, solve in cell.solves.items():
        assert solve.seeds == other.solves[name].seeds[:1]


def test_a_solve_that_only_one_value_has_is_compared_there_and_said_nothing_of(done: Path) -> None:
    large, small = findings(done).cells
    alone = large.model_copy(update={"solves": {**large.solves, "third": large.solves["cot"]}})
    told = sentences_of("size", ["large", "small"], [alone, small])
    assert told == sentences_of("size", ["large", "small"], [large, small]) != ()


def test_values_may_list_their_solves_in_another_order(done: Path) -> None:
    large, small = findings(done).cells
    [one] = large.comparisons
    by_seed = tuple(seed.model_copy(update={"difference": 0.5}) for seed in one.by_seed)
    ahead = one.model_copy(update={"difference": 0.5, "p_adjusted": 0.01, "by_seed": by_seed})
    by_seed = tuple(seed.model_copy(update={"difference": -0.5}) for seed in one.by_seed)
    turned = ahead.model_copy(update={"a": ahead.b, "b": ahead.a, "difference": -0.5, "by_seed": by_seed})
    other = small.model_copy(update={"solves": dict(reversed(small.solves.items())), "comparisons": (turned,)})
    assert sentences_of("size", ["large", "small"], [large.model_copy(update={"comparisons": (ahead,)}), other]) == (
        "cot solves more than pair at large (50 points, Holm-adjusted p = 0.0100, its seeds 50 to 50), "
        "small (50 points, Holm-adjusted p = 0.0100, its seeds 50 to 50).",
    )


CONTRASTS = 'contrasts=[["small/pair", "large/cot"], ["small/pair", "small/cot"], ["large/pair", "large/cot"]]'


def test_contrasts_stand_on_the_seeds_that_both_sides_have_so_far(done: Path) -> None:
    settings, points = load_study(done / "sizes.toml", [CONTRASTS])
    ran = [point for point in points if point.recipe.name != "small-seed0"]
    found = findings_of(settings, ran, folder=done / "runs/sizes")
    pairs = [(one.comparison.a, one.comparison.b, one.comparison.seeds) for one in found.contrasts]
    assert pairs == [("small/pair", "large/cot", 1), ("small/pair", "small/cot", 1), ("large/pair", "large/cot", 2)]
    alone = findings_of(settings, points[1::2], folder=done / "runs/sizes")  # seed 1 of both
    assert found.contrasts[0].comparison.difference == alone.contrasts[0].comparison.difference
    assert "small/pair" not in " ".join(found.notes)


def test_a_contrast_of_other_seeds_or_problems_is_left_out_and_said(copied: Path) -> None:
    settings, points = load_study(copied / "sizes.toml", [CONTRASTS])
    found = findings_of(settings, [points[0], points[3]], folder=copied / "runs/sizes")
    assert len(found.contrasts) == 2
    assert "small/pair and large/cot can't be compared: no seed of theirs is the same." in found.notes
    problems = copied / "runs/sizes/small-seed0/problems.jsonl"
    problems.write_text(problems.read_text().replace("?", "??"))
    found = findings_of(settings, points[::2], folder=copied / "runs/sizes")
    assert len(found.contrasts) == 2
    assert "small/pair and large/cot can't be compared: they were tested on different problems." in found.notes


def test_a_prompted_models_cost_is_not_known_and_only_what_was_trained_counts(copied: Path) -> None:
    base = copied / "runs/sizes/small-seed0/base"
    prompted = f'prompted={{model="{base}", engine="transformers", shots=1, students=["decomposer"]}}'
    mixed = f'set.solve.mixed={{strategy="socratic_iterative", engine="transformers", max_tokens=8, {prompted}}}'
    study(copied, mixed, "axes.size={small={}}", "contrasts=[]", "seeds=[0]")
    [cell] = findings(copied).cells
    assert cell.solves["mixed"].flops_per_problem == 0
    assert 0 < cell.solves["mixed"].train_flops < cell.solves["pair"].train_flops
    assert cell.solves["mixed"].students == cell.solves["pair"].students


def test_pairs_that_no_value_tells_apart_are_named(done: Path) -> None:
    cell, _ = findings(done).cells
    cot, pair = cell.solves["cot"], cell.solves["pair"]
    [one] = cell.comparisons
    none = one.model_copy(update={"difference": 0.0, "p_adjusted": 1.0})

    def told(*comparisons: SeedsComparison) -> tuple[str, ...]:
        solves = {"cot": cot, "pair": pair, "third": cot}
        return sentences_of("size", ["large"], [cell.model_copy(update={"solves": solves, "comparisons": comparisons})])

    named = [("cot", "pair"), ("cot", "third"), ("pair", "third")]
    first, *others = (none.model_copy(update={"a": a, "b": b}) for a, b in named)
    assert told(first, *others) == ("At no size can the data tell any two of cot, pair, third apart.",)
    by_seed = tuple(
        seed.model_copy(update={"difference": d}) for seed, d in zip(first.by_seed, (0.6, -0.1), strict=True)
    )
    ahead = first.model_copy(update={"difference": 0.25, "p_adjusted": 0.01, "by_seed": by_seed})
    assert told(ahead, *others) == (
        "cot solves more than pair at large (25 points, Holm-adjusted p = 0.0100, its seeds -10 to 60).",
        "At no size can the data tell cot from third; pair from third.",
    )


def _study(folder: str) -> None:
    sys.exit(main(["study", f"{folder}/sizes.toml", "--runs", f"{folder}/runs", "--set", "seeds=[0]"]))


@pytest.mark.slow
def test_a_killed_study_goes_on_and_no_finished_run_is_done_again(folder: Path) -> None:
    process = forked(_study, str(folder))
    marker = folder / "runs/sizes/large-seed0/report.manifest.json"
    until = time.monotonic() + 120
    while not marker.exists() and time.monotonic() < until:
        time.sleep(0.02)
    kill(process)
    before = written(folder / "runs/sizes/large-seed0")
    assert before
    study(folder, "seeds=[0]")
    assert written(folder / "runs/sizes/large-seed0") == before
    assert len(findings(folder).cells) == 2


def test_a_dry_run_prints_the_plan_with_its_hours_and_writes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(folder.rglob("*"))
    assert main(["study", str(folder / "sizes.toml"), "--runs", str(folder / "runs"), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "4 runs, 0 of them done; 12 students to train; about" in " ".join(said.split())
    assert sorted(folder.rglob("*")) == before


def test_a_plan_counts_only_what_is_left(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = 'set.solve.planned={strategy="socratic_planned", engine="transformers"}'
    server = 'server={base_url="http://localhost:9/v1"}, prices={input=1, output=2}'
    asked = f'set.solve.asked={{strategy="cot", prompted={{model="big", {server}, max_usd=1.5}}}}'
    given = ["--runs", str(copied / "runs"), "--dry-run", "--set", more, "--set", asked]
    assert main(["study", str(copied / "sizes.toml"), *given]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "4 runs, 0 of them done; 4 students to train; about" in said
    assert "models behind servers may cost $1.50 in all" in said
    given += ["--set", "seeds=[0,1,2]", "--set", "set.solve.asked.temperature=0.5"]
    given += ["--set", "axes.size.large.solve.asked.prompted.max_usd=2"]
    assert main(["study", str(copied / "sizes.toml"), *given]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "12 students to train" in said and "models behind servers may cost $10.50 in all" in said


def test_a_fault_of_ours_is_a_failed_run_and_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("one by none")

    monkeypatch.setattr("socratic_distill.study.runner.run_stages", broken)
    _, points = load_study(folder / "sizes.toml")
    assert run_one(points[0], folder / "runs", QUIET) == "ZeroDivisionError: one by none"
    assert "Traceback" in capsys.readouterr().err


def test_a_run_that_fails_leaves_the_others_and_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = ["--set", "axes.size.large.train.max_tokens=16", "--set", "seeds=[0]"]
    assert main(["study", str(folder / "sizes.toml"), "--runs", str(folder / "runs"), *bad]) == 1
    error = capsys.readouterr().err
    assert "1 of 2 runs failed" in error and "large-seed0" in error
    assert [cell.name for cell in findings(folder).cells] == ["small"]
    assert (folder / "runs/sizes/study.html").is_file()
    assert read_manifest(folder / "runs/sizes/small-seed0/report.html") is not None
