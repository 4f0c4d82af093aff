"""Lessons as token ids, and how an epoch of them is cut into batches of like length."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from socratic_distill.students import Encoder
from socratic_distill.training.lessons import Lesson


@dataclass(frozen=True)
class TokenSequence:
    """A lesson as token ids; `targets` are the positions whose id is to be predicted."""

    ids: list[int]
    targets: list[int]


def encode_lesson(lesson: Lesson, encoder: Encoder) -> TokenSequence:
    """Encode a lesson exactly as solving encodes its prompts; terminators of learned pieces are targets."""
    ids = encoder.start()
    targets: list[int] = []
    for place, piece in enumerate(lesson.pieces):
        encoded = encoder.piece(piece)
        if place in lesson.learned:
            targets += range(len(ids), len(ids) + len(encoded))
        ids += encoded
    return TokenSequence(ids, targets)


GROUPED = 8
"""Optimizer steps whose problems are drawn together and cut by length, so that little of a batch is padding."""


def plan_epoch(lengths: Sequence[int], *, batch: int, seed: int, epoch: int) -> list[list[int]]:
    """Order one epoch: lists of sequence numbers, one per optimizer step, of like length, all in random order."""
    order = list(range(len(lengths)))
    draw = random.Random(f"{seed}/{epoch}")
    draw.shuffle(order)
    batches: list[list[int]] = []
    for start in range(0, len(order), batch * GROUPED):
        group = sorted(order[start : start + batch * GROUPED], key=lambda number: lengths[number])
        batches += [group[place : place + batch] for place in range(0, len(group), batch)]
    draw.shuffle(batches)
    return batches


def micro_batches(numbers: Sequence[int], lengths: Sequence[int], *, tokens: int) -> Iterator[list[int]]:
    """Split a batch so that no part holds more than `tokens` tokens, padding included; one sequence may exceed it."""
    ordered = sorted(numbers, key=lambda number: lengths[number], reverse=True)
    start = 0
    while start < len(ordered):
        rows = max(1, tokens // lengths[ordered[start]])
        yield ordered[start : start + rows]
        start += rows
