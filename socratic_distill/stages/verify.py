"""`socratic verify`: which annotations are kept, and why the others are not."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from socratic_distill.artifacts import fingerprint, fingerprint_records, write_rows
from socratic_distill.reasoning.answers import EXTRACTOR, same_answer
from socratic_distill.records import Annotation, Problem, Verdict
from socratic_distill.run import Run, Target

Check = Callable[[Problem, Annotation], bool]


def answer_is_gold(problem: Problem, annotation: Annotation) -> bool:
    """Check that the annotation's final answer equals the gold answer: the paper's consistency filter."""
    return same_answer(annotation.answer, problem.answer, kind=problem.answer_kind, choices=problem.choices)


CHECKS: dict[str, Check] = {"answer": answer_is_gold}


def targets(run: Run) -> Iterator[Target]:
    """Offer `verdicts.jsonl`."""
    problems = {problem.id: problem for problem in run.problems("train", "validation")}
    annotations = run.annotations()

    def make() -> Mapping[str, Any]:
        verdicts = [
            verdict(problems[annotation.problem], annotation, run.recipe.verify.reject) for annotation in annotations
        ]
        write_rows(run.path("verdicts.jsonl"), verdicts)
        kept = sum(one.kept for one in verdicts)
        run.progress.say(f"kept {kept} of {len(verdicts)} annotations")
        return {
            "rows": len(verdicts),
            "kept": kept,
            "reasons": dict(Counter(one.reason for one in verdicts if not one.kept)),
        }

    yield Target(
        "verdicts.jsonl",
        {**run.recipe.verify.model_dump(mode="json"), "extractor": EXTRACTOR},
        {
            "annotations": fingerprint_records(annotations),
            "gold": fingerprint({problem.id: problem.answer for problem in problems.values()}),
        },
        make,
    )


def verdict(problem: Problem, annotation: Annotation, reject: tuple[str, ...]) -> Verdict:
    """Judge one annotation by the checks that reject; the first that fails is the reason."""
    reason = next((name for name in reject if not CHECKS[name](problem, annotation)), "")
    return Verdict(problem=annotation.problem, attempt=annotation.attempt, kept=not reason, reason=reason)
