"""`socratic ask`: one problem on the screen, many as rows, and one line for each mistake."""

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from fakes import Quiet
from rich.console import Console
from sampled import SampledEngine, Script
from transformers.utils.logging import disable_progress_bar

from socratic_distill.app.ask import AskedRow, AskSettings, answered_rows, print_asked, read_questions
from socratic_distill.app.command_line import main
from socratic_distill.errors import UserError
from socratic_distill.pipeline import run_recipe
from socratic_distill.recipe import load_recipe

RECIPE = """\
name = "pair"
[problems]
dataset = "grade_school"
train = "count=20 steps=1-2 seed=1 distractors=0"
test = "count=2 steps=1-2 seed=2 distractors=0"
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
max_tokens = 2
[solve.pair]
strategy = "socratic_iterative"
engine = "transformers"
max_tokens = 2
[evaluate]
bootstrap = 100
"""
SHORT = "--set=engine=transformers", "--set=max_tokens=8"
QUESTION = "Ann has 3 pens and buys 4. How many has she?"


@pytest.fixture(autouse=True, scope="module")
def no_bars(single_thread: None) -> None:
    """Keep transformers' own bars off the screen."""
    disable_progress_bar()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, single_thread: None) -> Path:
    """A run folder with a decomposer, a solver and a cot; it is not to be changed."""
    folder = tmp_path_factory.mktemp("ask")
    (folder / "pair.toml").write_text(RECIPE, encoding="utf-8")
    return run_recipe(load_recipe(folder / "pair.toml"), runs=folder).folder


