"""SVAMP, the published JSON list. Its human annotation is written here, from the equation that humans gave each row.

Source: Patel et al. 2021, github.com/arkilpatel/SVAMP, hub `ChilleD/SVAMP`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from socratic_distill.problems.sources import Row, complaint, one_line, required, rows, source_stem, text_field
from socratic_distill.reasoning.answers import MARKER, read_answer, same_answer
from socratic_distill.reasoning.arithmetic import evaluate, format_number
from socratic_distill.records import Problem, Split, Step

SUBQUESTIONS = {
    "+": "What is the total of {left} and {right}?",
    "-": "What is left of {left} after taking away {right}?",
    "*": "What is {left} times {right}?",
    "/": "What is {left} divided by {right}?",
}
"""What every step but the last asks, by its operation; the last step asks the problem's own question."""

SOLUTIONS = {
    "+": "Adding {left} and {right} gives",
    "-": "Taking {right} from {left} leaves",
    "*": "Multiplying {left} by {right} gives",
    "/": "Dividing {left} by {right} gives",
}
"""How each solution begins, by its operation; the calculation follows: `4+3 = <<4+3=7>>7.`"""

MAX_TOKENS = 200
"""Beyond it an equation is unreadable: published ones have nine, and its reader recurses."""

_TOKEN = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+|[()+\-*/])")


@dataclass(frozen=True)
class Operand:
    """A number, or an operation's value."""

    value: Fraction
    written: str
    """The number, in parentheses where negative; `(55/15)` where it can't be written exactly."""


@dataclass(frozen=True)
class Operation:
    """One operation of an equation between two operands, each a value and how a calculation writes it."""

    left: Operand
    operator: str
    right: Operand
    value: Fraction


def load_svamp(source: str, *, split: Split) -> Iterator[Problem]:
    """Read SVAMP rows from a path or a hub name; the question is Body and Question, joined by a space as published.

    The equation's operations become steps, innermost first. Remarks, each with neither steps nor a rationale:
    `equation_disagrees` (its value is not the answer), `equation_unreadable`, `no_operation` (a bare number).
    """
    stem = source_stem(source, split=split)
    for row in rows(source, split=split):
        yield _problem(row, stem, split)


def operations(equation: str) -> tuple[Operation, ...]:
    """Take a parenthesised equation apart, such as `( ( 4.0 + 3.0 ) - 2.0 )`, innermost and leftmost first.

    A bare number gives none. Raises ValueError where the text is no such equation or divides by zero.
    """
    tokens = _tokens(equation)
    if len(tokens) > MAX_TOKENS:
        raise ValueError(f"more than {MAX_TOKENS} tokens")
    found: list[Operation] = []
    _operand(tokens, found)
    if tokens:
        raise ValueError(f"something follows the equation: {' '.join(reversed(tokens))}")
    return tuple(found)


def annotation_steps(found: tuple[Operation, ...], question: str, *, gold: str) -> tuple[Step, ...]:
    """Write one step per operation from the templates; the last one asks the problem's own question, for `gold`."""
    steps = [_step(operation) for operation in found]
    return (*steps[:-1], *(step.model_copy(update={"subquestion": question, "answer": gold}) for step in steps[-1:]))


def _problem(row: Row, stem: str, split: Split) -> Problem:
    body, asked, equation = (
        one_line(text_field(row, name, dataset="svamp")) for name in ("Body", "Question", "Equation")
    )
    gold_text = str(required(row, "Answer", dataset="svamp"))
    gold = read_answer(f"{MARKER} {gold_text}", "number").answer
    if gold is None:
        raise complaint(row, "Answer", f"expected a number, found {gold_text[:40]!r}", dataset="svamp")
    steps: tuple[Step, ...] = ()
    remark = ""
    try:
        found = operations(equation)
    except ValueError:
        remark = "equation_unreadable"
    else:
        if not found:
            remark = "no_operation"
        elif not same_answer(format_number(found[-1].value), gold, kind="number"):
            remark = "equation_disagrees"
        else:
            steps = annotation_steps(found, asked, gold=gold)
    return Problem(
        id=f"svamp/{stem}/{row.fields.get('ID') or row.number}",
        split=split,
        question=f"{body} {asked}",
        answer=gold,
        answer_kind="number",
        rationale="\n".join(step.solution for step in steps),
        steps=steps,
        step_count=len(steps) or None,
        remarks=(remark,) if remark else (),
    )


def _step(operation: Operation) -> Step:
    left, right, value = (format_number(one) for one in (operation.left.value, operation.right.value, operation.value))
    opening = SOLUTIONS[operation.operator].format(left=left, right=right)
    calculation = f"{operation.left.written}{operation.operator}{operation.right.written}"
    return Step(
        subquestion=SUBQUESTIONS[operation.operator].format(left=left, right=right),
        solution=f"{opening} {calculation} = <<{calculation}={value}>>{value}.",
        answer=value,
    )


def _tokens(equation: str) -> list[str]:
    """Cut an equation into tokens, the last one first, so that they are popped in order."""
    tokens: list[str] = []
    place, text = 0, equation.rstrip()
    while place < len(text):
        token = _TOKEN.match(text, place)
        if not token:
            raise ValueError(f"not an equation: {equation!r}")
        tokens.append(token[1])
        place = token.end()
    return tokens[::-1]


def _operand(tokens: list[str], found: list[Operation]) -> Operand:
    token = tokens.pop() if tokens else ""
    if token != "(":
        return Operand(Fraction(token or "nothing"), token.removesuffix(".0"))
    left = _operand(tokens, found)
    operator = tokens.pop() if tokens else ""
    right = _operand(tokens, found)
    if operator not in SUBQUESTIONS or not tokens or tokens.pop() != ")":
        raise ValueError("expected ( operand operator operand )")
    calculation = f"({left.written}{operator}{right.written})"
    # Exact: the text is digits, the four operators and parentheses alone.
    value = evaluate(calculation)
    if value is None:
        raise ValueError(f"can't be calculated: {calculation}")
    found.append(Operation(left, operator, right, value))
    number = format_number(value)
    exact = Fraction(number) == value
    return Operand(value, calculation if not exact else f"({number})" if value < 0 else number)
