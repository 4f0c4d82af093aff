"""Where a wrong solution went wrong, told by what would have made it right: the first that does names the fault."""

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Literal, NamedTuple

from socratic_distill.reasoning.answers import same_answer
from socratic_distill.reasoning.arithmetic import (
    EXACT_PLACES,
    MAX_EXPRESSION,
    Mark,
    equations,
    evaluate,
    exact_decimal,
    marks,
    states,
)
from socratic_distill.reasoning.gold import NO_GOLD_STEPS
from socratic_distill.reasoning.prompts import parse_step
from socratic_distill.reasoning.solving import prompted_students, strategy_of
from socratic_distill.reasoning.strategies import decomposes
from socratic_distill.reasoning.voting import stated_answer
from socratic_distill.recipe import Recipe, Solve
from socratic_distill.records import Problem, Score, Solution, SolutionRow

Fault = Literal["reading", "arithmetic", "decomposer", "solver", "student", "unknown"]
"""Why a solution is wrong. `student` is the rest where one student wrote all; `unknown` where nothing can tell."""

# --- whose fault


def faults_of(
    recipe: Recipe,
    problems: Sequence[Problem],
    solutions: Mapping[str, Sequence[SolutionRow]],
    scores: Mapping[str, Sequence[Score]],
) -> dict[str, dict[str, Fault]]:
    """Attribute every wrong solution: by the solve's name the fault of each problem that it has wrong.

    In this order: no answer can be read; it is right once its arithmetic is recomputed; one student wrote all of it;
    it is right with gold subquestions, as the solve's companion shows, so the decomposer is at fault, else the solver.
    """
    by_id = {problem.id: problem for problem in problems}
    right = {name: {score.problem for score in own if score.correct} for name, own in scores.items()}
    faults: dict[str, dict[str, Fault]] = {}
    for name, own in scores.items():
        with_gold = _with_gold(companion_of(recipe, name), solutions, right)
        solved = {row.problem: row.solution for row in solutions[name]}
        faults[name] = {
            score.problem: _fault(
                by_id[score.problem],
                solved[score.problem],
                score,
                recipe.solve[name],
                with_gold=with_gold,
            )
            for score in own
            if not score.correct
        }
    return faults


def _with_gold(
    companion: str | None, solutions: Mapping[str, Sequence[SolutionRow]], right: Mapping[str, set[str]]
) -> dict[str, bool]:
    """Tell of each problem whose gold subquestions the companion asked whether it is right so."""
    if companion is None:
        return {}
    asked = (row.problem for row in solutions[companion] if row.solution.unfinished != NO_GOLD_STEPS)
    return {problem: problem in right[companion] for problem in asked}


def companion_of(recipe: Recipe, name: str) -> str | None:
    """Return the solve in which a solve's solver is given the gold subquestions; None where the recipe has none.

    The two have the same solver, trained or prompted alike, the same calculator and facts. Of several the first, and
    rather one that samples as often.
    """
    solve = recipe.solve[name]
    if not _solvers(solve):
        return None
    found = [
        other
        for other, one in recipe.solve.items()
        if one.oracle == "subquestions" and _condition(recipe, one) == _condition(recipe, solve)
    ]
    return min(found, key=lambda other: recipe.solve[other].samples != solve.samples, default=None)


def _solvers(solve: Solve) -> tuple[str, ...]:
    """Return whom a solve puts subquestions to; nobody where nobody decomposes."""
    students = strategy_of(solve).students
    return tuple(one for one in students if not decomposes(one)) if any(map(decomposes, students)) else ()


def _condition(recipe: Recipe, solve: Solve) -> tuple[object, ...]:
    """Put together what two solves must share for one to show what the other's solver can do."""
    solvers, prompted = _solvers(solve), set(prompted_students(solve))
    shown = solve.prompted and (solve.prompted.model, solve.prompted.shots, solve.prompted.exemplars)
    return (
        solvers,
        shown if prompted & set(solvers) else None,
        solve.trained,
        solve.calculator,
        solve.facts or recipe.train.facts,
    )


def _fault(problem: Problem, solution: Solution, score: Score, solve: Solve, *, with_gold: Mapping[str, bool]) -> Fault:
    """Attribute one wrong solution; `with_gold` tells which problems the companion could play, and has right."""
    if solution.unfinished == NO_GOLD_STEPS:
        return "unknown"
    if score.unreadable:
        return "reading"
    if _right(problem, recomputed(solution)):
        return "arithmetic"
    if not _solvers(solve):
        return "student"
    if solve.oracle in ("subquestions", "history"):
        return "solver"
    if problem.id not in with_gold:
        return "unknown"
    return "decomposer" if with_gold[problem.id] else "solver"


def _right(problem: Problem, solution: Solution) -> bool:
    answer = stated_answer(problem, solution).answer
    return answer is not None and same_answer(answer, problem.answer, kind=problem.answer_kind, choices=problem.choices)


# --- arithmetic done again

_NUMBER = re.compile(
    r"(?P<sign>(?<![\w)\]}%.,:-])-)?(?<![A-WYZa-wyz_0-9])(?<![0-9][.,:])"  # `x` may be an operator
    r"(?P<number>(?:[0-9]{1,3}(?:,[0-9]{3})++(?![0-9])|[0-9]++)(?:\.[0-9]++)?+|\.[0-9]++)(?![.,:]?[0-9]|[ ]?%)"
)
_OPERATION = re.compile(r"[)%\d][ \t]*[-+*/×÷xX]")
_SEPARATOR = re.compile(r"(?<=[^\d)\s]) \*\*(?=\s)")  # `How many? ** 3+4 = 7`: no operator
_FACTOR_BEFORE = re.compile(r"[\d%][)\]][ \t]*$")  # `(1/2) 278 + 11`: a part of a product
_LONGEST = 60  # characters of a number; longer ones are left as they are

