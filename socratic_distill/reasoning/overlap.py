"""A contamination audit: how much of the test questions stands in what the students learn from.

Texts are compared as words without case, punctuation, or the commas within numbers; masked, every number is the same.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from socratic_distill.records import Annotation, Problem, Record

WORDS = 8
"""Words of an n-gram; a shorter question is one n-gram as a whole."""
EXAMPLES = 5

_WORD = re.compile(r"[0-9]++(?:\.[0-9]++)*+|[^\W_0-9]++(?:['’][^\W_0-9]++)*+")
_COMMA = re.compile(r"(?<=[0-9]),(?=[0-9])")
_MASK = "0"
_DIGITS = frozenset("0123456789")

_Words = tuple[str, ...]
_Source = tuple[str, _Words]
"""A training problem's id, and the words of a text of it."""


class Overlap(Record):
    """How many test questions share their words with training questions and annotations, of how many."""

    n: int
    """Words of an n-gram."""
    problems: int
    """Test problems."""
    exact: int
    """Their question is also a training question."""
    any: int
    """At least one of their n-grams occurs in training."""
    most: int
    """At least half of their n-grams do."""
    exact_masked: int
    """The same with every number masked: questions from one template are then equal."""
    any_masked: int
    most_masked: int
    examples: tuple[tuple[str, str], ...]
    """The test problems that share most, at most five, worst first: each with a training problem that has it."""


class _Found(Record):
    """What of one test question occurs in training."""

    exact: bool
    share: float
    """Of its n-grams."""
    source: str = ""
    """A training problem that has it."""


def overlap(
    test: Sequence[Problem], learned: Sequence[Problem], annotations: Iterable[Annotation], *, n: int = WORDS
) -> Overlap | None:
    """Audit test questions against the problems to learn from and their annotations; None where there are none."""
    if not test or not learned:
        return None
    questions = [words(problem.question) for problem in test]
    given = [(problem.id, words(problem.question)) for problem in learned]
    written = [(annotation.problem, words(text)) for annotation in annotations for text in _texts(annotation)]
    plain = _find(questions, given, written, n)
    masked = _find([mask(own) for own in questions], _masked(given), _masked(written), n)
    ranked = sorted(range(len(test)), key=lambda place: (-plain[place].share, -masked[place].share))
    examples = [
        (test[place].id, plain[place].source or masked[place].source)
        for place in ranked[:EXAMPLES]
        if masked[place].share
    ]
    return Overlap(
        n=n,
        problems=len(test),
        exact=sum(found.exact for found in plain),
        any=sum(found.share > 0 for found in plain),
        most=sum(found.share >= 0.5 for found in plain),
        exact_masked=sum(found.exact for found in masked),
        any_masked=sum(found.share > 0 for found in masked),
        most_masked=sum(found.share >= 0.5 for found in masked),
        examples=tuple(examples),
    )


def words(text: str) -> tuple[str, ...]:
    """Return a text's words and numbers, without case and the commas within numbers."""
    return tuple(_WORD.findall(_COMMA.sub("", text.casefold())))


def mask(text: tuple[str, ...]) -> tuple[str, ...]:
    """Put `0` for every number."""
    return tuple(_MASK if word[0] in _DIGITS else word for word in text)


def _find(questions: Sequence[_Words], given: Sequence[_Source], written: Sequence[_Source], n: int) -> list[_Found]:
    """Look for test questions among the questions given to learn from and the texts written for them."""
    wanted: dict[int, set[_Words]] = {}  # by length: n, and those of shorter questions
    for question in questions:
        wanted.setdefault(min(n, len(question)), set()).update(_ngrams(question, n))
    wanted.pop(0, None)
    whole: dict[_Words, str] = {}
    for problem, text in given:
        whole.setdefault(text, problem)
    first: dict[_Words, str] = {}
    for problem, text in (*given, *written):
        _claim(first, wanted, text, problem)
    return [_shared(question, whole, first, n) for question in questions]


def _masked(sources: Sequence[_Source]) -> list[_Source]:
    return [(problem, mask(text)) for problem, text in sources]


def _claim(first: dict[_Words, str], wanted: dict[int, set[_Words]], text: _Words, problem: str) -> None:
    """Keep which training problem was first to have an n-gram that is asked for."""
    for length, ngrams in wanted.items():
        for ngram in ngrams.intersection(_ngrams(text, length)):
            first.setdefault(ngram, problem)


def _ngrams(text: _Words, n: int) -> Iterator[_Words]:
    """Yield the runs of n words of a text; a shorter text is one run, and an empty one has none."""
    n = min(n, len(text))
    return zip(*(text[start:] for start in range(n)), strict=False)


def _shared(question: _Words, whole: dict[_Words, str], first: dict[_Words, str], n: int) -> _Found:
    ngrams = set(_ngrams(question, n))
    sources = Counter(first[ngram] for ngram in ngrams if ngram in first)
    exact = bool(question) and question in whole
    return _Found(
        exact=exact,
        share=sources.total() / len(ngrams) if ngrams else 0.0,
        source=whole[question] if exact else next((name for name, _ in sources.most_common(1)), ""),
    )


def _texts(annotation: Annotation) -> Iterator[str]:
    """Yield what a student learns to write of an annotation, text by text."""
    yield annotation.rationale
    for step in annotation.steps:
        yield step.subquestion
        yield step.solution
