"""One request being answered, token by token: when it ends, why, and the text that came of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from socratic_distill.records import Completion, FinishReason, Prompt, Sampling


class Coder(Protocol):
    """Turns prompts into token ids and ids into text."""

    @property
    def terminator(self) -> int:
        """The id that ends every piece."""

    def encode(self, prompt: Prompt) -> list[int]:
        """Encode a prompt."""

    def decode(self, ids: Sequence[int]) -> str:
        """Turn ids into text."""


@dataclass
class Writing:
    """What a student reads for a request, and what it has written so far."""

    key: str
    prompt: list[int]
    begun: int
    """How many of the prompt's last ids belong to the piece that is being written."""
    sampling: Sampling
    coder: Coder
    room: int
    """Tokens that may be written: what the sampling allows and the context has left; 0 for too long a prompt."""
    written: list[int] = field(default_factory=list)
    finish_reason: FinishReason | None = None
    _met: str = ""

    @classmethod
    def of(cls, key: str, prompt: Prompt, sampling: Sampling, *, coder: Coder, context: int) -> "Writing":
        """Begin to answer a request; one whose prompt fills the context has ended at once."""
        ids = coder.encode(prompt)
        begun = len(ids) - len(coder.encode(Prompt(pieces=prompt.pieces))) if prompt.begun else 0
        room = max(0, min(sampling.max_tokens, context - len(ids)))
        ended: FinishReason | None = None if room else "prompt_too_long"
        return cls(key, ids, begun, sampling, coder, room, finish_reason=ended)

    def add(self, token: int) -> None:
        """Take the next token and see whether it ends the text."""
        self.written.append(token)
        if token == self.coder.terminator:
            self.finish_reason = "end"
        elif self.sampling.stop and (met := self._up_to_stop()) is not None:
            self.finish_reason, self._met = "stop_string", met
        elif len(self.written) >= self.room:
            self.finish_reason = "length"

    def completion(self) -> Completion:
        """Return what a request that has ended came to."""
        assert self.finish_reason is not None
        return Completion(
            text=self._met if self.finish_reason == "stop_string" else self._text(),
            finish_reason=self.finish_reason,
            prompt_tokens=len(self.prompt),
            tokens=len(self.written),
        )

    def _up_to_stop(self) -> str | None:
        """Return the text up to the first stop string, where the last token has completed one."""
        longest = max(len(stop.encode()) for stop in self.sampling.stop)  # a token is a byte at least
        tail = self.coder.decode(self.written[-longest - 1 :])
        if not any(stop in tail for stop in self.sampling.stop):
            return None
        text = self._text()
        ends = [text.find(stop) + len(stop) for stop in self.sampling.stop if stop in text]
        return text[: min(ends)] if ends else None

    def _text(self) -> str:
        # A tokenizer of the SentencePiece kind drops a leading space: decode with what was begun, then take that off.
        begun = self.prompt[len(self.prompt) - self.begun :]
        return self.coder.decode([*begun, *self.written])[len(self.coder.decode(begun)) :]
