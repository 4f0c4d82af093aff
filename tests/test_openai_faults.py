"""The `openai` engine where things go wrong: faults, money that runs out, Ctrl-C."""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from asking import SAMPLING, ask, ask_all, echo, engine_for, faults, prompts, settings
from scripted_server import Fault, ScriptedServer

from socratic_distill.engines.allowance import Allowance
from socratic_distill.engines.openai import LONGEST_DETAIL, OpenAIEngine
from socratic_distill.errors import UserError
from socratic_distill.recipe import Prices
from socratic_distill.records import Completion, Prompt

# --- faults

PASSING = [
    *(Fault(status=status) for status in (408, 409, 429, 500, 503)),
    Fault("reset"),
    Fault("truncated"),
    Fault("not_json"),
    Fault("no_choices"),
    Fault("hang"),
]


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: f"{fault.how} {fault.status}")
def test_what_passes_is_asked_again(fault: Fault) -> None:
    with ScriptedServer(echo, fault=faults(fault)) as server, engine_for(server, timeout=3) as engine:
        assert ask(engine, "one").text == "I read: one"
        assert server.requests == 2


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault(status=429, message="slow\n\tdown"), "HTTP 429: slow down"),
        (Fault(status=500, message="x" * 1000), "HTTP 500: xxx"),
        (Fault("reset"), "the connection broke off"),
        (Fault("truncated"), "the connection broke off"),
        (Fault("not_json"), "the reply is not JSON"),
        (Fault("no_choices"), "the reply has no choices: upstream gave up"),
        (Fault("hang"), "no answer within 1 s"),
    ],
    ids=lambda value: value.how if isinstance(value, Fault) else "",
)
def test_what_does_not_pass_is_given_up_with_its_reason(fault: Fault, said: str) -> None:
    with ScriptedServer(echo, fault=faults(None, fault, fault, fault)) as server:
        with engine_for(server, timeout=1 if fault.how == "hang" else 20) as engine:
            ask(engine, "one")
            failed = ask(engine, "two")
        assert server.requests == 1 + 3
    assert (failed.text, failed.finish_reason, failed.tokens) == ("", "failed", 0)
    assert failed.detail.startswith(said)
    assert len(failed.detail) <= LONGEST_DETAIL and "\n" not in failed.detail


@pytest.mark.parametrize("status", [301, 400, 413, 422])
def test_a_refused_request_is_given_up_at_once_and_the_others_are_answered(status: int) -> None:
    refusal = Fault(status=status, message="not that", headers={"Location": "http://localhost:9/v1"})
    with ScriptedServer(echo, fault=faults(refusal)) as server, engine_for(server, concurrency=1) as engine:
        first, *others = ask_all(engine, prompts(4)).values()
        assert (first.finish_reason, first.detail) == ("failed", f"HTTP {status}: not that")
        assert {other.finish_reason for other in others} == {"end"}
        assert server.requests == 4


def test_too_long_a_prompt_is_a_reason_of_its_own() -> None:
    with ScriptedServer(echo, context=9) as server, engine_for(server) as engine:
        refused = ask(engine, "word " * 12)
        assert (refused.finish_reason, refused.prompt_tokens, server.requests) == ("prompt_too_long", 12, 1)


@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_a_server_that_refuses_everybody_is_the_users_to_mend(status: int) -> None:
    with ScriptedServer(echo, fault=lambda number: Fault(status=status, message="no")) as server:
        with (
            engine_for(server) as engine,
            pytest.raises(UserError, match=f"refuses teacher: HTTP {status}: no; check ") as error,
        ):
            ask_all(engine, prompts(100))
        assert server.requests <= 8
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("status", [403, 404])
def test_a_refusal_after_an_answer_is_that_requests_own(status: int) -> None:
    with ScriptedServer(echo, fault=faults(None, Fault(status=status))) as server, engine_for(server) as engine:
        ask(engine, "one")
        assert ask(engine, "two").finish_reason == "failed"
        assert ask(engine, "three").finish_reason == "end"


def test_a_key_that_expires_stops_the_run() -> None:
    wrong = [Fault(status=401, message="expired")] * 100
    with ScriptedServer(echo, fault=faults(None, *wrong)) as server:
        with engine_for(server, concurrency=3) as engine:
            ask(engine, "one")
            with pytest.raises(UserError, match="expired"):
                ask_all(engine, prompts(50))
        assert server.requests <= 1 + 3 + 3


def test_a_server_is_left_alone_for_as_long_as_it_asks() -> None:
    busy = Fault(status=429, headers={"Retry-After": "1"})
    with ScriptedServer(echo, fault=faults(busy)) as server, engine_for(server) as engine:
        started = time.monotonic()
        assert ask(engine, "one").finish_reason == "end"
        assert time.monotonic() - started >= 1


def test_a_storm_of_429_ends_in_reasons() -> None:
    with ScriptedServer(echo, fault=lambda number: Fault(status=429)) as server, engine_for(server) as engine:
        ended = ask_all(engine, prompts(40))
        assert [one.finish_reason for one in ended.values()] == ["failed"] * 40
        assert server.requests == 3 * 40


