"""Money and minutes: what may be sent, what it has cost, and what a crash leaves unknown."""

import asyncio
import bisect
import math
import random
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socratic_distill.engines.allowance import (
    MESSAGE_TOKENS,
    REQUEST_TOKENS,
    Allowance,
    Reservation,
    Spending,
    Usage,
    cost,
)
from socratic_distill.errors import UserError
from socratic_distill.recipe import Prices

PRICES = Prices(input=3, output=15, cached=0.3)
WORST = Fraction(3 * (100 + REQUEST_TOKENS + 2 * MESSAGE_TOKENS) + 15 * 50, 10**6)
"""Dollars that the try of `granted` may cost: 100 bytes in 2 messages, 50 tokens to write."""


def granted(allowance: Allowance) -> Reservation:
    grant = allowance.grant(100, messages=2, max_tokens=50)
    assert isinstance(grant, Reservation), grant
    return grant


def grant(allowance: Allowance) -> Reservation | float | None:
    return allowance.grant(100, messages=2, max_tokens=50)


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


# --- money


def test_a_ceiling_without_prices_is_refused() -> None:
    with pytest.raises(UserError, match="needs prices"):
        Allowance(max_usd=1)


def test_without_prices_tokens_are_counted_and_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with Allowance(path=path) as allowance:
        allowance.settle(granted(allowance), Usage(input_tokens=7, cached_tokens=2, output_tokens=3))
        granted(allowance)
        assert allowance.spending() == Spending(requests=2, input_tokens=7, cached_tokens=2, output_tokens=3)
    assert not path.exists()


def test_a_try_is_reserved_at_its_worst_and_settled_at_what_it_cost() -> None:
    allowance = Allowance(PRICES)
    reservation = granted(allowance)
    assert Fraction(reservation.worst, 10**12) == WORST
    assert allowance.spending() == Spending(requests=1, unknown_usd=float(WORST))
    allowance.settle(reservation, Usage(input_tokens=40, cached_tokens=10, output_tokens=20))
    assert allowance.spending() == Spending(
        requests=1, input_tokens=40, cached_tokens=10, output_tokens=20, usd=(30 * 3 + 10 * 0.3 + 20 * 15) / 1e6
    )


def test_a_refused_try_costs_nothing_and_an_unknown_one_its_worst_for_ever() -> None:
    allowance = Allowance(PRICES)
    allowance.settle(granted(allowance), Usage())
    assert allowance.spending() == Spending(requests=1)
    allowance.settle(granted(allowance), None)
    assert allowance.spending() == Spending(requests=2, unknown_usd=float(WORST))


def test_cached_input_dearer_than_input_is_reserved_too() -> None:
    reservation = granted(Allowance(Prices(input=3, output=15, cached=4)))
    assert Fraction(reservation.worst, 10**12) > WORST


@given(
    prices=st.builds(Prices, input=st.floats(0, 1e3), output=st.floats(0, 1e3), cached=st.none() | st.floats(0, 1e3)),
    read=st.integers(0, 10**7),
    cached=st.integers(0, 10**7),
    written=st.integers(0, 10**7),
)
def test_a_cost_is_never_below_the_exact_one(prices: Prices, read: int, cached: int, written: int) -> None:
    usage = Usage(input_tokens=read + cached, cached_tokens=cached, output_tokens=written)
    per_cached = prices.input if prices.cached is None else prices.cached
    exact = (
        read * Fraction(str(prices.input)) + cached * Fraction(str(per_cached)) + written * Fraction(str(prices.output))
    ) * 10**6
    assert exact <= cost(usage, prices) <= exact + read + cached + written


def test_a_try_that_may_pass_the_ceiling_waits_for_those_in_flight() -> None:
    allowance = Allowance(PRICES, float(WORST) * 2.5)
    first, second = granted(allowance), granted(allowance)
    assert grant(allowance) == math.inf
    allowance.settle(first, Usage(input_tokens=10, output_tokens=1))
    third = granted(allowance)
    allowance.settle(second, None)
    assert grant(allowance) == math.inf
    allowance.settle(third, None)
    assert grant(allowance) is None


