"""Reads the JSON that teachers write: lists of steps, lists of questions and of answers, or a rationale.

Keys are compared without case, spaces and signs, so `Sub-question` is `subquestion`.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from socratic_distill.reasoning.transcript_shapes import Pair, find_pairs


class Written(NamedTuple):
    """What a JSON value holds, still as written."""

    pairs: tuple[Pair, ...] = ()
    lists: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    """Questions and answers, where they are two lists."""
    rationale: str = ""
    answer: str = ""
    """The final answer, where a key of its own gives it."""
    reason: str = ""
    """Why nothing was read."""
    after: str = ""
    """The text that follows the JSON."""


_START = re.compile(r'^[ \t]{0,8}(?=\[\s{0,40}[\[{"]|\{\s{0,40}")', re.MULTILINE)
_NOT_LETTERS = re.compile(r"[\W\d_]+")
_LABEL = re.compile(r"(?:q|a|question|answer|subquestion|solution)[ _]?\d{1,3}", re.IGNORECASE)

QUESTIONS = ("questions", "subquestions")
ANSWERS = ("answers", "solutions")
QUESTION = ("subquestion", "question", "q", "ask")
SOLUTION = ("solution", "explanation", "reasoning", "rationale", "subsolution", "work")
ANSWER = ("answer", "a", "subanswer", "response", "result")
FINAL = ("finalanswer", "final", "answer")
STEPS = ("steps", "subquestions", "subquestionsandsolutions", "questionsandanswers", "qa", "dialogue", "solution")
RATIONALE = ("rationale", "reasoning", "explanation", "chainofthought", "cot", "solutionpath", "thought", "thoughts")


def read_json(text: str) -> Written | None:
    """Read the JSON that a text begins with, has in a fence or has from some line on; None where it has none."""
    start = _START.search(text)
    if start is None:
        return None
    try:
        # Numbers stay as they are written.
        decoder = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)
        value, end = decoder.raw_decode(text, start.end())
    except (ValueError, RecursionError):
        return Written(reason="broken_json")
    written = _from_list(value) if isinstance(value, list) else _from_object(value)
    return written._replace(after=text[end:])


def _from_object(value: dict[str, Any]) -> Written:
    """Read an object that has steps, two lists, a rationale, or a key such as `Q1` for each text."""
    lines = [f"{key.replace('_', ' ')}: {_text(one)}" for key, one in value.items() if _LABEL.fullmatch(key)]
    entries = _entries({key: one for key, one in value.items() if not _LABEL.fullmatch(key)})
    answer = _text(_first(entries, FINAL))
    if len(lines) > 1:
        pairs = find_pairs("\n".join(lines))
        return Written(pairs=pairs.found, answer=answer, reason=pairs.reason)
    questions, answers = _first(entries, QUESTIONS), _first(entries, ANSWERS)
    if questions and answers and all(isinstance(one, str) for one in questions):
        return Written(lists=(_texts(questions), _texts(answers)), answer=answer)
    steps = _first(entries, STEPS)
    inner = _from_list(steps) if isinstance(steps, list) else Written(rationale=_text(steps))
    return inner._replace(rationale=_text(_first(entries, RATIONALE)) or inner.rationale, answer=answer or inner.answer)


def _from_list(values: list[Any]) -> Written:
    """Read steps: objects, pairs of texts, or texts alone, which are a rationale's lines."""
    pairs: list[Pair] = []
    lines: list[str] = []
    answer = ""
    for value in values:
        if isinstance(value, list) and len(value) == 2:
            pairs.append(Pair(_text(value[0]), _text(value[1])))
        elif isinstance(value, dict):
            entries = _entries(value)
            question = _text(_first(entries, QUESTION))
            solution, own = _text(_first(entries, SOLUTION)), _text(_first(entries, ANSWER))
            if question:
                pairs.append(Pair(question, solution or own, own if solution else ""))
            elif value is values[-1] and not solution:
                answer = _text(_first(entries, FINAL)) or _text(next(iter(entries.values()), ""))
            else:
                lines.append(solution or _text(next((one for one in entries.values() if _text(one)), "")))
        else:
            lines.append(_text(value))
    if not pairs:
        return Written(rationale="\n".join(lines), answer=answer)
    # A value that is no step leaves the boundaries open.
    rationale = "\n".join(pair.solution for pair in pairs)
    return Written(pairs=() if lines else tuple(pairs), rationale=rationale, answer=answer)


def _entries(value: Any) -> dict[str, Any]:
    return {_NOT_LETTERS.sub("", key).lower(): one for key, one in value.items()} if isinstance(value, dict) else {}


def _first(entries: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((entries[name] for name in names if entries.get(name) not in (None, "", [])), "")


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(map(_text, value)) if isinstance(value, list) else (_text(value),)


def _text(value: Any) -> str:
    """Write a value as text: of a list the texts, each on a line; of an object nothing."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return "\n".join(one for one in value if isinstance(one, str))
    return value if isinstance(value, str) else ""
