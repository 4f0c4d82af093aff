"""An engine that answers from a script: for tests, demonstrations, and dialogues that need no model."""

import re
from collections.abc import Callable

from socratic_distill.records import Completion, Prompt, Sampling

Script = Callable[[Prompt], str]
"""Maps a prompt to the whole piece that a student would write after the part that it has begun."""


class ScriptedEngine:
    """Answers every prompt by a function, a word of its text counting as a token.

    `context` is the most words that a prompt may have.
    """

    def __init__(self, script: Script, *, context: int = 1_000_000) -> None:
        self._script, self._context = script, context
        self._waiting: list[tuple[str, Prompt, Sampling]] = []

    def submit(self, key: str, prompt: Prompt, sampling: Sampling) -> None:
        """Take a request."""
        self._waiting.append((key, prompt, sampling))

    def poll(self, timeout: float | None = None) -> list[tuple[str, Completion]]:
        """Answer all that wait."""
        waiting, self._waiting = self._waiting, []
        return [(key, self._complete(prompt, sampling)) for key, prompt, sampling in waiting]

    def _complete(self, prompt: Prompt, sampling: Sampling) -> Completion:
        read = len(" ".join((*prompt.pieces, prompt.begun)).split())
        if read > self._context:
            return Completion(text="", finish_reason="prompt_too_long", prompt_tokens=read, tokens=0)
        text = self._script(prompt)
        met = [text.find(stop) + len(stop) for stop in sampling.stop if stop in text]
        text = text[: min(met)] if met else text
        ends = [word.end() for word in re.finditer(r"\S+", text)]
        if len(ends) + (not met) > sampling.max_tokens:
            cut = text[: ends[sampling.max_tokens - 1]]
            return Completion(text=cut, finish_reason="length", prompt_tokens=read, tokens=sampling.max_tokens)
        if met:
            return Completion(text=text, finish_reason="stop_string", prompt_tokens=read, tokens=len(ends))
        return Completion(text=text, finish_reason="end", prompt_tokens=read, tokens=len(ends) + 1)