def test_a_try_that_has_no_room_at_all_is_refused_though_others_are_in_flight() -> None:
    allowance = Allowance(PRICES, float(WORST) * 1.5)
    granted(allowance)
    assert allowance.grant(10**6, messages=2, max_tokens=50) is None
    assert grant(allowance) == math.inf


@pytest.mark.parametrize("ceiling", [0.1, 0.3, 0.7])
def test_a_ceiling_is_reached_to_the_last_picodollar(ceiling: float) -> None:
    # A token costs a tenth of the ceiling, which no float can say.
    prices = Prices(input=0, output=ceiling * 1e5)
    allowance = Allowance(prices, ceiling)
    for _ in range(10):
        reservation = allowance.grant(0, messages=1, max_tokens=1)
        assert isinstance(reservation, Reservation)
        allowance.settle(reservation, Usage(output_tokens=1))
    assert allowance.grant(0, messages=1, max_tokens=1) is None
    assert allowance.spending().usd == ceiling


def test_who_asks_first_goes_first_however_large() -> None:
    async def main() -> list[str]:
        order = []
        allowance = Allowance(PRICES, float(WORST) * 10)
        first = [granted(allowance) for _ in range(9)]

        async def ask(name: str, max_tokens: int) -> None:
            reservation = await allowance.reserve(100, messages=2, max_tokens=max_tokens)
            assert reservation is not None
            order.append(name)

        large = asyncio.create_task(ask("large", 500))
        await asyncio.sleep(0)
        small = asyncio.create_task(ask("small", 50))
        for reservation in first:
            await asyncio.sleep(0.001)
            allowance.settle(reservation, Usage())
        await asyncio.gather(large, small)
        return order

    assert asyncio.run(main()) == ["large", "small"]


def test_waiting_ends_with_a_refusal_where_what_was_in_flight_stays_unknown() -> None:
    async def main() -> Reservation | None:
        allowance = Allowance(PRICES, float(WORST) * 1.5)
        first = granted(allowance)
        asyncio.get_running_loop().call_later(0.01, allowance.settle, first, None)
        return await asyncio.wait_for(allowance.reserve(100, messages=2, max_tokens=50), 5)

    assert asyncio.run(main()) is None


def test_a_cancelled_wait_takes_nothing_and_lets_the_next_go() -> None:
    async def main() -> tuple[int, int]:
        allowance = Allowance(PRICES, float(WORST) * 1.5)
        first = granted(allowance)
        waits = [asyncio.create_task(allowance.reserve(100, messages=2, max_tokens=50)) for _ in range(2)]
        await asyncio.sleep(0.001)
        waits[0].cancel()
        allowance.settle(first, Usage())
        assert await asyncio.wait_for(waits[1], 5) is not None
        return allowance.spending().requests, waits[0].cancelled()

    assert asyncio.run(main()) == (2, True)


# --- the ledger


