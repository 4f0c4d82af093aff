"""The numbers of a story: which steps it has and which values they take, before a word is written.

A draw that does not work out (a third of 20) costs little, and is answered by another one.
"""

import random
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple, TypeVar

from socratic_distill.problems.grade_school_frames import BOYS, GIRLS, Event, Frame, Path

T = TypeVar("T")
LARGEST = 4000
"""No value of a story exceeds it."""
WORDS = {2: "half", 3: "a third", 4: "a quarter"}
PERCENTS = (5, 10, 20, 25, 30, 40, 60, 75)


class Amount(NamedTuple):
    """The amount of one part: how it is told, by which number and of which earlier parts, and its value."""

    sort: str
    number: int
    value: int
    other: int = 0
    """The second factor of a product."""
    of: tuple[int, ...] = ()
    share: int = 0
    """Of a percentage: the value of that percentage, a step of its own."""


class Change(NamedTuple):
    """An event with its numbers and its result."""

    event: Event
    number: int
    value: int
    other: int = 0
    share: int = 0
    """The result of the first of two steps."""


class Tale(NamedTuple):
    """All that was drawn for one problem, before it is put into words."""

    frame: Frame
    names: tuple[str, ...]
    female: bool
    item: str
    parts: tuple[str, ...]
    amounts: list[Amount]
    prices: list[int]
    closing: str
    value: int
    """What the closing comes to, before any change."""
    changes: list[Change]
    aside: tuple[str, int, float] | None
    """The sentence, its number, and where it goes as a fraction of the places there are."""
    numbers: list[int]


class Shape(NamedTuple):
    """How a number of steps is made: each part's cost in steps, what joins the parts, and the events after that."""

    costs: tuple[int, ...]
    closing: str
    """`total`, `difference`, or `last` where the question is about the last part itself."""
    path: Path


def pick(rng: random.Random, pool: Sequence[T]) -> T:
    """Draw one; cheaper than `rng.choice`, and the same in every version of Python."""
    return pool[int(rng.random() * len(pool))]


def _between(rng: random.Random, span: tuple[int, int]) -> int:
    return span[0] + int(rng.random() * (span[1] - span[0] + 1))


@cache
def able(frames: tuple[Frame, ...], steps: int) -> tuple[Frame, ...]:
    """Return the frames that can tell a story of so many steps."""
    return tuple(frame for frame in frames if _shapes(frame, steps))


@cache
def _shapes(frame: Frame, steps: int) -> tuple[tuple[Shape, ...], ...]:
    """Return the shapes of so many steps, grouped by their events; from 4 steps on none is a mere chain."""
    most_parts = min(len(frame.parts) or 4, 5 if frame.price is None else 4)
    groups = []
    for path in {whole[:length] for whole in frame.paths for length in range(len(whole) + 1)}:
        before = steps - sum(event.cost for event in path)
        if before >= 0 and (steps < 4 or before >= 3):
            sums = (
                _sums_of_products(before, path, most_parts) if frame.price else _sums(frame, before, path, most_parts)
            )
            if shapes := tuple(sums):
                groups.append(shapes)
    return tuple(sorted(groups, key=lambda group: [event.story for event in group[0].path]))


def pick_shape(rng: random.Random, frame: Frame, steps: int) -> Shape:
    """Draw one of the frame's ways to take so many steps; any events are as likely as any others."""
    return pick(rng, pick(rng, _shapes(frame, steps)))


def _sums_of_products(steps: int, path: Path, most_parts: int) -> Iterator[Shape]:
    if steps == 1:
        yield Shape((0,), "last", path)
    for parts in range(2, most_parts + 1):
        derived = steps - 1 - parts
        if 0 <= derived < parts:
            yield Shape((0,) * (parts - derived) + (1,) * derived, "total", path)


def _sums(frame: Frame, steps: int, path: Path, most_parts: int) -> Iterator[Shape]:
    if steps == 0 and path:
        yield Shape((0,), "last", path)
    if steps == 1 and frame.product:
        yield Shape((1,), "last", path)
    if not path and steps in (1, 2, 3):
        yield Shape((0, *(1,) * steps), "last", path)
    if not path and steps == 2:
        yield Shape((0, 2), "last", path)
        if frame.more[0]:
            yield Shape((0, 1), "difference", path)
    for parts in range(2, most_parts + 1):
        derived = steps - 1
        if derived == parts - 2:
            yield Shape((0, 0, *(1,) * derived), "total", path)
        if derived == parts - 1:
            yield Shape((0, *(1,) * derived), "total", path)
        if derived == parts and frame.product:
            yield Shape((1,) * parts, "total", path)
        if derived == parts and parts > 2:
            yield Shape((0, *(1,) * (parts - 2), 2), "total", path)
        if derived == parts + 1 and frame.product and parts > 2:
            yield Shape((1, *(1,) * (parts - 2), 2), "total", path)