@pytest.mark.parametrize("how", ["reset", "truncated", "not_json", "status"])
def test_with_three_requests_in_ten_going_wrong_all_come_back(how: Any) -> None:
    with ScriptedServer(echo, fault=lambda number: Fault(how) if number % 10 < 3 else None) as server:
        with engine_for(server, concurrency=4, tries=8) as engine:
            ended = ask_all(engine, prompts(60))
        assert len(ended) == 60
        assert sum(one.finish_reason == "end" for one in ended.values()) >= 55


def test_a_server_that_is_not_there_is_the_users_to_start() -> None:
    with ScriptedServer(echo) as server:
        pass
    allowance = Allowance(Prices(input=1, output=1))
    with engine_for(server, allowance=allowance) as engine:
        with pytest.raises(UserError, match=r"does not answer: no connection.*run it again") as error:
            ask_all(engine, prompts(1000))
        with pytest.raises(UserError):
            engine.poll()
    assert engine.poll() == []
    assert "\n" not in str(error.value)
    assert allowance.spending().unknown_usd == 0, "nothing was sent"


@pytest.mark.parametrize("how", ["dies", "hang"])
def test_a_server_that_answers_no_more_stops_the_run_and_what_was_answered_comes_first(how: str) -> None:
    fault = (lambda number: Fault("hang") if number >= 30 else None) if how == "hang" else (lambda number: None)
    ended: dict[str, Completion] = {}
    with (
        ScriptedServer(echo, dies_after=30 if how == "dies" else None, fault=fault) as server,
        engine_for(server, timeout=2) as engine,
    ):
        with pytest.raises(UserError, match=r"does not answer.*what was answered is kept"):
            ask_all(engine, prompts(1000), into=ended)
        engine.close()
        ended.update(engine.poll())
    assert [one.finish_reason for one in ended.values()] == ["end"] * 30, "no request is to blame"


@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_request_that_breaks_the_server_fails_alone(concurrency: int) -> None:
    with ScriptedServer(echo) as server, engine_for(server, concurrency=concurrency) as engine:
        server.fault = lambda number: Fault("reset") if "question 3" in str(server.bodies[number]) else None
        ended = ask_all(engine, prompts(8))
        assert [key for key, one in ended.items() if one.finish_reason == "failed"] == ["key 3"]
        assert ask_all(engine, {"last": Prompt(pieces=("question 3",))})["last"].finish_reason == "failed"


def test_the_last_few_requests_of_a_server_that_dies_have_failed() -> None:
    with ScriptedServer(echo, dies_after=30) as server, engine_for(server) as engine:
        ended = ask_all(engine, prompts(33))
        assert sorted(one.finish_reason for one in ended.values()) == ["end"] * 30 + ["failed"] * 3


# --- money and minutes

PRICES = Prices(input=1, output=10)


def test_what_the_ceiling_has_no_room_for_is_not_sent() -> None:
    allowance = Allowance(PRICES, 0.0021)  # a request may cost 0.0009, and costs 0.000051
    with ScriptedServer(echo) as server, engine_for(server, allowance=allowance) as engine:
        ended = ask_all(engine, prompts(100))
        reasons = [one.finish_reason for one in ended.values()]
        sent = reasons.count("end")
        assert reasons.count("over_budget") == 100 - sent
        assert sent == server.requests == allowance.spending().requests
        spent = (server.billed_input + 10 * server.billed_output) / 1e6
        assert allowance.spending().usd == pytest.approx(spent)
        assert 0.0011 < spent <= 0.0021, "it goes on until one more may pass the ceiling"
    assert "max_usd" in next(one.detail for one in ended.values() if one.finish_reason == "over_budget")


@pytest.mark.parametrize("fault", [Fault("no_usage"), Fault("reset"), Fault(status=500)], ids=lambda fault: fault.how)
def test_what_is_not_known_stays_at_its_worst(fault: Fault) -> None:
    allowance = Allowance(PRICES)
    with ScriptedServer(echo, fault=faults(None, fault)) as server, engine_for(server, allowance=allowance) as engine:
        ask(engine, "one")
        assert allowance.spending().unknown_usd == 0
        ask(engine, "two")
        assert allowance.spending().unknown_usd > 20 * 10 / 1e6
        assert server.requests == allowance.spending().requests


def test_a_request_that_the_ceiling_lets_be_tried_but_once_says_what_went_wrong() -> None:
    allowance = Allowance(PRICES, 0.001)
    with (
        ScriptedServer(echo, fault=faults(Fault(status=500))) as server,
        engine_for(server, allowance=allowance) as engine,
    ):
        left = ask(engine, "one")
        assert (left.finish_reason, server.requests) == ("over_budget", 1)
        assert "HTTP 500" in left.detail and "max_usd" in left.detail


def test_requests_wait_for_their_minute() -> None:
    with ScriptedServer(echo) as server, engine_for(server, allowance=Allowance(requests_per_minute=610)) as engine:
        started = time.monotonic()
        assert len(ask_all(engine, prompts(15))) == 15
        assert time.monotonic() - started >= 0.4


