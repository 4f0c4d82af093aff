"""Reads what teachers write: `read_transcript` one text in any shape, `read_lists` questions and answers kept apart.

What cannot be read is one of `REASONS`, never a guess. A stated answer that is none of its kind leaves `answer` empty.
"""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from socratic_distill.reasoning.answers import MARKER, read_answer
from socratic_distill.reasoning.arithmetic import step_answer
from socratic_distill.reasoning.prompts import DONE, SEPARATOR
from socratic_distill.reasoning.transcript_json import Written, read_json
from socratic_distill.reasoning.transcript_shapes import (
    Item,
    Pair,
    find_pairs,
    labelled,
    pair_blocks,
    plain_items,
)
from socratic_distill.records import AnswerKind, Step, Transcript

READER = "1"
"""Changes with what is read from a text, so that annotations are made again."""

REASONS = {
    "empty": "there is no text, or only the teacher's thinking",
    "no_answer": "no final answer is stated, or questions follow it",
    "no_rationale": "nothing is written but the answer",
    "no_questions": "there is no subquestion",
    "unanswered_question": "a question follows another, or nothing follows the last",
    "count_mismatch": "there are more questions than answers, or fewer, or a numbered step does not hold just one",
    "label_order": "labels or numbers do not count 1, 2, 3, alike for questions and answers",
    "unclear_question": "a question mark ends what asks nothing, such as `3 x 4 = ?`, or a label has no question",
    "reserved_text": "a step holds what students are taught to read as an end: ` **`, `####`, `[done]`",
    "broken_json": "the JSON is cut or malformed, or holds no reasoning",
}
"""Every reason why a text was not read."""


def read_transcript(
    text: str, *, style: Literal["cot", "socratic"], kind: AnswerKind, choices: Sequence[str] = ()
) -> Transcript:
    r"""Read a teacher's text as a rationale or as steps, with the final answer that it states last.

    Shapes of steps: those of `find_pairs`, and JSON. The final statement (`The answer is 5`, `Final answer: 5`,
    `#### 5`, `\boxed{5}`) is left out of what it follows, and what comes after it is dropped. A step's answer is its
    solution's last value where a number is asked for; the last step's is the final answer.
    """
    wanted = _Wanted(kind, tuple(choices))
    text = _tidy(text)
    if not text:
        return Transcript(unreadable="empty")
    written = read_json(text)
    if written is not None:
        return _from_json(written, style, wanted)
    return _rationale(text, "", wanted) if style == "cot" else _steps(text, "", wanted)


def read_lists(
    questions: Sequence[str], answers: Sequence[str], *, kind: AnswerKind, choices: Sequence[str] = ()
) -> Transcript:
    """Read steps from questions and answers that are kept apart, each as one block of lines or as several texts."""
    return _lists(questions, answers, "", _Wanted(kind, tuple(choices)))


class _Wanted(NamedTuple):
    """What the answer to the problem is."""

    kind: AnswerKind
    choices: tuple[str, ...]
    whole: bool = False
    """The text cannot have been cut, as JSON cannot: where it states no answer, its last step's is the answer."""

    def read(self, stated: str) -> str:
        """Read a stated answer; empty where it is none of its kind. A text keeps its case."""
        answer = read_answer(f"{MARKER} {_one_line(stated)}", self.kind, self.choices).answer or ""
        return _one_line(stated).rstrip(" .") if answer and self.kind == "text" else answer

    def last_value(self, solution: str) -> str:
        """Return what a solution comes to; empty where that is open."""
        if self.kind == "number":
            return step_answer(solution)
        return solution if self.kind == "text" else read_answer(solution, self.kind, self.choices).answer or ""


# --- texts


def _steps(text: str, stated: str, wanted: _Wanted) -> Transcript:
    statement = _statement(text, _ANOTHER_PROBLEM)
    if statement and _GOES_ON.search(statement.after):
        return Transcript(unreadable="no_answer")
    found = find_pairs(statement.before if statement else text)
    if found.reason:
        return Transcript(unreadable=found.reason)
    return _from_pairs(found.found, stated or found.answer, statement, wanted)


def _lists(questions: Sequence[str], answers: Sequence[str], stated: str, wanted: _Wanted) -> Transcript:
    asked, answered = ([_tidy(text) for text in texts] for texts in (questions, answers))
    question_items = labelled("\n".join(asked)) or plain_items("question", asked)
    statement = _statement("\n".join(answered))
    if statement and _GOES_ON.search(statement.after):
        return Transcript(unreadable="no_answer")
    answer_items = labelled(statement.before if statement else "\n".join(answered))
    if not answer_items and answered:
        statement = _statement(answered[-1])
        answer_items = plain_items("solution", [*answered[:-1], statement.before if statement else answered[-1]])
        if statement and len(answer_items) == len(question_items) - 1:  # the last answer is the statement alone
            answer_items.append(Item("solution", "", None, ""))
    found = pair_blocks(question_items, answer_items)
    if found.reason:
        return Transcript(unreadable=found.reason)
    return _from_pairs(found.found, stated, statement, wanted)


