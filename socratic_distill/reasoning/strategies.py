"""The ways to solve, each a dialogue and the texts that teach it. A user's own joins them by `register_strategy`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from socratic_distill.errors import UserError
from socratic_distill.reasoning.arithmetic import step_answer
from socratic_distill.reasoning.dialogue import Ask, Dialogue
from socratic_distill.reasoning.prompts import (
    DONE,
    format_answer,
    format_dialogue,
    format_plan,
    format_rationale,
    format_step,
    parse_dialogue,
    parse_plan,
    parse_step,
    problem_piece,
)
from socratic_distill.records import Annotation, Completion, Problem, Prompt, Solution, Step

MAX_STEPS = 16
"""Steps after which a dialogue is given up as `too_many_steps`; the longest gold reasoning at hand has eleven."""

Facts = Literal["none", "gold"]

DECOMPOSERS = ("decomposer", "planner")
"""The students who decompose; one that writes guidance first has its kind behind its name: `decomposer_steps`."""


def answer_only(problem: Problem) -> Dialogue:
    """Write the answer at once."""
    reply: Completion = yield Ask("answer_only", Prompt(pieces=(problem_piece(problem),)))
    return Solution(text=reply.text, unfinished=_unfinished("answer_only", reply))


def cot(problem: Problem) -> Dialogue:
    """Write a chain of thought, then the answer."""
    reply: Completion = yield Ask("cot", Prompt(pieces=(problem_piece(problem),)))
    return Solution(text=reply.text, unfinished=_unfinished("cot", reply))


def socratic_unified(problem: Problem) -> Dialogue:
    """Let one student write every subquestion with its solution, then the answer."""
    reply: Completion = yield Ask("unified", Prompt(pieces=(problem_piece(problem),)))
    steps = tuple(
        Step(subquestion=subquestion, solution=solution, answer=step_answer(solution))
        for subquestion, solution in parse_dialogue(reply.text)
    )
    return Solution(text=reply.text, steps=steps, unfinished=_unfinished("unified", reply))


def socratic_iterative(problem: Problem) -> Dialogue:
    """Let the decomposer ask the next subquestion knowing the answers so far, and the solver answer it."""
    pieces: tuple[str, ...] = (problem_piece(problem),)
    steps: list[Step] = []
    text = ""
    while True:
        asked: Completion = yield Ask("decomposer", Prompt(pieces=pieces))
        subquestion = asked.text.strip()
        if reason := _unfinished("decomposer", asked):
            return Solution(text="", steps=tuple(steps), unfinished=reason)
        if subquestion == DONE:
            return Solution(text=text, steps=tuple(steps), unfinished="" if steps else "no_steps")
        if len(steps) == MAX_STEPS:
            return Solution(text="", steps=tuple(steps), unfinished="too_many_steps")
        solved: Completion = yield Ask("solver", Prompt(pieces=(*pieces, subquestion)))
        text = solved.text.strip()
        steps.append(parse_step(subquestion, text))
        if reason := _unfinished("solver", solved):
            return Solution(text="", steps=tuple(steps), unfinished=reason)
        pieces = (*pieces, subquestion, text)


def socratic_planned(problem: Problem) -> Dialogue:
    """Let the planner ask all subquestions at once, then the solver answer them one by one."""
    pieces: tuple[str, ...] = (problem_piece(problem),)
    planned: Completion = yield Ask("planner", Prompt(pieces=pieces))
    if reason := _unfinished("planner", planned):
        return Solution(text="", unfinished=reason)
    subquestions = parse_plan(planned.text)
    if len(subquestions) > MAX_STEPS:
        return Solution(text="", unfinished="too_many_steps")
    steps: list[Step] = []
    text = ""
    for subquestion in subquestions:
        solved: Completion = yield Ask("solver", Prompt(pieces=(*pieces, subquestion)))
        text = solved.text.strip()
        steps.append(parse_step(subquestion, text))
        if reason := _unfinished("solver", solved):
            return Solution(text="", steps=tuple(steps), unfinished=reason)
        pieces = (*pieces, subquestion, text)
    return Solution(text=text, steps=tuple(steps), unfinished="" if steps else "no_steps")


def _unfinished(student: str, reply: Completion) -> str:
    if reply.finish_reason != "end":
        return f"{student}_{reply.finish_reason}"
    return "" if reply.text.strip() else f"{student}_empty"


@dataclass(frozen=True)
class Strategy:
    """A named way to solve."""

    name: str
    students: tuple[str, ...]
    """Whom it asks."""
    dialogue: Callable[[Problem], Dialogue]
    """Runs one problem; the problem it is given shows no gold answer and no gold reasoning."""
    texts: Callable[[Annotation], Mapping[str, Sequence[str]] | None]
    """What each student should write for an annotation, in turn; None where the annotation can't teach it."""


