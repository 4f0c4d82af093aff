"""docs/tutorial.md, typed as it is printed: every file and command, with a teacher of ours at its server."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from scripted_server import ScriptedServer

from socratic_distill.app.command_line import main
from socratic_distill.records import Prompt

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("single_thread")]

TUTORIAL = (Path(__file__).parent.parent / "docs/tutorial.md").read_text(encoding="utf-8")
PIECES = re.compile(r"(?:^`(?P<file>[\w.]+)`\n\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
SERVER = "http://localhost:8000/v1"


def teacher(prompt: Prompt) -> str:
    """Solve the tutorial's problems; every sixth shelf wrongly."""
    number, rows, books, gone = re.findall(
        r"-(\d+) has (\d+) rows of (\d+) books\. (\d+) books are", prompt.pieces[-1]
    )[-1]
    held = int(rows) * int(books)
    left = held - int(gone) + (int(number) % 6 == 0)
    return (
        f"Q1: How many books does it hold?\nA1: It holds {rows}*{books} = <<{rows}*{books}={held}>>{held} books.\n"
        f"Q2: How many are left?\nA2: There are {held}-{gone} = <<{held}-{gone}={left}>>{left} left.\n"
        f"The answer is {left}"
    )


def typed(command: str) -> None:
    """Do a command as a shell would."""
    first, *words = shlex.split(command)
    if first == "socratic":
        assert main(words) == 0, command
    else:
        program = sys.executable if first == "python" else first
        subprocess.run([program, *words], check=True, capture_output=True)


def test_every_file_and_command_of_the_tutorial_works_as_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    commands = 0
    with ScriptedServer(teacher) as server:
        for piece in PIECES.finditer(TUTORIAL):
            text = piece["text"].replace(SERVER, server.base_url)
            if piece["file"]:
                (tmp_path / piece["file"]).write_text(text, encoding="utf-8")
                continue
            assert piece["language"] == "bash", f"a block of {piece['language']} is neither a file nor a command"
            for command in text.splitlines():
                typed(command)
                commands += 1
    said = " ".join(capsys.readouterr().out.split())
    assert commands == TUTORIAL.count("\nsocratic ") + 2, "a command of the tutorial was not typed"
    assert "16 students to train" in said
    for page in ("own/report.html", "amounts/study.html", "amounts/half-seed2/report.html"):
        assert (tmp_path / "runs" / page).is_file()
