"""`socratic evaluate`: every solution read and graded, then one summary with honest statistics."""

import importlib.metadata
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from socratic_distill.artifacts import (
    fingerprint,
    fingerprint_records,
    read_manifest,
    read_rows,
    write_rows,
    write_whole,
)
from socratic_distill.quality import Likeness, bert_likeness, step_qualities, subquestion_quality
from socratic_distill.reasoning.answers import EXTRACTOR, same_answer
from socratic_distill.reasoning.attribution import Fault, faults_of
from socratic_distill.reasoning.overlap import overlap
from socratic_distill.reasoning.solving import asked_students, own_students, trained_students
from socratic_distill.reasoning.voting import stated_answer
from socratic_distill.recipe import Solve
from socratic_distill.records import Annotation, Problem, Score, Solution, SolutionRow
from socratic_distill.reporting.funnel import Funnel, read_spending
from socratic_distill.reporting.summary import (
    Constant,
    ProblemCounts,
    SolveSummary,
    StepAccuracy,
    StudentSummary,
    Summary,
)
from socratic_distill.run import NotMade, Run, Target
from socratic_distill.statistics import compare_all, wilson
from socratic_distill.training.log import read_log

NOTES = {
    "rationale_disagrees": "In {count} problems the human reasoning ends in another number than the gold answer;"
    " the gold answer is taught.",
    "step_without_answer": "In {count} problems a step has no number: its solution is its answer.",
    "no_operation": "{count} problems have an equation without an operation, so no annotation.",
    "equation_disagrees": "In {count} problems the equation gives another value than the gold answer;"
    " they have no annotation.",
    "facts_unpaired": "{count} problems have no fact for every subquestion but the last, so no Socratic annotation.",
    "also_in_train": "{count} test problems stand in the training file too.",
}
"""What the report says of a loader's remarks, counted over all splits."""


def targets(run: Run) -> Iterator[Target]:
    """Offer `scores/<name>.jsonl` for each solve, then `summary.json`."""
    problems = run.problems("test")
    gold = fingerprint([[problem.id, problem.answer, problem.answer_kind, problem.step_count] for problem in problems])
    for name in run.recipe.solve:
        rows = solution_rows(run, name)
        yield Target(
            f"scores/{name}.jsonl",
            {"extractor": EXTRACTOR},
            {
                "solutions": fingerprint(
                    [[row.problem, row.solution.model_dump(mode="json", exclude_none=True)] for row in rows]
                ),
                "gold": gold,
            },
            partial(_make_scores, run, name, problems, rows),
        )
    scores = {name: read_rows(run.path(f"scores/{name}.jsonl"), Score) for name in run.recipe.solve}
    inputs = {f"scores/{name}": fingerprint_records(rows) for name, rows in scores.items()}
    inputs |= {f"solutions/{name}": _manifest_fingerprint(run, f"solutions/{name}.jsonl") for name in scores}
    for artifact in ("problems.jsonl", "annotations.jsonl", "verdicts.jsonl"):
        inputs[artifact] = _manifest_fingerprint(run, artifact)
    yield Target(
        "summary.json",
        run.recipe.evaluate.model_dump(mode="json"),
        inputs,
        partial(_make_summary, run, problems, scores),
        shared=False,
    )


def score(problem: Problem, solution: Solution) -> Score:
    """Read a solution's answer and grade it; what was cut short is read only where its answer is marked."""
    answer, reason = stated_answer(problem, solution)
    correct = answer is not None and same_answer(
        answer, problem.answer, kind=problem.answer_kind, choices=problem.choices
    )
    return Score(
        problem=problem.id,
        correct=correct,
        answer=answer or "",
        unreadable=reason if answer is None else "",
        step_count=problem.step_count,
        extractor=EXTRACTOR,
    )


def solution_rows(run: Run, name: str) -> list[SolutionRow]:
    """Read what a solve has solved."""
    path = run.path(f"solutions/{name}.jsonl")
    if not path.exists() or read_manifest(path) is None:
        raise NotMade(f"solutions/{name}.jsonl", "solve")
    return read_rows(path, SolutionRow)


def _make_scores(run: Run, name: str, problems: Sequence[Problem], rows: Sequence[SolutionRow]) -> Mapping[str, Any]:
    by_id = {problem.id: problem for problem in problems}
    scores = [score(by_id[row.problem], row.solution) for row in rows]
    write_rows(run.path(f"scores/{name}.jsonl"), scores)
    return {"rows": len(scores), "correct": sum(one.correct for one in scores)}


