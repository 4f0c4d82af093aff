"""Reads the final answer out of a student's raw text, or says why not, and grades it against the gold answer.

Change what any function here returns, and EXTRACTOR must change with it: scores carry it.
"""

import itertools
import re
from fractions import Fraction
from typing import NamedTuple, assert_never

from socratic_distill.reasoning.arithmetic import Numeral, last_numeral, numeral_matches, plain, read_numeral
from socratic_distill.records import AnswerKind

EXTRACTOR = "1"

MARKER = "####"
ROUNDED_PLACES = 4  # a decimal equals a fraction that it rounds to at least so many places


class Reading(NamedTuple):
    """What was read as the final answer, in canonical form, or one snake_case word for why nothing was."""

    answer: str | None
    reason: str = ""


# Every pattern is linear: no run can be begun at two places and end at a third.
_PHRASE = re.compile(
    r"\b(?:the\s++answer\s++is\b|final\s++answer\W{0,3}(?::|\bis\b))(?:[\s:*]|\.{2,8}|…)*+", re.IGNORECASE
)
_SENTENCE_END = re.compile(r"[.!?](?![\d.!?])|[\n\r]")
_RUN_ON = re.compile(
    r"[\n\r][ \t>*#]{0,8}(?:Question|Q|Problem|Exercise|Instruction|Example)\b[ \t*]{0,4}:", re.IGNORECASE
)


def read_answer(text: str, kind: AnswerKind, choices: tuple[str, ...] = ()) -> Reading:
    """Read the final answer: after the first `####`, else the first "the answer is", else at the end.

    After a marker only its line, or its sentence, is read; what cannot be read there is a reason, never a reading of
    something earlier. Without one, a new line that begins another `Question:` or `Q:` ends the text.

    Reasons: `empty`, `no_number`, `malformed_number` (`10:30`, `3.14.15`, `2^5`), `division_by_zero`,
    `number_out_of_range`, `not_computed` (`#### 5-3`), `no_boolean`, `no_choice`, `ambiguous`.
    """
    region, marked = _region(text)
    if not region.strip():
        return Reading(None, "empty")
    match kind:
        case "number":
            return _marked_number(plain(region)) if marked else _last_number(plain(region))
        case "boolean":
            return _marked_boolean(region) if marked else _boolean(region)
        case "choice":
            return _choice(region if marked else _last_line(region), choices)
        case "text":
            canonical = _canonical_text(region if marked else _last_line(region))
            return Reading(canonical) if canonical else Reading(None, "empty")
        case _:
            assert_never(kind)


def same_answer(predicted: str, gold: str, kind: AnswerKind, choices: tuple[str, ...] = ()) -> bool:
    """Grade one answer against another, whichever is which; an unreadable one is never the same.

    Numbers are equal as exact rationals, and a decimal equals a fraction (`1/3`) if it is its rounding to at least four
    places. Units are not compared: `$25` and `25%` are 25, so `25%` is not `0.25`.
    """
    one, other = (read_answer(text, kind, choices=choices).answer for text in (predicted, gold))
    if one is None or other is None:
        return False
    return one == other or (kind == "number" and _same_number(one, other))


def _same_number(one: str, other: str) -> bool:
    if ("/" in one) == ("/" in other):
        return Fraction(one) == Fraction(other)
    fraction, decimal = (one, other) if "/" in one else (other, one)
    difference = abs(Fraction(fraction) - Fraction(decimal))
    places = len(decimal.partition(".")[2])
    return difference == 0 or (places > 0 and difference * 10 ** max(places, ROUNDED_PLACES) <= Fraction(1, 2))


def _region(text: str) -> tuple[str, bool]:
    """Cut out the part of a text that holds the answer, and say whether a marker said so."""
    at = text.find(MARKER)
    if at >= 0:
        return re.split(r"[\n\r]", text[at + len(MARKER) :], maxsplit=1)[0], True
    phrase = _PHRASE.search(text)
    if phrase:
        end = _SENTENCE_END.search(text, phrase.end())
        return text[phrase.end() : end.start() if end else len(text)], True
    text = text.strip()
    run_on = _RUN_ON.search(text)
    return text[: run_on.start()] if run_on else text, False


def _last_line(text: str) -> str:
    return text.rstrip().rpartition("\n")[2]


# --- numbers

_ALTERNATIVE = re.compile(r"\s*+(?:,|,?\s*+(?:or|and)\b)\s*+", re.IGNORECASE)
_TIMES = re.compile(r"(?<=[\s\d)])[xX](?=\s{0,3}[\d$(])")
_OPERATION = re.compile(r"[^-+*/×÷=.,;:!?\n]*+(?P<operator>[-+*/×÷=])[\s$(*]*+")  # units may stand before an operator
_BEGUN = re.compile(r"[A-Za-z](?:[ ]?[+/×÷^][ ]?|[*-]|[ ][*-][ ])[$(]?$")
_SPACED_MINUS = re.compile(r"^\s*+-\s++(?=[$\d.])")


def _reading(numeral: Numeral) -> Reading:
    return Reading(numeral.canonical, "ambiguous" if numeral.reason == "list" else numeral.reason)


def _last_number(text: str) -> Reading:
    numeral = last_numeral(text)
    return _reading(numeral) if numeral else Reading(None, "no_number")