def _stepwise(annotation: Annotation, texts: Mapping[str, Sequence[str]]) -> Mapping[str, Sequence[str]] | None:
    return texts if 0 < len(annotation.steps) <= MAX_STEPS else None


def _unified_texts(annotation: Annotation) -> Mapping[str, Sequence[str]] | None:
    return {"unified": [format_dialogue(annotation.steps, annotation.answer)]} if annotation.steps else None


def _cot_texts(annotation: Annotation) -> Mapping[str, Sequence[str]] | None:
    lines = annotation.rationale or "\n".join(step.solution for step in annotation.steps if step.solution)
    return {"cot": [format_rationale(lines, annotation.answer)]} if lines else None


def _solver_texts(annotation: Annotation) -> Sequence[str]:
    return [format_step(step) for step in annotation.steps]


STRATEGIES: dict[str, Strategy] = {
    strategy.name: strategy
    for strategy in (
        Strategy(
            "answer_only",
            ("answer_only",),
            answer_only,
            lambda annotation: {"answer_only": [format_answer(annotation.answer)]},
        ),
        Strategy("cot", ("cot",), cot, _cot_texts),
        Strategy("socratic_unified", ("unified",), socratic_unified, _unified_texts),
        Strategy(
            "socratic_iterative",
            ("decomposer", "solver"),
            socratic_iterative,
            lambda annotation: _stepwise(
                annotation,
                {
                    "decomposer": [*(step.subquestion for step in annotation.steps), DONE],
                    "solver": _solver_texts(annotation),
                },
            ),
        ),
        Strategy(
            "socratic_planned",
            ("planner", "solver"),
            socratic_planned,
            lambda annotation: _stepwise(
                annotation, {"planner": [format_plan(annotation.steps)], "solver": _solver_texts(annotation)}
            ),
        ),
    )
}


def register_strategy(strategy: Strategy) -> None:
    """Add a way to solve, so that recipes can name it. Raises UserError where a name can't be had."""
    if strategy.name in STRATEGIES:
        raise UserError(f"a strategy named {strategy.name!r} exists already; choose another name")
    if odd := [name for name in strategy.students if not name.isidentifier()]:
        raise UserError(f"{odd[0]!r} can't name a student, for it names a folder; use letters, digits and underscores")
    STRATEGIES[strategy.name] = strategy


def named_strategy(name: str) -> Strategy:
    """Look up a strategy. Raises UserError that lists those there are."""
    if name not in STRATEGIES:
        raise UserError(f"unknown strategy {name!r}; choose one of {', '.join(STRATEGIES)}")
    return STRATEGIES[name]


def decomposes(student: str) -> bool:
    """Tell whether a student asks subquestions for another to answer."""
    return student.partition("_")[0] in DECOMPOSERS


def shown(problem: Problem, facts: Facts) -> Problem:
    """Take from a problem what a student may not see: the gold answer and reasoning, and the facts unless asked."""
    hidden = {"answer": "", "rationale": "", "steps": (), "step_count": None, "remarks": ()}
    return problem.model_copy(update=hidden if facts == "gold" else {**hidden, "facts": ()})
