"""Advances many dialogues at once over engines; the only loop that knows both."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic

from socratic_distill.engines import Engine
from socratic_distill.reasoning.dialogue import Ask, Dialogue, Result
from socratic_distill.records import Completion, Sampling, Turn

PATIENCE = 0.001
"""Seconds that an engine which works elsewhere may hold up the others."""


@dataclass(frozen=True)
class Finished(Generic[Result]):
    """A dialogue that has ended, with every ask that it made."""

    key: str
    result: Result
    turns: tuple[Turn, ...]


@dataclass
class _Open(Generic[Result]):
    """A dialogue under way and the replies that it still waits for, by their place in its last yield."""

    dialogue: Dialogue[Result]
    asks: tuple[Ask, ...] = ()
    together: bool = False
    replies: dict[int, Completion] = field(default_factory=dict)
    turns: list[Turn] = field(default_factory=list)


def drive(
    dialogues: Iterable[tuple[str, Dialogue[Result]]],
    engines: Mapping[str, Engine],
    *,
    sampling: Sampling,
    window: int = 64,
) -> Iterator[Finished[Result]]:
    """Run dialogues, at most `window` open at a time, and yield each as it ends.

    `engines` maps a student's name to what runs it; `sampling` is that of asks which carry none. Asks made together
    are answered together. A next dialogue is drawn only when there is room for it.
    """
    coming = iter(dialogues)
    opened: dict[str, _Open[Result]] = {}
    distinct = {id(engine): engine for engine in engines.values()}
    timeout = None if len(distinct) == 1 else PATIENCE

    def advance(key: str, reply: Completion | tuple[Completion, ...] | None) -> Finished[Result] | None:
        one = opened[key]
        try:
            asks = one.dialogue.send(reply)
            while asks == ():  # nothing to wait for
                asks = one.dialogue.send(())
        except StopIteration as stop:
            del opened[key]
            return Finished(key, stop.value, tuple(one.turns))
        one.together = isinstance(asks, tuple)
        one.asks = asks if isinstance(asks, tuple) else (asks,)
        one.replies = {}
        for place, ask in enumerate(one.asks):
            engines[ask.student].submit(f"{place}:{key}", ask.prompt, ask.sampling or sampling)
        return None

    while True:
        while len(opened) < window and (drawn := next(coming, None)) is not None:
            key, dialogue = drawn
            assert key not in opened, f"two open dialogues have the key {key!r}"
            opened[key] = _Open(dialogue)
            if finished := advance(key, None):
                yield finished
        if not opened:
            return
        for engine in distinct.values():
            for request, completion in engine.poll(timeout):
                place, _, key = request.partition(":")
                one = opened[key]
                one.replies[int(place)] = completion
                if len(one.replies) < len(one.asks):
                    continue
                replies = tuple(one.replies[index] for index in range(len(one.asks)))
                one.turns += map(_turn, one.asks, replies)
                if finished := advance(key, replies if one.together else replies[0]):
                    yield finished


def _turn(ask: Ask, completion: Completion) -> Turn:
    return Turn(
        student=ask.student,
        begun=ask.prompt.begun,
        text=completion.text,
        finish_reason=completion.finish_reason,
        prompt_tokens=completion.prompt_tokens,
        tokens=completion.tokens,
    )
