"""Every text that a teacher reads: pieces of user and assistant in turn, a user's first and last.

Of what is gold a teacher is shown nothing but what the recipe's `guide` names and the problem has: see `guidance`.
"""

import json
from collections.abc import Sequence
from typing import Any

from socratic_distill.reasoning.arithmetic import stated_equations
from socratic_distill.reasoning.exemplars import Exemplar, Style
from socratic_distill.reasoning.prompts import problem_piece
from socratic_distill.recipe import Guide
from socratic_distill.records import AnswerKind, Problem, Prompt

TEACHER_PROMPT_VERSION = "1"
"""Changing any text here must bump it."""

_TASKS: dict[Style, str] = {
    "socratic": (
        "Solve the problem the Socratic way: ask one subquestion after another, each about one thing that has to be "
        "found out, and answer each before you ask the next. Do not ask for what the problem already says. The last "
        "subquestion asks what the problem asks."
    ),
    "cot": "Solve the problem step by step.",
}
_FORMS: dict[Style, str] = {
    "socratic": (
        "Write lines of this form and nothing else, as many as the problem needs:\n"
        "Q1: the first subquestion\n"
        "A1: its solution, in one sentence\n"
        "Q2: the next subquestion\n"
        "A2: its solution, in one sentence"
    ),
    "cot": "Write your reasoning, one step on each line, and nothing else.",
}
_OBJECTS: dict[Style, str] = {
    "socratic": (
        "Reply with one JSON object of this form and nothing else, with as many steps as the problem needs:\n"
        '{"steps": [{"subquestion": "...", "solution": "...", "answer": "..."}], "answer": "..."}\n'
        "A step's solution is one sentence, and its answer is the bare result."
    ),
    "cot": (
        "Reply with one JSON object of this form and nothing else:\n"
        '{"rationale": "...", "answer": "..."}\n'
        "The rationale is your reasoning, one step on each line."
    ),
}
CALCULATIONS = "Write every calculation with its calculator mark, as in 3*4 = <<3*4=12>>12."
_LAST_LINE = "End with the line\nThe answer is X\nwhere X is the final answer: {answer}."
_LAST_FIELD = 'The last "answer" is the final answer: {answer}.'
FINAL_ANSWERS: dict[AnswerKind, str] = {
    "number": "a number in digits, without a unit",
    "boolean": "yes or no",
    "choice": "the letter of the right choice",
    "text": "one word, or as few as possible",
}
"""What a final answer of each kind is to look like."""

WRONG = {
    "empty": "there was nothing to read",
    "no_answer": "it does not end in a final answer of the kind asked for",
    "no_rationale": "it holds no reasoning",
    "no_questions": "it holds no subquestions",
    "unanswered_question": "a subquestion has no solution",
    "count_mismatch": "there are not as many solutions as subquestions",
    "label_order": "its lines are not numbered Q1, A1, Q2, A2 and so on",
    "unclear_question": "not every subquestion is a question",
    "reserved_text": "it holds `**`, `####` or `[done]`, which must not be used",
    "broken_json": "the JSON is cut off or malformed, or holds no steps",
}
"""What a teacher is told of each reason why its reply was not read."""

_TITLES: dict[Guide, str] = {
    "facts": "Facts",
    "rationale": "Worked solution",
    "equations": "Equations",
    "decomposition": "Subquestions",
    "steps": "Number of steps",
    "answer": "Correct answer",
}
_ORDERS: dict[Style, dict[Guide, str]] = {
    "socratic": {
        "decomposition": "Ask exactly the subquestions given, in their order.",
        "steps": "Ask exactly as many subquestions as it has steps.",
    },
    "cot": {
        "decomposition": "Answer the subquestions given in their order, without writing them.",
        "steps": "Write exactly as many lines of reasoning as it has steps.",
    },
}


def _schema(**properties: dict[str, Any]) -> dict[str, Any]:
    required = list(properties)
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _format(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "annotation", "strict": True, "schema": schema}}


_TEXT = {"type": "string"}
_STEPS = {"type": "array", "items": _schema(subquestion=_TEXT, solution=_TEXT, answer=_TEXT)}
RESPONSE_FORMATS: dict[Style, dict[str, Any]] = {
    "socratic": _format(_schema(steps=_STEPS, answer=_TEXT)),
    "cot": _format(_schema(rationale=_TEXT, answer=_TEXT)),
}
"""The `response_format` of a structured request, in the subset of JSON schema that servers hold a model to."""


