"""The data sets there are, by name, and how problems are taken from them for a run.

Train and test are always two sources; validation is cut from train.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from socratic_distill.errors import UserError
from socratic_distill.problems.files import load_files
from socratic_distill.problems.grade_school import generate, parse_spec
from socratic_distill.problems.gsm8k import load_gsm8k
from socratic_distill.problems.strategyqa import load_strategyqa
from socratic_distill.problems.svamp import load_svamp
from socratic_distill.records import AnswerKind, Problem, Split


class Loader(Protocol):
    """Reads the problems of one source: a path, a hub name or a procedural spec."""

    def __call__(self, source: str, *, split: Split) -> Iterator[Problem]: ...


@dataclass(frozen=True)
class Dataset:
    """A named way to get problems."""

    name: str
    load: Loader
    answer_kinds: tuple[AnswerKind, ...]
    train: str = ""
    """The source of `train` where none is named; empty where one must be."""
    test: str = ""


def load_grade_school(source: str, *, split: Split) -> Iterator[Problem]:
    """Make the problems that a spec asks for; the test split shares no text with the training one."""
    spec = parse_spec(source)
    yield from generate(spec.count, split=split, seed=spec.seed, steps=spec.steps, distractors=spec.distractors)


DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            "gsm8k", load_gsm8k, ("number",), train="openai/gsm8k:socratic@train", test="openai/gsm8k:socratic@test"
        ),
        Dataset("svamp", load_svamp, ("number",), train="ChilleD/SVAMP@train", test="ChilleD/SVAMP@test"),
        # A hub copy that keeps the decompositions; it has no labelled test split, so one is cut from its end.
        Dataset(
            "strategyqa",
            load_strategyqa,
            ("boolean",),
            train="tasksource/strategy-qa@train[:90%]",
            test="tasksource/strategy-qa@train[90%:]",
        ),
        Dataset("grade_school", load_grade_school, ("number",)),
        Dataset("files", load_files, ("number", "boolean", "choice", "text")),
    )
}


def register_dataset(dataset: Dataset) -> None:
    """Add a data set, so that recipes can name it. Raises UserError where the name is taken."""
    if dataset.name in DATASETS:
        raise UserError(f"a data set named {dataset.name!r} exists already; choose another name")
    DATASETS[dataset.name] = dataset


def named_dataset(name: str) -> Dataset:
    """Look up a data set. Raises UserError that lists those there are."""
    if name not in DATASETS:
        raise UserError(f"unknown data set {name!r}; choose one of {', '.join(DATASETS)}")
    return DATASETS[name]


def load_problems(
    dataset: str,
    *,
    train: str = "",
    test: str = "",
    train_limit: int | None = None,
    test_limit: int | None = None,
    validation: float = 0.1,
    seed: int = 0,
) -> list[Problem]:
    """Load a run's problems: train and validation in the order of the train source, then test in that of its own.

    `train` and `test` are sources for the data set's loader; an empty one is the data set's own. Limits are samples
    drawn by `seed`, `train_limit` before `validation` (a share from 0 up to 1) is cut from it. A larger limit keeps
    every problem that a smaller one drew, on the same side of the cut, and equal questions are never on both sides.
    A test problem whose question is in the train source, drawn or not, gets the remark `also_in_train`. Raises
    UserError for a wrong setting, an unreadable source and an id that comes twice.
    """
    chosen = named_dataset(dataset)
    if not 0 <= validation < 1:
        raise UserError(f"validation = {validation} is no share of train; write a number from 0 up to 1, such as 0.1")
    taught = _loaded(chosen, train or chosen.train, split="train")
    tested = _loaded(chosen, test or chosen.test, split="test")
    _refuse_repeated_ids(taught, tested)
    known = {_words(problem.question) for problem in taught}
    drawn = _drawn(len(taught), train_limit, name="train_limit", seed=seed)
    sides: dict[str, Split] = {}
    for turn, place in enumerate(drawn):
        # Every tenth of the drawn order, so that a larger limit moves no problem across the cut.
        cut = round((turn + 1) * validation) > round(turn * validation)
        sides.setdefault(_words(taught[place].question), "validation" if cut else "train")
    if "train" not in sides.values():
        raise UserError(f"validation = {validation} leaves nothing of {len(drawn)} problems to train on; lower it")
    kept = [taught[place] for place in sorted(drawn)]
    places = sorted(_drawn(len(tested), test_limit, name="test_limit", seed=seed))
    return [
        *(problem.model_copy(update={"split": sides[_words(problem.question)]}) for problem in kept),
        *(_remarked(tested[place], known) for place in places),
    ]


def _loaded(dataset: Dataset, source: str, *, split: Split) -> list[Problem]:
    if not source:
        raise UserError(f"data set {dataset.name!r} has no {split} source of its own; name one in problems.{split}")
    problems = list(dataset.load(source, split=split))
    if not problems:
        raise UserError(f"{source}: no problems; a data set needs at least one")
    return problems


def _refuse_repeated_ids(taught: list[Problem], tested: list[Problem]) -> None:
    seen: dict[str, Split] = {}
    for problem in (*taught, *tested):
        if problem.id in seen:
            where = f"twice in {problem.split}" if seen[problem.id] == problem.split else "in both train and test"
            raise UserError(
                f"problem id {problem.id!r} is {where}; ids must differ: give train and test sources "
                "of different names, and each row an id of its own"
            )
        seen[problem.id] = problem.split


def _drawn(count: int, limit: int | None, *, name: str, seed: int) -> list[int]:
    """Shuffle the places 0 to count - 1 by seed and keep the first `limit`."""
    if limit is not None and limit < 1:
        raise UserError(f"{name} = {limit} draws nothing; write 1 or more, or leave it out for all")
    places = list(range(count))
    random.Random(seed).shuffle(places)
    return places[:limit]


def _remarked(problem: Problem, known: set[str]) -> Problem:
    if _words(problem.question) not in known:
        return problem
    return problem.model_copy(update={"remarks": (*problem.remarks, "also_in_train")})


def _words(question: str) -> str:
    return " ".join(question.casefold().split())
