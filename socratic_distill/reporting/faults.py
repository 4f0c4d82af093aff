"""Where wrong solutions went wrong, in the order in which it is told, and in words."""

from collections.abc import Iterable, Mapping

from socratic_distill.reasoning.attribution import Fault

FAULTS: dict[Fault, str] = {
    "reading": "no answer could be read",
    "arithmetic": "right once its arithmetic is recomputed",
    "decomposer": "its solver is right once it is given the gold subquestions",
    "solver": "its solver is wrong with the gold subquestions too",
    "student": "wrong otherwise, and one student wrote all of it",
    "unknown": "nothing tells: there are no gold steps, or no solve that gives the solver gold subquestions",
}
"""Each kind of fault and what it means."""


def kinds_of(faults: Iterable[Mapping[Fault, int]]) -> list[Fault]:
    """Name the kinds of fault that occur in any of these counts, in order."""
    found = {kind for counts in faults for kind, count in counts.items() if count}
    return [kind for kind in FAULTS if kind in found]