def guidance(problem: Problem, guide: Sequence[Guide]) -> dict[Guide, str]:
    """Return what of a problem's gold reasoning a teacher is shown: of what the guide names, all that there is."""
    rationale = problem.rationale or "\n".join(step.solution for step in problem.steps if step.solution)
    # The calculator takes longer than all else that asking needs.
    stated = stated_equations(rationale) if "equations" in guide else []
    there: dict[Guide, str] = {
        "facts": "\n".join(problem.facts),
        "rationale": rationale,
        "equations": "\n".join(stated),
        "decomposition": "\n".join(f"{at}. {step.subquestion}" for at, step in enumerate(problem.steps, start=1)),
        "steps": str(len(problem.steps) or problem.step_count or ""),
        "answer": problem.answer,
    }
    return {name: text for name, text in there.items() if name in guide and text}


def teacher_prompt(
    problem: Problem,
    *,
    style: Style,
    exemplars: Sequence[Exemplar],
    shots: int,
    guide: Sequence[Guide] = (),
    structured: bool = False,
) -> Prompt:
    """Write what a teacher reads: the instruction, `shots` exemplars with their replies, and the problem.

    Exemplars are shown with the same guidance as the problem. One that asks the problem's own question is passed
    over, for it would tell the answer.
    """
    given = guidance(problem, guide)
    others = [exemplar for exemplar in exemplars if exemplar.question.split() != problem.question.split()]
    pieces = []
    for exemplar in others[:shots]:
        example = _as_problem(exemplar, style, problem.answer_kind)
        pieces += [
            _problem_text(example, guidance(example, tuple(given))),
            format_reply(exemplar, style=style, structured=structured),
        ]
    first, *later = [*pieces, _problem_text(problem, given)]
    instruction = _instruction(problem.answer_kind, style, structured, tuple(given))
    return Prompt(pieces=(f"{instruction}\n\n{first}", *later))


def format_reply(exemplar: Exemplar, *, style: Style, structured: bool = False) -> str:
    """Write an exemplar as the reply that a teacher is asked for."""
    rationale = exemplar.rationale.strip() or "\n".join(step.solution for step in exemplar.steps if step.solution)
    if structured and style == "cot":
        return json.dumps({"rationale": rationale, "answer": exemplar.answer}, ensure_ascii=False)
    if structured:
        steps = [step.model_dump() for step in exemplar.steps]
        return json.dumps({"steps": steps, "answer": exemplar.answer}, ensure_ascii=False)
    lines = [
        line
        for at, step in enumerate(exemplar.steps, start=1)
        for line in (f"Q{at}: {step.subquestion}", f"A{at}: {step.solution or step.answer}")
    ]
    return "\n".join([*([rationale] if style == "cot" else lines), f"The answer is {exemplar.answer}"])


def second_request(reason: str, *, cut: bool) -> str:
    """Ask once more for a reply that was not read, saying what was wrong; `cut` is one that reached its limit."""
    brief = " It was cut off because it was too long: be brief." if cut else ""
    return f"I could not read that: {WRONG[reason]}.{brief} Write the whole reply again, exactly in the form asked for."


def _instruction(kind: AnswerKind, style: Style, structured: bool, given: Sequence[Guide]) -> str:
    paragraphs = [_TASKS[style], _OBJECTS[style] if structured else _FORMS[style]]
    if kind == "number":
        paragraphs.append(CALCULATIONS)
    paragraphs.append((_LAST_FIELD if structured else _LAST_LINE).format(answer=FINAL_ANSWERS[kind]))
    if given:
        sentences = [f"With each problem you are given its {', '.join(_TITLES[name].lower() for name in given)}."]
        if set(given) != {"steps"}:
            sentences.append("Build on that, but write as if you had found it yourself, and never mention it.")
        sentences += [order for name, order in _ORDERS[style].items() if name in given]
        paragraphs.append(" ".join(sentences))
    return "\n\n".join(paragraphs)


def _problem_text(problem: Problem, given: dict[Guide, str]) -> str:
    question = problem_piece(problem.model_copy(update={"facts": ()}))
    blocks = [
        f"{_TITLES[name]}:\n{text}" if "\n" in text else f"{_TITLES[name]}: {text}" for name, text in given.items()
    ]
    return "\n\n".join([f"Problem: {question}", *blocks])


def _as_problem(exemplar: Exemplar, style: Style, kind: AnswerKind) -> Problem:
    """Give an exemplar the gold reasoning of a problem: not in the words of its reply, lest guided teachers copy."""
    told = "\n".join(step.solution for step in exemplar.steps if step.solution)
    return Problem(
        id="exemplar",
        split="train",
        question=exemplar.question,
        answer=exemplar.answer,
        answer_kind=kind,
        choices=exemplar.choices,
        facts=exemplar.facts,
        rationale=(told if style == "cot" else "") or exemplar.rationale.strip() or told,
        steps=exemplar.steps,
    )
