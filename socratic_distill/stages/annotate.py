"""`socratic annotate`: reasoning for the problems to learn from; here, what humans wrote in the data set."""

from collections.abc import Iterator, Mapping
from typing import Any

from socratic_distill.artifacts import fingerprint_records, write_rows
from socratic_distill.records import Annotation, Problem
from socratic_distill.run import Run, Target


def targets(run: Run) -> Iterator[Target]:
    """Offer `annotations.jsonl`."""
    problems = run.problems("train", "validation")

    def make() -> Mapping[str, Any]:
        annotations = [human_annotation(problem) for problem in problems]
        write_rows(run.path("annotations.jsonl"), annotations)
        socratic = sum(bool(annotation.steps) for annotation in annotations)
        run.progress.say(f"{len(annotations)} human annotations, {socratic} of them with subquestions")
        return {"rows": len(annotations), "socratic": socratic}

    yield Target(
        "annotations.jsonl",
        run.recipe.annotate.model_dump(mode="json"),
        {"problems": fingerprint_records(problems)},
        make,
    )


def human_annotation(problem: Problem) -> Annotation:
    """Take a problem's annotation from its own rationale and steps; either may be missing."""
    steps = problem.steps
    answer = steps[-1].answer if steps else problem.answer
    return Annotation(problem=problem.id, source="human", rationale=problem.rationale, steps=steps, answer=answer)
