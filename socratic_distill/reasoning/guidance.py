"""Guidance: before its first subquestion a decomposer or planner writes down what is ahead.

It is a text that it learns to write as any other, so one student serves guidance of its own and the gold one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from socratic_distill.errors import UserError
from socratic_distill.reasoning.arithmetic import stated_equations
from socratic_distill.reasoning.dialogue import Ask, Dialogue, answered
from socratic_distill.reasoning.strategies import Strategy, decomposes
from socratic_distill.records import Annotation, Completion, Prompt


def _steps(annotation: Annotation) -> str | None:
    return f"Steps: {len(annotation.steps)}" if annotation.steps else None


def _equations(annotation: Annotation) -> str | None:
    found = [equation for step in annotation.steps for equation in stated_equations(step.solution)]
    return f"Equations: {'; '.join(found)}" if found else None


GUIDANCE: dict[str, Callable[[Annotation], str | None]] = {"steps": _steps, "equations": _equations}
"""What each kind of guidance says of an annotation; None where the annotation has none."""


def guided(strategy: Strategy, guidance: str) -> Strategy:
    """Let the decomposer or planner of a strategy write guidance first; it is then a student of its own name.

    The solver is the same as without. Raises UserError for a strategy in which nobody decomposes.
    """
    if not any(map(decomposes, strategy.students)):
        raise UserError(
            f"guidance = {guidance!r} needs a strategy that asks a decomposer or a planner, "
            f"and {strategy.name!r} asks none; such is 'socratic_iterative'"
        )
    names = {student: f"{student}_{guidance}" if decomposes(student) else student for student in strategy.students}

    def texts(annotation: Annotation) -> Mapping[str, Sequence[str]] | None:
        plain, written = strategy.texts(annotation), GUIDANCE[guidance](annotation)
        if plain is None or written is None:
            return None
        return {names[name]: [written, *own] if decomposes(name) else own for name, own in plain.items()}

    return replace(
        strategy,
        name=f"{strategy.name}_{guidance}",
        students=tuple(names.values()),
        dialogue=lambda problem: _with_guidance(strategy.dialogue(problem), names),
        texts=texts,
    )


def _with_guidance(dialogue: Dialogue, names: Mapping[str, str]) -> Dialogue:
    """Put guidance before the first subquestion, and into the prompt of every later one, but of no solution."""
    written: str | None = None

    def answer(asks: tuple[Ask, ...]) -> Dialogue[tuple[Completion, ...]]:
        nonlocal written
        asking = next((ask for ask in asks if decomposes(ask.student)), None)
        if written is None and asking is not None:
            reply: Completion = yield Ask(names[asking.student], asking.prompt, asking.sampling)
            if reply.finish_reason != "end":  # what ends the guidance early ends the dialogue, for the same reason
                return (reply,) * len(asks)
            written = reply.text.strip()
        replies: tuple[Completion, ...] = yield tuple(_behind(written, ask, names[ask.student]) for ask in asks)
        return replies

    return answered(dialogue, answer)


def _behind(written: str | None, ask: Ask, name: str) -> Ask:
    if written is None or not decomposes(name):
        return ask
    problem, *later = ask.prompt.pieces
    return Ask(name, Prompt(pieces=(problem, written, *later)), ask.sampling)
