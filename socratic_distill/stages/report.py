"""`socratic report`: what a run found, as a page to read, a text to paste, and the solved problems themselves."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from socratic_distill.artifacts import fingerprint, read_rows, write_whole
from socratic_distill.reasoning.attribution import faults_of
from socratic_distill.records import Score, SolutionRow
from socratic_distill.reporting.page import SolvedBy, SolvedProblem, render_html, render_markdown
from socratic_distill.reporting.summary import Summary
from socratic_distill.run import NotMade, Run, Target


def targets(run: Run) -> Iterator[Target]:
    """Offer `report.html`, and `report.md` with it."""
    summary = read_summary(run)
    inputs = {"summary": fingerprint(json.loads(summary.model_dump_json()))}

    def make() -> Mapping[str, Any]:
        write_whole(run.path("report.md"), render_markdown(summary))
        write_whole(run.path("report.html"), render_html(summary, solved_problems(run)))
        run.progress.say(f"report: {run.path('report.html')}")
        return {}

    yield Target("report.html", run.recipe.report.model_dump(mode="json"), inputs, make, shared=False)


def read_summary(run: Run) -> Summary:
    """Read `summary.json`."""
    path = run.path("summary.json")
    if not path.is_file():
        raise NotMade("summary.json", "evaluate")
    try:
        return Summary.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError:  # another version's: `evaluate` makes it again
        raise NotMade("summary.json", "evaluate") from None


def solved_problems(run: Run) -> list[SolvedProblem]:
    """Put together what every solve made of each test problem, those that most solves have wrong first."""
    problems = run.problems("test")
    scores = {name: read_rows(run.path(f"scores/{name}.jsonl"), Score) for name in run.recipe.solve}
    solutions = {name: read_rows(run.path(f"solutions/{name}.jsonl"), SolutionRow) for name in scores}
    faults = faults_of(run.recipe, problems, solutions, scores)
    by_problem: dict[str, dict[str, SolvedBy]] = {}
    for name, rows in solutions.items():
        by_id = {score.problem: score for score in scores[name]}
        for row in rows:
            score = by_id[row.problem]
            by_problem.setdefault(row.problem, {})[name] = SolvedBy(
                correct=score.correct,
                answer=score.answer,
                unreadable=score.unreadable,
                fault=faults[name].get(row.problem, ""),
                solution=row.solution,
                turns=row.turns,
            )
    solved = [
        SolvedProblem(
            id=problem.id,
            question=problem.question,
            answer=problem.answer,
            facts=problem.facts,
            step_count=problem.step_count,
            gold_steps=problem.steps,
            by=by_problem.get(problem.id, {}),
        )
        for problem in problems
    ]
    solved.sort(key=lambda one: sum(by.correct for by in one.by.values()))
    return solved[: run.recipe.report.problems]
