"""What may be spent: a hard ceiling in dollars, and requests and tokens a minute.

Every try reserves its worst cost in the ledger before it is sent; one that is never settled counts at its worst for
ever. Sums are whole picodollars (10^-12 dollars), so no rounding lets anything past the ceiling.
"""

import asyncio
import functools
import math
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from socratic_distill.artifacts import appending, read_rows
from socratic_distill.errors import UserError
from socratic_distill.recipe import Prices
from socratic_distill.records import Record

DOLLAR = 10**12
"""Picodollars in a dollar."""
REQUEST_TOKENS, MESSAGE_TOKENS = 512, 16
"""What a chat template may add to a request (a system prompt of its own) and to each message, at most."""


class Usage(Record):
    """Tokens that a server says it has read and written."""

    input_tokens: int = 0
    """Those that it had cached included."""
    cached_tokens: int = 0
    output_tokens: int = 0
    """Reasoning included."""


class Spending(Record):
    """What requests have cost."""

    requests: int = 0
    """Every try that was sent."""
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0
    unknown_usd: float = 0.0
    """Reserved and not settled, at its worst: in flight, timed out, broken off, or pending at a crash."""


class Entry(Record):
    """One line of the ledger: a try as it is reserved, or as it is settled. Amounts are picodollars."""

    id: int
    worst: int | None = None
    """Set where the try is reserved."""
    cost: int | None = None
    """Set where the try is settled."""
    usage: Usage = Usage()


@dataclass(frozen=True)
class Reservation:
    """Leave to send one try."""

    id: int
    worst: int
    """Picodollars."""
    tokens: int
    """Taken from the tokens of the minute."""


class Purse(Protocol):
    """What an engine takes leave from: an `Allowance`, or a way to one in another process."""

    async def reserve(self, prompt_bytes: int, *, messages: int, max_tokens: int) -> Reservation | None:
        """Wait for leave to send one try; None where the ceiling leaves no room for it."""

    def settle(self, reservation: Reservation, usage: Usage | None) -> None:
        """Say what a try has cost; None where that will never be known."""


