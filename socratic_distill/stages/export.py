"""`socratic export`: what the students would learn, as prompt and completion, for other trainers."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from socratic_distill.artifacts import fingerprint_records, write_whole
from socratic_distill.reasoning.prompts import PROMPT_VERSION
from socratic_distill.records import Split
from socratic_distill.run import Run, Target
from socratic_distill.training.lessons import Lesson, lessons_by_student


def targets(run: Run) -> Iterator[Target]:
    """Offer a folder for each student: `exports/<student>`."""
    settings = run.recipe.export
    for student, lessons in lessons_by_student(run).items():
        yield Target(
            f"exports/{student}",
            {**settings.model_dump(mode="json"), "prompt_version": PROMPT_VERSION},
            {split: fingerprint_records(rows) for split, rows in lessons.items()},
            partial(_make, run, student, lessons),
        )


def pairs(lesson: Lesson) -> list[dict[str, str]]:
    """Return a lesson's examples in TRL's form: a text that the student reads, a text that it is to write.

    The pieces of a prompt stand a line each or more. A trainer that adds the end-of-sequence token after the
    completion, as TRL does, teaches where to stop.
    """
    return [
        {"prompt": "".join(f"{piece}\n" for piece in lesson.pieces[:place]), "completion": lesson.pieces[place]}
        for place in lesson.learned
    ]


def _make(run: Run, student: str, lessons: Mapping[Split, Sequence[Lesson]]) -> Mapping[str, Any]:
    folder = run.path(f"exports/{student}")
    rows = {split: [pair for lesson in group for pair in pairs(lesson)] for split, group in lessons.items() if group}
    if run.recipe.export.format == "datasets":
        from datasets import Dataset, DatasetDict

        DatasetDict({split: Dataset.from_list(group) for split, group in rows.items()}).save_to_disk(folder)
    else:
        for split, group in rows.items():
            lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in group)
            write_whole(folder / f"{split}.jsonl", lines)
    counts = {split: len(group) for split, group in rows.items()}
    run.progress.say(f"exported {student}: {', '.join(f'{count} {split} pairs' for split, count in counts.items())}")
    return {"rows": counts}
