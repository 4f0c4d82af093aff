"""The checks that an annotation can fail, in one table: each a pure function with one formula, true where it passes.

What a check can't judge passes it, so those about steps pass an annotation without steps. Change what any returns, and
CHECKS_VERSION must change with it.
"""

import re
from collections.abc import Callable, Iterator
from fractions import Fraction

from socratic_distill.reasoning.answers import same_answer
from socratic_distill.reasoning.arithmetic import (
    Mark,
    equations,
    last_number,
    marks,
    numeral_matches,
    plain,
    read_numeral,
)
from socratic_distill.recipe import CheckName, Verify
from socratic_distill.records import Annotation, Problem

CHECKS_VERSION = "1"

Check = Callable[[Problem, Annotation, Verify], bool]

_WORD = re.compile(r"[^\W_]+")
_SPELT = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_SPELT_VALUES = {word: Fraction(value) for value, word in enumerate(_SPELT)}
# The scanner takes 48/2 for a fraction and the x of 3x4 for a letter: with room around them both are operators.
_OPERATOR = re.compile(r"(?<=[\d)])[ \t]?([/xX])[ \t]?(?=[\d.($])")
_UNTOLD = {"yes", "no", "true", "false"}


def answer(problem: Problem, annotation: Annotation, _settings: Verify) -> bool:
    """Check that the final answer equals the gold answer: the paper's consistency filter."""
    return same_answer(annotation.answer, problem.answer, kind=problem.answer_kind, choices=problem.choices)


def arithmetic(_problem: Problem, annotation: Annotation, _settings: Verify) -> bool:
    """Check that every equation, marked or plain, that can be calculated is right, in the rationale and all steps."""
    return all(equation.right is not False for equation in stated_equations(annotation))


def unused_answer(_problem: Problem, annotation: Annotation, _settings: Verify) -> bool:
    """Check that each step's answer but the last stands as a number in a later solution.

    Signs are not compared. A step whose answer has no number passes.
    """
    later: set[Fraction] = set()
    for place, step in reversed(list(enumerate(annotation.steps))):
        value = _value(step.answer)
        if place < len(annotation.steps) - 1 and value is not None and value not in later:
            return False
        later |= numbers(step.solution) | spelt_numbers(step.solution)
    return True


def step_count(_problem: Problem, annotation: Annotation, settings: Verify) -> bool:
    """Check that the number of steps is `min_steps` to `max_steps`."""
    return not annotation.steps or settings.min_steps <= len(annotation.steps) <= settings.max_steps


def repeated_subquestion(_problem: Problem, annotation: Annotation, _settings: Verify) -> bool:
    """Check that no subquestion has the words of an earlier one in the same order, in whatever case."""
    asked = [tuple(words(step.subquestion)) for step in annotation.steps]
    return len(set(asked)) == len(asked)


def gives_away(problem: Problem, annotation: Annotation, _settings: Verify) -> bool:
    """Check that no subquestion holds its own answer, unless the problem or an earlier answer holds it too.

    A number is looked for as one, whatever its sign, and another answer as a run of words. Yes, no, true, false and
    single letters are not looked for.
    """
    given = "\n".join((problem.question, *problem.facts, *problem.choices))
    known, given_words = numbers(given) | spelt_numbers(given), _run(given)
    known_runs: set[str] = set()
    for step in annotation.steps:
        value, run = _value(step.answer), _run(step.answer)
        if value is not None:
            if value not in known and value in numbers(step.subquestion):
                return False
            known.add(value)
        elif len(run.strip()) > 1 and run.strip() not in _UNTOLD:
            if run in _run(step.subquestion) and run not in known_runs and run not in given_words:
                return False
            known_runs.add(run)
    return True


def not_a_question(_problem: Problem, annotation: Annotation, _settings: Verify) -> bool:
    """Check that every subquestion asks: see `is_question`."""
    return all(is_question(step.subquestion) for step in annotation.steps)


def off_question(problem: Problem, annotation: Annotation, _settings: Verify) -> bool:
    """Check that the last subquestion has one of the problem's asked-for words (see `asked_words`) or points back.

    It points back as in `Is answer 1 more than answer 2?`: to an answer, step or question by number.
    """
    asked = asked_words(problem.question)
    if not annotation.steps or not asked:
        return True
    last = annotation.steps[-1].subquestion
    return bool(asked & _stems(words(last)) or _POINTS_BACK.search(last))


def cut(_problem: Problem, annotation: Annotation, _settings: Verify) -> bool:
    """Check that the text did not reach the limit of tokens."""
    return not annotation.cut


CHECKS: dict[CheckName, Check] = {
    "answer": answer,
    "arithmetic": arithmetic,
    "unused_answer": unused_answer,
    "step_count": step_count,
    "repeated_subquestion": repeated_subquestion,
    "gives_away": gives_away,
    "not_a_question": not_a_question,
    "off_question": off_question,
    "cut": cut,
}


