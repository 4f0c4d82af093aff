"""A way to solve, or to teach, is a dialogue: a generator that yields asks, is sent completions, and returns a result.

It sees no engine, no batch and no other problem. Replaying one with an annotation's texts yields its training examples.
"""

import hashlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from typing_extensions import TypeVar

from socratic_distill.reasoning.arithmetic import corrected, marks
from socratic_distill.records import Completion, Example, FinishReason, Prompt, Sampling, Solution


@dataclass(frozen=True)
class Ask:
    """One request to one student; without a sampling of its own it takes the solve's."""

    student: str
    prompt: Prompt
    sampling: Sampling | None = None


Result = TypeVar("Result", default=Solution)

Dialogue = Generator[Ask | tuple[Ask, ...], Any, Result]
"""Yields an ask and is sent a `Completion`, or yields a tuple of asks and is sent a tuple of completions.

`Dialogue` alone returns a `Solution`; a teacher's returns an `Annotation`.
"""


def replay(dialogue: Dialogue, texts: Mapping[str, Sequence[str]]) -> tuple[list[Example], Solution]:
    """Run a dialogue with `texts[student]` as that student's replies, in turn.

    Returns what each student would have to learn, and the solution that the texts lead to. Raises ValueError where
    a student is asked more often than it has texts.
    """
    remaining: dict[str, Iterator[str]] = {student: iter(replies) for student, replies in texts.items()}
    examples: list[Example] = []

    def answered(ask: Ask) -> Completion:
        text = next(remaining[ask.student], None)
        if text is None:
            raise ValueError(f"the dialogue asks {ask.student!r} more often than the annotation has texts for it")
        examples.append(Example(student=ask.student, prompt=ask.prompt, completion=text))
        return Completion(text=text, finish_reason="end", prompt_tokens=0, tokens=0)

    reply: Completion | tuple[Completion, ...] | None = None
    while True:
        try:
            asks = dialogue.send(reply)
        except StopIteration as stop:
            return examples, stop.value
        reply = answered(asks) if isinstance(asks, Ask) else tuple(answered(ask) for ask in asks)


def grown(examples: Iterable[Example]) -> list[tuple[tuple[str, ...], tuple[int, ...]]]:
    """Merge examples of one student whose prompts grow by whole pieces; others stay apart.

    Each is its pieces, and the places of those that the student writes.
    """
    sequences: list[tuple[tuple[str, ...], tuple[int, ...]]] = []
    for example in examples:
        assert not example.prompt.begun, "an annotation's replay is never resumed in the middle of a piece"
        prompt = example.prompt.pieces
        written: tuple[int, ...] = ()
        if sequences and prompt[: len(sequences[-1][0])] == sequences[-1][0]:
            written = sequences.pop()[1]
        sequences.append(((*prompt, example.completion), (*written, len(prompt))))
    return sequences


Combinator = Callable[[Dialogue], Dialogue]


def answered(
    dialogue: Dialogue[Result], answer: Callable[[tuple[Ask, ...]], Dialogue[tuple[Completion, ...]]]
) -> Dialogue[Result]:
    """Run a dialogue whose every round of asks another one answers: the loop of all combinators."""
    reply: Completion | tuple[Completion, ...] | None = None
    while True:
        try:
            asks = dialogue.send(reply)
        except StopIteration as stop:
            result: Result = stop.value
            return result
        replies = yield from answer(asks if isinstance(asks, tuple) else (asks,))
        reply = replies if isinstance(asks, tuple) else replies[0]


def with_sampling(dialogue: Dialogue[Result], sampling: Sampling) -> Dialogue[Result]:
    """Give a dialogue's asks that carry no sampling this one."""

    def answer(asks: tuple[Ask, ...]) -> Dialogue[tuple[Completion, ...]]:
        replies: tuple[Completion, ...] = yield tuple(replace(ask, sampling=ask.sampling or sampling) for ask in asks)
        return replies

    return answered(dialogue, answer)


def reseeded(sampling: Sampling, *place: int) -> Sampling:
    """Return a sampling whose seed is derived from its own and a place, such as a sample's number."""
    digest = hashlib.sha256(repr((sampling.seed, *place)).encode()).digest()
    return sampling.model_copy(update={"seed": int.from_bytes(digest[:4], "big") >> 1})  # 31 bits: servers take no more


def told(dialogue: Dialogue[Result], tell: Callable[[Ask, Completion], None]) -> Dialogue[Result]:
    """Call back with each ask and its completion as it arrives; those of asks made together arrive together."""

    def answer(asks: tuple[Ask, ...]) -> Dialogue[tuple[Completion, ...]]:
        replies: tuple[Completion, ...] = yield asks
        for ask, reply in zip(asks, replies, strict=True):
            tell(ask, reply)
        return replies

    return answered(dialogue, answer)


