"""The ceiling: whatever goes wrong, a server that bills all that it was sent never bills more than was allowed."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted_server import Fault, ScriptedServer

from socratic_distill.engines.allowance import Allowance
from socratic_distill.engines.openai import OpenAIEngine
from socratic_distill.errors import UserError
from socratic_distill.recipe import Prices, Server
from socratic_distill.records import Completion, Prompt, Sampling

QUICK = (Fault("reset"), Fault("truncated"), Fault("not_json"), Fault("no_choices"), Fault("no_usage"))
STATUSES = tuple(Fault(status=status) for status in (400, 408, 409, 429, 500, 503))

RUNS: dict[str, st.SearchStrategy[Any]] = {
    "prices": st.builds(
        Prices,
        input=st.floats(0, 50).map(lambda price: round(price, 3)),
        output=st.floats(0, 50).map(lambda price: round(price, 3)),
        cached=st.none() | st.just(0.25),
    ),
    "room": st.floats(0, 12),
    "most": st.integers(5, 100),
    "lengths": st.lists(st.integers(10, 100), min_size=1, max_size=10),
    "faults": st.lists(st.none() | st.sampled_from(QUICK + STATUSES), max_size=20),
    "hangs": st.sampled_from([None] * 19 + [1]),
    "concurrency": st.integers(1, 6),
    "tries": st.integers(1, 3),
    "polls": st.integers(0, 3),
}
"""`room`: how many tries at their worst the ceiling has room for; `polls`: after how many the first session stops."""


def ceiling_holds(server: ScriptedServer, folder: Path, **run: Any) -> None:
    """Spend over two sessions, the first one stopped, and compare with what was billed."""
    prices, lengths, faults = run["prices"], run["lengths"], run["faults"]
    per_try = (max(prices.input, prices.cached or 0) * 800 + prices.output * run["most"]) / 10**6
    ceiling = round(per_try * run["room"], 9)
    server.forget()
    server.script = lambda prompt: "word " * lengths[int(prompt.pieces[0].split()[1])]
    server.fault = lambda number: (
        Fault("hang") if number == run["hangs"] else faults[number] if number < len(faults) else None
    )
    address = Server(
        base_url=server.base_url, concurrency=run["concurrency"], tries=run["tries"], timeout=0.1 if run["hangs"] else 9
    )
    asked = {str(place): Prompt(pieces=(f"question {place}",)) for place in range(len(lengths))}
    ended: dict[str, Completion] = {}
    spent = 0.0
    for stops_after in (run["polls"], None):
        with (
            Allowance(prices, ceiling, path=folder / "ledger.jsonl") as allowance,
            OpenAIEngine(address, "teacher", allowance=allowance, backoff=0.001) as engine,
        ):
            assert allowance.earlier.usd + allowance.earlier.unknown_usd == pytest.approx(spent)
            waiting = {key: prompt for key, prompt in asked.items() if key not in ended}
            for key, prompt in waiting.items():
                engine.submit(key, prompt, Sampling(max_tokens=run["most"], temperature=0.7))
            stopped = until_ended(engine, ended, stops_after)
            engine.close()
            ended.update(engine.poll())
            now = allowance.spending()
            spent = now.usd + now.unknown_usd
    billed = exact(prices.input) * server.billed_input + exact(prices.output) * server.billed_output
    assert billed <= exact(ceiling) * 10**6
    assert float(billed) / 10**6 <= spent * (1 + 1e-9)
    assert stopped or set(ended) == set(asked)
    for completion in ended.values():
        assert completion.detail or completion.finish_reason in ("end", "length")
        if completion.finish_reason == "over_budget":
            assert spent + per_try > ceiling, "there was room"


def until_ended(engine: OpenAIEngine, ended: dict[str, Completion], most: int | None) -> bool:
    """Poll, at most so often; return whether something is left."""
    try:
        while most is None or most > 0:
            if not (finished := engine.poll()):
                return False
            ended.update(finished)
            most = None if most is None else most - 1
    except UserError as error:
        assert "does not answer" in str(error)
    return True


def exact(price: float) -> Fraction:
    return Fraction(str(price))


@pytest.fixture(scope="module")
def billing() -> Iterator[ScriptedServer]:
    """A server that bills prompts at the most that tokenizers and templates make of them, and aborted requests too."""
    with ScriptedServer(lambda prompt: "", bytes_are_tokens=True) as server:
        yield server


def held(runs: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Check a property over so many runs."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
        return settings(max_examples=runs, suppress_health_check=checks)(given(**RUNS)(test))

    return decorate


@held(40)
def test_no_fault_lets_the_bill_pass_the_ceiling(billing: ScriptedServer, **run: Any) -> None:
    with TemporaryDirectory() as folder:
        ceiling_holds(billing, Path(folder), **run)


@pytest.mark.slow
@held(1000)
def test_no_fault_lets_the_bill_pass_the_ceiling_in_a_thousand_runs(billing: ScriptedServer, **run: Any) -> None:
    with TemporaryDirectory() as folder:
        ceiling_holds(billing, Path(folder), **run)