def stated_equations(annotation: Annotation) -> Iterator[Mark]:
    """Find every equation of an annotation, marked or plain."""
    yield from _equations_in(annotation.rationale)
    for step in annotation.steps:
        yield from _equations_in(step.subquestion)
        yield from _equations_in(step.solution)


def _equations_in(text: str) -> Iterator[Mark]:
    yield from marks(text)
    yield from equations(text)


def words(text: str) -> list[str]:
    """Return the words and digits of a text, casefolded, without punctuation."""
    return _WORD.findall(text.casefold())


def numbers(text: str) -> set[Fraction]:
    """Return the numbers that a text writes in digits, without their signs."""
    text = plain(text)
    texts = {text, _OPERATOR.sub(r" \1 ", text)}
    found = (read_numeral(match).canonical for one in texts for match in numeral_matches(one))
    return {abs(Fraction(number)) for number in found if number is not None}


def spelt_numbers(text: str) -> set[Fraction]:
    """Return the numbers from zero to twelve that a text writes as words."""
    return {_SPELT_VALUES[word] for word in words(text) if word in _SPELT_VALUES}


def _value(text: str) -> Fraction | None:
    """Return a step's answer as a number without its sign."""
    number = last_number(text)
    return None if number is None else abs(Fraction(number))


def _run(text: str) -> str:
    """Write a text's words so that one run of words is found in another as a text."""
    return f" {' '.join(words(text))} "


# --- what asks, and what is asked for

_LEADS = "first|second|third|next|then|now|finally|lastly|and|so|in|at|by|for|to|of|on|from|with"
_ASKS = "how|what|which|who|whom|whose|why"
_HELPS = "is|are|was|were|am|do|does|did|can|could|would|should|has|have|had"
_TELLS = (
    "add|calculate|combine|compare|compute|convert|count|define|describe|determine|divide|estimate|evaluate|explain|"
    "express|find|give|identify|list|multiply|name|rewrite|round|set up|show|simplify|solve|state|substitute|subtract|"
    "tell|work out|write"
)
_OPENS = re.compile(
    rf"\W*+(?:(?:{_LEADS})\W++)?(?:{_ASKS}|{_HELPS}|{_TELLS}|(?:when|where)\W++(?:{_HELPS}))\b", re.IGNORECASE
)
_GOES_ON = re.compile(r"[,:;][ \t]?(?:and |then )?(?:how|what)\b", re.IGNORECASE)
_CLOSING = " \t\r\n\"'”’»)]}*_"


def is_question(text: str) -> bool:
    """Say whether a text asks: it has a word, and one of four signs.

    It ends in a question mark; it opens with a question word, an auxiliary or an imperative, perhaps after a word such
    as `then` or `in`; or it goes on after a comma or colon with `how` or `what`.
    """
    if not _WORD.search(text):
        return False
    return text.rstrip(_CLOSING).endswith(("?", "？")) or bool(_OPENS.match(text) or _GOES_ON.search(text))


_POINTS_BACK = re.compile(r"\b(?:answer|question|step)s?[ \t]{1,2}#?\d|#\d", re.IGNORECASE)
_SENTENCES = re.compile(r"(?<=[.!?])\s+")
_MAIN_ASKS = {"how", "what", "which"}
_EMPTY_WORDS = frozenset(
    words(
        "a about after again all also am an and any are as at be because been before being but by can could did do "
        "does doing done down during each for from further get gets got had has have having he her here hers him his "
        "how i if in into is it its just made make makes many may me might more most much must my now of off on once "
        "one only or other our out over own s shall she should so some such t than that the their them then there "
        "these they this those through to too under until up us very was we were what when where which while who whom "
        "whose why will with would you your"
    )
)


def asked_words(question: str) -> frozenset[str]:
    """Return what a problem asks for: the content words after the last `how`, `what` or `which` of its last question.

    The last question is the last sentence with a question mark, else the last sentence. Without such a word, or with
    no content word after it, all of its content words count. Words are stemmed, so `apples` is `apple`.
    """
    sentences = [sentence for sentence in _SENTENCES.split(question.strip()) if sentence]
    asking = [sentence for sentence in sentences if "?" in sentence] or sentences
    said = words(asking[-1]) if asking else []
    opening = max((place for place, word in enumerate(said) if word in _MAIN_ASKS), default=-1)
    return _stems(said[opening + 1 :]) or _stems(said)


def _stems(said: list[str]) -> frozenset[str]:
    return frozenset(_stem(word) for word in said if word not in _EMPTY_WORDS)


def _stem(word: str) -> str:
    """Cut the commonest English endings, where three letters stay."""
    if word.endswith("ss"):
        return word
    for ending in ("ing", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word.removesuffix(ending)
            break
    return f"{word[:-1]}i" if word.endswith("y") and len(word) > 3 else word