def _marked_number(text: str) -> Reading:
    """Read the first number; of an equation that it begins (`10 - 3 = 7`), the last side that is a number alone."""
    text = _SPACED_MINUS.sub("-", _TIMES.sub("*", text))
    matches = numeral_matches(text)
    first = next(matches, None)
    if first is None:
        return Reading(None, "no_number")
    alone = None if _BEGUN.search(text[max(0, first.start() - 4) : first.start()]) else first
    chosen = None
    for before, match in itertools.pairwise(itertools.chain([first], matches)):
        gap = text[before.end() : match.start()]
        operation = _OPERATION.fullmatch(gap)
        if operation and operation["operator"] == "=":
            chosen, alone = alone or chosen, match
        elif operation or (match["sign"] and not gap.strip(" )")):  # `10 -3`: the operator is taken for a sign
            alone = None
        elif _ALTERNATIVE.fullmatch(gap):
            return Reading(None, "ambiguous")
        else:
            break
    chosen = alone or chosen
    return _reading(read_numeral(chosen)) if chosen else Reading(None, "not_computed")


# --- yes and no

_BOOLEAN = re.compile(r"(?<![\w'’-])(?P<not>not\s{1,3})?(?P<word>yes|no|true|false)(?![\w'’]|-\w)", re.IGNORECASE)
_EITHER = re.compile(r"\s*+(?:/|,?\s*+or\b)\s*+", re.IGNORECASE)
_NO_WORD = re.compile(r"\W*")


def _meaning(match: re.Match[str]) -> str:
    affirmed = match["word"].lower() in ("yes", "true")
    return "yes" if affirmed != (match["not"] is not None) else "no"


def _marked_boolean(text: str) -> Reading:
    """Read the first of yes, no, true and false; `not true` is no, and `yes or no` is ambiguous."""
    first, second = itertools.islice(itertools.chain(_BOOLEAN.finditer(text), (None, None)), 2)
    if first is None:
        return Reading(None, "no_boolean")
    if second and _EITHER.fullmatch(text[first.end() : second.start()]) and _meaning(first) != _meaning(second):
        return Reading(None, "ambiguous")
    return Reading(_meaning(first))


def _boolean(text: str) -> Reading:
    """Read the word that opens or closes an unmarked text, else the only meaning in it; both meanings are ambiguous."""
    found = list(_BOOLEAN.finditer(text))
    ends = {_meaning(match) for match in found[:1] if _NO_WORD.fullmatch(text, 0, match.start())}
    ends |= {_meaning(match) for match in found[-1:] if _NO_WORD.fullmatch(text, match.end())}
    meanings = ends or {_meaning(match) for match in found}
    if len(meanings) == 1:
        return Reading(meanings.pop())
    return Reading(None, "ambiguous" if meanings else "no_boolean")


# --- choices and text

_TRIMMED = " .,;:!?…\"'`“”‘’()[]{}*_"
_LETTER = re.compile(
    r"\s*+(?:(?:option|choice)\s++)?(?:[(\[*\"'`]{1,3}(?P<wrapped>[A-Za-z])[)\]*\"'`.:]|(?P<bare>[A-Za-z])(?:[).:,]|\s*$|(?<![AaIi])\s))",
    re.IGNORECASE,
)
_OR_LETTER = re.compile(r"\s*+(?:/|,?\s*+(?:or|and)\b)\s*+[(\[*]{0,3}[A-Za-z]\b", re.IGNORECASE)
_LETTER_INSIDE = re.compile(r"\((?P<letter>[A-Z])\)|\b(?:option|choice)\s++\(?(?P<named>[A-Z])\b", re.IGNORECASE)


def _canonical_text(text: str) -> str:
    return " ".join(text.casefold().split()).strip(_TRIMMED)


def _words(text: str) -> str:
    return " " + " ".join(re.findall(r"[^\W_]+", text.casefold())) + " "


def _choice(text: str, choices: tuple[str, ...]) -> Reading:
    """Read a choice, as its letter: the whole text is one's, or it opens with a letter, or it names exactly one.

    Without choices any letter is one.
    """
    letters = [chr(ord("A") + index) for index in range(len(choices))] or [chr(code) for code in range(65, 91)]
    canonical = _canonical_text(text)
    whole = [letter for letter, choice in zip(letters, choices, strict=False) if _canonical_text(choice) == canonical]
    if whole:
        return Reading(whole[0])
    opening = _LETTER.match(text)
    if opening and _OR_LETTER.match(text, opening.end()):
        return Reading(None, "ambiguous")
    named = {(opening["wrapped"] or opening["bare"]).upper()} if opening else set()
    if not named & set(letters):
        named = {(match["letter"] or match["named"]).upper() for match in _LETTER_INSIDE.finditer(text)}
    named &= set(letters)
    if not named:
        words = _words(text)
        inside = {letter: _words(choice) for letter, choice in zip(letters, choices, strict=False)}
        inside = {letter: choice for letter, choice in inside.items() if choice.strip() and choice in words}
        named = {a for a, choice in inside.items() if not any(choice in other != choice for other in inside.values())}
    if len(named) == 1:
        return Reading(named.pop())
    return Reading(None, "ambiguous" if named else "no_choice")
