"""`socratic load`: problems from a data set, split and limited by the recipe."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from socratic_distill.artifacts import fingerprint_file, write_rows
from socratic_distill.problems import load_problems
from socratic_distill.run import Run, Target


def targets(run: Run) -> Iterator[Target]:
    """Offer `problems.jsonl`."""
    settings = run.recipe.problems

    def make() -> Mapping[str, Any]:
        problems = load_problems(
            settings.dataset,
            train=settings.train,
            test=settings.test,
            train_limit=settings.train_limit,
            test_limit=settings.test_limit,
            validation=settings.validation,
            seed=settings.seed,
        )
        write_rows(run.path("problems.jsonl"), problems)
        counts = Counter(problem.split for problem in problems)
        run.progress.say(
            f"loaded {counts['train']} training, {counts['validation']} validation and {counts['test']} test problems"
        )
        return {
            "rows": len(problems),
            "splits": dict(counts),
            "remarks": dict(Counter(remark for problem in problems for remark in problem.remarks)),
        }

    sources = {"train": settings.train, "test": settings.test}
    yield Target(
        "problems.jsonl",
        settings.model_dump(mode="json"),
        {name: _content(source) for name, source in sources.items()},
        make,
    )


def _content(source: str) -> str:
    """Return what an edited file changes, so that it is read again; a hub name or a spec is itself."""
    path = Path(source)
    return fingerprint_file(path) if path.is_file() else source
