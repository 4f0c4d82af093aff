"""Finds the pairs of subquestion and solution in a teacher's text, in every shape that it may have.

A boundary is never guessed: where the labels, the numbers or the question marks leave it open, a reason comes back.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from socratic_distill.reasoning.prompts import SEPARATOR


class Pair(NamedTuple):
    """A subquestion and its solution, each still as written."""

    subquestion: str
    solution: str
    answer: str = ""
    """The step's answer where the text gives it apart from the solution."""


class Pairs(NamedTuple):
    """The pairs of a text, or the reason why they were not found."""

    found: tuple[Pair, ...] = ()
    reason: str = ""
    answer: str = ""
    """The final answer, where a label of its own gives it after the last solution."""


class Item(NamedTuple):
    """What one label introduces, up to the next."""

    kind: Literal["question", "solution"]
    word: str
    """The label's, in small letters: `q`, `subquestion`, `answer`."""
    number: int | None
    text: str


# Every pattern here is linear: runs are bounded or possessive.
_LABEL = re.compile(
    r"""
    (?: ^[ \t>*\#_•-]{0,12}(?:\(?\d{1,3}[.)][ \t]{1,4})?                # `3. ` may precede the label
        (?:(?P<question>Q|(?i:sub[- ]?question|question))
          |(?P<solution>A|(?i:sub[- ]?answer|sub[- ]?solution|answer|solution)))
        [ \t]{0,2}\#?(?P<number>\d{1,3})?[ \t]{0,2}
        (?:[:：]|(?<=\d)[.)](?=\s))
    | (?<=[ \t])(?P<inline>[QA])(?P<inline_number>\d{1,3})[:：](?=\s)   # run together in one line
    )
    """,
    re.VERBOSE | re.MULTILINE,
)
_NUMBER = re.compile(
    r"^[ \t>*#_•-]{0,12}"
    r"(?:(?i:step)[ \t]{0,2}(?P<step>\d{1,3})[ \t]{0,2}(?:[:：.)-]|$)|\(?(?P<number>\d{1,3})[.)](?=[ \t]))",
    re.MULTILINE,
)
_HEADING = re.compile(  # `Answers:`, or Markdown's that asks nothing
    r"^[ \t]{0,8}(?:#{2,6}[ \t][^?\n]*+|(?i:(?:sub[- ]?)?(?:questions|answers|solutions))[ \t]{0,4}[:：]?[ \t]*+)$",
    re.MULTILINE,
)
_POWER = re.compile(r"(?:[\d)]|\b[a-z]) \*\* [\d(]")  # `What is 2 ** 3?`
_QUESTION_MARK_LINE = re.compile(r"[^\n]*+")


def find_pairs(text: str) -> Pairs:
    """Find the pairs of a text that holds both subquestions and solutions, its final statement cut off.

    Shapes, in this order: `subquestion ** solution` in every line; labels (`Q1:`, `Subquestion:`, `Answer 2:`), pair
    by pair or all questions first; `**` in some lines, the others going on with a solution; numbered steps, or two
    numbered lists; sentences run together, where each question begins a pair.
    """
    text = _HEADING.sub(lambda heading: heading[0] if _LABEL.match(heading[0]) else "", text)
    lines = [line for line in text.split("\n") if line.strip()]
    separated = [_separated(line) for line in lines]
    if lines and all(separated):
        return _from_lines(lines)
    items = labelled(text)
    kinds = {item.kind for item in items}
    if len(kinds) == 2:
        return paired(items)
    if any(separated):
        return _from_lines(lines)
    if len(items) == 1:  # `Solution:` before all of it
        return run_together(items[0].text)
    if items:
        numbers = [item.number for item in items]
        whole = not any(numbers) or _ascending(numbers)
        return from_steps([item.text for item in items]) if whole else paired(items)
    return _from_numbers(text) or run_together(text)


def labelled(text: str) -> list[Item]:
    """Cut a text at its labels; what precedes the first is left out."""
    matches = list(_LABEL.finditer(text))
    items = []
    for match, after in zip(matches, _after(text, matches), strict=True):
        word = match["question"] or match["solution"] or match["inline"]
        number = match["number"] or match["inline_number"]
        kind: Literal["question", "solution"] = "question" if match["question"] or word == "Q" else "solution"
        items.append(Item(kind, word.lower(), int(number) if number else None, after))
    return items


def _after(text: str, matches: list[re.Match[str]]) -> list[str]:
    """Return what follows each match, up to the next."""
    ends = [match.start() for match in matches[1:]] + [len(text)]
    return [text[match.end() : end] for match, end in zip(matches, ends, strict=False)]


# --- labels