def test_the_next_session_knows_what_earlier_ones_spent(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with Allowance(PRICES, path=path) as allowance:
        allowance.settle(granted(allowance), Usage(input_tokens=40, output_tokens=20))
        allowance.settle(granted(allowance), None)
        granted(allowance)  # in flight at the crash
        spent = allowance.spending()
        assert allowance.earlier == Spending()
    assert spent.unknown_usd == float(2 * WORST)
    with Allowance(PRICES, float(WORST) * 3, path=path) as allowance:
        assert allowance.earlier == allowance.spending() == spent
        assert grant(allowance) is None
    with Allowance(PRICES, float(WORST) * 4, path=path) as allowance:
        granted(allowance)
        assert (allowance.spending().requests, allowance.earlier.requests) == (4, 3)


def test_a_try_is_in_the_ledger_before_it_is_granted(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with Allowance(PRICES, path=path) as allowance:
        granted(allowance)
        [line] = path.read_text().splitlines()
        assert f'"worst":{int(WORST * 10**12)}' in line


def test_a_ledger_cut_at_any_byte_says_what_its_whole_lines_say(tmp_path: Path) -> None:
    path, cut = tmp_path / "ledger.jsonl", tmp_path / "cut.jsonl"
    draw = random.Random(0)
    with Allowance(PRICES, path=path) as allowance:
        after, waiting = [allowance.spending()], []
        for _ in range(12):
            if waiting and draw.random() < 0.4:
                reservation = waiting.pop(draw.randrange(len(waiting)))
                allowance.settle(reservation, Usage(input_tokens=50, output_tokens=draw.randrange(50)))
            else:
                waiting.append(granted(allowance))
            after.append(allowance.spending())
    content = path.read_bytes()
    for size in (*range(0, len(content), 5), len(content) - 1, len(content)):
        cut.write_bytes(content[:size])
        with Allowance(PRICES, path=cut) as reopened:
            assert reopened.earlier == after[content[:size].count(b"\n")]
            granted(reopened)
            spent = reopened.spending()
        with Allowance(PRICES, path=cut) as again:
            assert again.earlier == spent


# --- minutes


def sent_over(
    allowance: Allowance, clock: Clock, seconds: float, settle: Callable[[Reservation], None] = lambda _: None
) -> list[float]:
    """Send as fast as is granted; return when."""
    times = []
    while clock.now < seconds:
        reservation = grant(allowance)
        if isinstance(reservation, Reservation):
            times.append(clock.now)
            settle(reservation)
        else:
            assert reservation is not None and 0 < reservation < math.inf
            clock.now += reservation
    return times


def most_in_a_minute(times: list[float]) -> int:
    return max(bisect.bisect_left(times, start + 60) - place for place, start in enumerate(times))


@pytest.mark.parametrize("limit", [1, 7, 60, 100, 3000])
def test_no_minute_has_more_requests_than_the_limit_and_most_are_used(limit: int) -> None:
    clock = Clock()
    times = sent_over(Allowance(requests_per_minute=limit, clock=clock), clock, 600)
    assert most_in_a_minute(times) <= limit
    assert len(times) >= 0.95 * 10 * limit - 1


TRY_TOKENS = 100 // 4 + 50


@pytest.mark.parametrize("limit", [30, 400, 10_000])
def test_no_minute_has_more_tokens_than_the_limit_and_a_try(limit: int) -> None:
    clock = Clock()
    times = sent_over(Allowance(tokens_per_minute=limit, clock=clock), clock, 900)
    assert TRY_TOKENS * most_in_a_minute(times) <= limit + TRY_TOKENS
    assert len(times) * TRY_TOKENS >= 0.9 * 15 * limit - TRY_TOKENS


def test_tokens_that_were_not_used_are_given_back() -> None:
    clock = Clock()
    allowance = Allowance(tokens_per_minute=6000, clock=clock)
    used = Usage(input_tokens=10, output_tokens=5)
    times = sent_over(allowance, clock, 600, lambda reservation: allowance.settle(reservation, used))
    assert 0.9 * 60_000 <= 15 * len(times) <= 60_000 + TRY_TOKENS


def test_tokens_of_an_unknown_try_are_not_given_back() -> None:
    clock = Clock()
    allowance = Allowance(tokens_per_minute=6000, clock=clock)
    times = sent_over(allowance, clock, 600, lambda reservation: allowance.settle(reservation, None))
    assert len(times) * TRY_TOKENS <= 60_000 + TRY_TOKENS


def test_an_idle_hour_saves_up_a_seconds_worth() -> None:
    clock = Clock()
    allowance = Allowance(requests_per_minute=600, clock=clock)
    clock.now = 3600.0
    assert len(sent_over(allowance, clock, 3600.0 + 1e-6)) <= 10


def test_waiting_for_the_minute_ends_when_it_is_over() -> None:
    async def main() -> float:
        allowance = Allowance(requests_per_minute=6100)
        started = asyncio.get_running_loop().time()
        for _ in range(110):
            assert await allowance.reserve(1, messages=1, max_tokens=1) is not None
        return asyncio.get_running_loop().time() - started

    assert asyncio.run(main()) >= 0.09
