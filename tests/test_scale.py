"""Work on Ray: the same rows as here, whoever dies on the way."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted_server import ScriptedServer
from taught import PRICES, Case, teacher

from socratic_distill.errors import UserError
from socratic_distill.pipeline import run_stages
from socratic_distill.recipe import load_recipe
from socratic_distill.run import QUIET, Run

ray = pytest.importorskip("ray", reason="RAY ABSENT: pip install 'socratic-distill[ray]'; nothing was run on it")

pytestmark = pytest.mark.slow

RAY = ("annotate.executor=ray", "annotate.actors=2")
TINY = """\
name = "tiny"
[problems]
dataset = "grade_school"
train = "count=30 steps=1-2 seed=1 distractors=0"
test = "count=24 steps=1-2 seed=2 distractors=0"
[train]
student = "scratch"
epochs = 1
[train.scratch]
hidden = 32
layers = 1
heads = 2
vocabulary = 300
[solve.pair]
strategy = "socratic_iterative"
calculator = true
max_tokens = 12
precision = "fp32"
window = 6
"""


@pytest.fixture(scope="module", autouse=True)
def one_ray() -> Iterator[None]:
    """Start Ray once, with room for two actors, and stop it."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(teacher) as server:
        yield server


@pytest.fixture
def case(tmp_path: Path, server: ScriptedServer) -> Case:
    case = Case(tmp_path, server.base_url)
    case.problems(range(1, 201))
    return case


def children_of(name: str) -> list[int]:
    """Return the processes of Ray's actors of a class."""
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    return [int(line.split()[0]) for line in listed.splitlines() if f"ray::{name}" in line or f"({name})" in line]


def test_two_actors_write_the_rows_that_one_process_writes(case: Case, server: ScriptedServer) -> None:
    case.annotate(*RAY, *PRICES)
    rows, spent = case.rows(), case.facts()["spending"]
    asked, ended = case.journalled()
    assert asked.keys() == ended.keys() and len(asked) == len(server.bodies) == spent["requests"]
    assert spent["unknown_usd"] == 0 < spent["usd"]
    sent = len(server.bodies)
    (case.run / "annotations.manifest.json").unlink()
    case.annotate(*PRICES)
    assert case.rows() == rows
    assert len(server.bodies) == sent


def test_an_actor_that_dies_costs_no_row_and_no_more_than_the_ceiling(case: Case, server: ScriptedServer) -> None:
    server.latency = 0.1
    ceiling = 2.0
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(case.folder), *RAY, *PRICES, f"annotate.max_usd={ceiling}"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )
    until = time.monotonic() + 120
    while len(server.bodies) < 60 and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    victims = children_of("MapWorker")
    assert victims, "no actor was at work"
    os.kill(victims[-1], signal.SIGKILL)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    assert [row.problem for row in case.rows()] == case.ids()
    spent = case.facts()["spending"]
    assert spent["usd"] + spent["unknown_usd"] <= ceiling
    server.latency = 0
    rows = case.rows()
    (case.run / "journal.jsonl").unlink()
    (case.run / "annotations.manifest.json").unlink()
    case.annotate()
    assert case.rows() == rows


DRIVER = """
import sys
from pathlib import Path
from socratic_distill.pipeline import run_stages
from socratic_distill.recipe import load_recipe
from socratic_distill.run import QUIET, Run
folder = Path(sys.argv[1])
run = Run(load_recipe(folder / "taught.toml", sys.argv[2:]), folder / "runs" / "taught", QUIET)
run_stages(run, ("load",))
run_stages(run, ("annotate",))
"""


def test_a_ceiling_holds_over_all_actors(case: Case, server: ScriptedServer) -> None:
    heard = case.annotate(*RAY, *PRICES, "annotate.max_usd=0.02")
    spent = case.facts()["spending"]
    assert spent["usd"] + spent["unknown_usd"] <= 0.02
    assert 0 < len(server.bodies) < 200
    assert any("OUT OF MONEY" in line for line in heard.said)
    assert len(case.rows()) == 200


def test_a_dead_server_is_told_in_one_line_and_what_was_answered_stays(case: Case, server: ScriptedServer) -> None:
    server.dies_after = 40
    with pytest.raises(UserError, match="does not answer"):
        case.annotate(*RAY, "annotate.server.tries=1")
    _, ended = case.journalled()
    assert [one.kind for one in ended.values()].count("answered") > 0


def test_students_solve_alike_on_two_actors(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(TINY, encoding="utf-8")

    def rows(*overrides: str) -> list[str]:
        run = Run(load_recipe(tmp_path / "tiny.toml", overrides), tmp_path / "tiny", QUIET)
        run_stages(run, ("load", "annotate", "verify", "train"))
        run_stages(run, ("solve",), fresh=True)
        found = [json.loads(line) for line in run.path("solutions/pair.jsonl").read_text().splitlines()]
        return [json.dumps({**row, "seconds": 0}, sort_keys=True) for row in found]

    assert rows() == rows("solve.pair.executor=ray")
