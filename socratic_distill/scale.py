"""Work over many rows on Ray: Ray Data decides where it runs and does again what died; nothing of that is ours.

Only what the driver process gets back counts: workers write no file of a run.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from socratic_distill.engines.allowance import Allowance, Reservation, Spending, Usage
from socratic_distill.errors import UserError
from socratic_distill.recipe import Prices, Server

GRACE = 10.0
"""Seconds after a server's time-out until a reservation is taken for lost."""

Worker = Callable[[list[str]], list[str]]
"""Turns a block of rows, as JSON texts, into rows of results."""


def over_ray(
    rows: Sequence[str], make_worker: Callable[[], Worker], *, actors: int, block: int, cpus: float = 1.0
) -> Iterator[str]:
    """Map rows through workers, each made once in an actor of its own, and yield the results as blocks end.

    A block of a dead actor is done again by another, so `block` bounds what a death costs. Raises UserError where Ray
    is absent or a worker raises one.
    """
    ray = start_ray()
    cpus = min(cpus, ray.cluster_resources().get("CPU", 1.0) / actors)  # more actors than cores share them
    from ray.data import ActorPoolStrategy

    class Actor:
        def __init__(self) -> None:
            self._work = make_worker()

        def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
            return {"row": self._work([str(row) for row in batch["row"]])}

    mapped = ray.data.from_items(
        [{"row": row} for row in rows], override_num_blocks=max(1, -(-len(rows) // block))
    ).map_batches(Actor, batch_size=block, compute=ActorPoolStrategy(size=actors), num_cpus=cpus)
    try:
        for result in mapped.iter_rows():
            yield result["row"]
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, UserError):
            raise error.cause from None
        raise


def start_ray() -> Any:
    """Join the cluster that RAY_ADDRESS names, or start Ray on this machine. Raises UserError where Ray is absent."""
    try:
        import ray
    except ImportError:
        raise UserError("executor = \"ray\" needs Ray; run: pip install 'socratic-distill[ray]'") from None
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.raise_original_map_exception = True
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # its account of every execution is not for our users
    return ray


class SharedAllowance:
    """One allowance for all actors: an actor beside the driver holds the ceiling and the rates and grants each try.

    What a dead worker had reserved stays reserved, at its worst.
    """

    def __init__(self, prices: Prices | None, max_usd: float | None, *, server: Server, path: Path | None) -> None:
        ray = start_ray()
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        class Purse:
            def __init__(self) -> None:
                self._allowance = Allowance(
                    prices,
                    max_usd,
                    requests_per_minute=server.requests_per_minute,
                    tokens_per_minute=server.tokens_per_minute,
                    path=path,
                )
                self._pending: set[int] = set()

            async def reserve(self, prompt_bytes: int, messages: int, max_tokens: int) -> Reservation | None:
                granted = await self._allowance.reserve(prompt_bytes, messages=messages, max_tokens=max_tokens)
                if granted is not None:
                    self._pending.add(granted.id)
                    # No try lasts longer: whoever had this one is dead, and others must not wait for it.
                    asyncio.get_running_loop().call_later(server.timeout + GRACE, self._settle, granted, None)
                return granted

            async def settle(self, reservation: Reservation, usage: Usage | None) -> None:
                self._settle(reservation, usage)

            def _settle(self, reservation: Reservation, usage: Usage | None) -> None:
                if reservation.id in self._pending:
                    self._pending.remove(reservation.id)
                    self._allowance.settle(reservation, usage)

            async def spending(self) -> tuple[Spending, Spending]:
                return self._allowance.spending(), self._allowance.earlier

        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._purse = ray.remote(Purse).options(num_cpus=0, max_concurrency=10_000, scheduling_strategy=here).remote()
        self._ray = ray
        self._last: Spending | None = None
        self.earlier: Spending = ray.get(self._purse.spending.remote())[1]

    def lease(self) -> "Lease":
        """Return what an actor reserves through."""
        return Lease(self._purse)

    def spending(self) -> Spending:
        """Return what was spent so far, or was spent when it was closed."""
        if self._last is not None:
            return self._last
        spent: Spending = self._ray.get(self._purse.spending.remote())[0]
        return spent

    def close(self) -> None:
        """Let go of the actor, and with it of the ledger."""
        self._last = self.spending()
        self._ray.kill(self._purse)


class Lease:
    """An actor's way to the shared allowance; stands where an `Allowance` would."""

    def __init__(self, purse: Any) -> None:
        self._purse = purse

    async def reserve(self, prompt_bytes: int, *, messages: int, max_tokens: int) -> Reservation | None:
        """Wait for leave to send one try; None where the ceiling leaves no room for it."""
        granted: Reservation | None = await asyncio.wrap_future(
            self._purse.reserve.remote(prompt_bytes, messages, max_tokens).future()
        )
        return granted

    def settle(self, reservation: Reservation, usage: Usage | None) -> None:
        """Say what a try has cost; None where that will never be known."""
        self._purse.settle.remote(reservation, usage)
