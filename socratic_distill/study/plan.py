"""What a study would take, before it is begun: runs, students to train, and hours by a rough count of operations."""

import time
from collections.abc import Collection, Mapping, Sequence
from functools import cache

import torch

from socratic_distill.machine import compute_dtype, device
from socratic_distill.problems import load_problems
from socratic_distill.reasoning.gold import human_annotation
from socratic_distill.reasoning.solving import prompted_students, trained_students
from socratic_distill.recipe import Problems, Recipe, Scratch
from socratic_distill.records import Problem, Record
from socratic_distill.students import read_config
from socratic_distill.study.settings import Point
from socratic_distill.training.lessons import lessons_for, trained_strategies, usable

CHARACTERS_A_TOKEN = 3.5
TOKENS_UNKNOWN = 200
"""Of a problem's sequence, where nobody has written its reasoning yet."""
TRAINED_AT, SOLVED_AT = 0.3, 0.05
"""Shares of the matrix products' peak that training and solving reach; small students reach less."""
SECONDS_A_STEP = 0.05
"""What an optimizer step takes however small the student is."""


class Expected(Record):
    """What is left of a study would take on this machine, one run at a time."""

    students: int
    """To be trained; what runs share counts once."""
    hours: float
    ceilings: tuple[float | None, ...]
    """Dollars that each asking of a model behind a server may cost at most; None where a recipe gives no ceiling."""


def expected(points: Sequence[Point], made: Mapping[str, Collection[str]]) -> Expected:
    """Estimate what is left of these runs, within a factor of two or three; writes and sends nothing.

    `made` names each run's artifacts that are up to date. Reasoning that a teacher has yet to write counts as the human
    one is long, if there is one. Raises UserError where a problem file can't be read.
    """
    peak = products_per_second()
    students: dict[str, float] = {}
    trained: set[str] = set()
    ceilings: dict[str, float | None] = {}
    solving = 0.0
    for point in points:
        recipe, own = point.recipe, made[point.recipe.name]
        waiting = [name for name in recipe.solve if f"solutions/{name}.jsonl" not in own]
        parameters = expected_parameters(recipe)
        tokens = _tokens(recipe)
        shared = recipe.model_dump_json(include={"problems", "annotate", "verify", "train"})
        for student, (count, sequences) in tokens.items():
            steps = recipe.train.epochs * sequences / recipe.train.batch_problems
            products = 6 * parameters * count * recipe.train.epochs / (TRAINED_AT * peak)
            students[f"{student} {shared}"] = products + SECONDS_A_STEP * steps
            if f"students/{student}" in own:
                trained.add(f"{student} {shared}")
        written = max((count / max(1, sequences) for count, sequences in tokens.values()), default=100.0)
        problems = sum(problem.split == "test" for problem in _loaded(recipe.problems))
        solving += len(waiting) * problems * written * 2 * parameters / (SOLVED_AT * peak)
        ceilings |= _ceilings(recipe, own)
    left = [seconds for key, seconds in students.items() if key not in trained]
    return Expected(students=len(left), hours=(sum(left) + solving) / 3600, ceilings=tuple(ceilings.values()))


def _ceilings(recipe: Recipe, made: Collection[str]) -> dict[str, float | None]:
    """Find what is yet to be asked of servers, and the ceiling of each; what runs share has one key."""
    found: dict[str, float | None] = {}
    annotate = recipe.annotate
    if annotate.source == "teacher" and annotate.engine == "openai" and "annotations.jsonl" not in made:
        found[recipe.model_dump_json(include={"problems", "annotate"})] = annotate.max_usd
    for name, solve in recipe.solve.items():
        if prompted_students(solve) and solve.prompted and solve.prompted.engine == "openai":
            trained = {"annotate", "verify", "train"} if trained_students(solve) else set()
            if f"solutions/{name}.jsonl" not in made:
                asked = recipe.model_dump_json(include={"problems", *trained})
                found[f"{solve.model_dump_json()} {asked}"] = solve.prompted.max_usd
    return found


def expected_parameters(recipe: Recipe) -> float:
    """Estimate the number of a student's weights from its sizes."""
    train = recipe.train
    if train.student == "scratch":
        return _weights(train.scratch)
    config = read_config(train.student, trained=False)
    sizes = [config.get(name) or config.get(short) for name, short in _SIZES]
    hidden, layers, vocabulary = (int(size or 0) for size in sizes)
    inner = int(config.get("intermediate_size") or 4 * hidden)
    return float(layers * (4 * hidden**2 + 3 * hidden * inner) + vocabulary * hidden)


_SIZES = (("hidden_size", "n_embd"), ("num_hidden_layers", "n_layer"), ("vocab_size", "vocab_size"))


def products_per_second() -> float:
    """Measure how many floating point operations a second this machine's matrix products reach, in half a second."""
    one = torch.randn(1024, 1024, dtype=compute_dtype(), device=device())
    float((one @ one).sum())  # warms up
    started, count = time.monotonic(), 0
    while time.monotonic() - started < 0.5:
        float((one @ one)[0, 0])
        count += 1
    return 2 * 1024**3 * count / (time.monotonic() - started)


def _weights(size: Scratch) -> float:
    return float(12 * size.layers * size.hidden**2 + size.vocabulary * size.hidden)


def _tokens(recipe: Recipe) -> dict[str, tuple[float, int]]:
    """Estimate each student's training tokens of one epoch, and count its sequences."""
    strategies = trained_strategies(recipe)
    problems = [problem for problem in _loaded(recipe.problems) if problem.split == "train"]
    annotations = usable([human_annotation(one) for one in problems], strategies, rows=recipe.train.rows)
    wanted = {student for solve in recipe.solve.values() for student in trained_students(solve)}
    found: dict[str, tuple[float, int]] = {}
    for strategy in strategies:
        for student in strategy.students:
            if student in wanted and student not in found:
                lessons = lessons_for(student, strategy, problems, annotations, facts=recipe.train.facts)["train"]
                characters = sum(len(piece) for lesson in lessons for piece in lesson.pieces)
                unknown = 0 if lessons else len(problems)
                found[student] = characters / CHARACTERS_A_TOKEN + unknown * TOKENS_UNKNOWN, len(lessons) + unknown
    return found


@cache
def _loaded(settings: Problems) -> tuple[Problem, ...]:
    return tuple(load_problems(**settings.model_dump()))
