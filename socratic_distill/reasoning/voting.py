"""Several sampled solutions of one problem, and the one that most of them agree with."""

from collections.abc import Callable, Sequence
from itertools import chain

from socratic_distill.reasoning.answers import MARKER, Reading, read_answer, same_answer
from socratic_distill.reasoning.dialogue import Ask, Combinator, Dialogue, reseeded, side_by_side, told, with_replies
from socratic_distill.reasoning.strategies import decomposes
from socratic_distill.records import Completion, Problem, Sampling, Solution

Opened = Callable[[Sampling, Combinator], Dialogue]
"""Opens a problem's dialogue anew, by a sampling; the combinator acts next to the strategy, on whole completions."""


def stated_answer(problem: Problem, solution: Solution) -> Reading:
    """Read a solution's answer, or say why there is none: what was cut short is read only where it has a marker."""
    if solution.unfinished and MARKER not in solution.text:
        return Reading(None, solution.unfinished)
    return read_answer(solution.text, problem.answer_kind, choices=problem.choices)


def self_consistent(problem: Problem, samples: Sequence[Dialogue]) -> Dialogue:
    """Solve a problem by several sampled dialogues, side by side, and take the answer that most of them give.

    The solution is the first with that answer; of answers given equally often, the first seen. One that can't be read
    has no vote. Source: Wang et al., Self-Consistency Improves Chain of Thought Reasoning, arXiv 2203.11171.
    """
    solutions = yield from side_by_side(samples)
    answers = [stated_answer(problem, solution).answer or "" for solution in solutions]
    majority = most_frequent(problem, answers)
    return _elected(solutions[majority[0] if majority else 0], solutions, answers)


def most_frequent(problem: Problem, answers: Sequence[str]) -> list[int]:
    """Return where the most frequent answer stands, the first seen among equals; nowhere if none can be read.

    Answers are the same by `same_answer`, compared with the first of their group.
    """
    groups: list[list[int]] = []
    for place, answer in enumerate(answers):
        mates = next((group for group in groups if _same(problem, answer, answers[group[0]])), None)
        if mates is not None:
            mates.append(place)
        elif answer:
            groups.append([place])
    return max(groups, key=len, default=[])


def best_decomposition(
    problem: Problem, opened: Opened, *, decompositions: int, samples: int, sampling: Sampling
) -> Dialogue:
    """Sample decompositions of a problem, solve each several times, and take the one on which the solver agrees most.

    A decomposition's agreement is the number of its own solutions that give its most frequent answer; among equals,
    the number of all solutions that give that answer; then the first. The solution is the first that gives it.
    One whose first solution comes to no end is not solved again.
    """

    def solved(number: int) -> Dialogue[tuple[Solution, ...]]:
        written: list[Completion] = []

        def keep(ask: Ask, completion: Completion) -> None:
            if decomposes(ask.student):
                written.append(completion)

        first = yield from opened(reseeded(sampling, number, 0), lambda dialogue: told(dialogue, keep))
        if first.unfinished:
            return (first,)
        more = yield from side_by_side(
            [
                opened(reseeded(sampling, number, sample), lambda dialogue: _decomposed(dialogue, written))
                for sample in range(1, samples)
            ]
        )
        return (first, *more)

    groups = yield from side_by_side([solved(number) for number in range(decompositions)])
    answers = [[stated_answer(problem, solution).answer or "" for solution in group] for group in groups]
    everyone = list(chain.from_iterable(answers))
    majorities = [most_frequent(problem, own) for own in answers]

    def agreement(number: int) -> tuple[int, int]:
        majority = majorities[number]
        if not majority:
            return 0, 0
        return len(majority), sum(_same(problem, answer, answers[number][majority[0]]) for answer in everyone)

    best = max(range(decompositions), key=agreement)
    chosen = groups[best][majorities[best][0] if majorities[best] else 0]
    return _elected(chosen, list(chain.from_iterable(groups)), everyone)


def _decomposed(dialogue: Dialogue, written: Sequence[Completion]) -> Dialogue:
    """Answer the asks of those who decompose by what one has written already."""
    remaining = iter(written)
    return with_replies(dialogue, lambda ask: next(remaining) if decomposes(ask.student) else None)


def _same(problem: Problem, one: str, other: str) -> bool:
    return same_answer(one, other, kind=problem.answer_kind, choices=problem.choices)


def _elected(chosen: Solution, solutions: Sequence[Solution], answers: Sequence[str]) -> Solution:
    """Return a solution that says how all voted, with what was counted while all of them were written."""
    retries = [solution.retries for solution in solutions if solution.retries is not None]
    counted = {
        "marks": sum(solution.marks for solution in solutions),
        "marks_changed": sum(solution.marks_changed for solution in solutions),
        "retries": sum(retries) if retries else None,
    }
    return chosen.model_copy(update={"votes": tuple(answers), **counted})
