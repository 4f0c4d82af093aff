"""What runs a model: an engine is handed prompts and gives completions back as they end."""

import sys
from typing import Protocol

from socratic_distill.records import Completion, Prompt, Sampling

# OpenVINO, once imported, would send usage figures to its makers; it does without the package that sends them.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # what can't be imported is None there


class Engine(Protocol):
    """Runs one student. Requests are taken while others run, and each comes back as it ends."""

    def submit(self, key: str, prompt: Prompt, sampling: Sampling) -> None:
        """Take a request; `key` comes back with its completion and must be unique among those that wait."""

    def poll(self, timeout: float | None = None) -> list[tuple[str, Completion]]:
        """Wait until something has ended and return all that has; empty where nothing was waiting.

        With a timeout, in seconds, it may come back empty: an engine that works here then does one step of its work.
        """
