"""`socratic annotate`: reasoning for the problems to learn from, by humans, a teacher, or raw texts in a file."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from socratic_distill.artifacts import fingerprint_file, fingerprint_records, write_rows
from socratic_distill.problems.imported import import_texts
from socratic_distill.reasoning.gold import human_annotation
from socratic_distill.reasoning.transcripts import READER
from socratic_distill.records import Problem
from socratic_distill.run import Run, Target
from socratic_distill.stages.teacher import ROWS, reasons, tally, teacher_target

_IMPORTS: Any = {"source", "style", "question_field", "text_field"}
"""What an import's rows depend on, the file and the teacher's name aside."""


def targets(run: Run) -> Iterator[Target]:
    """Offer `annotations.jsonl`."""
    problems = run.problems("train", "validation")
    offer = {"human": _human, "teacher": teacher_target, "import": _import}[run.recipe.annotate.source]
    yield offer(run, problems)


# --- what humans wrote


def _human(run: Run, problems: Sequence[Problem]) -> Target:
    def make() -> Mapping[str, Any]:
        annotations = [human_annotation(problem) for problem in problems]
        write_rows(run.path(ROWS), annotations)
        socratic = sum(bool(annotation.steps) for annotation in annotations)
        run.progress.say(f"{len(annotations)} human annotations, {socratic} of them with subquestions")
        return {"rows": len(annotations), "socratic": socratic}

    return Target(ROWS, {"source": "human"}, {"problems": fingerprint_records(problems)}, make)


# --- a teacher's raw texts from a file


def _import(run: Run, problems: Sequence[Problem]) -> Target:
    settings = run.recipe.annotate
    path = Path(settings.file).expanduser()

    def make() -> Mapping[str, Any]:
        found = import_texts(problems, settings=settings)
        write_rows(run.path(ROWS), found.annotations)
        facts = tally(found.annotations)
        run.progress.say(
            f"imported {found.rows:,} rows of {settings.file}: {facts['readable']:,} readable{reasons(facts)}"
        )
        if found.unknown:
            run.progress.say(
                f"{found.unknown:,} of its rows ask what no problem to learn from asks, the first {found.first_unknown}"
            )
        if found.without:
            run.progress.say(f"{found.without:,} of {len(problems):,} problems have no row in it")
        return {
            **facts,
            "file_rows": found.rows,
            "unknown": found.unknown,
            "first_unknown": found.first_unknown,
            "problems_without": found.without,
        }

    return Target(
        ROWS,
        {**settings.model_dump(mode="json", include=_IMPORTS), "model": settings.model or path.stem, "reader": READER},
        {"problems": fingerprint_records(problems), "file": fingerprint_file(path) if path.is_file() else ""},
        make,
    )