def paired(items: list[Item]) -> Pairs:
    """Pair labelled items: question and solution in turn, or all questions and then all solutions."""
    stated = ""
    if len(items) > 2 and _is_apart(items[-2], items[-1]):
        *items, last = items
        stated = last.text
    pairs = _in_turn(items)
    if pairs is None:
        count = 1
        while count < len(items) and items[count].kind == "question" and _follows(items[count - 1], items[count]):
            count += 1
        pairs = pair_blocks(items[:count], items[count:])
    return pairs._replace(answer=stated)


def pair_blocks(questions: list[Item], answers: list[Item]) -> Pairs:
    """Pair a block of questions with a block of answers, by their order; both must be numbered alike.

    The answers may first repeat the questions, and may be labelled as questions are.
    """
    if not questions or questions[0].kind != "question":
        return Pairs(reason="no_questions")
    repeated = [_flat(item.text) for item in answers[: len(questions)]]
    if repeated == [_flat(item.text) for item in questions]:
        answers = answers[len(questions) :]
    if len(answers) != len(questions):
        return Pairs(reason="count_mismatch")
    blocks = [[item.number for item in items] for items in (questions, answers)]
    if not all(_ascending(block) for block in blocks if any(block)):
        return Pairs(reason="label_order")
    if not any(blocks[1]) and any(item.kind == "question" for item in answers):
        return Pairs(reason="unanswered_question")
    return Pairs(tuple(Pair(_asked(q.text), a.text) for q, a in zip(questions, answers, strict=True)))


def plain_items(kind: Literal["question", "solution"], texts: Sequence[str]) -> list[Item]:
    """Take texts that have no labels; one text alone holds one on each line."""
    lines = texts if len(texts) != 1 else texts[0].split("\n")
    plain = [_NUMBER.sub("", line, count=1) for line in lines if line.strip()]
    return [Item(kind, "", None, line) for line in plain]


def _in_turn(items: list[Item]) -> Pairs | None:
    """Pair items that take turns, a solution perhaps followed by its answer apart; None where they do not."""
    pairs: list[Pair] = []
    numbers: list[int | None] = []
    place = 0
    while place < len(items):
        question, *rest = items[place : place + 3]
        if question.kind != "question" or not rest or rest[0].kind != "solution":
            return None
        apart = len(rest) == 2 and _is_apart(*rest)
        pairs.append(Pair(_asked(question.text), rest[0].text, rest[1].text if apart else ""))
        numbers.append(question.number if rest[0].number in (None, question.number) else -1)
        place += 3 if apart else 2
    if any(numbers) and not _ascending(numbers):
        return Pairs(reason="label_order")
    return Pairs(tuple(pairs))


def _is_apart(solution: Item, answer: Item) -> bool:
    """Say whether a label after a solution gives the answer apart: `Answer:` after `Solution:` or after `A3:`."""
    if answer.word != "answer" or solution.kind != "solution":
        return False
    return solution.word != "answer" or (answer.number is None and solution.number is not None)


def _follows(before: Item, after: Item) -> bool:
    return before.number is None or after.number is None or after.number > before.number


def _ascending(numbers: list[int | None]) -> bool:
    return numbers == list(range(1, len(numbers) + 1))


def _asked(text: str) -> str:
    """Leave out the lines after a question's last question mark: they introduce what comes next."""
    at = text.rfind("?")
    line = _QUESTION_MARK_LINE.match(text, at) if at >= 0 else None
    return text[: line.end()] if line else text


def _flat(text: str) -> str:
    return " ".join(text.split())


# --- `subquestion ** solution`


def _separated(line: str) -> tuple[str, str] | None:
    left, found, right = f" {line} ".partition(f"{SEPARATOR} ")
    if not found or not left.strip() or ("?" in line and _POWER.search(line)):
        return None
    return left, right


def _from_lines(lines: list[str]) -> Pairs:
    opening: list[str] = []
    pairs: list[tuple[str, list[str]]] = []
    for line in lines:
        parted = _separated(line)
        if parted:
            pairs.append((_unlabelled(parted[0]), [parted[1]]))
        else:
            (pairs[-1][1] if pairs else opening).append(line)
    return _opened("\n".join(opening), [Pair(question, "\n".join(solution)) for question, solution in pairs])


def _unlabelled(text: str) -> str:
    label = _LABEL.match(text)
    return text[label.end() :] if label else text


# --- numbered steps