def feed(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Put content on standard input."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))


def rows(out: str) -> list[AskedRow]:
    return [AskedRow.model_validate_json(line) for line in out.splitlines()]


# --- over scripted students


def shown(settings: AskSettings, **scripts: Script) -> list[str]:
    """Print one problem's dialogue."""
    console = Console(file=io.StringIO(), width=120)
    engines = {student: SampledEngine(script) for student, script in scripts.items()}
    print_asked(QUESTION, settings, engines, console=console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_the_dialogue_is_followed_by_the_answer() -> None:
    told = shown(AskSettings(strategy="cot"), cot=lambda prompt, _: "7 #### 7" if prompt.begun else "3+4 = <<3+4=8>>")
    assert told == ["cot         3+4 = <<3+4=7>>7 #### 7", "            3+4=8 is changed to 7", "answer      7"]


def test_no_answer_says_why() -> None:
    assert shown(AskSettings(strategy="cot"), cot=lambda *_: "who knows")[-1] == "answer      none, for no number"


def test_an_answer_is_read_as_the_kind_that_was_set() -> None:
    settings = AskSettings(strategy="cot", answer_kind="boolean")
    assert shown(settings, cot=lambda *_: "Not 3. #### no")[-1] == "answer      no"


def test_of_samples_the_one_that_is_taken_is_shown_and_how_all_voted() -> None:
    texts = iter(("a #### 5", "hm", "b #### 7", "c #### 7"))
    told = shown(AskSettings(strategy="cot", samples=4, temperature=1), cot=lambda *_: next(texts))
    assert told == ["solved      b #### 7", "votes       7: 2, 5: 1, unreadable: 1", "answer      7"]


def test_rows_are_in_the_order_of_the_lines_and_an_empty_one_has_a_reason() -> None:
    class Backwards(SampledEngine):
        """Answers the last of what waits."""

        def poll(self, timeout: float | None = None) -> list[tuple[str, object]]:  # type: ignore[override]
            last = self._waiting[-1:]
            rest, self._waiting = self._waiting[:-1], last
            ended = super().poll()
            self._waiting = rest
            return list(ended)

    questions = ["one 1", "", "two 2", "  ", "three 3"]
    engines = {"cot": Backwards(lambda prompt, _: f"#### {prompt.pieces[0][-1]}")}
    settings = AskSettings(strategy="cot", window=2)
    found = list(answered_rows(questions, settings, engines, progress=Quiet()))
    assert [(row.line, row.question, row.answer, row.unreadable) for row in found] == [
        (1, "one 1", "1", ""),
        (2, "", "", "empty_problem"),
        (3, "two 2", "2", ""),
        (4, "  ", "", "empty_problem"),
        (5, "three 3", "3", ""),
    ]
    assert [(row.solution is None, len(row.turns)) for row in found] == [(False, 1), (True, 0)] * 2 + [(False, 1)]


def test_an_unreadable_row_says_why() -> None:
    [row] = answered_rows(["a"], AskSettings(strategy="cot"), {"cot": SampledEngine(lambda *_: "")}, progress=Quiet())
    assert (row.answer, row.unreadable) == ("", "cot_empty")


@pytest.mark.parametrize(
    ("content", "questions"),
    [
        (b"a\nb\n", ["a", "b"]),
        (b"a\n\nb", ["a", "", "b"]),
        (b"\xef\xbb\xbfa\r\nb\r\n", ["a", "b"]),
        ("é\u2028x\x0by\n".encode(), ["é\u2028x\x0by"]),
    ],
)
def test_a_line_is_what_a_newline_ends(content: bytes, questions: Sequence[str]) -> None:
    assert read_questions(io.BytesIO(content)) == questions


@pytest.mark.parametrize(
    ("content", "words"), [(b"", "no problem"), (b"\n \n", "no problem"), (b"a\n\xff\n", "line 2")]
)
def test_what_is_no_text_is_told_in_one_line(content: bytes, words: str) -> None:
    with pytest.raises(UserError, match=words):
        read_questions(io.BytesIO(content))


# --- over small students


@pytest.mark.parametrize("place", ["", "students"])
def test_a_run_folder_and_its_students_folder_are_the_same(
    pair: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", str(pair / place), QUESTION, *SHORT]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("decomposer  ")
    assert told.out.splitlines()[-1].startswith("answer      ")
    assert told.err == "loads decomposer, engine transformers\nloads solver, engine transformers\n"


def test_the_strategy_is_set_as_in_a_recipe_and_is_what_the_folder_has(
    pair: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", str(pair), QUESTION, *SHORT, "--set", "strategy=cot"]) == 0
    assert capsys.readouterr().err == "loads cot, engine transformers\n"
    shutil.copytree(pair / "students" / "cot", tmp_path / "cot")
    assert main(["ask", str(tmp_path), QUESTION, *SHORT]) == 0
    assert capsys.readouterr().err == "loads cot, engine transformers\n"


def test_a_sampled_solve_works_from_the_command_line(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ["--set=samples=2", "--set=decompositions=2", "--set=retries=1", "--set=temperature=0.7"]
    assert main(["ask", str(pair), QUESTION, *SHORT, *more]) == 0
    assert "votes       " in capsys.readouterr().out


def test_problems_from_standard_input_are_rows(
    pair: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    feed(monkeypatch, f"{QUESTION}\n\nHow many is 2 and 2?\n".encode())
    assert main(["ask", str(pair), *SHORT]) == 0
    told = capsys.readouterr()
    found = rows(told.out)
    assert [(row.line, row.question) for row in found] == [(1, QUESTION), (2, ""), (3, "How many is 2 and 2?")]
    assert found[1].unreadable == "empty_problem"
    assert all(row.turns[0].student == "decomposer" and row.turns[0].tokens for row in (found[0], found[2]))
    assert told.err == "loads decomposer, engine transformers\nloads solver, engine transformers\n"


def test_the_rows_are_those_of_one_problem_alone(
    pair: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [str(pair), *SHORT, "--set=precision=fp32", "--set=strategy=cot", "--set=calculator=false"]
    feed(monkeypatch, f"{QUESTION}\nHow many is 2 and 2?\n".encode())
    assert main(["ask", *asked]) == 0
    [first, _] = rows(capsys.readouterr().out)
    assert main(["ask", *asked, QUESTION]) == 0, "a problem may follow the flags"
    alone = capsys.readouterr().out.splitlines()
    assert first.solution is not None
    words = "".join(letter if letter.isprintable() else " " for letter in first.solution.text).split()
    assert "".join(alone).split()[1 : len(words) + 1] == words


def broken(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")


MISTAKES: dict[str, tuple[Sequence[str], str]] = {
    "an oracle": (["PAIR", QUESTION, "--set", "oracle=subquestions"], "oracle can't be had here"),
    "no such folder": (["./nowhere", "a"], "no students in nowhere; name a run folder"),
    "a folder without students": ([".", "a"], "no students in ."),
    "an empty problem": (["PAIR", "  "], "the problem is empty"),
    "a problem that is no text": (["PAIR", broken(b"a\xff")], "the problem is not UTF-8"),
    "an unknown setting": (["PAIR", "a", "--set", "sample=3"], "--set: unknown key 'sample'"),
    "no setting": (["PAIR", "a", "--set", "cot"], "--set takes"),
    "an unknown strategy": (["PAIR", "a", "--set", "strategy=guess"], "unknown strategy 'guess'"),
    "a strategy without its students": (
        ["PAIR", "a", "--set", "strategy=socratic_planned"],
        "socratic_planned asks a planner, and PAIR/students has only cot, decomposer, solver; choose with --set"
        " strategy=NAME from socratic_iterative, cot",
    ),
    "samples that are all alike": (["PAIR", "a", "--set", "samples=3"], "--set: samples needs a temperature above 0"),
    "an unknown kind of answer": (["PAIR", "a", "--set", "answer_kind=yes"], "--set: answer_kind: "),
    "students that are not trained": (["PAIR", "a", "--set", "trained=false"], "--set: trained: "),
    "nothing on standard input": (["PAIR"], "standard input has no problem"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_one_line(
    mistake: str, pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments, words = MISTAKES[mistake]
    monkeypatch.chdir(tmp_path)
    feed(monkeypatch, b"")
    assert main(["ask", *(one.replace("PAIR", str(pair)) for one in arguments)]) == 1
    told = capfd.readouterr()
    assert words.replace("PAIR", str(pair)) in told.err
    assert told.err.startswith("socratic: ")
    assert (told.err.count("\n"), told.out) == (1, "")


def test_a_half_written_student_is_told_in_one_line(
    pair: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    students = shutil.copytree(pair / "students", tmp_path / "students")
    (students / "solver" / "config.json").unlink()
    assert main(["ask", str(tmp_path), "a", *SHORT]) == 1
    assert capfd.readouterr().err.splitlines()[-1].startswith("socratic: ")
    (students / "solver" / "manifest.json").unlink()
    assert main(["ask", str(tmp_path), "a", *SHORT]) == 0, "a whole student is left"
    assert "loads cot" in capfd.readouterr().err


@pytest.mark.slow
def test_a_reader_that_leaves_ends_it_in_one_line(pair: Path) -> None:
    flags = " ".join((*SHORT, "--set=window=1"))
    command = f"'{sys.executable}' -m socratic_distill.app.command_line ask '{pair}' {flags} | head -n 1"
    asked = "".join(f"{QUESTION} {number}\n" for number in range(200))
    told = subprocess.run(
        command,
        shell=True,
        input=asked,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert json.loads(told.stdout)["line"] == 1
    assert told.stderr.splitlines()[-1] == "socratic: nobody reads the rows any more; stopped"
    assert len(told.stderr.splitlines()) == 3