def _make_summary(run: Run, problems: Sequence[Problem], scores: Mapping[str, Sequence[Score]]) -> Mapping[str, Any]:
    summary = summarise(run, problems, scores)
    write_whole(run.path("summary.json"), summary.model_dump_json(indent=2) + "\n")
    return {}


def summarise(run: Run, problems: Sequence[Problem], scores: Mapping[str, Sequence[Score]]) -> Summary:
    """Put all that a run found into one record."""
    loaded = run.problems()
    learned = [problem for problem in loaded if problem.split != "test"]
    splits = Counter(problem.split for problem in loaded)
    remarks = Counter(remark for problem in loaded for remark in problem.remarks)
    settings = run.recipe.evaluate
    solutions = {name: solution_rows(run, name) for name in scores}
    faults = faults_of(run.recipe, problems, solutions, scores)
    likeness = bert_likeness(settings.encoder) if settings.encoder else None
    return Summary(
        name=run.recipe.name,
        dataset=run.recipe.problems.dataset,
        created=datetime.now(UTC).date().isoformat(),
        version=importlib.metadata.version("socratic-distill"),
        solves={
            name: _solve_summary(run, name, problems, solutions[name], rows, faults=faults[name], likeness=likeness)
            for name, rows in scores.items()
        },
        constant=_constant(learned, problems),
        comparisons=tuple(
            compare_all(
                {name: [row.correct for row in rows] for name, rows in scores.items()},
                seed=settings.seed,
                resamples=settings.bootstrap,
            )
        ),
        students=_students(run),
        problems=ProblemCounts(train=splits["train"], validation=splits["validation"], test=splits["test"]),
        funnel=_funnel(run),
        remarks=dict(remarks),
        notes=(
            *_notes(run, loaded),
            *_unanswered(solutions),
            *(NOTES[name].format(count=n) for name, n in remarks.items() if name in NOTES),
        ),
        overlap=overlap(problems, learned, _kept(run)),
    )


def _kept(run: Run) -> list[Annotation]:
    """Return what students learned from; nothing where every part was prompted and so nothing was verified."""
    try:
        return run.kept()
    except NotMade:
        return []


def _funnel(run: Run) -> Funnel:
    """Take the funnel that `verify` counted, empty where it has not, and what the annotations cost."""
    annotations, verdicts = (read_manifest(run.path(f"{name}.jsonl")) or {} for name in ("annotations", "verdicts"))
    counted = verdicts.get("funnel", {"source": run.recipe.annotate.source})
    return Funnel.model_validate({**counted, "spending": read_spending(annotations)})


def _notes(run: Run, problems: Sequence[Problem]) -> list[str]:
    """Say what a reader of the table must know of the problems and of who learned from which."""
    notes = []
    if run.recipe.train.rows == "shared":
        notes.append("Every student learned from the problems that all strategies can use, and from no other.")
    else:
        notes.append("Every student learned from all problems that it can use, so some learned from more than others.")
    if one_step := sum(len(problem.steps) == 1 for problem in problems):
        notes.append(f"{one_step} problems have one step, whose subquestion is the question itself.")
    return notes


def _unanswered(solutions: Mapping[str, Sequence[SolutionRow]]) -> Iterator[str]:
    """Say what counts as wrong though nobody has answered it."""
    for name, rows in solutions.items():
        unpaid, failed = sum(row.lacks("over_budget") for row in rows), sum(row.lacks("failed") for row in rows)
        if unpaid or failed:
            yield (
                f"{name}: of {len(rows):,} problems {unpaid:,} were not asked to their end for want of money, and"
                f" {failed:,} have requests that failed; they count as the answers they have, mostly as wrong."
            )


