"""Checkpoints of a training under way: a folder of safetensors, its JSON written last; the newest whole one counts."""

import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from socratic_distill.artifacts import write_whole
from socratic_distill.errors import UserError
from socratic_distill.records import Record


class Position(Record):
    """Where a training is."""

    fingerprint: str
    """Of all that determines the weights; a checkpoint of another is not gone on from."""
    step: int
    """Optimizer steps taken."""
    best_loss: float | None = None
    """Validation loss of the best weights so far, in nats per target."""
    best_epoch: int | None = None
    seconds: float = 0.0
    """Wall time spent."""


def save_checkpoint(
    folder: Path, position: Position, *, optimizer: dict[str, torch.Tensor], best: dict[str, torch.Tensor] | None
) -> None:
    """Write a checkpoint, then remove the older ones. Raises UserError where the disk is full."""
    target = folder / f"checkpoint-{position.step}"
    shutil.rmtree(target, ignore_errors=True)
    try:
        target.mkdir(parents=True)
        save_file(optimizer, target / "optimizer.safetensors")
        if best is not None:
            save_file(best, target / "best.safetensors")
    except (OSError, SafetensorError) as error:
        shutil.rmtree(target, ignore_errors=True)
        raise UserError(f"can't write a checkpoint to {folder}: {error}; the one before it is kept") from error
    write_whole(target / "position.json", position.model_dump_json())
    for other in folder.glob("checkpoint-*"):
        if other != target:
            shutil.rmtree(other)


def load_checkpoint(
    folder: Path, fingerprint: str
) -> tuple[Position, dict[str, torch.Tensor], dict[str, torch.Tensor] | None] | None:
    """Read the newest whole checkpoint of a training with this fingerprint; None where there is none."""
    whole = [path.parent for path in folder.glob("checkpoint-*/position.json")]
    for path in sorted(whole, key=lambda path: int(path.name.rpartition("-")[2]), reverse=True):
        position = Position.model_validate_json((path / "position.json").read_text(encoding="utf-8"))
        if position.fingerprint == fingerprint:
            best = path / "best.safetensors"
            return position, load_file(path / "optimizer.safetensors"), load_file(best) if best.exists() else None
    return None


def remove_checkpoints(folder: Path) -> None:
    """Remove all checkpoints of a training."""
    for path in folder.glob("checkpoint-*"):
        shutil.rmtree(path)
