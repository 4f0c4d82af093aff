"""What a story frame is: its amounts, the relations between them, and the events that befall the result.

All numbers of a story are at least 2, so nouns are always plural. Templates contain no digits of their own.
"""

import re
from dataclasses import dataclass
from typing import Literal, TypedDict, Unpack, get_args

EventKind = Literal[
    "minus", "plus", "times", "over", "goal", "portion", "rest", "raise", "minus_product", "plus_product"
]
KINDS: dict[str, EventKind] = {kind: kind for kind in get_args(EventKind)}
TWO_STEPS: frozenset[EventKind] = frozenset(("rest", "raise", "minus_product", "plus_product"))
Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Event:
    """A sentence that turns the running result v into the next one.

    Of {k} drawn from `numbers`: minus v-k, plus v+k, times v*k, over v/k, goal k-v (k is drawn above v by `numbers`).
    Of a {share} such as `a third` or `20%`: portion is that share of v; rest v less it; raise v and it. Of {a} times
    {b}: minus_product and plus_product. The last five but portion take a step of their own, `before`, first.
    """

    kind: EventKind
    story: str
    ask: str
    tell: str
    """Holds {eq}, or {usd} where the result is money."""
    numbers: Range = (2, 9)
    before: tuple[str, str] = ("", "")
    """Subquestion and solution of the first of two steps."""
    percent: bool = False
    """The share is a percentage, never a fraction in words."""

    @property
    def cost(self) -> int:
        """Steps that it takes."""
        return 2 if self.kind in TWO_STEPS else 1


Path = tuple[Event, ...]


def _paths(text: str) -> tuple[Path, ...]:
    """Read paths of events, a blank line between paths.

    An event is a line `kind low-high: story` (`kind: story` for a share, `kind %: story` for a percentage), then, a
    line each, its steps as `subquestion | solution`.
    """
    return tuple(_path(block) for block in text.strip().split("\n\n"))


def _path(block: str) -> Path:
    heads: list[tuple[str, list[tuple[str, str]]]] = []
    for line in block.splitlines():
        ask, bar, tell = line.strip().partition(" | ")
        if bar:
            heads[-1][1].append((ask, tell))
        else:
            heads.append((line.strip(), []))
    return tuple(_event(head, steps) for head, steps in heads)


def _event(head: str, steps: list[tuple[str, str]]) -> Event:
    read = re.fullmatch(r"(\w+) ?([\d-]+|%)?: (.+)", head)
    assert read, head
    kind, numbers, story = KINDS[read[1]], read[2], read[3]
    assert len(steps) == (2 if kind in TWO_STEPS else 1), head
    span = (2, 9)
    if numbers and numbers != "%":
        low, high = numbers.split("-")
        span = (int(low), int(high))
    before = steps[0] if len(steps) > 1 else ("", "")
    return Event(kind, story, *steps[-1], span, before, numbers == "%")


Aside = str
"""`low-high: sentence`: a sentence that nobody needs and the range of its number {k}."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One kind of story: amounts told part by part, their total, and paths of events after it."""

    name: str
    opening: str
    parts: tuple[str, ...]
    """What tells the amounts apart: days, kinds of things, labels; empty where it is people's names."""
    clauses: tuple[str, ...]
    """How amount 0, 1, .. is told, the last one for all further ones; {obj} is the amount or its relation."""
    ask: str
    tell: str
    total: tuple[str, str]
    """Subquestion and solution for the sum over parts."""
    paths: tuple[Path, ...]
    asides: tuple[Aside, ...]
    more: tuple[str, str] = ("", "")
    """Subquestion and solution for how much {hi} exceeds {lo}; empty where nobody would ask."""
    noun: str = ""
    """What is counted; empty where it is the story's item or, if it has none, the part itself."""
    items: tuple[str, ...] = ()
    product: str = ""
    """An amount told as {a} times {b}, such as `{a} boxes of {b} {noun} each`."""
    a: Range = (2, 9)
    b: Range = (3, 15)
    amount: Range = (4, 60)
    most: int = 160
    """No amount of a part exceeds it."""
    ordered: bool = True
    """Parts keep their order, as days do."""
    money: bool = False
    price: Range | None = None
    """Where given, each part's amount is multiplied by a {p} of its own, and the products are added up."""
    worth: tuple[str, str] = ("", "")
    """Subquestion and solution for that product."""


class Details(TypedDict, total=False):
    """The fields of a frame that its constructor leaves to the frame."""

    items: tuple[str, ...]
    noun: str
    product: str
    a: Range
    b: Range
    amount: Range
    most: int


