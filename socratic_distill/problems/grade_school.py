"""The embedded procedural data set: multi-step arithmetic word problems over a graph of steps.

Problems are drawn one after the other from one stream per seed and side of the test split, so a longer request
begins with the shorter one, and `validation` draws from the stream of `train`: take `first` past what train took.
"""

import random
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from zlib import crc32

from pydantic import BaseModel, ConfigDict

from socratic_distill.errors import UserError
from socratic_distill.problems.grade_school_frames import Frame
from socratic_distill.problems.grade_school_places import PLACES
from socratic_distill.problems.grade_school_stories import STORIES
from socratic_distill.problems.grade_school_tales import able, draw_tale, pick, pick_shape
from socratic_distill.problems.grade_school_wording import write
from socratic_distill.records import Problem, Split

FRAMES: tuple[Frame, ...] = STORIES + PLACES
MOST_STEPS = 8
SPEC_FORM = "count=N, and optionally steps=1-4 seed=0 distractors=0.25"
PATIENCE = 3000
"""Draws in a row without a new problem after which a request counts as exhausted."""


class GradeSchool(BaseModel):
    """What a procedural spec of a recipe asks for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: int
    seed: int = 0
    steps: tuple[int, int] = (1, 4)
    """Fewest and most steps, both included."""
    distractors: float = 0.25
    """Share of problems with a fact that nobody needs."""


def parse_spec(text: str) -> GradeSchool:
    """Read a procedural spec such as `count=800 steps=1-4 seed=7 distractors=0.25`.

    Keys come in any order, `steps=3` means 3-3, and only `count` is required. Raises UserError.
    """
    values: dict[str, int | float | tuple[int, int]] = {}
    for word in text.split():
        key, _, value = word.partition("=")
        if key in values:
            raise UserError(f"{key} is given twice in the spec {text!r}; its form is {SPEC_FORM}")
        if key == "steps" and (ends := re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", value, re.ASCII)):
            values[key] = (int(ends[1]), int(ends[2] or ends[1]))
        elif key in ("count", "seed") and re.fullmatch(r"\d{1,18}", value, re.ASCII):
            values[key] = int(value)
        elif key == "distractors" and re.fullmatch(r"\d{1,9}(\.\d{0,18})?|\.\d{1,18}", value, re.ASCII):
            values[key] = float(value)
        elif key in GradeSchool.model_fields:
            raise UserError(f"bad value {value!r} for {key} in the spec {text!r}; its form is {SPEC_FORM}")
        else:
            raise UserError(f"unknown key {key!r} in the spec {text!r}; its form is {SPEC_FORM}")
    if "count" not in values:
        raise UserError(f"no count in the spec {text!r}; its form is {SPEC_FORM}")
    spec = GradeSchool.model_validate(values)
    _check(spec.steps, spec.distractors)
    return spec


def generate(
    count: int,
    *,
    split: Split,
    seed: int,
    steps: tuple[int, int] = (1, 4),
    distractors: float = 0.25,
    first: int = 0,
) -> Iterator[Problem]:
    """Yield `count` problems with their gold steps, from index `first` of the stream on.

    The number of steps is uniform in `steps`, ends included; `distractors` is the share of problems with a fact
    that nobody needs. No text comes twice in a stream, and `test` shares no text and no (frame, numbers) pair with
    the other splits. Raises UserError for a setting out of range, or where fewer problems exist.
    """
    _check(steps, distractors)
    if count < 0 or first < 0:
        raise UserError(f"count {count} and first {first} must not be negative")
    drawn = draws(split=split, seed=seed, steps=steps, distractors=distractors)
    return (problem for _, problem in islice(drawn, first, first + count))


def draws(
    *, split: Split, seed: int, steps: tuple[int, int], distractors: float, frames: Sequence[Frame] = FRAMES
) -> Iterator[tuple[str, Problem]]:
    """Yield (frame name, problem) without end, or until UserError says that there are no more."""
    held_out = split == "test"
    rng = random.Random(f"grade_school/{'test' if held_out else 'train'}/{seed}")
    lowest, highest = steps
    seen: set[str] = set()
    while True:
        wanted = lowest + int(rng.random() * (highest - lowest + 1))
        distracted = rng.random() < distractors
        for attempt in range(PATIENCE):
            # A story whose numbers do not work out is tried again, so that hard ones are as common as easy ones.
            if attempt % 40 == 0:
                frame = pick(rng, able(tuple(frames), wanted))
                shape = pick_shape(rng, frame, wanted)
            tale = draw_tale(rng, frame, shape=shape, distracted=distracted)
            if tale is None or is_held_out(tale.frame.name, tale.numbers) != held_out:
                continue
            question, written = write(tale)
            if question not in seen:
                break
        else:
            raise UserError(
                f"only {len(seen)} different problems were found with steps {lowest}-{highest}: ask for fewer"
            )
        index = len(seen)
        seen.add(question)
        yield (
            tale.frame.name,
            Problem.model_construct(
                id=f"grade_school/{split}/{seed}/{index}",
                split=split,
                question=question,
                answer=written[-1].answer,
                answer_kind="number",
                rationale="\n".join([step.solution for step in written]),
                steps=tuple(written),
                step_count=len(written),
            ),
        )


def is_held_out(frame: str, numbers: Sequence[int]) -> bool:
    """Say whether a story with these numbers belongs to the test split: about half of all do."""
    return crc32(f"{frame} {sorted(numbers)}".encode()) >> 9 & 1 == 1


def _check(steps: tuple[int, int], distractors: float) -> None:
    lowest, highest = steps
    if not 1 <= lowest <= highest <= MOST_STEPS:
        raise UserError(
            f"steps {lowest}-{highest} is no range within 1-{MOST_STEPS}; the form of a spec is {SPEC_FORM}"
        )
    if not 0 <= distractors <= 1:
        raise UserError(f"distractors {distractors} is no share from 0 to 1; the form of a spec is {SPEC_FORM}")
