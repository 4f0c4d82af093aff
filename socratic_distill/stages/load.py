"""`socratic load`: problems from a data set, split and limited by the recipe."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from socratic_distill.artifacts import write_rows
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
        {name: _file_fingerprint(source) for name, source in sources.items()},
        make,
    )


def _file_fingerprint(source: str) -> str:
    """Return a file's content in 16 digits, so that an edited file is read again; a hub name or a spec is itself."""
    path = Path(source)
    if not path.is_file():
        return source
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
