"""What a run found, as one record, and the sentence that says who won.

All shares are between 0 and 1; all intervals are 95 %; losses are nats per target token.
"""

from pydantic import Field

from socratic_distill.quality import StepQuality, SubquestionQuality
from socratic_distill.reasoning.attribution import Fault
from socratic_distill.reasoning.overlap import Overlap
from socratic_distill.records import Record
from socratic_distill.reporting.funnel import Funnel
from socratic_distill.statistics import Comparison, Interval

SIGNIFICANT = 0.05


class StepAccuracy(Record):
    """How a solve did on the problems whose gold reasoning takes this many steps."""

    steps: int
    correct: int
    problems: int
    interval: Interval


class SolveSummary(Record):
    """How one solve of the recipe did, and at what cost."""

    strategy: str
    students: tuple[str, ...]
    calculator: bool
    facts: str
    """Which facts the students were given; empty for none."""
    trained: bool
    """False for a student as it was found."""
    accuracy: float
    correct: int
    problems: int
    interval: Interval
    unreadable: int
    unreadable_reasons: dict[str, int]
    by_steps: tuple[StepAccuracy, ...]
    """Ascending; empty where no problem's step count is known."""
    tokens_per_problem: float
    """Tokens generated, prompts apart."""
    seconds_per_problem: float
    parameters: int
    """Weights of all its students: a pair has twice those of one."""
    parameter_note: str
    marks: int
    """Calculator marks that were checked."""
    marks_changed: int
    guidance: str = ""
    """What the decomposer or planner writes down before it asks; empty for nothing."""
    oracle: str = ""
    """What was taken from the gold reasoning; empty for nothing, and only then it competes with others."""
    prompted: str = ""
    """The model that played a part as it is, shown worked examples; empty for none."""
    options: str = ""
    """What else changes its answers and its tokens, in words, such as `8 samples`."""
    faults: dict[Fault, int] = Field(default_factory=dict)
    """Where its wrong solutions went wrong, counted."""
    quality: SubquestionQuality | None = None
    """Its own subquestions against gold ones; None where it asks none, or no gold ones are known."""
    by_place: tuple[StepQuality, ...] = ()
    """Each place of the gold reasoning by itself, for a solve that had all before it from there (`history`)."""


class StudentSummary(Record):
    """How one student was trained."""

    base: str
    parameters: int
    trained_problems: int
    target_tokens: int
    """Targets of one epoch."""
    epochs: float
    best_validation_loss: float | None
    seconds: float
    train_points: tuple[tuple[int, float], ...]
    """(step, training loss)."""
    validation_points: tuple[tuple[int, float], ...]
    """(step, validation loss), on the same steps."""


class Constant(Record):
    """The baseline that always gives the most frequent gold answer."""

    answer: str
    accuracy: float
    correct: int
    problems: int
    interval: Interval


class ProblemCounts(Record):
    """How many problems each split has."""

    train: int
    validation: int
    test: int


class Summary(Record):
    """All that the report says, in numbers."""

    name: str
    dataset: str
    created: str
    """ISO date."""
    version: str
    """Of this package."""
    solves: dict[str, SolveSummary]
    constant: Constant
    comparisons: tuple[Comparison, ...]
    students: dict[str, StudentSummary]
    problems: ProblemCounts
    funnel: Funnel
    remarks: dict[str, int]
    """What the loaders noticed, counted."""
    notes: tuple[str, ...]
    """Sentences that the report says as they are."""
    overlap: Overlap | None = None
    """How much of the test questions stands in what was learned from; None where nothing was."""


def verdict(summary: Summary) -> str:
    """Say which trained solve won and how sure that is, from the numbers alone.

    Neither oracles compete nor a pair of which a model as it is plays one.
    """
    trained = {
        name: solve
        for name, solve in by_accuracy(summary).items()
        if solve.trained and solve.problems and not solve.oracle and not solve.prompted
    }
    if not trained:
        return "No trained solve has been scored, so there is nothing to compare."
    best, *others = trained
    sentence = _best_two(summary, best, others[0]) if others else _alone(best, trained[best])
    return " ".join([sentence, *_against_constant(summary, trained), *_against_untrained(summary, best)])


def by_accuracy(summary: Summary) -> dict[str, SolveSummary]:
    """Order the solves from the most accurate to the least; equals keep the recipe's order."""
    return dict(sorted(summary.solves.items(), key=lambda item: -item[1].accuracy))


