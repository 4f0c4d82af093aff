"""`train_log.jsonl`: a line per optimizer step, and one per validation."""

from pathlib import Path

from socratic_distill.artifacts import read_rows
from socratic_distill.records import Record


class LogLine(Record):
    """One optimizer step, or a validation after the last step of an epoch."""

    step: int
    epoch: int
    loss: float
    """Nats per target."""
    validation: bool = False
    learning_rate: float = 0.0
    gradient_norm: float = 0.0
    """Before clipping."""
    tokens: int = 0
    """Tokens read, padding left out."""
    targets: int = 0
    seconds: float = 0.0


def log_path(folder: Path) -> Path:
    """Return where a student's log lies."""
    return folder / "train_log.jsonl"


def read_log(folder: Path) -> list[LogLine]:
    """Read a student's log."""
    return read_rows(log_path(folder), LogLine)
