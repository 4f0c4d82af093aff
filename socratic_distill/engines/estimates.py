"""What asking a teacher would take beyond what the journal holds: requests, tokens and dollars, before any is sent."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from socratic_distill.engines.allowance import DOLLAR, MESSAGE_TOKENS, REQUEST_TOKENS, Usage, cost
from socratic_distill.engines.journal import Journal, replay_journal
from socratic_distill.reasoning.dialogue import Dialogue, Result
from socratic_distill.recipe import Prices
from socratic_distill.records import Prompt

TOKEN_BYTES = 4
"""Bytes of English in a token, about, where nothing has been answered yet."""
SECOND_REQUEST = 256
"""Tokens by which another ask of a dialogue is longer, at most, its reply aside."""


@dataclass(frozen=True)
class Estimate:
    """What is left to ask: as expected, and at worst."""

    dialogues: int
    answered: int
    """Dialogues that the journal answers to their end."""
    expected: Usage
    worst: Usage
    """Every prompt a token a byte, every reply as long as it may be, and none of them readable."""

    @property
    def requests(self) -> int:
        """Requests that must be sent, one for a dialogue."""
        return self.dialogues - self.answered

    def usd(self, prices: Prices) -> tuple[float, float]:
        """Return dollars: as expected, and at worst, tries that break off aside."""
        return cost(self.expected, prices) / DOLLAR, cost(self.worst, prices) / DOLLAR


def estimate(
    dialogues: Iterable[Dialogue[Result]],
    journal: Journal,
    *,
    identity: Any,
    retry_failed: bool,
    reply_bytes: float,
    most_asks: int,
) -> Estimate:
    """Go through dialogues as far as the journal answers, and estimate the rest.

    What is answered tells how long prompts and replies are; before that, `reply_bytes` is the length of a reply.
    `most_asks` is how often a dialogue asks at most.
    """
    count = answered = 0
    known_bytes = known_read = known_replies = known_written = 0
    prompt_bytes = worst_read = worst_written = most_written = 0
    for dialogue in dialogues:
        count += 1
        ask, replies = replay_journal(dialogue, journal, identity=identity, retry_failed=retry_failed)
        for _, known, reply in replies:
            if reply.tokens and reply.prompt_tokens:
                known_bytes += _size(known.prompt)
                known_read += reply.prompt_tokens
                known_replies += 1
                known_written += reply.tokens
        if ask is None:
            answered += 1
            continue
        assert ask.sampling is not None, "a teacher is asked with a sampling of its own"
        size, most = _size(ask.prompt), ask.sampling.max_tokens
        asks = max(1, most_asks - len(replies))
        prompt_bytes += size
        most_written += most
        worst_read += asks * (size + REQUEST_TOKENS + MESSAGE_TOKENS * len(ask.prompt.pieces))
        worst_read += (asks - 1) * (most + SECOND_REQUEST)
        worst_written += asks * most
    left = count - answered
    written = left * (known_written / known_replies if known_replies else reply_bytes / TOKEN_BYTES)
    read = prompt_bytes * (known_read / known_bytes if known_bytes else 1 / TOKEN_BYTES)
    return Estimate(
        dialogues=count,
        answered=answered,
        expected=Usage(input_tokens=round(read), output_tokens=round(min(written, most_written))),
        worst=Usage(input_tokens=worst_read, output_tokens=worst_written),
    )


def _size(prompt: Prompt) -> int:
    """Return how many bytes a prompt has, written as JSON."""
    return len(json.dumps(prompt.pieces, ensure_ascii=False).encode())
