"""Examples of one problem merged into one sequence with several learned pieces: equal in loss, fewer tokens."""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from socratic_distill.reasoning.dialogue import replay
from socratic_distill.reasoning.strategies import Facts, Strategy, shown
from socratic_distill.records import Annotation, Example, Problem, Record
from socratic_distill.students import Encoder


class Lesson(Record):
    """What one student learns from one problem: pieces, and which of them it is to write itself."""

    problem: str
    pieces: tuple[str, ...]
    learned: tuple[int, ...]
    """Places of the pieces that the loss is on."""


def merge(problem: str, examples: Iterable[Example]) -> list[Lesson]:
    """Merge examples of one student and problem whose prompts grow by whole pieces; others stay apart.

    Under causal attention the merged loss equals the examples' one by one.
    """
    lessons: list[Lesson] = []
    for example in examples:
        assert not example.prompt.begun, "an annotation's replay is never resumed in the middle of a piece"
        prompt = example.prompt.pieces
        learned: tuple[int, ...] = ()
        if lessons and prompt[: len(lessons[-1].pieces)] == lessons[-1].pieces:
            learned = lessons.pop().learned
        lessons.append(Lesson(problem=problem, pieces=(*prompt, example.completion), learned=(*learned, len(prompt))))
    return lessons


def lessons_of(
    student: str, strategy: Strategy, problem: Problem, annotation: Annotation, facts: Facts
) -> list[Lesson]:
    """Replay an annotation through a strategy and return what one of its students learns from it."""
    texts = strategy.texts(annotation)
    if texts is None:
        return []
    examples, _ = replay(strategy.dialogue(shown(problem, facts)), texts)
    return merge(problem.id, (example for example in examples if example.student == student))


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