def with_replies(dialogue: Dialogue[Result], reply_to: Callable[[Ask], Completion | None]) -> Dialogue[Result]:
    """Answer the asks for which there is a reply already; where there is None, the student is asked."""

    def answer(asks: tuple[Ask, ...]) -> Dialogue[tuple[Completion, ...]]:
        known = [reply_to(ask) for ask in asks]
        open_asks = tuple(ask for ask, reply in zip(asks, known, strict=True) if reply is None)
        replies: Iterator[Completion] = iter((yield open_asks) if open_asks else ())
        return tuple(next(replies) if reply is None else reply for reply in known)

    return answered(dialogue, answer)


def side_by_side(dialogues: Sequence[Dialogue[Result]]) -> Dialogue[tuple[Result, ...]]:
    """Run dialogues side by side and return their results in order.

    A round makes the asks of all that are open together, so each waits for the slowest reply of the round, but for
    none that has ended.
    """
    results: dict[int, Result] = {}
    replies: dict[int, Any] = dict.fromkeys(range(len(dialogues)))
    while replies:
        asked: dict[int, Ask | tuple[Ask, ...]] = {}
        for place, reply in replies.items():
            try:
                asked[place] = dialogues[place].send(reply)
            except StopIteration as stop:
                results[place] = stop.value
        several = {place: asks if isinstance(asks, tuple) else (asks,) for place, asks in asked.items()}
        together = tuple(ask for asks in several.values() for ask in asks)
        completions = iter((yield together) if together else ())
        taken = {place: tuple(islice(completions, len(asks))) for place, asks in several.items()}
        replies = {place: taken[place] if isinstance(asks, tuple) else taken[place][0] for place, asks in asked.items()}
    return tuple(results[place] for place in range(len(dialogues)))


def with_calculator(dialogue: Dialogue, sampling: Sampling) -> Dialogue:
    """Let a calculator act while the students of a dialogue write.

    Generation stops at every `>>`; a wrong value in `<<48/2=25>>` is replaced by the right one and generation goes
    on, so what follows builds on it. `sampling` is that of asks which carry none.
    """
    checked = changed = 0

    def answer(asks: tuple[Ask, ...]) -> Dialogue[tuple[Completion, ...]]:
        nonlocal checked, changed
        written = [_Written(ask, ask.sampling or sampling) for ask in asks]
        while waiting := [one for one in written if one.ended is None]:
            completions = yield tuple(one.ask() for one in waiting)
            for one, completion in zip(waiting, completions, strict=True):
                one.add(completion)
        checked += sum(one.checked for one in written)
        changed += sum(one.changed for one in written)
        return tuple(one.completion() for one in written)

    solution = yield from answered(dialogue, answer)
    return solution.model_copy(update={"marks": checked, "marks_changed": changed})


class _Written:
    """What a student has written so far for one ask, across the calculator's interruptions."""

    def __init__(self, ask: Ask, sampling: Sampling) -> None:
        self._ask, self._sampling = ask, sampling
        self._text, self._tokens, self._prompt_tokens = "", 0, 0
        self.checked = self.changed = 0
        self.ended: FinishReason | None = None

    def ask(self) -> Ask:
        prompt = Prompt(pieces=self._ask.prompt.pieces, begun=self._ask.prompt.begun + self._text)
        left = self._sampling.max_tokens - self._tokens
        return Ask(
            self._ask.student,
            prompt,
            self._sampling.model_copy(update={"max_tokens": left, "stop": (*self._sampling.stop, ">>")}),
        )

    def add(self, completion: Completion) -> None:
        self._text += completion.text
        self._tokens += completion.tokens
        self._prompt_tokens = self._prompt_tokens or completion.prompt_tokens
        interrupted = completion.finish_reason == "stop_string" and self._text.endswith(">>")
        if interrupted:
            self.checked += any(mark.right is not None for mark in marks(self._text[self._text.rfind("<<") :]))
            right = corrected(self._text)
            self.changed += right != self._text
            self._text = right
        if not interrupted or self._text.endswith(self._sampling.stop):
            # Resumed where the context is full, an engine takes what was written for too long a prompt.
            full = completion.finish_reason == "prompt_too_long" and self._text != ""
            self.ended = "length" if full else completion.finish_reason
        elif self._tokens >= self._sampling.max_tokens:
            self.ended = "length"

    def completion(self) -> Completion:
        assert self.ended is not None
        return Completion(
            text=self._text, finish_reason=self.ended, prompt_tokens=self._prompt_tokens, tokens=self._tokens
        )