def _from_numbers(text: str) -> Pairs | None:
    """Read `1.`, `2.`, .. or `Step 1:`, ..; None where no line begins with a number."""
    matches = list(_NUMBER.finditer(text))
    if not matches:
        return None
    numbers: list[int | None] = [int(match["step"] or match["number"]) for match in matches]
    texts = _after(text, matches)
    count = next((place for place, number in enumerate(numbers) if place and number == 1), len(numbers))
    if count == len(numbers) and _ascending(numbers):
        return from_steps(texts)
    items = [
        Item("question" if place < count else "solution", "", number, text)
        for place, (number, text) in enumerate(zip(numbers, texts, strict=True))
    ]
    if not all(item.text.strip().endswith("?") for item in items[:count]):
        return Pairs(reason="label_order")
    return pair_blocks(items[:count], items[count:])


def from_steps(texts: Iterable[str]) -> Pairs:
    """Read steps that are cut already, each a question and what answers it."""
    pairs = [run_together(text) for text in texts]
    if not any(pair.found for pair in pairs):
        return Pairs(reason="no_questions")
    if any(pair.reason == "unclear_question" for pair in pairs):
        return Pairs(reason="unclear_question")
    if any(len(pair.found) != 1 for pair in pairs):
        return Pairs(reason="count_mismatch")
    return Pairs(tuple(pair.found[0] for pair in pairs))


# --- run together

_WORDS = "how|what|which|who|whose|whom|when|where|why"
_ASKING = re.compile(
    rf"\b(?:{_WORDS}|is|are|was|were|do|does|did|can|could|will|would|should|has|have|had|may|might|must)\b",
    re.IGNORECASE,
)
_CAPITAL = re.compile(rf"(?:{_WORDS.title()})\b")
_STRAY = re.compile(rf"(?<=[^\s:,;\"'“‘(-])[ \t]{{1,8}}(?={_CAPITAL.pattern})")
_END = re.compile(r"(?:[.!]{1,8}|\?[.!?]{0,8})[\"'”’*_)\]]{0,3}|\n")
_SHORTENED = re.compile(r"(?:^|[\s(\"'])(?:(?P<title>Mr|Mrs|Ms|Dr|Prof|St|Mt|vs|approx|i\.e|e\.g)|etc|[A-Z])$")


def run_together(text: str) -> Pairs:
    """Cut one text before each of its questions; what stands between two answers the first.

    A statement that ends without a full stop is cut from the question after it only where that begins in a capital:
    `3 + 4 = 7 How many are left?`.
    """
    pairs: list[tuple[str, str]] = []
    opening = ""
    place = begun = 0  # the end of the last question, and the start of the sentence being read
    for match in _END.finditer(text):
        if not _ends(text, match):
            continue
        if match[0][0] == "?":
            sentence = text[begun : match.end()]
            lead = _stray_statement(sentence)
            before = text[place : begun + lead]
            if not _ASKING.search(sentence, lead):
                return Pairs(reason="unclear_question")
            if pairs:
                pairs[-1] = (pairs[-1][0], before)
            else:
                opening = before
            pairs.append((sentence[lead:], ""))
            place = match.end()
        begun = match.end()
    if pairs:
        pairs[-1] = (pairs[-1][0], text[place:])
    return _opened(opening, [Pair(*pair) for pair in pairs])


def _ends(text: str, match: re.Match[str]) -> bool:
    """Say whether a sentence ends here, and not a shortened word, a number or a line that is broken for its length."""
    after = text[match.end() : match.end() + 8].lstrip(" \t")
    if match[0] == "\n":
        return not after[:1].islower()
    if match[0][0] == "?":  # but not of what is quoted or in parentheses
        return not match[0].endswith((")", "]")) and (match[0][-1] in "?!." or not after[:1].islower())
    if not after:
        return True
    glued = not text[match.end()].isspace()
    if glued:
        before = text[match.start() - 1 : match.start()]
        return after[0].isupper() and (before.islower() or before.isdigit() or before in (")", "%"))
    shortened = _SHORTENED.search(text, max(0, match.start() - 8), match.start()) if match[0] == "." else None
    if shortened and (shortened["title"] or not _CAPITAL.match(after)):
        return False
    return not after[0].islower()


def _stray_statement(sentence: str) -> int:
    """Return how long the statement is that runs into a question without a full stop; 0 where there is none."""
    match = _STRAY.search(sentence)
    return match.end() if match and not _ASKING.search(sentence[: match.start()]) else 0


def _opened(opening: str, pairs: list[Pair]) -> Pairs:
    """Let what precedes the first question open its solution, as in GSM8K's files, if it holds a number."""
    if not pairs:
        return Pairs(reason="no_questions")
    if any(character.isdigit() for character in opening):
        pairs[0] = pairs[0]._replace(solution=f"{opening.strip()} {pairs[0].solution}")
    return Pairs(tuple(pair._replace(solution=_unlabelled(pair.solution)) for pair in pairs))
