"""StrategyQA: yes/no questions with human facts and a human decomposition into subquestions.

Facts and subquestions were written apart: only where there is one fact fewer do they pair up as solved steps.
Source: Geva et al. 2021, github.com/eladsegal/strategyqa, hub `tasksource/strategy-qa`.
"""

import re
from collections.abc import Iterator

from socratic_distill.problems.sources import (
    Row,
    complaint,
    one_line,
    required,
    rows,
    source_stem,
    text_field,
    texts_field,
)
from socratic_distill.reasoning.answers import read_answer
from socratic_distill.records import Problem, Split, Step

_REFERENCE = re.compile(r"(?P<glued>\w)?#\s?(?P<number>\d)")
_SAYS_ANSWER = re.compile(r"\banswers? (?:to|in|of) #", re.IGNORECASE)


def load_strategyqa(source: str, *, split: Split) -> Iterator[Problem]:
    """Read StrategyQA rows from a path or a hub name.

    The rationale is the facts, a line each. Where there is one fact fewer than subquestions, fact j answers
    subquestion j and the last subquestion answers yes or no; otherwise the row has no steps (remark `facts_unpaired`).
    Hub copies without a decomposition load too (remark `no_decomposition`).
    """
    stem = source_stem(source, split=split)
    for row in rows(source, split=split):
        yield _problem(row, stem, split)


def readable_references(subquestion: str) -> str:
    """Put words for references to earlier answers: `Is #2 in #1?` becomes `Is answer 2 in answer 1?`.

    Facts are whole sentences and can't stand in for them. `the answers to #1` becomes `the answers to question 1`.
    """
    word = "question" if _SAYS_ANSWER.search(subquestion) else "answer"

    def said(reference: re.Match[str]) -> str:
        before = f"{reference['glued']} " if reference["glued"] else ""
        return f"{before}{word} {reference['number']}"

    return _REFERENCE.sub(said, subquestion)


def _problem(row: Row, stem: str, split: Split) -> Problem:
    question = one_line(text_field(row, "question", dataset="strategyqa"))
    answer = _answer(row)
    facts = texts_field(row, "facts", dataset="strategyqa")
    subquestions = tuple(readable_references(text) for text in texts_field(row, "decomposition", dataset="strategyqa"))
    paired = len(facts) == len(subquestions) - 1
    steps = tuple(
        Step(subquestion=subquestion, solution=fact) for subquestion, fact in zip(subquestions, facts, strict=False)
    )
    last = (Step(subquestion=subquestions[-1], solution="", answer=answer),) if subquestions else ()
    remark = "" if paired else "facts_unpaired" if subquestions else "no_decomposition"
    return Problem(
        id=f"strategyqa/{stem}/{row.fields.get('qid') or row.number}",
        split=split,
        question=question,
        answer=answer,
        answer_kind="boolean",
        facts=facts,
        rationale="\n".join(facts),
        steps=(*steps, *last) if paired else (),
        step_count=len(subquestions) or None,
        remarks=(remark,) if remark else (),
    )


def _answer(row: Row) -> str:
    value = required(row, "answer", dataset="strategyqa")
    if isinstance(value, bool):
        return "yes" if value else "no"
    gold = read_answer(value, "boolean").answer if isinstance(value, str) else None
    if gold is None:
        raise complaint(row, "answer", f"expected true or false, found {str(value)[:40]!r}", dataset="strategyqa")
    return gold