def set_apart(solve: SolveSummary) -> str:
    """Say in words what sets a solve apart from its plain strategy; empty for nothing."""
    ahead = {"steps": "the number of steps", "equations": "the equations"}.get(solve.guidance, solve.guidance)
    gold = {"guidance": f"gold {ahead.removeprefix('the ')}", "subquestions": "gold subquestions"}
    words = [
        f"prompted {solve.prompted}" if solve.prompted else "",
        {**gold, "history": "all that goes before is gold"}.get(solve.oracle, solve.oracle),
        f"guided by {ahead}" if solve.guidance and solve.oracle != "guidance" else "",
        f"{solve.facts} facts" if solve.facts else "",
        solve.options,
    ]
    return ", ".join(filter(None, words))


def percent(share: float) -> str:
    """Write a share as a percentage with one decimal."""
    return f"{100 * share:.1f} %"


def points(share: float) -> str:
    """Write a difference of shares in percentage points, without an empty decimal."""
    return f"{round(100 * share, 1) + 0.0:.1f}".removesuffix(".0")


def p_words(p: float) -> str:
    """Write a p-value with its relation: `< 0.001` or `= 0.042`."""
    if p < 0.001:
        return "< 0.001"
    return f"= {p:.4f}" if p < 0.1 else f"= {p:.2f}"


def counted(number: int, noun: str) -> str:
    """Write a number with its noun, in the plural where it needs one."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _best_two(summary: Summary, best: str, second: str) -> str:
    first, runner_up = summary.solves[best], summary.solves[second]
    scores = f"{best} solved {first.correct:,} of {first.problems:,}, {second} {runner_up.correct:,}"
    if runner_up.problems != first.problems:
        scores += f" of {runner_up.problems:,}"
    comparison = _comparison(summary, best, second)
    if comparison is None:
        return f"{scores}; the two were not compared on the same problems."
    low, high = comparison.interval
    difference = points(comparison.difference)
    more = "as many" if difference == "0" else f"{difference} {'point' if difference == '1' else 'points'} more"
    sure = f"95 % interval {points(low)} to {points(high)}, Holm-adjusted p {p_words(comparison.p_adjusted)}"
    told_apart = comparison.p_adjusted < SIGNIFICANT
    return f"{'' if told_apart else 'The data cannot tell the best two apart: '}{scores}: {more} ({sure})."


def _alone(name: str, solve: SolveSummary) -> str:
    low, high = solve.interval
    return (
        f"{name} solved {solve.correct:,} of {solve.problems:,} "
        f"(95 % interval {percent(low)} to {percent(high)}); no other trained solve stands beside it."
    )


def _against_constant(summary: Summary, trained: dict[str, SolveSummary]) -> list[str]:
    constant = summary.constant
    if not constant.problems:
        return []
    always = f"always answering '{constant.answer}' ({constant.correct:,} of {constant.problems:,})"
    beaten = [name for name, solve in trained.items() if solve.accuracy <= constant.accuracy]
    if len(beaten) == len(trained):
        return [f"None beats {always}." if len(trained) > 1 else f"It does not beat {always}."]
    best = next(iter(trained))
    sentences = []
    if trained[best].interval[0] <= constant.accuracy:
        sentences.append(f"The interval of {best} reaches down to {always}.")
    if beaten:
        verb = "does" if len(beaten) == 1 else "do"
        sentences.append(f"{_listed(beaten)} {verb} not beat {always}.")
    return sentences


def _against_untrained(summary: Summary, best: str) -> list[str]:
    bar = summary.solves[best].accuracy
    better = {
        name: solve
        for name, solve in by_accuracy(summary).items()
        if not (solve.trained and not solve.prompted) and not solve.oracle and solve.accuracy > bar
    }
    return [
        f"{f'With {s.prompted} as one of the pair' if s.trained else 'Without training'}, {name} solved more:"
        f" {s.correct:,} of {s.problems:,}."
        for name, s in better.items()
    ]


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _comparison(summary: Summary, a: str, b: str) -> Comparison | None:
    """Find the comparison of two solves, turned round where b comes first in it."""
    for found in summary.comparisons:
        if (found.a, found.b) == (a, b):
            return found
        if (found.a, found.b) == (b, a):
            low, high = found.interval
            turned = {"difference": -found.difference, "interval": (-high, -low)}
            return found.model_copy(update=turned | {"a": a, "b": b, "only_a": found.only_b, "only_b": found.only_a})
    return None
