"""The README's tutorial runs as it is printed, but for the student, which is a small one from nothing."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from socratic_distill.reasoning.strategies import STRATEGIES

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
TUTORIAL = README[README.index("## Your own data") : README.index("## What came out")]


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", TUTORIAL, re.DOTALL)
    assert found is not None, f"the tutorial has no {language} block"
    return found[1]


@pytest.fixture
def own_strategies() -> Iterator[None]:
    before = dict(STRATEGIES)
    yield
    STRATEGIES.clear()
    STRATEGIES.update(before)


def test_the_tutorial_runs_on_ones_own_data_with_a_strategy_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], own_strategies: None
) -> None:
    row = json.loads(block("json"))
    for name in ("own.jsonl", "own_test.jsonl"):
        rows = [{**row, "id": f"{name}/{number}", "question": f"{number}. {row['question']}"} for number in range(6)]
        text = "".join(json.dumps(one) + "\n" for one in rows)
        (tmp_path / name).write_text(text, encoding="utf-8")
    recipe = block("toml")
    assert 'student = "smollm2-135m"' in recipe
    small = recipe.replace(
        'student = "smollm2-135m"', 'student = "scratch", scratch = { hidden = 32, layers = 1, heads = 2 }'
    )
    (tmp_path / "own.toml").write_text(small, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(block("python"), "README.md", "exec"), names)
    printed = capsys.readouterr().out
    assert "brief" in printed and "pair" in printed, "the report's table names every solve"
    assert (tmp_path / "runs/own/students/brief/model.safetensors").is_file()
    finished = names["finished"]
    assert finished.turns[0].student == "brief"  # type: ignore[attr-defined]  # a name that the tutorial made


def test_the_tutorial_is_as_short_as_it_says() -> None:
    lines = [line for line in block("python").splitlines() if line.strip()]
    assert len(lines) <= 20 and "in twenty lines" in TUTORIAL