def _from_json(written: Written, style: Literal["cot", "socratic"], wanted: _Wanted) -> Transcript:
    wanted = wanted._replace(whole=True)
    after = _statement(written.after)
    stated = written.answer or (after.stated if after else "")
    if written.reason:
        return Transcript(unreadable=written.reason)
    if style == "cot":
        text = written.rationale or "\n".join(written.lists[1] or [pair.solution for pair in written.pairs])
        return _rationale(text, stated, wanted) if text else Transcript(unreadable="broken_json")
    if any(written.lists):
        return _lists(*written.lists, stated, wanted)
    if not written.pairs:
        return Transcript(unreadable="no_questions" if written.rationale else "broken_json")
    *pairs, last = written.pairs
    statement = _statement(last.solution)
    if statement:
        last = last._replace(solution=statement.before)
    return _from_pairs((*pairs, last), stated or last.answer, statement, wanted)


def _from_pairs(pairs: Sequence[Pair], stated: str, statement: "_Statement | None", wanted: _Wanted) -> Transcript:
    """Make steps of pairs. Of a last solution that is nothing but the final statement, that statement is kept."""
    stated = stated or (statement.stated if statement else "")
    if not pairs:
        return Transcript(unreadable="no_questions")
    if not stated and wanted.whole:
        stated = wanted.last_value(pairs[-1].solution)
    if not stated:
        return Transcript(unreadable="no_answer")
    steps = []
    for place, pair in enumerate(pairs, 1):
        subquestion, solution, answer = (_one_line(text) for text in pair)
        last = place == len(pairs)
        if last and not solution and statement:
            solution = _one_line(statement.sentence)
        if not subquestion:
            return Transcript(unreadable="unclear_question")
        if not solution and not (last and statement):
            return Transcript(unreadable="unanswered_question")
        if last:
            answer = wanted.read(stated)
        elif wanted.kind == "number":
            answer = (answer and wanted.read(answer)) or step_answer(solution)
        if any(mark in subquestion for mark in (SEPARATOR, MARKER, DONE)) or MARKER in f"{solution} {answer}":
            return Transcript(unreadable="reserved_text")
        steps.append(Step(subquestion=subquestion, solution=solution, answer=answer))
    return Transcript(steps=tuple(steps), answer=steps[-1].answer)


def _rationale(text: str, stated: str, wanted: _Wanted) -> Transcript:
    statement = _statement(text, _ANOTHER_QUESTION, _ANSWER_LINE)
    stated = stated or (statement.stated if statement else "")
    if not stated:
        return Transcript(unreadable="no_answer")
    body = _OPENING.sub("", statement.before if statement else text)
    rationale = "\n".join(line for line in map(_one_line, _HASHES.sub("", body).split("\n")) if line)
    if not rationale:
        return Transcript(unreadable="no_rationale")
    if MARKER in rationale:
        return Transcript(unreadable="reserved_text")
    return Transcript(rationale=rationale, answer=wanted.read(stated))


# --- the final statement


class _Statement(NamedTuple):
    """The last sentence of a text that states its answer."""

    before: str
    """The text it ends. It keeps a statement within a longer sentence: `Since 4 is even, the answer is yes.`"""
    sentence: str
    """The statement where it is in words, such as `The answer is 5.`; empty for `#### 5`."""
    stated: str
    after: str


# Every pattern here is linear: runs are bounded or possessive.
_STATEMENT = re.compile(
    r"####|\\boxed\s{0,4}\{|<answer>"
    r"|\b(?:the\s++(?:(?:final|correct)\s++)?answer\s++is\b|(?:the\s++)?final\s++answer\W{0,3}(?::|\n|\bis\b))"
    r"(?!\s++not\s++(?!true\b|false\b|yes\b|no\b))",  # `The answer is not 22` states none
    re.IGNORECASE,
)
_ANSWER_LINE = re.compile(r"^[ \t>*#]{0,8}answer[ \t]{0,2}[:：]", re.IGNORECASE | re.MULTILINE)
_LEAD = re.compile(r"(?:[\s:：*_]|\.{2,8}|…)*+")
_STATED = re.compile(r"(?:[^.!?\n]|[.!?](?=[\d.!?]))*+[.!?]?")
_HENCE = re.compile(
    r"(?:[\s,;]{0,4}\b(?:and )?(?:therefore|thus|hence|so|finally|consequently|in conclusion|overall))?"
    r"[\s,*#$(\[]{0,8}$",
    re.IGNORECASE,
)
_GOES_ON = re.compile(
    r"\?|^[ \t>*#]{0,8}(?:Q|A|(?i:step|question|answer|subquestion|solution))[ \t]?\d{1,3}\b", re.MULTILINE
)
_ANOTHER_PROBLEM = re.compile(r"\n[ \t>*#]{0,8}(?i:problem|exercise|instruction|example|input)\b[ \t*\d]{0,6}:")
_ANOTHER_QUESTION = re.compile(
    r"\n[ \t>*#]{0,8}(?i:problem|exercise|instruction|example|input|question|q)\b[ \t*\d]{0,6}:"
)
_LATEX_TEXT = re.compile(r"\\(?:text|textbf|mathrm|mbox)\s?\{([^{}]*+)\}")


