"""Every text that a student reads or writes, as whole pieces. Changing any of it must bump `PROMPT_VERSION`.

A piece is tokenised by itself and ended by the terminator, so no text here carries a role name: position tells.
"""

from socratic_distill.reasoning.answers import MARKER
from socratic_distill.records import Problem, Step

PROMPT_VERSION = "1"

DONE = "[done]"
"""What a decomposer writes when nothing is left to ask: a learned text, never an empty completion."""

SEPARATOR = " **"
"""Between a subquestion and its solution where one student writes both, as in GSM8K's Socratic files."""


def problem_piece(problem: Problem) -> str:
    """Write the first piece of every prompt: the facts and choices that the student is shown, and the question."""
    facts = [f"Fact: {fact}" for fact in problem.facts]
    choices = [f"({chr(ord('A') + index)}) {choice}" for index, choice in enumerate(problem.choices)]
    return "\n".join([*facts, problem.question.strip(), *choices])


def format_answer(answer: str) -> str:
    """Write an explicit answer: `#### 18`."""
    return f"{MARKER} {answer}"


def format_step(step: Step) -> str:
    """Write a solver's completion: the solution, then its explicit answer where it has one of its own."""
    return f"{step.solution} {format_answer(step.answer)}".strip() if step.answer else step.solution


def parse_step(subquestion: str, text: str) -> Step:
    """Read a solver's completion; the answer is empty where the text holds no marker."""
    solution, _, answer = text.partition(MARKER)
    return Step(subquestion=subquestion, solution=solution.strip(), answer=answer.strip())


def format_rationale(lines: str, answer: str) -> str:
    """Write a chain of thought that ends in its explicit answer."""
    return f"{lines}\n{format_answer(answer)}".strip()


def format_dialogue(steps: tuple[Step, ...], answer: str) -> str:
    """Write subquestions and solutions as one text, a line a step: `subquestion ** solution`."""
    lines = (f"{step.subquestion}{SEPARATOR} {step.solution}".rstrip() for step in steps)
    return format_rationale("\n".join(lines), answer)


def parse_dialogue(text: str) -> tuple[tuple[str, str], ...]:
    """Read (subquestion, solution) pairs from a text of `format_dialogue`; lines without a separator are left out."""
    body, _, _ = text.partition(MARKER)
    parted = (line.partition(SEPARATOR) for line in body.splitlines())
    return tuple((subquestion.strip(), solution.strip()) for subquestion, found, solution in parted if found)


def format_plan(steps: tuple[Step, ...]) -> str:
    """Write all subquestions at once, one a line."""
    return "\n".join(step.subquestion for step in steps)


def parse_plan(text: str) -> tuple[str, ...]:
    """Read the subquestions of a plan; blank lines are passed over."""
    return tuple(line.strip() for line in text.splitlines() if line.strip())