def timed(
    name: str,
    opening: str,
    *,
    verb: tuple[str, str],
    parts: tuple[str, ...],
    paths: str,
    asides: tuple[Aside, ...],
    money: bool = False,
    ordered: bool = True,
    **details: Unpack[Details],
) -> Frame:
    """Build a frame in which {who} does one thing (`verb`: past, plain form) at several times or places."""
    past, plain = verb
    many, noun, value = ("How much", "money", "{usd}") if money else ("How many", "{noun}", "{eq} {noun}")
    surplus = "{usd} more" if money else "{eq} more {noun}"
    return Frame(
        name,
        opening,
        clauses=(f"{{Part}}, {{she}} {past} {{obj}}.",),
        ask=f"{many} {noun} did {{who}} {plain} {{part}}?",
        tell=f"{{who}} {past} {value} {{part}}.",
        total=(f"{many} {noun} did {{who}} {plain} in all?", f"{{who}} {past} {value} in all."),
        more=(
            f"{many} more {noun} did {{who}} {plain} {{hi}} than {{lo}}?",
            f"{{who}} {past} {surplus} {{hi}} than {{lo}}.",
        ),
        money=money,
        ordered=ordered,
        parts=parts,
        paths=_paths(paths),
        asides=asides,
        **details,
    )


def kinds(
    name: str,
    opening: str,
    *,
    verb: tuple[str, str],
    group: str,
    parts: tuple[str, ...],
    paths: str,
    asides: tuple[Aside, ...],
    **details: Unpack[Details],
) -> Frame:
    """Build a frame in which {who} does one thing with several kinds of a `group`."""
    past, plain = verb
    return Frame(
        name,
        opening,
        clauses=(
            f"{{She}} {past} {{obj}}.",
            f"{{She}} also {past} {{obj}}.",
            f"Then {{she}} {past} {{obj}}.",
            f"After that, {{she}} {past} {{obj}}.",
            f"{{She}} also {past} {{obj}}.",
        ),
        ask=f"How many {{part}} did {{who}} {plain}?",
        tell=f"{{who}} {past} {{eq}} {{part}}.",
        total=(f"How many {group} did {{who}} {plain} in all?", f"{{who}} {past} {{eq}} {group} in all."),
        more=(
            f"How many more {{hi}} than {{lo}} did {{who}} {plain}?",
            f"{{who}} {past} {{eq}} more {{hi}} than {{lo}}.",
        ),
        ordered=False,
        parts=parts,
        paths=_paths(paths),
        asides=asides,
        **details,
    )


def actors(
    name: str,
    opening: str,
    *,
    verb: tuple[str, str, str, str],
    parts: tuple[str, ...],
    paths: str,
    asides: tuple[Aside, ...],
    money: bool = False,
    **details: Unpack[Details],
) -> Frame:
    """Build a frame in which several people or things each do the same.

    `verb` has the form told of one, the form told of several, its auxiliary for one, and its plain form; the
    auxiliary for several is `do` beside `does`, else the same.
    """
    form, plural, auxiliary, plain = verb
    several = {"does": "do"}.get(auxiliary, auxiliary)
    noun, value = ("money", "{usd}") if money else ("{noun}", "{eq} {noun}")
    many, surplus = ("How much", "{usd} more") if money else ("How many", "{eq} more {noun}")
    return Frame(
        name,
        opening,
        clauses=(f"{{Part}} {form} {{obj}}.",),
        ask=f"{many} {noun} {auxiliary} {{part}} {plain}?",
        tell=f"{{Part}} {form} {value}.",
        total=(f"{many} {noun} {several} {{all}} {plain} in all?", f"{{All}} {plural} {value} in all."),
        more=(f"{many} more {noun} {auxiliary} {{hi}} {plain} than {{lo}}?", f"{{Hi}} {form} {surplus} than {{lo}}."),
        money=money,
        parts=parts,
        paths=_paths(paths),
        asides=asides,
        **details,
    )


def products(
    name: str,
    opening: str,
    *,
    parts: tuple[str, ...],
    clause: str,
    count: tuple[str, str],
    worth: tuple[str, str],
    total: tuple[str, str],
    price: Range,
    amount: Range,
    most: int,
    paths: str,
    asides: tuple[Aside, ...],
    noun: str = "",
    ordered: bool = False,
) -> Frame:
    """Build a frame whose total is a sum of products, each part's amount times a number {p} of its own."""
    return Frame(
        name,
        opening,
        parts=parts,
        clauses=(clause,),
        ask=count[0],
        tell=count[1],
        total=total,
        paths=_paths(paths),
        asides=asides,
        noun=noun,
        amount=amount,
        most=most,
        ordered=ordered,
        price=price,
        worth=worth,
    )


GIRLS = (
    *("Ava", "Bella", "Chloe", "Dina", "Elena", "Fatima", "Grace", "Hana", "Ines", "Julia", "Kira", "Lena", "Maya"),
    *("Nora", "Olivia", "Priya", "Rosa", "Sofia", "Tara", "Uma", "Vera", "Wendy", "Yuki", "Zoe"),
)
BOYS = (
    *("Adam", "Ben", "Carlos", "David", "Eli", "Felix", "George", "Hugo", "Ivan", "Jack", "Kofi", "Leo", "Marco"),
    *("Noah", "Omar", "Pedro", "Quinn", "Ravi", "Sam", "Tom", "Umar", "Victor", "Walter", "Yusuf"),
)
DAYS = ("on Monday", "on Tuesday", "on Wednesday", "on Thursday", "on Friday")
MONTHS = ("in January", "in February", "in March", "in April", "in May")
