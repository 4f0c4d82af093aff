"""Our side of `annotating.py`: FOLDER stage URL PROBLEMS CONCURRENCY, or FOLDER journal ROWS."""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

from socratic_distill.artifacts import read_manifest, read_rows
from socratic_distill.engines import Engine
from socratic_distill.engines.driver import drive
from socratic_distill.engines.journal import Asked, Journal, Journalled, request_key
from socratic_distill.pipeline import run_stages
from socratic_distill.reasoning.dialogue import Ask, Dialogue
from socratic_distill.recipe import load_recipe
from socratic_distill.records import Annotation, Completion, Prompt, Sampling
from socratic_distill.run import QUIET, Run

RECIPE = """\
name = "annotating"
[problems]
dataset = "grade_school"
train = "count={problems} steps=1-4 seed=1"
test = "count=8 steps=1-4 seed=2"
[annotate]
source = "teacher"
model = "a-teacher"
max_tokens = 256
max_usd = 1000
[annotate.server]
base_url = "{url}"
concurrency = {concurrency}
[annotate.prices]
input = 0.15
output = 0.6
[solve.cot]
strategy = "cot"
"""
ROW_BYTES = 2048
IDENTITY: dict[str, Any] = {"engine": "openai", "model": "a-teacher", "api": "chat", "body": {}, "schema": None}


def main() -> None:
    """Measure one of the two and leave the figures."""
    work, what = Path(sys.argv[1]), sys.argv[2]
    figures = stage(work, sys.argv[3:]) if what == "stage" else journal(work, int(sys.argv[3]))
    figures["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    (work / "figures.json").write_text(json.dumps(figures), encoding="utf-8")


# --- the stage


def stage(work: Path, arguments: list[str]) -> dict[str, Any]:
    """Time the annotate stage as a recipe runs it, and again from its journal; leave its prompts for others."""
    url, problems, concurrency = arguments
    path = work / "annotating.toml"
    path.write_text(RECIPE.format(url=url, problems=problems, concurrency=concurrency), encoding="utf-8")
    run = Run(load_recipe(path), work / "run", QUIET)
    run_stages(run, ("load",))
    started = time.perf_counter()
    run_stages(run, ("annotate",))
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time()
    manifest = read_manifest(run.path("annotations.jsonl"))
    assert manifest is not None and manifest["readable"] == manifest["requests"] == int(problems)
    with run.path("journal.jsonl").open(encoding="utf-8") as rows, (work / "prompts.jsonl").open("w") as prompts:
        for row in rows:
            if '"kind":"asked"' in row:
                prompts.write(Asked.model_validate_json(row).prompt.model_dump_json() + "\n")
    run.path("annotations.jsonl").unlink()
    started = time.perf_counter()
    run_stages(run, ("annotate",))
    again_seconds = time.perf_counter() - started
    assert read_rows(run.path("annotations.jsonl"), Annotation)[-1].steps
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "again_seconds": again_seconds}


# --- the journal


def journal(work: Path, rows: int) -> dict[str, Any]:
    """Time how long a journal takes to load, and then to answer all that it was asked, dialogue by dialogue."""
    path = work / "journal.jsonl"
    write_journal(path, rows // 2)
    assert path.stat().st_size >= rows * ROW_BYTES * 0.99
    started, computed = time.perf_counter(), time.process_time()
    with Journal(path) as loaded, Journalled(unwanted, loaded, identity=IDENTITY) as engine:
        load_seconds = time.perf_counter() - started
        started = time.perf_counter()
        dialogues = ((str(number), talk(number)) for number in range(rows // 2))
        requests = sum(
            finished.result.problem == finished.key
            for finished in drive(dialogues, {"teacher": engine}, sampling=Sampling(), window=512)
        )
        answer_seconds = time.perf_counter() - started
    assert requests == rows // 2
    return {
        "rows": rows,
        "bytes": path.stat().st_size,
        "requests": requests,
        "load_seconds": load_seconds,
        "answer_seconds": answer_seconds,
        "cpu_seconds": time.process_time() - computed,
    }


def talk(number: int) -> Dialogue[Annotation]:
    """Ask once, as long a prompt as a row has room for."""
    reply: Completion = yield Ask("teacher", prompt_of(number), Sampling(temperature=0.7, seed=number % 7))
    return Annotation(problem=str(number), source="a-teacher", text=reply.text)


def prompt_of(number: int) -> Prompt:
    """Return the prompt of a request: an instruction, an example with its reply, and the problem."""
    shown = "Each crate holds 12 kg of pears, and the van costs $28.50.\n" * 8
    return Prompt(pieces=(f"Solve it.\n{shown}", shown, f'{shown} "{number}" {"x" * (ROW_BYTES - 1700)}'))


def write_journal(path: Path, requests: int) -> None:
    """Write so many requests and their answers, as sessions before would have."""
    reply = "Q1: How many crates does Nora fill?\nA1: Nora fills 84/12 = <<84/12=7>>7 crates.\n" * 24
    completion = Completion(text=reply, finish_reason="end", prompt_tokens=400, tokens=400)
    with Journal(path) as written:
        for number in range(requests):
            prompt, sampling = prompt_of(number), Sampling(temperature=0.7, seed=number % 7)
            key = request_key(IDENTITY, prompt, sampling)
            written.ask(key, identity=IDENTITY, prompt=prompt, sampling=sampling)
            written.end(key, completion)


def unwanted() -> Engine:
    """Refuse to ask anything: all of it is answered."""
    raise AssertionError("a journalled request was asked again")


if __name__ == "__main__":
    main()