def draw_tale(rng: random.Random, frame: Frame, *, shape: Shape, distracted: bool) -> Tale | None:
    """Draw a story's numbers; None where they do not work out, and another draw has to."""
    amounts: list[Amount] = []
    numbers: list[int] = []
    for cost in shape.costs:
        amount = _draw_amount(rng, frame, amounts, cost=cost, closing=shape.closing)
        if amount is None:
            return None
        amounts.append(amount)
        numbers += [number for number in (amount.number, amount.other) if number and amount.sort not in UNNUMBERED]
    prices: list[int] = []
    values = [amount.value for amount in amounts]
    if frame.price:
        prices = rng.sample(range(frame.price[0], frame.price[1] + 1), len(amounts))
        numbers += prices
        values = [value * price for value, price in zip(values, prices, strict=True)]
    if shape.closing == "difference":
        value = abs(values[0] - values[1])
    else:
        value = sum(values) if shape.closing == "total" else values[-1]
    closed = value
    changes = []
    for event in shape.path:
        change = _draw_change(rng, event, value)
        if change is None or change.value > LARGEST:
            return None
        changes.append(change)
        numbers += _told(change)
        value = change.value
    if not 2 <= value <= LARGEST:
        return None
    aside = None
    if distracted:
        span, _, sentence = pick(rng, frame.asides).partition(": ")
        low, _, high = span.partition("-")
        number = _between(rng, (int(low), int(high)))
        aside = (sentence, number, rng.random())
        numbers.append(number)
    female = rng.random() < 0.5
    if frame.parts:
        names: tuple[str, ...] = (pick(rng, GIRLS if female else BOYS),)
        parts = _some(rng, frame, len(amounts))
    else:
        names = parts = tuple(rng.sample(GIRLS + BOYS, len(amounts)))
    item = pick(rng, frame.items) if frame.items else ""
    return Tale(frame, names, female, item, parts, amounts, prices, shape.closing, closed, changes, aside, numbers)


def _some(rng: random.Random, frame: Frame, count: int) -> tuple[str, ...]:
    if not frame.ordered:
        return tuple(rng.sample(frame.parts, count))
    start = int(rng.random() * (len(frame.parts) - count + 1)) if frame.parts[0].startswith("on Mon") else 0
    return frame.parts[start : start + count]


UNNUMBERED = ("twice", "half", "a third", "a quarter", "both")
RELATIONS = ("more", "more", "more", "fewer", "fewer", "twice", "twice", "times", "share", "share", "both", "product")


def _draw_amount(rng: random.Random, frame: Frame, earlier: list[Amount], *, cost: int, closing: str) -> Amount | None:
    low, high = frame.amount
    if cost == 0:
        unit = pick(rng, (1, 1, 2, 3, 4, 5, 6, 10, 12))
        value = unit * _between(rng, (1, max(1, high // unit)))
        return Amount("fact", value, value) if low <= value <= high else None
    # Where the question is about the last part, each part leads to the next; else any earlier one may be used again.
    of = len(earlier) - 1 if closing == "last" else int(rng.random() * len(earlier))
    if cost == 2:
        share = pick(rng, PERCENTS)
        part, remainder = divmod(earlier[of].value * share, 100)
        sort = pick(rng, ("% more", "% fewer"))
        value = earlier[of].value + (part if sort == "% more" else -part)
        fits = remainder == 0 and part >= 2 and low <= value <= frame.most
        return Amount(sort, share, value, of=(of,), share=part) if fits else None
    if not earlier:
        return _draw_product(rng, frame)
    value = earlier[of].value
    sort = pick(rng, RELATIONS)
    if sort == "product" and closing != "last" and frame.product:
        return _draw_product(rng, frame)
    number = result = 0
    parts: tuple[int, ...] = (of,)
    if sort == "more":
        number = _between(rng, (2, max(3, high // 2)))
        result = value + number
    elif sort == "fewer":
        number = _between(rng, (2, max(3, high // 3)))
        result = value - number
    elif sort == "twice":
        number, result = 2, value * 2
    elif sort == "times":
        number = _between(rng, (3, 5))
        result = value * number
    elif sort == "share":
        number = pick(rng, (2, 2, 2, 3, 4))
        sort = WORDS[number]
        result = value // number if value % number == 0 else 0
    elif sort == "both" and len(earlier) > 1 and closing != "last":
        parts = (len(earlier) - 2, len(earlier) - 1)
        result = earlier[-2].value + earlier[-1].value
    if not max(2, min(low, 4)) <= result <= frame.most or (closing == "difference" and sort in ("more", "fewer")):
        return None
    return Amount(sort, number, result, of=parts)


def _draw_product(rng: random.Random, frame: Frame) -> Amount | None:
    a, b = _between(rng, frame.a), _between(rng, frame.b)
    return Amount("product", a, a * b, other=b) if a * b <= frame.most else None


def _draw_change(rng: random.Random, event: Event, value: int) -> Change | None:
    kind, (low, high) = event.kind, event.numbers
    number = other = share = result = 0
    if kind == "minus":
        number = _between(rng, (low, min(high, value - 2))) if value - 2 >= low else value
        result = value - number
    elif kind == "plus":
        number = _between(rng, event.numbers)
        result = value + number
    elif kind == "times":
        number = _between(rng, event.numbers)
        result = value * number
    elif kind == "over":
        divisors = [k for k in range(low, min(high, value // 2) + 1) if value % k == 0]
        if divisors:
            number = pick(rng, divisors)
            result = value // number
    elif kind == "goal":
        number = (value + _between(rng, event.numbers)) // 10 * 10
        result = number - value
    elif kind in ("minus_product", "plus_product"):
        number, other = _between(rng, (2, 5)), _between(rng, event.numbers)
        share = number * other
        result = value - share if kind == "minus_product" else value + share
    else:
        if event.percent:
            number = pick(rng, PERCENTS[:6])
        else:
            number = pick(rng, PERCENTS) if rng.random() < 0.4 else pick(rng, (2, 2, 3, 3, 4))
        part, remainder = divmod(value * number, 100) if number > 4 else divmod(value, number)
        if remainder == 0 and part >= 2:
            share = part
            result = {"portion": part, "rest": value - part, "raise": value + part}[kind]
    return Change(event, number, result, other, share) if result >= 2 else None


def _told(change: Change) -> list[int]:
    """Return the numbers that the story of a change shows as digits."""
    if change.event.kind in ("portion", "rest", "raise") and change.number in WORDS:
        return []
    return [change.number, change.other] if change.other else [change.number]
