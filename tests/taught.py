"""A teacher of boxes and pens behind our own server, and runs that ask it; for tests of `socratic annotate`."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scripted_server import ScriptedServer

from socratic_distill.artifacts import read_manifest, read_rows
from socratic_distill.engines.journal import Asked, Ended
from socratic_distill.pipeline import run_stages
from socratic_distill.recipe import load_recipe
from socratic_distill.records import Annotation, Prompt
from socratic_distill.run import Run

RECIPE = """\
name = "taught"
[problems]
dataset = "files"
train = "{folder}/train.jsonl"
test = "{folder}/test.jsonl"
[annotate]
source = "teacher"
model = "a-teacher"
shots = 1
max_tokens = 64
[annotate.server]
base_url = "{url}"
concurrency = 8
timeout = 20
[solve.cot]
strategy = "cot"
"""
PRICES = ("annotate.prices.input=1", "annotate.prices.output=2")


def question(number: int) -> str:
    return f"Box {number} has 3 rows of {number} pens. How many pens are in it?"


def number_of(text: str) -> int:
    found = re.findall(r"Box (\d+) has", text)
    return int(found[-1])


def teacher(prompt: Prompt) -> str:
    """Answer in steps; every fifth box only when asked a second time, every seventh never."""
    number = number_of("\n".join(prompt.pieces))
    if number % 7 == 0 or (number % 5 == 0 and "Box" in prompt.pieces[-1]):
        return "Hm."
    product = 3 * number
    return (
        f"Q1: How many pens are in box {number}?\nA1: There are 3*{number} = {product} pens.\nThe answer is {product}"
    )


class Heard:
    """Progress that keeps what it was told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.statuses: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    @contextmanager
    def track(self, text: str, total: float, *, done: float = 0) -> Iterator["Heard"]:
        yield self

    def advance(self, steps: float = 1, status: str = "") -> None:
        self.statuses.append(status)


class Case:
    """A recipe, its problems and its runs, in a folder of their own."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        (folder / "taught.toml").write_text(RECIPE.format(folder=folder, url=url))
        (folder / "test.jsonl").write_text(json.dumps({"question": question(9999), "answer": 29997}) + "\n")
        self.problems(range(1, 21))

    @property
    def run(self) -> Path:
        return self.folder / "runs" / "taught"

    def problems(self, numbers: Sequence[int]) -> None:
        rows = [{"id": f"box/{number}", "question": question(number), "answer": 3 * number} for number in numbers]
        (self.folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def annotate(self, *overrides: str, dry_run: bool = False) -> Heard:
        heard = Heard()
        run = Run(load_recipe(self.folder / "taught.toml", overrides), self.run, heard)
        run_stages(run, ("load",))
        run_stages(run, ("annotate",), dry_run=dry_run)
        return heard

    def command(self, *overrides: str, stage: str = "annotate") -> list[str]:
        chosen = [part for override in overrides for part in ("--set", override)]
        recipe, runs = str(self.folder / "taught.toml"), str(self.folder / "runs")
        return [stage, recipe, "--runs", runs, *chosen]

    def rows(self) -> list[Annotation]:
        return read_rows(self.run / "annotations.jsonl", Annotation)

    def ids(self) -> list[str]:
        """Return the problems to learn from, in order."""
        problems = [json.loads(line) for line in (self.run / "problems.jsonl").read_text().splitlines()]
        return [problem["id"] for problem in problems if problem["split"] != "test"]

    def facts(self) -> dict[str, Any]:
        manifest = read_manifest(self.run / "annotations.jsonl")
        assert manifest is not None
        return manifest

    def journalled(self) -> tuple[dict[str, Asked], dict[str, Ended]]:
        """Return the requests of the journal and their ends, by key; a torn last line is passed over."""
        asked, ended = {}, {}
        content = (self.run / "journal.jsonl").read_bytes() if (self.run / "journal.jsonl").exists() else b""
        for line in content.split(b"\n")[:-1]:
            if b'"kind":"asked"' in line:
                row = Asked.model_validate_json(line)
                asked[row.key] = row
            else:
                end = Ended.model_validate_json(line)
                ended[end.key] = end
        return asked, ended


def boxes(server: ScriptedServer) -> list[int]:
    """Return which boxes a server was asked about, in order."""
    return [number_of(body["messages"][2]["content"]) for body in server.bodies]
