"""What runs a model: an engine is handed prompts and gives completions back as they end."""

from typing import Protocol

from socratic_distill.records import Completion, Prompt, Sampling


class Engine(Protocol):
    """Runs one student. A batch engine answers all that wait in one poll, a continuous one each as it ends."""

    def submit(self, key: str, prompt: Prompt, sampling: Sampling) -> None:
        """Take a request; `key` comes back with its completion and must be unique among those that wait."""

    def poll(self) -> list[tuple[str, Completion]]:
        """Do some work and return what has ended; empty only where nothing waits."""