def _statement(
    text: str, another: re.Pattern[str] | None = None, otherwise: re.Pattern[str] | None = None
) -> _Statement | None:
    r"""Find the last statement of an answer; None where a text has none. Another problem after the first ends the text.

    Heads that follow one another at once are one: `Final answer: The answer is $\boxed{5}$`.
    """
    heads = list(_STATEMENT.finditer(text)) or (list(otherwise.finditer(text)) if otherwise else [])
    if not heads:
        return None
    run_on = another.search(text, heads[0].end()) if another else None
    if run_on:
        text = text[: run_on.start()]
        heads = [head for head in heads if head.end() <= len(text)]
    *earlier, head = heads
    start = head.start()
    for before in reversed(earlier):
        if any(character.isalnum() for character in text[before.end() : start]):
            break
        start = before.start()
    end, stated = _stated(text, head)
    if text[start].isalpha():
        return _worded(text, start, end, stated)
    line = text[text.rfind("\n", 0, start) + 1 : start]
    inside = text[start] == "\\" and any(character.isalnum() for character in line)
    kept = f"{text[:start].rstrip('$')}{stated}" if inside else text[:start]
    return _Statement(kept, "", stated, text[end:])


def _stated(text: str, head: re.Match[str]) -> tuple[int, str]:
    """Return where a statement ends, and its answer as written."""
    opening = head[0][-1]
    if opening == "{":
        depth, end = 1, head.end()
        while end < len(text) and depth:
            depth += (text[end] == "{") - (text[end] == "}")
            end += 1
        return end, _LATEX_TEXT.sub(r"\1", text[head.end() : end - (depth == 0)])
    if opening == ">":
        end = text.find("</", head.end())
        return (end, text[head.end() : end]) if end >= 0 else (len(text), text[head.end() :])
    lead = _LEAD.match(text, head.end())
    assert lead is not None, "it matches anything"
    sentence = _STATED.match(text, lead.end())
    assert sentence is not None, "it matches anything"
    return sentence.end(), sentence[0].strip()


def _worded(text: str, start: int, end: int, stated: str) -> _Statement:
    """Cut a statement in words off, with the `Therefore,` before it, unless it closes a longer sentence."""
    hence = _HENCE.search(text, max(0, start - 60), start)
    assert hence is not None, "it matches anything"
    begun = hence.start()
    linked = any(character.isalpha() for character in hence[0])
    alone = begun == 0 or "\n" in hence[0] or text[begun - 1] in ".!?:;)>…\"'"
    capital = (
        text[start].isupper()
        and "," not in hence[0]
        and not text[max(0, begun - 5) : begun].endswith((" then", " that"))
    )
    if linked or alone or capital:
        return _Statement(text[:begun], text[start:end], stated, text[end:])
    return _Statement(text[:end], "", stated, text[end:])


# --- cleaning

_BOLD = re.compile(r"(?<![\w*)])\*\*(?![\s*])([^*\n]*+)(?<!\s)\*\*(?![\w*])")
_FENCE = re.compile(r"^[ \t]{0,8}```\w{0,20}[ \t]{0,8}$", re.MULTILINE)
_BULLET = re.compile(r"^[ \t]{0,8}[-•*–][ \t]++(?=\S)", re.MULTILINE)
_HASHES = re.compile(r"^[ \t]{0,8}#{1,6}[ \t]++", re.MULTILINE)
_TAG = re.compile(  # such as `<Solution Path>`
    r"^[ \t]{0,8}</?(?!answer)[A-Za-z][A-Za-z _-]{0,40}>|</?(?!answer)[A-Za-z][A-Za-z _-]{0,40}>[ \t]{0,8}$",
    re.MULTILINE,
)
_OPENING = re.compile(r"\A\s*+(?:rationale|reasoning|explanation|solution|answer)[ \t]{0,2}[:：]", re.IGNORECASE)


def _tidy(text: str) -> str:
    """Leave out a teacher's thinking, tags, code fences, bullets and bold print."""
    text = _valid(text).replace("\r\n", "\n").replace("\r", "\n")
    text = text.rpartition("</think>")[2].partition("<think>")[0]
    for pattern in (_TAG, _FENCE, _BULLET):
        text = pattern.sub("", text)
    return _BOLD.sub(r"\1", text).strip()


def _one_line(text: str) -> str:
    return " ".join(_valid(text).split())


def _valid(text: str) -> str:
    """Replace surrogates without a partner, which JSON can hold and no file can."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
