"""Numbers and arithmetic in text: one number scanner, a calculator over exact fractions, and calculator marks.

A number's canonical text keeps how it was written: a fraction stays one, in lowest terms; a decimal loses idle zeros.
"""

import itertools
import re
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

MAX_EXPRESSION = 200  # characters; longer ones are not calculated
MAX_DEPTH = 32  # parentheses
MAX_DIGITS = 300  # of a number, written out; more is out of range
MAX_EXPONENT = 300
EXACT_PLACES = 6  # a value that ends within these is written in full
ROUNDED_PLACES = 4
STATED_PLACES = 2  # a stated decimal may be a rounding from here on: cents

# Every pattern here is linear: runs are possessive, and what comes before a required character is bounded.
_SIGNS = str.maketrans("０１２３４５６７８９．，－＋／％＝（）＊＄−‒–⁄∕∙·⋅", "0123456789.,-+/%=()*$---//***")
_VULGAR = str.maketrans({"½": "1/2", "¼": "1/4", "¾": "3/4", "⅓": "1/3", "⅔": "2/3", "⅕": "1/5", "⅛": "1/8"})
_AFTER_WHOLE = re.compile(r"(?<=\d)(?=[½¼¾⅓⅔⅕⅛]|\\[dt]?frac)")
_LATEX_FRACTION = re.compile(r"\\[dt]?frac\{(\d{1,300})\}\{(\d{1,300})\}")

_NUMERAL = re.compile(
    r"""
    (?:(?<![A-Za-z0-9)\]}%-])(?P<sign>[-+]))?                             # a minus after an operand is an operator
    (?:[$€£¥₹][ ]{0,2}(?P<inner>[-+])?)?
    (?<![A-Za-z0-9])(?<![0-9][.,:])                                       # H2O, v1.5
    (?:
      (?P<whole>\d++)(?:[ \t\xa0]{1,2}|[ ]and[ ])(?P<part>\d++/\d++)(?![./:,]?\d)
    | (?P<core>(?:\d++(?:[.,:]\d++)*+|\.\d++)(?:[eE][-+]?\d++(?![A-Za-z0-9]))?+(?:/\d++(?:[.,:]\d++)*+)*+)
    )
    (?P<power>\^[-+({]?\d*+|\*\*\d++|[⁰¹²³⁴⁵⁶⁷⁸⁹]++)?
    (?:[ ]?%)?
    """,
    re.VERBOSE,
)
_DECIMAL = re.compile(r"(?:\d+|\d{1,3}(?:,\d{3})+)?(?:\.\d+)?")
_LIST = re.compile(r"(?:0|[1-9]\d*+)(?:,(?:0|[1-9]\d*+))++(?:\.\d++)?")


class Numeral(NamedTuple):
    """A number as a text writes it."""

    start: int
    end: int
    canonical: str | None
    """None where it cannot be read."""
    reason: str
    """Why not: `malformed_number`, `list`, `division_by_zero` or `number_out_of_range`."""


class Mark(NamedTuple):
    """An equation that a text states, as a calculator mark `<<a=b>>` or plainly."""

    start: int
    end: int
    expression: str
    stated: str
    value: Fraction | None
    """The expression's; None where it is not calculable."""
    right: bool | None


def plain(text: str) -> str:
    """Write a text's numbers in ASCII: full-width digits, Unicode minus signs, vulgar and LaTeX fractions."""
    if text.isascii() and "\\" not in text and "{,}" not in text:
        return text
    text = _AFTER_WHOLE.sub(" ", text.translate(_SIGNS)).translate(_VULGAR)
    return _LATEX_FRACTION.sub(r"\1/\2", text).replace("{,}", ",")


def numeral_matches(text: str) -> Iterator[re.Match[str]]:
    """Find the numbers of a plain text, left to right, without reading them."""
    return _NUMERAL.finditer(text)


def read_numeral(match: re.Match[str], *, last_of_list: bool = False) -> Numeral:
    """Read one match; of a list such as `1,2,3` the last number if `last_of_list`, else the reason `list`."""
    canonical, reason = _read(match, last_of_list)
    return Numeral(match.start(), match.end(), canonical, reason)


