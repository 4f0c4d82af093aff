"""Our score and the harness's on the same outputs, and why they differ where they do."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from socratic_distill.app.harness.documents import problem_of
from socratic_distill.artifacts import read_rows
from socratic_distill.errors import UserError
from socratic_distill.reasoning.answers import MARKER, same_answer
from socratic_distill.records import AnswerKind, Problem, Record, Score, Solution, SolutionRow
from socratic_distill.stages.evaluate import score

METRIC = "exact_match"
NOTHING_FOUND = "[invalid]"
"""What the harness's regex filter gives where it matches nothing."""


class Ruled(Record):
    """One document under both rulers."""

    id: str
    filter: str
    """The harness's filter, such as `strict-match`."""
    ours: bool
    harness: bool
    why: str = ""
    """The reason for a difference; empty where they agree."""


def compared(
    samples: Iterable[Mapping[str, Any]], solutions: Mapping[str, Solution], *, answer_kind: AnswerKind = "number"
) -> list[Ruled]:
    """Hold the harness's samples, as `--log_samples` writes them, beside our score of the same solutions, by id.

    `answer_kind` is that of documents which are not ours. Raises UserError where a sample has another text.
    """
    return [_ruled(sample, solutions, answer_kind) for sample in samples]


def read_samples(path: Path) -> Iterator[dict[str, Any]]:
    """Read a file of `--log_samples`. Raises UserError naming a line that is none."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"can't read {path}: {error}") from None
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            sample = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{path}:{number}: not JSON: {error.msg}") from None
        if not isinstance(sample, dict) or not sample.keys() >= {"doc", "target", "resps", "filter", METRIC}:
            raise UserError(f"{path}:{number}: not a sample of --log_samples with {METRIC}")
        yield sample


def read_solutions(path: Path) -> dict[str, Solution]:
    """Read what the model solved, by problem. Raises UserError where there is nothing."""
    rows = read_rows(path, SolutionRow) if path.is_file() else []
    if not rows:
        raise UserError(f"no solved documents in {path}; name a file of RUN/harness")
    return {row.problem: row.solution for row in rows}


def told(rows: Iterable[Ruled]) -> Iterator[str]:
    """Say, by filter, how many each ruler finds right, and every difference with its reason."""
    by_filter: dict[str, list[Ruled]] = {}
    for row in rows:
        by_filter.setdefault(row.filter, []).append(row)
    for name, own in by_filter.items():
        differing = [row for row in own if row.why]
        ours, harness = (sum(getattr(row, ruler) for row in own) for ruler in ("ours", "harness"))
        yield f"{name}: ours {ours}/{len(own)}, harness {harness}/{len(own)}, {len(differing)} differ"
        yield from (f"  {row.id}: {'right' if row.ours else 'wrong'} by ours; {row.why}" for row in differing)


def _ruled(sample: Mapping[str, Any], solutions: Mapping[str, Solution], answer_kind: AnswerKind) -> Ruled:
    problem = problem_of(sample["doc"], answer_kind=answer_kind)
    problem = problem.model_copy(update={"answer": str(sample["target"])})
    solution = solutions.get(problem.id)
    if solution is None or solution.text != sample["resps"][0][0]:
        raise UserError(f"{problem.id}: the sample has another text than our solutions; name those of the same run")
    ours, harness = score(problem, solution), sample[METRIC] == 1
    read = str(sample["filtered_resps"][0])
    why = "" if ours.correct == harness else _reason(problem, solution, ours, read)
    return Ruled(id=problem.id, filter=sample["filter"], ours=ours.correct, harness=harness, why=why)


def _reason(problem: Problem, solution: Solution, ours: Score, read: str) -> str:
    """Say what either read, and of which kind the difference is."""
    if ours.unreadable:
        return f"ours reads no answer ({ours.unreadable.replace('_', ' ')}), the harness {read!r}"
    if read == NOTHING_FOUND:
        where = f"after {MARKER}" if MARKER in solution.text else f"though there is no {MARKER}"
        return f"the harness finds nothing, ours reads {ours.answer!r} {where}"
    if same_answer(read, ours.answer, kind=problem.answer_kind, choices=problem.choices):
        return f"the harness compares texts: {read!r} is not {problem.answer!r}, though the answers are equal"
    return f"the harness reads {read!r}, ours {ours.answer!r}"
