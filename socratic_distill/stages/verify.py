"""`socratic verify`: which annotations are kept, and why the others are not.

Checks judge each annotation by itself; then, of a problem's attempts that none of them rejects, some are chosen.
"""

from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

from socratic_distill.artifacts import fingerprint_records, write_rows
from socratic_distill.errors import UserError
from socratic_distill.reasoning.answers import EXTRACTOR, same_answer
from socratic_distill.reasoning.checks import CHECKS, CHECKS_VERSION, stated_equations, words
from socratic_distill.recipe import Verify
from socratic_distill.records import Annotation, Problem, Verdict
from socratic_distill.reporting.funnel import funnel_line, funnel_of
from socratic_distill.run import Run, Target

_SIGNS = {"+": "plus", "-": "minus", "*": "times", "×": "times", "/": "over", "÷": "over", "=": "is"}
_OPERATORS = str.maketrans({sign: f" {word} " for sign, word in _SIGNS.items()})


def targets(run: Run) -> Iterator[Target]:
    """Offer `verdicts.jsonl`."""
    settings = run.recipe.verify
    if settings.min_steps > settings.max_steps:
        raise UserError(f"verify.min_steps = {settings.min_steps} is more than verify.max_steps = {settings.max_steps}")
    problems = {problem.id: problem for problem in run.problems("train", "validation")}
    annotations = run.annotations()

    def make() -> Mapping[str, Any]:
        judged = verdicts(problems, annotations, settings)
        write_rows(run.path("verdicts.jsonl"), judged)
        funnel = funnel_of(annotations, judged, source=run.recipe.annotate.source)
        run.progress.say(funnel_line(funnel))
        return {
            "rows": len(judged),
            "kept": funnel.kept,
            "reasons": funnel.reasons,
            "marks": funnel.marks,
            "funnel": funnel.model_dump(mode="json"),
        }

    yield Target(
        "verdicts.jsonl",
        {**settings.model_dump(mode="json"), "extractor": EXTRACTOR, "checks": CHECKS_VERSION},
        {
            "annotations": fingerprint_records(annotations),
            "problems": fingerprint_records(problems.values()),
        },
        make,
    )


def verdicts(problems: Mapping[str, Problem], annotations: Sequence[Annotation], settings: Verify) -> list[Verdict]:
    """Judge annotations, in their order; problems are by id."""
    places: dict[str, list[int]] = {}
    for place, annotation in enumerate(annotations):
        places.setdefault(annotation.problem, []).append(place)
    judged: dict[int, Verdict] = {}
    for problem, there in places.items():
        attempts = [annotations[place] for place in there]
        judged |= zip(there, judge_attempts(problems[problem], attempts, settings), strict=True)
    return [judged[place] for place in range(len(annotations))]


def judge_attempts(problem: Problem, attempts: Sequence[Annotation], settings: Verify) -> list[Verdict]:
    """Judge all annotations of one problem: by the checks, then by which of those left are chosen."""
    share = None
    if settings.gold == "majority":
        winner, share = majority_answer(problem, attempts)
        problem = problem.model_copy(update={"answer": winner})
    judged = [_judge(problem, attempt, settings, share) for attempt in attempts]
    left = [place for place, verdict in enumerate(judged) if verdict.kept]
    for place, reason in zip(left, choose([attempts[place] for place in left], settings), strict=True):
        if reason:
            judged[place] = judged[place].model_copy(update={"kept": False, "reason": reason})
    return judged


def _judge(problem: Problem, annotation: Annotation, settings: Verify, share: float | None) -> Verdict:
    """Judge one annotation by the checks; the first one of `reject` that fails is the reason."""
    unread = Verdict(
        problem=annotation.problem,
        attempt=annotation.attempt,
        kept=False,
        reason=annotation.unreadable,
        majority=share,
    )
    if annotation.unreadable:
        return unread
    failed = [check for check, passes in CHECKS.items() if not passes(problem, annotation, settings)]
    reason = next((check for check in settings.reject if check in failed), "")
    return unread.model_copy(
        update={
            "kept": not reason,
            "reason": reason,
            "marks": tuple(check for check in failed if check not in settings.reject),
            "consistent": "answer" not in failed,
        }
    )


def majority_answer(problem: Problem, attempts: Sequence[Annotation]) -> tuple[str, float]:
    """Return the answer that most readable attempts give, and the share of them that give it.

    Answers are the same by `same_answer`; one that can't be read as the problem's kind has no vote, but counts in the
    whole. A tie has no winner, since nothing speaks for either: the answer is then empty, which no other equals.
    """
    voices = [attempt.answer for attempt in sorted(attempts, key=attrgetter("attempt")) if not attempt.unreadable]
    groups: list[list[str]] = []
    for voice in voices:
        mates = next((group for group in groups if _same(problem, voice, group[0])), None)
        if mates is not None:
            mates.append(voice)
        elif _same(problem, voice, voice):
            groups.append([voice])
    if not groups:
        return "", 0.0
    most = max(len(group) for group in groups)
    winners = [group[0] for group in groups if len(group) == most]
    return (winners[0] if len(winners) == 1 else ""), most / len(voices)


def choose(attempts: Sequence[Annotation], settings: Verify) -> list[str]:
    """Choose among attempts at one problem: for each an empty text, or why it is not kept.

    They are taken by attempt, or those with the most right equations first, until there are enough (`not_chosen`); one
    that is much like one already taken is passed over (`near_duplicate`).
    """
    order = sorted(range(len(attempts)), key=lambda place: attempts[place].attempt)
    if settings.keep == "most_verified" and len(order) > 1:
        order.sort(key=lambda place: -right_equations(attempts[place]))
    most = 1 if settings.keep == "first" else settings.at_most
    reasons = [""] * len(attempts)
    taken: list[frozenset[tuple[str, ...]]] = []
    for place in order:
        if most is not None and len(taken) >= most:
            reasons[place] = "not_chosen"
            continue
        own = trigrams(attempts[place]) if len(order) > 1 else frozenset()
        if any(overlap(own, other) >= settings.near_duplicate for other in taken):
            reasons[place] = "near_duplicate"
        else:
            taken.append(own)
    return reasons


def right_equations(annotation: Annotation) -> int:
    """Count an annotation's right equations; one that is stated again, such as in a mark, counts once."""
    return len({"".join(mark.expression.split()) for mark in stated_equations(annotation) if mark.right})


def trigrams(annotation: Annotation) -> frozenset[tuple[str, ...]]:
    """Return an annotation's runs of three words, operators being words; of a shorter text, its only run."""
    texts = [annotation.rationale]
    texts += [text for step in annotation.steps for text in (step.subquestion, step.solution, step.answer)]
    text = " ".join(texts) if any(texts) else annotation.answer
    said = words(text.translate(_OPERATORS))
    return frozenset(tuple(said[start : start + 3]) for start in range(max(1, len(said) - 2)))


def overlap(one: frozenset[tuple[str, ...]], other: frozenset[tuple[str, ...]]) -> float:
    """Return the Jaccard index of two sets that are not both empty: the share of all their members that is in both."""
    return len(one & other) / len(one | other)


def _same(problem: Problem, one: str, other: str) -> bool:
    return same_answer(one, other, kind=problem.answer_kind, choices=problem.choices)