def last_number(text: str) -> str | None:
    """Return the canonical text of the last number in a text; None where there is none or it cannot be read."""
    numeral = last_numeral(plain(text))
    return numeral.canonical if numeral else None


def last_numeral(text: str) -> Numeral | None:
    """Return the last number of a plain text, readable or not."""
    last = deque(numeral_matches(text), maxlen=1)
    return read_numeral(last[0], last_of_list=True) if last else None


def _read(match: re.Match[str], last_of_list: bool) -> tuple[str | None, str]:
    if match["power"]:
        return None, "malformed_number"
    if match["core"] is None:
        if len(match["whole"]) + len(match["part"]) > MAX_DIGITS:
            return None, "number_out_of_range"
        numerator, denominator = (int(number) for number in match["part"].split("/"))
        if denominator == 0:
            return None, "division_by_zero"
        return _canonical(_signed(match, int(match["whole"]) + Fraction(numerator, denominator)), fraction=True)
    core = match["core"]
    if _LIST.fullmatch(core) and not _DECIMAL.fullmatch(core):
        if not last_of_list:
            return None, "list"
        return _canonical_of_parts([core.rpartition(",")[2]], "", 1)
    mantissa, _, exponent = core.lower().partition("e")
    return _canonical_of_parts((mantissa if exponent else core).split("/"), exponent, _signed(match, Fraction(1)))


def _signed(match: re.Match[str], value: Fraction) -> Fraction:
    if match["inner"]:
        return -value if match["inner"] == "-" else value
    if match["sign"] != "-":
        return value
    before = match.string[max(0, match.start() - 8) : match.start()].rstrip(" ")
    return value if before[-1:].isdigit() or before.endswith((")", "%")) else -value


