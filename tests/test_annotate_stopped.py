"""`socratic annotate` where it ends badly: killed, stopped, refused; nothing is lost, and no key is found anywhere."""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest
from scripted_server import Fault, ScriptedServer
from taught import PRICES, Case, teacher

from socratic_distill.app.command_line import main
from socratic_distill.engines.journal import Journal

KEY = "sk-known-to-nobody-else-0123"


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(teacher) as server:
        yield server


@pytest.fixture
def case(tmp_path: Path, server: ScriptedServer) -> Case:
    return Case(tmp_path, server.base_url)


def test_a_dead_server_is_a_line_and_what_was_answered_stays(
    case: Case, server: ScriptedServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(case.command(stage="load")) == 0
    server.dies_after = 12
    overrides = ("annotate.server.tries=1", "annotate.server.concurrency=2")
    assert main(case.command(*overrides)) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "does not answer" in error
    _, ended = case.journalled()
    assert [one.kind for one in ended.values()].count("answered") == 12
    assert not (case.run / "annotations.jsonl").exists()


def test_the_key_is_nowhere(case: Case, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TEACHER_KEY", KEY)
    with ScriptedServer(teacher, key=KEY) as server:
        server.fault = lambda number: Fault(status=400, message=f"bad key {KEY}?") if number in (2, 5) else None
        named = [f"annotate.server.base_url={server.base_url}", "annotate.server.key_env=TEACHER_KEY"]
        overrides = [*named, "annotate.server.concurrency=1", *PRICES]  # so boxes 3 and 6 fail, asked once each
        for stage in ("load", "annotate", "verify"):
            assert main(case.command(*overrides, stage=stage)) == 0
        assert main([*case.command(*overrides), "--fresh", "--dry-run"]) == 0
        assert len(server.bodies) == 26
        server.key = "another"
        changed = "annotate.temperature=0.9"
        assert main(case.command(*overrides, changed)) == 1
    told = capfd.readouterr()
    assert "refuses" in told.err and "[key]" in told.err
    assert KEY not in told.out + told.err
    files = [path for path in case.run.rglob("*") if path.is_file()]
    assert {"journal.jsonl", "ledger.jsonl", "annotations.jsonl", "recipe.toml"} <= {path.name for path in files}
    assert not [path.name for path in files if KEY.encode() in path.read_bytes()]
    assert any("bad key [key]?" in path.read_text() for path in files if path.name == "journal.jsonl")


def started(case: Case, *overrides: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "socratic_distill.app.command_line", *case.command(*overrides)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(happened: Callable[[], bool], *, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.002)


def _reached(server: ScriptedServer, requests: int, process: "subprocess.Popen[str]") -> bool:
    return len(server.bodies) >= requests or process.poll() is not None


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_in_flight_and_goes_on_later(case: Case, server: ScriptedServer) -> None:
    server.latency = 0.5
    assert main(case.command(stage="load")) == 0
    process = started(case, *PRICES)
    wait_until(lambda: len(server.bodies) >= 12 and server.open == 8)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (130, "socratic: stopped; the same command goes on where it was\n")
    assert "waits for what is in flight" in out
    sent = len(server.bodies)
    _, ended = case.journalled()
    assert len(ended) == sent < 26
    ledger = [json.loads(line) for line in (case.run / "ledger.jsonl").read_text().splitlines()]
    assert sum(row["cost"] is not None for row in ledger) == sent
    server.latency = 0
    case.annotate(*PRICES)
    assert len(server.bodies) == 26


@pytest.mark.slow
def test_ctrl_c_at_any_moment_loses_no_answer(case: Case, server: ScriptedServer) -> None:
    draw = random.Random(5)
    server.latency = 0.02
    case.problems(range(1, 1000))
    assert main(case.command(stage="load")) == 0
    for _ in range(8):
        process = started(case, *PRICES)
        goal = len(server.bodies) + draw.randrange(1, 80)
        wait_until(partial(_reached, server, goal, process))
        time.sleep(draw.random() * 0.05)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 130
        assert len(case.journalled()[1]) == len(server.bodies)


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_asks_nothing_that_was_answered(
    case: Case, server: ScriptedServer
) -> None:
    draw = random.Random(3)
    kills, concurrency, count = 20, 8, 1000
    server.latency = 0.02
    case.problems(range(1, count + 1))
    assert main(case.command(stage="load")) == 0

    def identity(pieces: Sequence[str], seed: int) -> str:
        return json.dumps([list(pieces), seed])

    def asked_since(start: int) -> list[str]:
        return [
            identity([message["content"] for message in body["messages"]], body["seed"])
            for body in server.bodies[start:]
        ]

    def answered() -> set[str]:
        asked, ended = case.journalled()
        return {identity(asked[key].prompt.pieces, asked[key].sampling.seed) for key in ended}

    lost = 0
    for _ in range(kills):
        start, before = len(server.bodies), answered()
        process = started(case)
        goal = start + draw.randrange(1, 40)
        wait_until(partial(_reached, server, goal, process))
        time.sleep(draw.random() * 0.05)
        assert process.poll() is None, "it was over before it could be killed"
        process.kill()
        process.communicate()
        wait_until(lambda: server.open == 0)
        asked = asked_since(start)
        assert not before & set(asked), "a journalled request was asked again"
        lost += len(set(asked) - answered())
    start, before = len(server.bodies), answered()
    case.annotate()
    assert not before & set(asked_since(start))
    everything = asked_since(0)
    assert len(everything) - len(set(everything)) <= lost <= kills * 2 * concurrency
    rows = case.rows()
    assert [row.problem for row in rows] == case.ids()
    whole = {row.problem: row for row in rows}
    for number in range(1, count + 1):
        row = whole[f"box/{number}"]
        assert row.unreadable if number % 7 == 0 else row.answer == str(3 * number)
    with Journal(case.run / "journal.jsonl") as journal:
        assert len(journal) == len(set(everything))
