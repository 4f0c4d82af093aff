"""What a prompted model is told of each student's part, and how its replies are read as that student's.

Changing what any function here returns, or how `prompting` puts it together, must bump `PROMPTING_VERSION`.
"""

import re
from dataclasses import dataclass
from typing import Literal

from socratic_distill.reasoning.answers import MARKER
from socratic_distill.reasoning.prompts import DONE, SEPARATOR, format_answer
from socratic_distill.reasoning.strategies import decomposes
from socratic_distill.reasoning.teacher_prompts import CALCULATIONS, FINAL_ANSWERS
from socratic_distill.records import AnswerKind

PROMPTING_VERSION = "1"

GO_ON = "Go on."
"""A user's turn where a student goes on by itself."""

Form = Literal["answer", "subquestion", "subquestions", "line", "free"]
"""What a reply is: a text that an explicit answer ends, one subquestion, one on each line, one line, or anything."""


@dataclass(frozen=True)
class Role:
    """A student's part."""

    task: str
    form: str
    """How it is to write; `{answer}` is what a final answer looks like."""
    own: str
    """What a plain text calls that which it writes."""
    other: str = ""
    """What it calls that which it is told."""
    reply: Form = "answer"
    calculates: bool = True

    @property
    def stops(self) -> tuple[str, ...]:
        """Texts at which a plain text would go on to what is not this student's any more."""
        if self.reply in ("subquestion", "line"):
            return ("\n",)
        return (f"\n{PROBLEM}", *([f"\n{self.other}"] if self.other else []))


PROBLEM = "Problem:"

_LAST_LINE = f"End with the line\n{format_answer('X')}\nwhere X is the final answer: {{answer}}."

ROLES: dict[str, Role] = {
    "answer_only": Role(
        "Write the answer to the problem at once, without any reasoning.",
        f"Write one line and nothing else:\n{format_answer('X')}\nwhere X is the answer: {{answer}}.",
        own="Answer:",
        calculates=False,
    ),
    "cot": Role("Solve the problem step by step.", f"Write one step on each line. {_LAST_LINE}", own="Solution:"),
    "unified": Role(
        "Solve the problem the Socratic way: ask one subquestion after another, each about one thing that has to be "
        "found out, and answer each before you ask the next. The last subquestion asks what the problem asks.",
        "Write a line for each subquestion and nothing else, of this form:\n"
        f"the subquestion{SEPARATOR} its solution, in one sentence\n{_LAST_LINE}",
        own="Solution:",
    ),
    "decomposer": Role(
        "Do not solve the problem: ask subquestions that lead to its solution, one at a time. You are told the "
        "solution of each before you ask the next. Each is about one thing that has to be found out, and the last "
        "asks what the problem asks.",
        "Write one subquestion, in one line, and nothing else. As soon as you are told what the problem asks, write "
        f"{DONE} instead; never ask the same twice.",
        own="Subquestion:",
        other="Solution:",
        reply="subquestion",
        calculates=False,
    ),
    "planner": Role(
        "Do not solve the problem: write the subquestions that lead to its solution. Each is about one thing that has "
        "to be found out, and the last asks what the problem asks.",
        "Write one subquestion on each line, as few as the problem needs, and nothing else.",
        own="Subquestions:",
        reply="subquestions",
        calculates=False,
    ),
    "solver": Role(
        "You are given a problem, and subquestions of it one at a time. Answer the subquestion that was asked last, "
        "and nothing else.",
        f"Write one sentence, then {format_answer('X')}, where X is the answer to that subquestion. The answer to the "
        "last subquestion is that of the problem: {answer}.",
        own="Solution:",
        other="Subquestion:",
    ),
}
"""By student; one that is not here is a user's own, and is told to do as the examples do."""

_GUIDING = Role("", "", own="Plan:", reply="line", calculates=False)
_OTHER = Role("Go on as the examples do.", "", own="Reply:", other="Told:", reply="free", calculates=False)

_GUIDANCE = {
    "steps": "Before the first subquestion write how many there will be, as in\nSteps: 2",
    "equations": "Before the first subquestion write the equations that solve the problem, as in\n"
    "Equations: 6*4=24; 24+15=39",
}


def role_of(student: str, place: int | None = None) -> Role:
    """Look up a student's part, at one place of its prompts where given.

    One that writes guidance first has the part of its kind but for that.
    """
    guides = decomposes(student) and "_" in student
    if guides and place == 1:
        return _GUIDING
    return ROLES.get(student.partition("_")[0] if guides else student, _OTHER)


def instruction(student: str, kind: AnswerKind) -> str:
    """Write what a model is told before the examples."""
    role = role_of(student)
    guidance = _GUIDANCE.get(student.partition("_")[2], "") if decomposes(student) else ""
    calculations = CALCULATIONS if role.calculates and kind == "number" else ""
    form = role.form.format(answer=FINAL_ANSWERS[kind])
    return "\n\n".join(part for part in (role.task, guidance, calculations, form) if part)


def label_of(student: str, place: int, *, own: bool) -> str:
    """Say what a plain text, or a user's turn, calls a piece."""
    if place == 0:
        return PROBLEM
    return role_of(student, place).own if own else role_of(student).other


# Every pattern is linear: no run can be begun at two places and end at a third.
_LABEL = re.compile(
    r"[*_\s]{0,8}(?:#{1,3}(?!#)\s?)?[*_]{0,2}(?:(?:the|next|first|final|last)\s){0,2}"
    r"(?:subquestions?|solution|answer|question|problem|plan|q(?=\d))(?:\s?\d{1,3})?\s?[:：][*_\s]*+",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[*_\s]{0,8}(?:\d{1,3}[.):]|[-•*])\s++[*_]{0,2}")
_ANSWER = re.compile(re.escape(MARKER) + r"[ \t]*+[^\s#]")


def read_text(text: str, role: Role, *, begun: str = "", last: bool) -> tuple[str, bool]:
    """Take from a text what a student would not have written, and say whether all that was asked for is there.

    That is a label, a number or a preface before a subquestion, and whatever follows an explicit answer. `begun` is
    what was read before it; `last` is a text that has ended, and another is left as it is but for its beginning.
    """
    if not begun:
        text = text.rpartition("</think>")[2].lstrip()
        label = _LABEL.match(text) if role.reply == "answer" else None
        text = text[label.end() :] if label else text
    if role.reply == "answer" and (answer := _ANSWER.search(begun + text)):
        line_end = (begun + text).find("\n", answer.end())
        if line_end >= 0:
            return text[: max(0, line_end - len(begun))].rstrip(), True
    one = role.reply in ("subquestion", "line")
    if not begun and (one or role.reply == "subquestions") and (last or (one and "\n" in text)):
        lines = [_bare(line) for line in text.splitlines() if line.strip()]
        asked = [line for line in lines if role.reply != "line" and (line.endswith("?") or line == DONE)] or lines
        return "\n".join(asked[:1] if one else asked), True
    return (text.rstrip(), True) if last else (text, False)


def _bare(line: str) -> str:
    """Take a line's number, label and bold print away; whatever begins with `[done]` is that."""
    for pattern in (_NUMBER, _LABEL):
        if found := pattern.match(line):
            line = line[found.end() :]
    line = line.strip().strip("*").strip()
    return DONE if line.casefold().startswith(DONE) else line