@contextmanager
def full_after(size: int) -> Iterator[None]:
    """Let no file grow beyond `size` bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_ledger_that_can_not_be_written_stops_the_run(tmp_path: Path) -> None:
    with (
        ScriptedServer(echo) as server,
        Allowance(PRICES, path=tmp_path / "ledger.jsonl") as allowance,
        engine_for(server, allowance=allowance, concurrency=2) as engine,
        full_after(2000),
        pytest.raises(UserError, match="can't write"),
    ):
        ask_all(engine, prompts(100))
    assert 2 < server.requests < 20


# --- stopping


def interrupt_after(seconds: float) -> None:
    """Press Ctrl-C once the caller waits."""
    threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)).start()


def test_closing_drains_what_is_in_flight_and_asks_nothing_more() -> None:
    with ScriptedServer(echo, latency=0.3) as server, engine_for(server, concurrency=4) as engine:
        for key, prompt in prompts(20).items():
            engine.submit(key, prompt, SAMPLING)
        ended = dict(engine.poll())
        engine.close()
        ended.update(engine.poll())
        assert 4 < len(ended) <= 8 and len(ended) == server.requests
        assert {one.finish_reason for one in ended.values()} == {"end"}
        assert engine.poll() == []
        engine.close()


def test_closing_tries_nothing_again() -> None:
    with ScriptedServer(echo, fault=lambda number: Fault(status=500), latency=0.1) as server:
        with engine_for(server, concurrency=4, tries=50, backoff=30) as engine:
            for key, prompt in prompts(20).items():
                engine.submit(key, prompt, SAMPLING)
            time.sleep(0.5)
            started = time.monotonic()
        assert time.monotonic() - started < 5
        assert engine.poll() == []
        assert server.requests == 4


@pytest.mark.parametrize("allowance", [Allowance(requests_per_minute=1), Allowance(PRICES, 0.0011)])
def test_closing_waits_for_neither_money_nor_minutes(allowance: Allowance) -> None:
    with ScriptedServer(echo, latency=0.5) as server:
        with engine_for(server, allowance=allowance) as engine:
            for key, prompt in prompts(20).items():
                engine.submit(key, prompt, SAMPLING)
            time.sleep(0.2)
            started = time.monotonic()
        assert time.monotonic() - started < 5
        assert len(engine.poll()) == server.requests == 1


def test_an_engine_that_is_closed_at_once_asks_nothing() -> None:
    with ScriptedServer(echo) as server:
        for _ in range(20):
            with engine_for(server) as engine:
                pass
            assert engine.poll() == []
        assert server.requests == 0


def test_ctrl_c_gets_through_a_poll_and_what_is_in_flight_is_kept() -> None:
    with ScriptedServer(echo, latency=0.8) as server, engine_for(server, concurrency=4) as engine:
        for key, prompt in prompts(20).items():
            engine.submit(key, prompt, SAMPLING)
        interrupt_after(0.3)
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            engine.poll()
        assert time.monotonic() - started < 0.75
        engine.close()
        assert len(engine.poll()) == server.requests == 4


def test_a_second_ctrl_c_stops_at_once() -> None:
    with ScriptedServer(echo, fault=lambda number: Fault("hang")) as server:
        engine = OpenAIEngine(settings(server), "teacher", allowance=Allowance())
        for key, prompt in prompts(20).items():
            engine.submit(key, prompt, SAMPLING)
        while server.requests < 8:
            time.sleep(0.01)
        interrupt_after(0.3)
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            engine.close()
        assert time.monotonic() - started < 5
        assert engine.poll() == []


KILLED = """
import sys
from pathlib import Path
from socratic_distill.engines.allowance import Allowance
from socratic_distill.engines.openai import OpenAIEngine
from socratic_distill.recipe import Prices, Server
from socratic_distill.records import Prompt, Sampling

allowance = Allowance(Prices(input=1, output=10), path=Path(sys.argv[2]))
engine = OpenAIEngine(Server(base_url=sys.argv[1], concurrency=8), "teacher", allowance=allowance)
for number in range(10_000):
    engine.submit(str(number), Prompt(pieces=(f"question {number}",)), Sampling(max_tokens=20))
while engine.poll():
    pass
"""


def test_after_a_kill_the_ledger_knows_of_every_try(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    with ScriptedServer(echo, latency=0.02) as server:
        process = subprocess.Popen([sys.executable, "-c", KILLED, server.base_url, str(ledger)])
        while server.requests < 60:
            assert process.poll() is None
            time.sleep(0.005)
        process.kill()
        process.wait()
        time.sleep(0.1)
        spent = Allowance(PRICES, path=ledger).earlier
        billed = (server.billed_input + 10 * server.billed_output) / 1e6
        assert server.requests <= spent.requests <= server.requests + 8
        assert spent.usd < billed <= spent.usd + spent.unknown_usd
        assert 0 < spent.unknown_usd < 16 * 0.001
        assert json.loads(ledger.read_text().splitlines()[0])["id"] == 0
