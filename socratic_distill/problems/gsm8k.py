"""GSM8K, in both published formats, told apart row by row: a rationale, or `subquestion ** solution` lines.

Every line keeps its calculator marks (`<<48/2=24>>`); the text ends in `#### answer`.
Source: Cobbe et al. 2021, github.com/openai/grade-school-math, hub `openai/gsm8k` (`main` and `socratic`).
"""

from collections.abc import Iterator

from socratic_distill.problems.sources import Row, complaint, one_line, rows, source_stem, text_field
from socratic_distill.reasoning.answers import MARKER, read_answer, same_answer
from socratic_distill.reasoning.arithmetic import step_answer
from socratic_distill.records import Problem, Split, Step

SEPARATOR = " ** "


def load_gsm8k(source: str, *, split: Split) -> Iterator[Problem]:
    """Read GSM8K rows from a path or a hub name (configuration `socratic` unless it names one).

    A plain row has a rationale and no steps. A socratic row has both: each step's answer is its solution's last value,
    the last step's is the gold answer. Remarks: `rationale_disagrees` (the text's own last value is not the gold one),
    `step_without_answer` (a solution holds no number), `continuation_line` (a socratic line without a subquestion goes
    on with the solution before it), `unanswered_subquestion` (left out), `several_separators` (parted at the first).
    """
    stem = source_stem(source, split=split)
    for row in rows(source, split=split, config="socratic"):
        yield _problem(row, f"gsm8k/{stem}/{row.number}", split)


def _problem(row: Row, problem_id: str, split: Split) -> Problem:
    question = text_field(row, "question", dataset="gsm8k")
    body, marker, gold_text = text_field(row, "answer", dataset="gsm8k").rpartition(MARKER)
    if not marker:
        raise complaint(row, "answer", f"does not end in a line such as '{MARKER} 18'", dataset="gsm8k")
    if MARKER in body:
        raise complaint(row, "answer", f"{MARKER} may stand before the final answer only", dataset="gsm8k")
    gold = read_answer(f"{MARKER} {gold_text}", "number").answer
    if gold is None:
        raise complaint(row, "answer", f"no number after {MARKER}: {one_line(gold_text)[:40]!r}", dataset="gsm8k")
    lines = [line for line in body.split("\n") if line.strip()]
    socratic = any(SEPARATOR in f"{line} " for line in lines)
    pairs, remarks = _pairs(lines) if socratic else ([("", line) for line in lines], [])
    solutions = [solution for _, solution in pairs]
    answers = [step_answer(solution) for solution in solutions]
    if not answers or not same_answer(answers[-1], gold, kind="number"):
        remarks.append("rationale_disagrees")
    if socratic and not all(answers):
        remarks.append("step_without_answer")
    answers[-1:] = [gold]
    steps = tuple(
        Step(subquestion=subquestion, solution=solution, answer=answer)
        for (subquestion, solution), answer in zip(pairs, answers, strict=bool(pairs))
        if socratic
    )
    return Problem(
        id=problem_id,
        split=split,
        question=question,
        answer=gold,
        answer_kind="number",
        rationale="\n".join(solutions),
        steps=steps,
        step_count=len(pairs) or None,
        remarks=tuple(remarks),
    )


def _pairs(lines: list[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """Part socratic lines into (subquestion, solution); what precedes the first subquestion opens its solution."""
    written = [("", "")]
    for line in lines:
        left, separated, right = f" {line} ".partition(SEPARATOR)
        if separated and left.strip():
            written.append((one_line(left), one_line(right)))
        else:
            subquestion, solution = written[-1]
            written[-1] = (subquestion, one_line(f"{solution} {right if separated else left}"))
    (_, opening), *asked = written
    pairs = [(subquestion, solution) for subquestion, solution in asked if solution]
    if opening and pairs:
        pairs[0] = (pairs[0][0], f"{opening} {pairs[0][1]}")
    noticed = {
        "continuation_line": len(asked) < len(lines),
        "unanswered_subquestion": len(pairs) < len(asked),
        "several_separators": any(SEPARATOR in solution for _, solution in pairs),
    }
    return pairs, [remark for remark, found in noticed.items() if found]
