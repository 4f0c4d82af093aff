"""The command line: exit codes, and one line for each mistake that a user can make."""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch
from transformers.utils.logging import disable_progress_bar

from socratic_distill.app.command_line import COMMANDS, main
from socratic_distill.artifacts import read_rows
from socratic_distill.records import SolutionRow

TINY = """\
name = "tiny"
[problems]
dataset = "grade_school"
train = "count=20 steps=1-2 seed=1 distractors=0"
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
max_tokens = 12
window = 2
[evaluate]
bootstrap = 100
"""
HEAVY = ("torch", "transformers", "openvino", "ray", "fastapi", "datasets", "scipy", "matplotlib", "numpy", "pydantic")
OWN = '{"question": "I had 3 pens and lost one. How many are left?", "answer": "2"}\n'


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Compute on one thread, for a small student gains nothing from more, and without transformers' own bars."""
    disable_progress_bar()  # as the command's environment does where transformers is imported after it
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The tiny recipe, in a folder that commands are run from."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(TINY, encoding="utf-8")
    return "tiny.toml"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Path:
    """The tiny recipe's run folder, whole; it is not to be changed."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "tiny.toml").write_text(TINY, encoding="utf-8")
    assert main(["run", str(folder / "tiny.toml"), "--runs", str(folder / "runs")]) == 0
    return folder / "runs" / "tiny"


@pytest.fixture
def run_folder(recipe: str, made: Path) -> Path:
    """A copy of it where the commands of a test look for it, to be changed."""
    return shutil.copytree(made, Path("runs/tiny"))


def test_help_imports_nothing_heavy() -> None:
    check = (
        "import sys\n"
        "from socratic_distill.app.command_line import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: assert not end.code\n"
        f"print('HEAVY', [name for name in {HEAVY} if name in sys.modules])"
    )
    for arguments in (["--help"], ["run", "--help"], ["ask", "--help"]):
        told = subprocess.run([sys.executable, "-c", check, *arguments], capture_output=True, text=True, check=True)
        assert told.stdout.endswith("HEAVY []\n")
        assert "usage: socratic" in told.stdout


def test_every_command_but_ask_takes_a_recipe_and_the_same_flags(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(COMMANDS) == [
        "load", "annotate", "verify", "train", "solve", "evaluate", "report", "export", "run", "status"
    ]  # fmt: skip
    for command in COMMANDS:
        with pytest.raises(SystemExit) as end:
            main([command, "--help"])
        assert end.value.code == 0
        told = capsys.readouterr().out
        for flag in ("RECIPE", "--set TABLE.KEY=VALUE", "--limit N", "--runs DIR", "--fresh", "--dry-run"):
            assert flag in told
        assert told.count("\n  --") == 5
    with pytest.raises(SystemExit):
        main(["ask", "--help"])
    told = capsys.readouterr().out
    assert "STUDENTS [PROBLEM]" in told
    assert told.count("\n  --set KEY=VALUE") == told.count("\n  --") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["walk"],
        ["run"],
        ["ask"],
        ["ask", "a", "b", "c"],
        ["ask", "a", "b", "--limit", "1"],
        ["run", "a.toml", "--limit", "0"],
        ["run", "a.toml", "--limit", "x"],
        ["run", "a", "--quick"],
    ],
)
def test_wrong_usage_ends_with_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage: socratic" in capsys.readouterr().err


def test_no_command_prints_the_help_and_ends_with_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "status" in capsys.readouterr().out


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("socratic-distill ")


@pytest.mark.slow
def test_the_command_itself_prints_no_more_than_it_means_to(recipe: str) -> None:
    command = [sys.executable, "-m", "socratic_distill.app.command_line"]
    offline = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    right = subprocess.run([*command, "run", recipe], capture_output=True, text=True, check=True, env=offline)
    assert right.stderr == ""
    assert "report: runs/tiny/report.html" in right.stdout
    assert "\r" not in right.stdout
    asked = [*command, "train", recipe, "--set", "train.student=nobody/no-such-model", "--runs", "runs"]
    wrong = subprocess.run(asked, capture_output=True, text=True, check=False, env=offline)
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("socratic: can't load a student from 'nobody/no-such-model': ")
    assert wrong.stderr.count("\n") == 1


def test_a_run_prints_its_table_and_where_the_report_is(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "tiny.toml"]) == 0
    told = capsys.readouterr()
    assert "cot" in told.out
    assert "report: runs/tiny/report.html" in told.out
    assert told.err == ""


def test_a_run_folders_own_recipe_runs_again_from_there(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = str(run_folder.resolve() / "recipe.toml")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["run", own]) == 0
    assert "made again" not in capsys.readouterr().out
    assert list(Path().iterdir()) == []


def test_status_lists_what_is_done(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "tiny.toml", "--set", "solve.cot.max_tokens=9"]) == 0
    told = capsys.readouterr().out
    assert told.count("done") >= 5
    assert "changed" in told
    assert "max_tokens 12 -> 9" in told


def test_a_limit_holds_for_train_and_test(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["load", recipe, "--limit", "10"]) == 0
    assert "loaded 9 training, 1 validation and 10 test problems" in capsys.readouterr().out


def test_a_dry_run_makes_nothing(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", recipe, "--dry-run"]) == 0
    assert "load: problems.jsonl: to be made" in capsys.readouterr().out
    assert [path.name for path in Path().iterdir()] == ["tiny.toml"]


def write(name: str, content: str) -> str:
    Path(name).write_text(content, encoding="utf-8")
    return name


def from_files(train: str, dataset: str = "files") -> list[str]:
    test = write("test.jsonl", OWN)
    return [f"--set=problems.{key}" for key in (f"dataset={dataset}", f"train={train}", f"test={test}")]


def an_unfinished_model() -> str:
    Path("model").mkdir()
    write("model/config.json", '{"model_type": "llama"}')
    return "model"


MISTAKES: dict[str, tuple[Callable[[], Sequence[str]], str]] = {
    "an unknown key": (lambda: ["run", "tiny.toml", "--set", "train.epochz=3"], "unknown key 'train.epochz'"),
    "a missing recipe": (lambda: ["run", "none.toml"], "no recipe 'none.toml'"),
    "a recipe that is a folder": (lambda: ["run", "."], "is a folder"),
    "a missing file": (lambda: ["load", "tiny.toml", *from_files("none.jsonl")], "none.jsonl"),
    "a malformed row": (lambda: ["load", "tiny.toml", *from_files(write("own.jsonl", OWN + "{oops\n"))], "own.jsonl:2"),
    "a row without its field": (
        lambda: ["load", "tiny.toml", *from_files(write("own.jsonl", OWN + '{"question": "Why?"}\n'))],
        "own.jsonl:2: answer",
    ),
    "another data set's file": (
        lambda: [
            "load",
            "tiny.toml",
            *from_files(
                write("own.jsonl", '{"Body": "Ann has 3.", "Question": "How many?", "Equation": "3", "Answer": 3}\n'),
                "gsm8k",
            ),
        ],
        "dataset = 'svamp'",
    ),
    "an empty data set": (lambda: ["load", "tiny.toml", *from_files(write("own.jsonl", ""))], "own.jsonl: no rows"),
    "an unknown data set": (lambda: ["load", "tiny.toml", "--set=problems.dataset=gsm9k"], "unknown data set 'gsm9k'"),
    "an unknown strategy": (lambda: ["run", "tiny.toml", "--set=solve.cot.strategy=guess"], "unknown strategy 'guess'"),
    "a model folder that is not there": (
        lambda: ["run", "tiny.toml", "--set", "train.student=./nowhere"],
        "no model folder './nowhere'",
    ),
    "a folder that holds no model": (lambda: ["run", "tiny.toml", "--set", "train.student=."], "it has no config.json"),
    "a model folder without weights": (
        lambda: ["run", "tiny.toml", "--set", f"train.student={an_unfinished_model()}"],
        "can't load a student from 'model'",
    ),
    "a place that is a file": (lambda: ["run", "tiny.toml", "--runs", write("runs", "")], "can't write to runs/tiny"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_one_line(mistake: str, recipe: str, capfd: pytest.CaptureFixture[str]) -> None:
    arguments, words = MISTAKES[mistake]
    assert main(arguments()) == 1
    told = capfd.readouterr().err
    assert words in told
    assert told.startswith("socratic: ")
    assert told.count("\n") == 1
    assert told.endswith("\n")


def test_a_hub_model_that_is_not_there_is_told_in_one_line(
    recipe: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert main(["run", recipe, "--set", "train.student=nobody/no-such-model"]) == 1
    told = capfd.readouterr().err
    assert told.startswith("socratic: can't load a student from 'nobody/no-such-model': ")
    assert told.count("\n") == 1


@pytest.mark.parametrize("lost", ["manifest.json", "model.safetensors", "tokenizer.json", "config.json"])
def test_a_half_written_student_is_told_in_one_line(
    run_folder: Path, lost: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (run_folder / "students" / "cot" / lost).unlink()
    assert main(["solve", "tiny.toml", "--fresh"]) == 1
    told = capfd.readouterr().err
    assert "students/cot" in told
    assert "train" in told
    assert told.count("\n") == 1


@pytest.mark.parametrize("torn", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_half_written_base_is_told_in_one_line(
    run_folder: Path, torn: str, capfd: pytest.CaptureFixture[str]
) -> None:
    base = shutil.copytree(run_folder / "base", Path("base"))
    content = (base / torn).read_bytes()
    (base / torn).write_bytes(content[: len(content) // 2])
    assert main(["train", "tiny.toml", "--set", "train.student=base"]) == 1
    told = capfd.readouterr().err
    assert "'base'" in told
    assert told.count("\n") == 1


def full_at(size: int, arguments: list[str]) -> int:
    """Run a command while no file can grow beyond `size` bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        return main(arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_while_solving_loses_no_row(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    solutions = run_folder / "solutions" / "cot.jsonl"
    whole = solutions.stat().st_size
    room = max(whole // 2, (run_folder / "recipe.toml").stat().st_size + 100)
    assert whole > room + 300
    assert full_at(room, ["solve", "tiny.toml", "--fresh"]) == 1
    told = capsys.readouterr().err
    assert "the rows before it are kept: make room and run it again" in told
    assert told.count("\n") == 1
    kept = read_rows(solutions, SolutionRow)
    assert solutions.read_bytes().count(b"\n") == len(kept) > 2
    assert main(["solve", "tiny.toml"]) == 0
    found = read_rows(solutions, SolutionRow)
    assert [row for row in found if row in kept] == sorted(kept, key=found.index)
    assert len(found) == 12


@pytest.mark.parametrize("room", [0, 500, 3_000, 10_000, 30_000, 60_000])
def test_a_full_disk_anywhere_is_told_in_one_line(
    run_folder: Path, room: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert full_at(room, ["run", "tiny.toml", "--fresh"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("socratic: can't write ")
    assert told.count("\n") == 1
    assert main(["run", "tiny.toml"]) == 0
