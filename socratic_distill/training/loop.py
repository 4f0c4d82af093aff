"""The training loop: flat, one function; every step's randomness comes from its number, so it resumes exactly."""

import math
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from accelerate import Accelerator
from transformers import PreTrainedModel

from socratic_distill.artifacts import appending, write_rows
from socratic_distill.errors import UserError
from socratic_distill.machine import trim_heap
from socratic_distill.recipe import Train
from socratic_distill.records import Record
from socratic_distill.run import Progress
from socratic_distill.training.checkpoint import Position, load_checkpoint, save_checkpoint
from socratic_distill.training.log import LogLine, log_path, read_log
from socratic_distill.training.loss import Loss, loss_of
from socratic_distill.training.optimizer import MasterWeights, learning_rate_at
from socratic_distill.training.sequences import TokenSequence, micro_batches, plan_epoch

STEPS_BETWEEN_TRIMS = 4


class Trained(Record):
    """How a training went."""

    steps: int
    tokens: int
    """Tokens read in one epoch."""
    targets: int
    """Targets in one epoch."""
    best_epoch: int | None
    best_loss: float | None
    seconds: float
    """Wall time, resumed parts added up."""


def train(
    model: PreTrainedModel,
    lessons: Sequence[TokenSequence],
    *,
    validation: Sequence[TokenSequence],
    settings: Train,
    folder: Path,
    fingerprint: str,
    progress: Progress,
    name: str,
) -> Trained:
    """Train a model in place and leave the best weights in it.

    The loss of a step is the sum over its targets divided by their number, whatever the micro-batches or processes.
    Goes on from a checkpoint in `folder` with the same fingerprint. Raises UserError where the loss is not finite.
    """
    accelerator = Accelerator()
    rank, processes = accelerator.process_index, accelerator.num_processes
    model.to(accelerator.device)
    longest = max(lessons, key=lambda lesson: len(lesson.ids))
    loss_sum, fast = loss_of(model, longest)
    if not fast:
        progress.say(f"{name}: {type(model).__name__} is trained the plain way, for the fast one differs from its loss")
    weights = MasterWeights(model, learning_rate=settings.learning_rate, weight_decay=settings.weight_decay)
    lengths = [len(lesson.ids) for lesson in lessons]
    steps_per_epoch = math.ceil(len(lessons) / settings.batch_problems)
    total = steps_per_epoch * settings.epochs
    position, best = Position(fingerprint=fingerprint, step=0), None
    if found := load_checkpoint(folder, fingerprint):
        position, optimizer_state, best = found
        weights.restore(optimizer_state)
        progress.say(f"{name}: goes on after step {position.step} of {total}")
    if accelerator.is_main_process:
        write_rows(log_path(folder), [line for line in read_log(folder) if line.step <= position.step])
    started, seconds_before, saved_at = time.monotonic(), position.seconds, time.monotonic()

    def spent() -> float:
        return seconds_before + time.monotonic() - started

    with appending(log_path(folder)) as log, progress.track(f"train {name}", total, done=position.step) as track:
        for step in range(position.step, total):
            step_started = time.monotonic()
            epoch, place = divmod(step, steps_per_epoch)
            if place == 0 or step == position.step:
                plan = plan_epoch(lengths, batch=settings.batch_problems, seed=settings.seed, epoch=epoch)
            batch = plan[place]
            targets = sum(len(lessons[number].targets) for number in batch)
            model.train()
            torch.manual_seed((settings.seed << 32) + step * processes + rank)  # of dropout
            loss = torch.zeros((), device=accelerator.device)
            for part in micro_batches(batch[rank::processes], lengths, tokens=settings.micro_batch_tokens):
                part_loss = loss_sum([lessons[number] for number in part]) / targets
                part_loss.backward()
                loss += part_loss.detach()
            if processes > 1:
                loss = accelerator.reduce(loss, "sum")
                for master in weights.masters.values():
                    gradient = torch.zeros_like(master) if master.grad is None else master.grad
                    master.grad = accelerator.reduce(gradient, "sum")
            rate = learning_rate_at(step, total=total, peak=settings.learning_rate, warmup=settings.warmup)
            norm = weights.step(learning_rate=rate, clip=settings.clip)
            _check_finite(name, "loss", float(loss), step)
            _check_finite(name, "gradient's norm", norm, step)
            position = position.model_copy(update={"step": step + 1})
            if (step + 1) % STEPS_BETWEEN_TRIMS == 0:
                trim_heap()
            tokens = sum(lengths[number] for number in batch)
            elapsed = time.monotonic() - step_started
            line = LogLine(
                step=step + 1,
                epoch=epoch + 1,
                loss=float(loss),
                learning_rate=rate,
                gradient_norm=norm,
                tokens=tokens,
                targets=targets,
                seconds=round(elapsed, 4),
            )
            if accelerator.is_main_process:
                log.append(line)
            track.advance(1, f"loss {line.loss:.3f}, {tokens / elapsed:,.0f} tokens/s")
            if place == steps_per_epoch - 1 and validation:
                model.eval()
                validated = mean_loss(loss_sum, validation, tokens=settings.micro_batch_tokens)
                _check_finite(name, "validation loss", validated, step)
                if accelerator.is_main_process:
                    log.append(LogLine(step=step + 1, epoch=epoch + 1, loss=validated, validation=True))
                if position.best_loss is None or validated < position.best_loss:
                    best = {key: weight.detach().cpu().clone() for key, weight in weights.weights.items()}
                    position = position.model_copy(update={"best_loss": validated, "best_epoch": epoch + 1})
            due = time.monotonic() - saved_at >= settings.checkpoint_minutes * 60
            if accelerator.is_main_process and (due or step + 1 == total):
                position = position.model_copy(update={"seconds": spent()})
                save_checkpoint(folder, position, optimizer=weights.state(), best=best)
                saved_at = time.monotonic()
    weights.release()
    if best is not None:
        with torch.no_grad():
            for key, weight in weights.weights.items():
                weight.copy_(best[key])
    return Trained(
        steps=total,
        tokens=sum(lengths),
        targets=sum(len(lesson.targets) for lesson in lessons),
        best_epoch=position.best_epoch,
        best_loss=position.best_loss,
        seconds=round(position.seconds, 1),
    )


def _check_finite(name: str, what: str, value: float, step: int) -> None:
    if not math.isfinite(value):
        raise UserError(f"{name}: the {what} is {value} at step {step + 1}; lower train.learning_rate")


@torch.no_grad()
def mean_loss(loss_sum: Loss, lessons: Sequence[TokenSequence], *, tokens: int) -> float:
    """Return the mean loss over all targets, in nats; the model's mode (dropout or not) is the caller's."""
    lengths = [len(lesson.ids) for lesson in lessons]
    parts = micro_batches(range(len(lessons)), lengths, tokens=tokens)
    total = sum(float(loss_sum([lessons[number] for number in part])) for part in parts)
    return total / sum(len(lesson.targets) for lesson in lessons)