def _canonical_of_parts(parts: list[str], exponent: str, sign: Fraction | int) -> tuple[str | None, str]:
    if "/" in exponent or len(parts) > 2:
        return None, "malformed_number"
    if any(len(part) > MAX_DIGITS * 4 // 3 for part in parts) or len(exponent) > 5:
        return None, "number_out_of_range"
    if not all(_DECIMAL.fullmatch(part) for part in parts):
        return None, "malformed_number"
    value, *rest = (Fraction(part.replace(",", "")) for part in parts)
    if rest:
        if rest[0] == 0:
            return None, "division_by_zero"
        value /= rest[0]
    if exponent:
        if abs(int(exponent)) > MAX_EXPONENT:
            return None, "number_out_of_range"
        value *= Fraction(10) ** int(exponent)
    return _canonical(sign * value, fraction=bool(rest))


def _canonical(value: Fraction, *, fraction: bool) -> tuple[str | None, str]:
    text = str(value) if fraction else exact_decimal(value)
    assert text is not None, "what is written as a decimal ends"
    if max(len(part.strip("-").replace(".", "")) for part in text.split("/")) > MAX_DIGITS:
        return None, "number_out_of_range"
    return text, ""


def exact_decimal(value: Fraction) -> str | None:
    """Write a fraction as the shortest exact decimal; None where it never ends."""
    rest, twos, fives = value.denominator, 0, 0
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    return _fixed(value, max(twos, fives)) if rest == 1 else None


def _fixed(value: Fraction, places: int) -> str:
    scaled = abs(value) * 10**places
    digits = str((2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)).zfill(places + 1)
    sign = "-" if value < 0 and digits.strip("0") else ""
    return sign + (f"{digits[:-places]}.{digits[-places:]}" if places else digits)


def format_number(value: Fraction) -> str:
    """Write a number as the calculator does: in full if it ends within six places, else rounded half up.

    Rounding keeps four places, more only where that would leave fewer than four significant digits (1/3000: 0.0003333).
    """
    exact = exact_decimal(value)
    if exact is not None and len(exact.partition(".")[2]) <= EXACT_PLACES:
        return exact
    places = ROUNDED_PLACES
    while abs(value) * 10 ** (places + 1 - ROUNDED_PLACES) < 1:
        places += 1
    return _fixed(value, places)


_TOKEN = re.compile(r"[ \t$]*+(?P<token>(?:\d{1,3}(?:,\d{3})++(?!\d)|\d++)(?:\.\d*+)?|\.\d++|//|[-+*/()%]|\Z)")


def evaluate(expression: str) -> Fraction | None:
    """Calculate + - * / // and parentheses exactly; None for whatever else, a division by zero and over-long input.

    `x`, `×` and `÷` are operators, `25%` is 0.25, `$` is not read. `//` rounds down, as in GSM8K's own marks.
    """
    if len(expression) > MAX_EXPRESSION:
        return None
    text = re.sub("[xX×]", "*", expression.translate(_SIGNS)).replace("÷", "/")
    tokens = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            return None
        tokens += [match["token"]] if match["token"] else []
        position = match.end()
    try:
        value, end = _sum(tokens, 0, 0)
    except ArithmeticError:  # a division by zero, or no expression
        return None
    return value if end == len(tokens) else None


def _sum(tokens: list[str], at: int, depth: int) -> tuple[Fraction, int]:
    value, at = _product(tokens, at, depth)
    while at < len(tokens) and tokens[at] in ("+", "-"):
        term, after = _product(tokens, at + 1, depth)
        value, at = (value + term if tokens[at] == "+" else value - term), after
    return value, at


def _product(tokens: list[str], at: int, depth: int) -> tuple[Fraction, int]:
    value, at = _factor(tokens, at, depth)
    while at < len(tokens) and tokens[at] in ("*", "/", "//"):
        term, after = _factor(tokens, at + 1, depth)
        match tokens[at]:
            case "*":
                value *= term
            case "/":
                value /= term
            case _:
                value = Fraction(value // term)
        at = after
    return value, at


def _factor(tokens: list[str], at: int, depth: int) -> tuple[Fraction, int]:
    sign = 1
    while at < len(tokens) and tokens[at] in ("+", "-"):
        sign, at = (-sign if tokens[at] == "-" else sign), at + 1
    if at == len(tokens) or depth > MAX_DEPTH:
        raise ArithmeticError
    if tokens[at] == "(":
        value, at = _sum(tokens, at + 1, depth + 1)
        if at == len(tokens) or tokens[at] != ")":
            raise ArithmeticError
    elif tokens[at][0] in ".0123456789":
        value = Fraction(tokens[at].replace(",", ""))
    else:
        raise ArithmeticError
    at += 1
    while at < len(tokens) and tokens[at] == "%":
        value, at = value / 100, at + 1
    return sign * value, at


_MARK = re.compile(r"<<(?P<expression>[^<>\n]*+)>>")
_OPERAND = r"-?+[(]{0,8}+[-$]{0,2}+[(]{0,8}+(?:\d++(?:[.,]\d++)*+|\.\d++)(?:[ ]?%)?[)]{0,8}"
_SUM = rf"{_OPERAND}(?:[ \t]*+(?:[-+*×÷]|[xX](?!-)|//?)[ \t]*+{_OPERAND})*+"
_CHAIN = re.compile(rf"(?<![\w.,^:]){_SUM}(?:[ \t]*+=[ \t]*+{_SUM})*+")
_OPERATOR_INSIDE = re.compile(r"[)%\d][ \t]*[-+*/×÷xX]")
_BULLET = re.compile(r"(?:^|\n)[ \t]*[-*+][ \t]*$")
_PART_BEFORE = re.compile(r"(?:[-+*×÷/^\d]|\b(?:[xX]|\d and|of|by|times|twice|half|plus|minus))[ \t]*$")
_PART_AFTER = re.compile(
    r"[\w(^:²³…]|\.\.|[.,:]\d"
    r"|[ \t]*+(?:[-+*×÷/=\d]|x\b|and \d|(?:r(?:emainder)?|hundred|thousand|million|billion|dozen|cents?)\b)",
    re.IGNORECASE,
)
_STATED = re.compile(r"(?P<number>-?(?:\d+|\d{1,3}(?:,\d{3})+)?(?:\.(?P<places>\d+))?)(?P<percent>%?)")


def marks(text: str) -> Iterator[Mark]:
    """Check each calculator mark `<<a=b>>`: whether b is a's value, or that value rounded to b's two or more places."""
    for match in _MARK.finditer(text):
        expression, equals, stated = match["expression"].rpartition("=")
        if equals:
            yield _mark(match.start(), match.end(), expression, stated)


def equations(text: str) -> Iterator[Mark]:
    """Check each plain `a op b = c` outside marks, as `marks` does.

    A chain is checked link by link, and may run on as people write it: `1 + 5 = 2 + 4 = 6` and `1 + 2 = 3 + 4 = 7`.
    Left out is what only looks like an equation, as a part of it is in words: `n + 2 * 3 = 9`, `2 * 3 = 6 hundred`.
    """
    text = _MARK.sub(lambda match: " " * len(match[0]), text).translate(_SIGNS)
    for chain in _CHAIN.finditer(text):
        if "=" not in chain[0] or _PART_AFTER.match(text, chain.end()):
            continue
        before = text[max(0, chain.start() - 20) : chain.start()]
        if _PART_BEFORE.search(before) and not _BULLET.search(before):
            continue
        sides = list(re.finditer(r"[^=]+", chain[0]))
        for left, right in itertools.pairwise(sides):
            start = chain.start() + left.end() - len(left[0].lstrip())
            end = chain.start() + right.start() + len(right[0].rstrip())
            expression, stated = left[0].strip(), right[0].strip()
            if expression.startswith("(") and expression.count("(") == expression.count(")") + 1:
                start, expression = start + 1, expression[1:]
            if stated.endswith(")") and stated.count(")") == stated.count("(") + 1:
                end, stated = end - 1, stated[:-1]
            if _OPERATOR_INSIDE.search(expression) and expression.count("(") == expression.count(")"):
                mark = _mark(start, end, expression, stated)
                running = _OPERATOR_INSIDE.search(stated)
                if running and mark.value is not None and not mark.right:
                    mark = mark._replace(right=states(stated[: running.start() + 1], mark.value))
                yield mark


def stated_equations(text: str) -> list[str]:
    """List a text's calculations as it states them, `48/2=24`: those of its marks, else its plain ones."""
    return [f"{one.expression}={one.stated}" for one in list(marks(text)) or equations(text)]


def _mark(start: int, end: int, expression: str, stated: str) -> Mark:
    value = evaluate(expression)
    return Mark(start, end, expression, stated, value, None if value is None else states(stated, value))


def states(stated: str, value: Fraction) -> bool:
    """Say whether a text states a value: exactly, or as its rounding to the two or more decimal places that it gives.

    A percentage states 0.25 as well as 25.
    """
    stated = stated.translate(_SIGNS).replace("$", "").strip()
    match = _STATED.fullmatch(stated)
    if match is None or len(stated) > MAX_EXPRESSION or not match["number"].strip("-"):
        return evaluate(stated) == value
    number = Fraction(match["number"].replace(",", ""))
    places = len(match["places"] or "")
    readings = [(number, places), (number / 100, places + 2)] if match["percent"] else [(number, places)]
    return any(
        number == value or (places >= STATED_PLACES and abs(number - value) * 10**places <= Fraction(1, 2))
        for number, places in readings
    )


def last_mark_value(text: str) -> str | None:
    """Return the text that the last calculator mark states; None where there is no mark."""
    last = deque((match["expression"] for match in _MARK.finditer(text) if "=" in match["expression"]), maxlen=1)
    return last[0].rpartition("=")[2] if last else None


def corrected(text: str) -> str:
    """Put the right value into the mark that ends a text, if what it states is wrong and the calculator can tell."""
    ending = text[max(0, text.rfind("<<")) :] if text.endswith(">>") else ""
    mark = next(marks(ending), None)
    if mark is None or mark.end != len(ending) or mark.value is None or mark.right:
        return text
    return f"{text[: len(text) - len(mark.stated) - 2]}{format_number(mark.value)}>>"


def step_answer(solution: str) -> str:
    """Return a step's answer a_j: what its last calculator mark states, else its last number, else nothing."""
    stated = last_mark_value(solution)
    return (last_number(stated) if stated else None) or last_number(solution) or ""
