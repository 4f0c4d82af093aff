"""What became of the annotations: asked, answered, readable, consistent, kept, and why the others were lost."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from pydantic import Field

from socratic_distill.records import Annotation, Record, Verdict

UNANSWERED = frozenset({"failed", "over_budget", "prompt_too_long"})
"""Finish reasons of requests that were not answered."""

MEANINGS = {
    "answer": "the final answer is not the gold one, or the majority's",
    "arithmetic": "an equation is wrong",
    "unused_answer": "a step's answer is not used later",
    "step_count": "too few steps, or too many",
    "repeated_subquestion": "a subquestion is asked twice",
    "gives_away": "a subquestion holds its own answer",
    "not_a_question": "a subquestion does not ask",
    "off_question": "the last subquestion asks for something else",
    "cut": "the text is cut",
    "near_duplicate": "much like another attempt that is kept",
    "not_chosen": "others of the problem's attempts are kept",
    "failed": "the request failed",
    "over_budget": "there was no money left to ask",
    "prompt_too_long": "the prompt is longer than the model takes",
}
"""The reasons in words; those for which a text is unreadable say themselves what they mean."""
NOT_CHOSEN = frozenset({"near_duplicate", "not_chosen"})


Source = Literal["human", "teacher", "import"]


class Funnel(Record):
    """How many annotations reached each stage, and what stopped the others.

    `asked` >= `answered` >= `readable` >= `consistent`, and `kept` plus all reasons is `asked`. `kept` is at most
    `consistent` where another answer rejects.
    """

    source: Source
    asked: int = 0
    """All annotations: requests to a teacher, rows of an import, or what humans wrote."""
    answered: int = 0
    """Those whose request was answered."""
    readable: int = 0
    """Those with reasoning that could be read, or a human's answer alone."""
    consistent: int = 0
    """Those whose answer is the gold one, or the majority's."""
    kept: int = 0
    reasons: dict[str, int] = Field(default_factory=dict)
    """Why the others are not kept, the most frequent first."""
    marks: dict[str, int] = Field(default_factory=dict)
    """Checks that kept annotations fail."""
    majority: float | None = None
    """Without gold answers: the mean share of a problem's readable attempts that agree with the most frequent."""
    spending: dict[str, float] = Field(default_factory=dict)
    """What the annotations cost, as far as known: `usd`, `unknown_usd`, `requests`, and tokens by kind."""


class Layer(NamedTuple):
    """One line of a funnel: a stage that annotations reached, or a reason that stopped some."""

    name: str
    annotations: int
    lost: bool
    meaning: str = ""
    """A reason in words."""


def funnel_of(annotations: Iterable[Annotation], verdicts: Iterable[Verdict], *, source: Source) -> Funnel:
    """Count annotations and their verdicts, which come in the same order."""
    annotations, verdicts = list(annotations), list(verdicts)
    kept = [one for one in verdicts if one.kept]
    shares = {one.problem: one.majority for one in verdicts if one.majority is not None}
    return Funnel(
        source=source,
        asked=len(annotations),
        answered=sum(one.unreadable not in UNANSWERED for one in annotations),
        readable=sum(not one.unreadable for one in annotations),
        consistent=sum(one.consistent is True for one in verdicts),
        kept=len(kept),
        reasons=_by_count(one.reason for one in verdicts if not one.kept),
        marks=_by_count(mark for one in kept for mark in one.marks),
        majority=sum(shares.values()) / len(shares) if shares else None,
    )


def layers(funnel: Funnel) -> list[Layer]:
    """Lay a funnel out from top to bottom: each reason stands above the first stage that it keeps from."""
    stages = {"answered": funnel.answered, "readable": funnel.readable, "consistent": funnel.consistent}
    lost: dict[str, list[Layer]] = {stage: [] for stage in (*stages, "kept")}
    for reason, count in funnel.reasons.items():
        stage, what = _stage_and_word(reason)
        lost[stage].append(Layer(f"{what}: {reason.replace('_', ' ')}", count, True, MEANINGS.get(reason, "")))
    if funnel.source == "human":  # nothing was asked, and nothing had to be read
        return [
            Layer("written", funnel.asked, False),
            *(layer for group in lost.values() for layer in group),
            Layer("kept", funnel.kept, False),
        ]
    return [
        Layer("asked", funnel.asked, False),
        *(
            layer
            for stage, count in {**stages, "kept": funnel.kept}.items()
            for layer in (*lost[stage], Layer(stage, count, False))
        ),
    ]


def funnel_line(funnel: Funnel) -> str:
    """Say a funnel in a line: `kept 640 of 800 annotations (...); not kept: answer 134, no_answer 26`."""
    line = f"kept {funnel.kept:,} of {funnel.asked:,} annotations"
    if funnel.source != "human":
        line += f" ({funnel.answered:,} answered, {funnel.readable:,} readable, {funnel.consistent:,} consistent)"
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in funnel.reasons.items())
    return f"{line}; not kept: {reasons}" if reasons else line


def spending_words(funnel: Funnel) -> str:
    """Say what the annotations cost, as far as known; zeros, such as the dollars of unknown prices, go unsaid."""
    spent = {name: amount for name, amount in funnel.spending.items() if amount}
    usd, unknown, requests = (spent.pop(name, 0) for name in ("usd", "unknown_usd", "requests"))
    parts = []
    if usd:
        parts.append(_dollars(usd) + (f", {_dollars(usd / funnel.kept)} for each that is kept" if funnel.kept else ""))
    if unknown:
        parts.append(f"at most {_dollars(unknown)} more for requests whose end is unknown")
    if requests:
        parts.append(f"{requests:,.0f} {'request' if requests == 1 else 'requests'}")
    parts += [f"{amount:,.0f} {name.replace('_', ' ')}" for name, amount in spent.items()]
    return "; ".join(parts)


def read_spending(manifest: Mapping[str, Any]) -> dict[str, float]:
    """Take from the annotations' manifest what they cost; empty where it does not say."""
    spending = manifest.get("spending")
    if not isinstance(spending, Mapping):
        return {}
    return {
        name: value
        for name, value in spending.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _stage_and_word(reason: str) -> tuple[str, str]:
    """Return the stage that a reason keeps from, and what to call that."""
    if reason in UNANSWERED:
        return "answered", "unanswered"
    if reason in NOT_CHOSEN:
        return "kept", "left out"
    if reason in MEANINGS:
        return ("consistent" if reason == "answer" else "kept"), "rejected"
    return "readable", "unreadable"


def _by_count(names: Iterable[str]) -> dict[str, int]:
    """Count names, the most frequent first and equals by name."""
    return dict(sorted(Counter(names).items(), key=lambda item: (-item[1], item[0])))


def _dollars(usd: float) -> str:
    """Write dollars with cents, and small sums with two digits that say something."""
    if usd >= 0.1:
        return f"${usd:,.2f}"
    return f"${usd:.2g}" if usd >= 0.0001 else "less than $0.0001"
