"""What the numbers of a study say along an axis: where one way overtakes another, or that none is told apart."""

from collections.abc import Sequence
from itertools import combinations

from socratic_distill.reporting.findings import Cell, competes
from socratic_distill.reporting.summary import SIGNIFICANT, p_words, points
from socratic_distill.statistics import SeedsComparison


def sentences_of(axis: str, values: Sequence[str], cells: Sequence[Cell]) -> tuple[str, ...]:
    """Say how the solves stand to each other along one axis, the others' values held fixed."""
    told: list[str] = []
    for others in dict.fromkeys(_others(cell, axis) for cell in cells):
        along = {cell.values[axis]: cell for cell in cells if _others(cell, axis) == others}
        row = [(value, along[value]) for value in values if value in along]
        told += [f"{_where(others)}{sentence}" for sentence in _along(axis, row)]
    return tuple(told)


def _along(axis: str, row: Sequence[tuple[str, Cell]]) -> list[str]:
    everywhere = set.intersection(*(set(cell.solves) for _, cell in row))  # a value may bring solves of its own
    first = row[0][1].solves
    names = [name for name, solve in first.items() if name in everywhere and competes(solve)]
    apart: list[str] = []
    alike: dict[str, list[str]] = {}
    for a, b in combinations(names, 2):
        found = [(value, _between(cell, a, b)) for value, cell in row]
        better = {
            solve: [(value, one) for value, one in found if one.p_adjusted < SIGNIFICANT and one.difference * sign > 0]
            for solve, sign in ((a, 1), (b, -1))
        }
        if better[a] and better[b]:
            apart.append(_overtaking(axis, a, b, found))
        for winner, loser in ((a, b), (b, a)):
            if better[winner] and not better[loser]:
                apart.append(_ahead(axis, winner, loser, better[winner], len(row)))
        if not better[a] and not better[b]:
            alike.setdefault(a, []).append(b)
    if alike and not apart:
        return [f"At no {axis} can the data tell any two of {', '.join(names)} apart."]
    if alike:
        pairs = "; ".join(f"{a} from {', '.join(others)}" for a, others in alike.items())
        apart.append(f"At no {axis} can the data tell {pairs}.")
    return apart


def _overtaking(axis: str, a: str, b: str, found: Sequence[tuple[str, SeedsComparison]]) -> str:
    told = [(value, one) for value, one in found if one.p_adjusted < SIGNIFICANT]
    places = "; ".join(f"{a if one.difference > 0 else b} is ahead at {value} ({_size(one)})" for value, one in told)
    return f"{a} and {b} change places along {axis}: {places}."


def _ahead(axis: str, winner: str, loser: str, better: Sequence[tuple[str, SeedsComparison]], count: int) -> str:
    places = ", ".join(f"{value} ({_size(one)})" for value, one in better)
    rest = "" if len(better) == count else f"; at the other {axis} values the data cannot tell"
    if count - len(better) == 1:
        rest = f"; at the one other {axis} value the data cannot tell"
    return f"{winner} solves more than {loser} at {places}{rest}."


def _size(one: SeedsComparison) -> str:
    """Give the difference as the winner's, and of several seeds the least and the most, which may point elsewhere."""
    told = f"{points(abs(one.difference))} points, Holm-adjusted p {p_words(one.p_adjusted)}"
    if one.seeds == 1:
        return told
    sign = 1 if one.difference > 0 else -1
    each = [sign * seed.difference for seed in one.by_seed]
    return f"{told}, its seeds {points(min(each))} to {points(max(each))}"


def _between(cell: Cell, a: str, b: str) -> SeedsComparison:
    """Find the comparison of two solves, with a's accuracies minus b's also where the cell has b first."""
    found = next(one for one in cell.comparisons if {one.a, one.b} == {a, b})
    if found.a == a:
        return found
    by_seed = tuple(seed.model_copy(update={"difference": -seed.difference}) for seed in found.by_seed)
    return found.model_copy(update={"difference": -found.difference, "by_seed": by_seed})


def _others(cell: Cell, axis: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in cell.values.items() if name != axis)


def _where(others: Sequence[tuple[str, str]]) -> str:
    return f"{', '.join(f'{name} {value}' for name, value in others)}: " if others else ""
