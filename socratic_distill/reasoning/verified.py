"""Steps whose arithmetic is checked as they are written: from a wrong one on, the student is asked again.

Beside a calculator, put this within it: the calculator first puts right what it can, and what is left is asked again.
"""

from dataclasses import dataclass
from itertools import takewhile

from socratic_distill.reasoning.arithmetic import equations, marks
from socratic_distill.reasoning.dialogue import Ask, Dialogue, answered, reseeded, side_by_side
from socratic_distill.records import Completion, Prompt, Sampling

RETRY_TEMPERATURE = 0.7
"""Temperature of what is asked again where a dialogue is greedy, as all tries would be the same."""


def with_verified_steps(
    dialogue: Dialogue, sampling: Sampling, *, retries: int, temperature: float | None = None
) -> Dialogue:
    """Ask again what holds wrong arithmetic, up to `retries` times a completion.

    A step is a line, and what stands before the first with a wrong equation, marked or plain, is kept as begun. Another
    try has a seed of its own, the given temperature, and as many tokens as the ask. Taken is the completion that ends,
    has the fewest wrong equations, and is right for longest; among equals the first. `sampling` is that of asks which
    carry none.
    """
    asked_again = 0

    def answer(asks: tuple[Ask, ...]) -> Dialogue[tuple[Completion, ...]]:
        nonlocal asked_again
        several = [_tried(ask, ask.sampling or sampling, retries, temperature) for ask in asks]
        tried = yield from side_by_side(several)
        asked_again += sum(retried for _, retried in tried)
        return tuple(completion for completion, _ in tried)

    solution = yield from answered(dialogue, answer)
    return solution.model_copy(update={"retries": asked_again})


def wrong_equations(line: str) -> int:
    """Count the equations of a line, marked or plain, that can be calculated and are wrong."""
    return sum(mark.right is False for mark in (*marks(line), *equations(line)))


@dataclass(frozen=True)
class _Try:
    """One completion of an ask, from its beginning on."""

    completion: Completion
    wrong: int
    """Equations that are."""
    right: str
    """The lines before the first of them."""

    def rank(self) -> tuple[bool, int, int]:
        return self.completion.finish_reason != "end", self.wrong, -len(self.right)


def _tried(ask: Ask, sampling: Sampling, retries: int, temperature: float | None) -> Dialogue[tuple[Completion, int]]:
    """Ask until nothing is wrong; returns the completion taken, with the tokens of all, and the asks made again."""
    first: Completion = yield Ask(ask.student, ask.prompt, sampling)
    best, tokens, number = _judged(first), first.tokens, 0
    while best.wrong and number < retries:
        number += 1
        again = reseeded(sampling, number).model_copy(
            update={"temperature": temperature or sampling.temperature or RETRY_TEMPERATURE}
        )
        begun = Prompt(pieces=ask.prompt.pieces, begun=ask.prompt.begun + best.right)
        reply: Completion = yield Ask(ask.student, begun, again)
        tokens += reply.tokens
        another = _judged(reply.model_copy(update={"text": best.right + reply.text}))
        best = min(best, another, key=_Try.rank)
    counted = {"tokens": tokens, "prompt_tokens": first.prompt_tokens}
    return best.completion.model_copy(update=counted), number


def _judged(completion: Completion) -> _Try:
    lines = completion.text.splitlines(keepends=True)
    wrong = [wrong_equations(line) for line in lines]
    right = takewhile(lambda counted: not counted[1], zip(lines, wrong, strict=True))
    return _Try(completion, sum(wrong), "".join(line for line, _ in right))