class Allowance:
    """Grants tries and counts what they cost; of one engine at a time.

    `max_usd` bounds what all sessions with the ledger at `path` have spent, plus all that is in flight or unknown at
    its worst, for servers that write no more than they are asked to. Without prices no ledger is kept.
    """

    def __init__(
        self,
        prices: Prices | None = None,
        max_usd: float | None = None,
        *,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        path: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if max_usd is not None and prices is None:
            raise UserError("max_usd needs prices: say what a million input and output tokens cost ([annotate.prices])")
        self._clock = clock
        self._prices = prices or Prices(input=0, output=0)
        self._ceiling = None if max_usd is None else int(Decimal(str(max_usd)) * DOLLAR)
        self._requests = _Bucket(requests_per_minute or math.inf, clock())
        self._tokens = _Bucket(tokens_per_minute or math.inf, clock())
        self._spent = self._lost = self._in_flight = 0  # picodollars; lost: never to be settled
        self._sent, self._usage, self._next_id = 0, Usage(), 0
        self._turn, self._settled = asyncio.Lock(), asyncio.Event()
        self._files, self._ledger = ExitStack(), None
        if prices is not None and path is not None:
            self._read(path)
            self._ledger = self._files.enter_context(appending(path))
        self.earlier = self.spending()
        """What earlier sessions spent."""

    def _read(self, path: Path) -> None:
        pending: dict[int, int] = {}
        for entry in read_rows(path, Entry):
            self._next_id = max(self._next_id, entry.id + 1)
            if entry.cost is None:
                pending[entry.id] = entry.worst or 0
                self._sent += 1
            else:
                pending.pop(entry.id, None)
                self._spent += entry.cost
                self._count(entry.usage)
        self._lost = sum(pending.values())

    async def reserve(self, prompt_bytes: int, *, messages: int, max_tokens: int) -> Reservation | None:
        """Wait for leave to send one try; None where the ceiling leaves no room for it, whatever is still in flight.

        Who asks first goes first, so that no large request starves.
        """
        async with self._turn:
            while isinstance(granted := self.grant(prompt_bytes, messages=messages, max_tokens=max_tokens), float):
                self._settled.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(granted if granted < math.inf else None):
                        await self._settled.wait()
            return granted

    def grant(self, prompt_bytes: int, *, messages: int, max_tokens: int) -> Reservation | float | None:
        """Grant a try now, or say how many seconds to wait (infinity: until one in flight is settled).

        None where there is no room for it under the ceiling even if all in flight came to cost nothing.
        """
        read = prompt_bytes + REQUEST_TOKENS + MESSAGE_TOKENS * messages  # a token is a byte at least
        worst = max(
            cost(Usage(input_tokens=read, cached_tokens=cached, output_tokens=max_tokens), self._prices)
            for cached in (0, read)
        )
        if self._ceiling is not None:
            if self._spent + self._lost + worst > self._ceiling:
                return None
            if self._spent + self._lost + self._in_flight + worst > self._ceiling:
                return math.inf
        now, tokens = self._clock(), prompt_bytes // 4 + max_tokens
        if (wait := max(self._requests.wait(1, now), self._tokens.wait(tokens, now))) > 0:
            return wait
        reservation = Reservation(self._next_id, worst, tokens)
        if self._ledger:
            self._ledger.append(Entry(id=reservation.id, worst=worst))
        self._requests.add(-1, now)
        self._tokens.add(-tokens, now)
        self._next_id += 1
        self._sent += 1
        self._in_flight += worst
        return reservation

    def settle(self, reservation: Reservation, usage: Usage | None) -> None:
        """Say what a try has cost; None where that will never be known, so that it counts at its worst."""
        self._in_flight -= reservation.worst
        if usage is None:
            self._lost += reservation.worst
        else:
            paid = cost(usage, self._prices)
            self._spent += paid
            self._count(usage)
            self._tokens.add(reservation.tokens - usage.input_tokens - usage.output_tokens, self._clock())
            if self._ledger:
                self._ledger.append(Entry(id=reservation.id, cost=paid, usage=usage))
        self._settled.set()

    def spending(self) -> Spending:
        """Return what was spent so far, by earlier sessions too where a ledger is kept."""
        return Spending(
            requests=self._sent,
            **self._usage.model_dump(),
            usd=self._spent / DOLLAR,
            unknown_usd=(self._lost + self._in_flight) / DOLLAR,
        )

    def _count(self, usage: Usage) -> None:
        self._usage = Usage(
            input_tokens=self._usage.input_tokens + usage.input_tokens,
            cached_tokens=self._usage.cached_tokens + usage.cached_tokens,
            output_tokens=self._usage.output_tokens + usage.output_tokens,
        )

    def close(self) -> None:
        """Close the ledger."""
        self._files.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def cost(usage: Usage, prices: Prices) -> int:
    """Return what tokens cost, in picodollars; a price of more than six decimals is rounded up."""
    cached = prices.input if prices.cached is None else prices.cached
    return (
        _per_token(prices.input) * (usage.input_tokens - usage.cached_tokens)
        + _per_token(cached) * usage.cached_tokens
        + _per_token(prices.output) * usage.output_tokens
    )


@functools.cache
def _per_token(price: float) -> int:
    return math.ceil(Decimal(str(price)) * (DOLLAR // 10**6))


class _Bucket:
    """Lets so much through a minute, of which a second's worth at once; what is larger waits for a full bucket."""

    def __init__(self, per_minute: float, now: float) -> None:
        self._rate = per_minute / 61  # a second: a full bucket and a minute's refill are the limit
        self._level, self._filled = self._rate, now

    def wait(self, amount: float, now: float) -> float:
        """Return the seconds until so much may go."""
        if math.isinf(self._rate):
            return 0.0
        self.add(0, now)
        missing = min(amount, self._rate) - self._level
        return missing / self._rate if missing > 1e-9 * self._rate else 0.0

    def add(self, amount: float, now: float) -> None:
        """Give back so much, or take it where it is negative; the bucket may owe."""
        if not math.isinf(self._rate):
            self._level = min(self._rate, self._level + (now - self._filled) * self._rate + amount)
            self._filled = now
