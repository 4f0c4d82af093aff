"""Where wrong solutions went wrong, in the order in which it is told, and in words."""

from collections.abc import Iterable, Mapping

FAULTS = {
    "reading": "no answer could be read",
    "arithmetic": "right once its arithmetic is recomputed",
    "decomposer": "its solver is right once it is given the gold subquestions",
    "solver": "its solver is wrong with the gold subquestions too",
    "student": "wrong otherwise, and one student wrote all of it",
    "unknown": "nothing tells: there are no gold steps, or no solve that gives the solver gold subquestions",
}
"""Each kind of fault and what it means; the first that holds is the one that counts."""


def in_order(kinds: Iterable[str]) -> list[str]:
    """Order kinds of fault as they are told; one that is not known comes last."""
    kinds = set(kinds)
    return [*(kind for kind in FAULTS if kind in kinds), *sorted(kinds - FAULTS.keys())]


def kinds_of(faults: Iterable[Mapping[str, int]]) -> list[str]:
    """Name the kinds of fault that occur in any of these counts, in order."""
    return in_order(kind for counts in faults for kind, count in counts.items() if count)