_Replaced = dict[Fraction, Fraction]
"""Wrong values that a text states, and the right ones."""


class _Equation(NamedTuple):
    """An equation, and where in the text its two sides begin."""

    expression_at: int
    stated_at: int
    mark: Mark


class _Edit(NamedTuple):
    """What stands in the place of a part of the text."""

    start: int
    end: int
    text: str


def recomputed(solution: Solution) -> Solution:
    """Do the arithmetic of a solution again, in order: each wrong value is replaced, and so is what is built on it.

    From a wrong equation on, marked or plain, every number that equals its wrong value becomes the right one: in later
    equations, whose values follow, in sentences and in the answer; until an equation states that value rightly. Left
    as they are: what can't be calculated, percentages, and a wrong link of a chain (`2*3 = 5+1`), of which it is not
    known which side was meant.
    """
    replaced: _Replaced = {}
    steps = []
    # Where turns were taken, the text is the last step alone, and it builds on the steps before it.
    last_alone = bool(solution.steps) and parse_step("", solution.text).solution == solution.steps[-1].solution
    before_text: _Replaced = {}
    for place, step in enumerate(solution.steps):
        if last_alone and place == len(solution.steps) - 1:
            before_text = dict(replaced)
        done_again = {"solution": _recomputed(step.solution, replaced), "answer": _recomputed(step.answer, replaced)}
        steps.append(step.model_copy(update=done_again))
    return solution.model_copy(update={"text": _recomputed(solution.text, before_text), "steps": tuple(steps)})


def _recomputed(text: str, replaced: _Replaced) -> str:
    """Do a text's arithmetic again; what it replaces joins `replaced`."""
    edits: list[_Edit] = []
    at = 0
    for equation in _equations(text):
        stated = equation.mark.stated
        edits += _carried(text, at, equation.stated_at, replaced)
        at = max(at, equation.stated_at)
        value = _value(equation, edits)
        if value is None or at > equation.stated_at or _OPERATION.search(stated):
            continue
        at += len(stated)
        old = evaluate(stated)
        if old is not None:
            replaced.pop(old, None)
        if not states(stated, value):
            edits.append(_Edit(equation.stated_at, at, _written(value)))
            if old is not None:
                replaced[old] = value
    edits += _carried(text, at, len(text), replaced)
    return _edited(text, edits, at=0)


def _equations(text: str) -> list[_Equation]:
    """Find the equations of a text, in the order in which they state their values.

    A plain one that repeats what a mark before its value states is that mark's: `2 boxes*3 = <<2*3=6>>6`.
    """
    checked = list(marks(text))
    stated = {mark.end: evaluate(mark.stated) for mark in checked}
    marked = (_Equation(mark.start + 2, mark.end - 2 - len(mark.stated), mark) for mark in checked)
    plain = (
        _Equation(mark.start, mark.end - len(mark.stated), mark)
        for mark in equations(_SEPARATOR.sub(" | ", text))
        if not _FACTOR_BEFORE.search(text, max(0, mark.start - 8), mark.start)
        and stated.get(mark.end - len(mark.stated), mark) != evaluate(mark.stated)
    )
    return sorted((*marked, *plain), key=lambda equation: equation.stated_at)


def _value(equation: _Equation, edits: Sequence[_Edit]) -> Fraction | None:
    """Calculate an equation's expression as the edits so far have changed it."""
    expression, start = equation.mark.expression, equation.expression_at
    if len(expression) > MAX_EXPRESSION:
        return None
    first = bisect_left(edits, start, key=lambda edit: edit.start)
    last = bisect_left(edits, start + len(expression), key=lambda edit: edit.start)
    # A plain expression is blank where a mark stands in the text.
    own = [edit for edit in edits[first:last] if not expression[edit.start - start].isspace()]
    value = evaluate(_edited(expression, own, at=start))
    return None if value is None or len(str(value)) > _LONGEST else value


def _carried(text: str, start: int, end: int, replaced: _Replaced) -> Iterator[_Edit]:
    """Replace the numbers of a part of a text that equal a replaced value."""
    for match in _NUMBER.finditer(text, start, end) if replaced and start < end else ():
        if len(match["number"]) > _LONGEST:
            continue
        number = Fraction(match["number"].replace(",", ""))
        if match["sign"] and -number in replaced:
            yield _Edit(match.start(), match.end(), _operand(replaced[-number]))
        elif number in replaced:
            yield _Edit(match.start("number"), match.end(), _operand(replaced[number]))


def _edited(text: str, edits: Sequence[_Edit], *, at: int) -> str:
    """Apply edits, in order and apart from each other, to a text that begins at `at`."""
    pieces, end = [], at
    for edit in edits:
        pieces += [text[end - at : edit.start - at], edit.text]
        end = edit.end
    return "".join([*pieces, text[end - at :]])


def _written(value: Fraction) -> str:
    """Write a value exactly, as a fraction where it has no short decimal."""
    exact = exact_decimal(value)
    return exact if exact is not None and len(exact.partition(".")[2]) <= EXACT_PLACES else str(value)


def _operand(value: Fraction) -> str:
    text = _written(value)
    return f"({text})" if "/" in text else text