def _solve_summary(
    run: Run,
    name: str,
    problems: Sequence[Problem],
    rows: Sequence[SolutionRow],
    scores: Sequence[Score],
    *,
    faults: Mapping[str, Fault],
    likeness: Likeness | None,
) -> SolveSummary:
    solve = run.recipe.solve[name]
    parameters, parameter_note = _parameters(run, solve)
    asks_itself = solve.oracle in (None, "guidance") and any(row.solution.steps for row in rows)
    by_steps: dict[int, list[bool]] = defaultdict(list)
    for one in scores:
        if one.step_count is not None:
            by_steps[one.step_count].append(one.correct)
    correct, graded = sum(one.correct for one in scores), len(scores)
    reasons = Counter(one.unreadable for one in scores if one.unreadable)
    return SolveSummary(
        strategy=solve.strategy,
        students=asked_students(solve),
        calculator=solve.calculator,
        facts="gold" if (solve.facts or run.recipe.train.facts) == "gold" else "",
        trained=bool(trained_students(solve)),
        accuracy=correct / graded if graded else 0.0,
        correct=correct,
        problems=graded,
        interval=wilson(correct, graded),
        unreadable=sum(reasons.values()),
        unreadable_reasons=dict(reasons.most_common()),
        by_steps=tuple(
            StepAccuracy(steps=steps, correct=sum(right), problems=len(right), interval=wilson(sum(right), len(right)))
            for steps, right in sorted(by_steps.items())
        ),
        tokens_per_problem=sum(turn.tokens for row in rows for turn in row.turns) / max(1, len(rows)),
        seconds_per_problem=sum(row.seconds for row in rows) / max(1, len(rows)),
        parameters=parameters,
        parameter_note=parameter_note,
        marks=sum(row.solution.marks for row in rows),
        marks_changed=sum(row.solution.marks_changed for row in rows),
        guidance=solve.guidance or "",
        oracle=solve.oracle or "",
        prompted=solve.prompted.model if solve.prompted else "",
        options=_options(solve),
        faults=dict(Counter(faults.values()).most_common()),
        quality=subquestion_quality(problems, rows, likeness=likeness, encoder=run.recipe.evaluate.encoder)
        if asks_itself
        else None,
        by_place=step_qualities(problems, rows, guided=solve.guidance is not None) if solve.oracle == "history" else (),
    )


def _options(solve: Solve) -> str:
    """Say what of a solve's settings multiplies what it writes."""
    words = []
    if solve.decompositions is not None:
        words.append(f"{solve.decompositions} decompositions of {solve.samples} samples")
    elif solve.samples is not None:
        words.append(f"{solve.samples} samples")
    if solve.retries is not None:
        words.append(f"up to {solve.retries} retries" if solve.retries > 1 else "up to 1 retry")
    return ", ".join(words)


def _parameters(run: Run, solve: Solve) -> tuple[int, str]:
    """Return the number of weights of all that a solve asks, as far as they are known, and what to say of it."""
    own = own_students(solve)
    if solve.trained:
        folders = [[run.path(f"students/{student}")] for student in own]
    else:  # one student plays every part
        folders = [[*run.path("students").glob("*"), run.path("base")]] if own else []
    manifests = [next(filter(None, map(read_manifest, several)), {"parameters": 0}) for several in folders]
    notes = [f"{len(folders)} students"] if len(folders) > 1 else []
    if solve.prompted:
        notes.append(f"and {solve.prompted.model}" if own else f"those of {solve.prompted.model} are not known")
    return sum(int(manifest["parameters"]) for manifest in manifests), " ".join(notes)


def _constant(learned: Sequence[Problem], problems: Sequence[Problem]) -> Constant:
    """Score the answer that is most frequent among the problems to learn from."""
    answer = Counter(problem.answer for problem in learned).most_common(1)[0][0] if learned else ""
    correct = sum(
        same_answer(answer, problem.answer, kind=problem.answer_kind, choices=problem.choices) for problem in problems
    )
    return Constant(
        answer=answer,
        accuracy=correct / len(problems) if problems else 0.0,
        correct=correct,
        problems=len(problems),
        interval=wilson(correct, len(problems)),
    )


def _students(run: Run) -> dict[str, StudentSummary]:
    """Describe the students that this recipe's solves ask."""
    asked = dict.fromkeys(student for solve in run.recipe.solve.values() for student in trained_students(solve))
    return {student: _student(run.path(f"students/{student}")) for student in asked}


def _student(folder: Path) -> StudentSummary:
    manifest = read_manifest(folder)
    assert manifest is not None, "a solve that was scored has its students"
    trained = manifest["trained"]
    log = read_log(folder)
    return StudentSummary(
        base=manifest["settings"]["student"],
        parameters=manifest["parameters"],
        trained_problems=manifest.get("problems", manifest["sequences"]["train"]),
        target_tokens=trained["targets"],
        epochs=manifest["settings"]["epochs"],
        best_validation_loss=trained["best_loss"],
        seconds=trained["seconds"],
        train_points=tuple((line.step, line.loss) for line in log if not line.validation),
        validation_points=tuple((line.step, line.loss) for line in log if line.validation),
    )


def _manifest_fingerprint(run: Run, artifact: str) -> str:
    manifest = read_manifest(run.path(artifact)) or {}
    return fingerprint([manifest.get(key) for key in ("settings", "inputs", "seconds", "funnel", "spending")])
