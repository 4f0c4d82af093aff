"""A made-up study: solves that differ in skill along axes, drawn problem by problem, with statistics as they are."""

from collections.abc import Sequence
from itertools import product

import numpy as np
from made_up import faults_in

from socratic_distill.reporting.findings import Axis, Cell, Contrast, Findings, SeedScore, SolveFindings
from socratic_distill.reporting.summary import Constant, ProblemCounts, StepAccuracy
from socratic_distill.statistics import compare_over_seeds, mean_interval, wilson

SIZES = {"tiny": 912_384, "small": 3_408_896, "large": 9_646_080}
LONG = "annotations_of_a_large_teacher_that_was_shown_the_equations"
SOURCES = ("human", LONG)
# name: strategy, students, skill at the smallest size, gain to the largest
SOLVES: dict[str, tuple[str, tuple[str, ...], float, float]] = {
    "answer_only": ("answer_only", ("answer_only",), 0.05, 0.05),
    "cot": ("cot", ("cot",), 0.16, 0.42),
    "socratic_unified": ("socratic_unified", ("unified",), 0.2, 0.36),
    "socratic_iterative": ("socratic_iterative", ("decomposer", "solver"), 0.3, 0.3),
    "socratic_planned": ("socratic_planned", ("planner", "solver"), 0.25, 0.3),
    "gold_subquestions": ("socratic_iterative", ("solver",), 0.42, 0.36),
}
FEW = ("cot", "socratic_iterative", "gold_subquestions")
"""Solves of a study that is to be made fast."""
RESAMPLES = 100

Outcomes = dict[str, list[list[bool]]]


def numbered(outcomes: Outcomes) -> dict[str, dict[int, list[bool]]]:
    """Give each solve's seeds their numbers."""
    return {name: dict(enumerate(seeds)) for name, seeds in outcomes.items()}


def drawn(place: float, *, problems: int, seeds: int, seed: int, steps: Sequence[int]) -> Outcomes:
    """Draw which problems each solve has right under each seed; more steps are harder, less so for a pair."""
    rng = np.random.default_rng(seed)
    hardness = 0.4 * rng.random(problems) + 0.1 * np.asarray(steps)
    found: Outcomes = {}
    for name, (_, students, skill, gain) in SOLVES.items():
        ease = 0.25 + skill + gain * place - (0 if len(students) > 1 else 0.03) * np.asarray(steps)
        found[name] = [
            (hardness + rng.normal(0, 0.12, problems) + rng.normal(0, 0.02) < ease).tolist() for _ in range(seeds)
        ]
    return found


def solve_findings(
    name: str, outcomes: Sequence[Sequence[bool]], steps: Sequence[int], weights: int, *, resamples: int
) -> SolveFindings:
    """Describe one solve over its seeds."""
    strategy, students, *_ = SOLVES[name]
    correct, attempts = sum(map(sum, outcomes)), sum(map(len, outcomes))
    by_steps = []
    for count in sorted(set(steps)):
        own = [[right for right, at in zip(one, steps, strict=True) if at == count] for one in outcomes]
        interval = mean_interval(own, resamples=resamples)
        solved = sum(map(sum, own))
        by_steps.append(StepAccuracy(steps=count, correct=solved, problems=sum(map(len, own)), interval=interval))
    pair = strategy in ("socratic_iterative", "socratic_planned")
    tokens = 140.0 if pair else 6.0 if name == "answer_only" else 75.0
    faults = faults_in(attempts - correct, min(attempts - correct, 3), pair=pair)
    if name == "gold_subquestions":
        faults["solver"] += faults.pop("decomposer")
    return SolveFindings(
        strategy=strategy,
        students=students,
        trained=True,
        options="gold subquestions" if name == "gold_subquestions" else "",
        oracle=name == "gold_subquestions",
        seeds=tuple(
            SeedScore(seed=seed, correct=sum(one), problems=len(one), unreadable=seed)
            for seed, one in enumerate(outcomes)
        ),
        accuracy=correct / attempts,
        interval=mean_interval(outcomes, resamples=resamples),
        by_steps=tuple(by_steps),
        tokens_per_problem=tokens,
        seconds_per_problem=tokens / 800,
        flops_per_problem=2.0 * weights * (tokens + 160),
        parameters=weights * len(students),
        train_seconds=weights / 30_000 * len(students),
        train_flops=6.0 * weights * 180_000 * len(students),
        faults=faults,
    )


def cell(
    size: str,
    source: str,
    *,
    problems: int = 160,
    seeds: int = 3,
    solves: Sequence[str] = tuple(SOLVES),
    resamples: int,
) -> tuple[Cell, Outcomes]:
    """Make one cell, and the outcomes behind it."""
    place = list(SIZES).index(size) / (len(SIZES) - 1)
    steps = [1 + index % 6 for index in range(problems)]
    better = 0.06 if source == "human" else 0.0
    outcomes = drawn(place + better, problems=problems, seeds=seeds, seed=len(size) + len(source), steps=steps)
    outcomes = {solve: outcomes[solve] for solve in solves}
    name = f"{size}-{source}"
    made = Cell(
        name=name,
        values={"size": size, "source": source},
        dataset="grade_school",
        problems=ProblemCounts(train=720, validation=80, test=problems),
        trained_problems=720,
        solves={
            solve: solve_findings(solve, own, steps, SIZES[size], resamples=resamples)
            for solve, own in outcomes.items()
        },
        comparisons=tuple(compare_over_seeds(numbered(outcomes), margin=0.05, resamples=resamples)),
        constant=Constant(
            answer="12", accuracy=6 / problems, correct=6, problems=problems, interval=wilson(6, problems)
        ),
        reports=tuple(f"{name}-seed{seed}/report.html" for seed in range(seeds)),
    )
    return made, outcomes


def findings(*, seeds: int = 3, solves: Sequence[str] = tuple(SOLVES), resamples: int = RESAMPLES) -> Findings:
    """Make a study of sizes and sources with all that one can have."""
    made = {
        (size, source): cell(size, source, seeds=seeds, solves=solves, resamples=resamples)
        for size, source in product(SIZES, SOURCES)
    }
    small, large = f"tiny-{LONG}/socratic_iterative", f"large-{LONG}/cot"
    pair = {small: made["tiny", LONG][1]["socratic_iterative"], large: made["large", LONG][1]["cot"]}
    (contrast,) = compare_over_seeds(numbered(pair), margin=0.05, resamples=resamples)
    return Findings(
        name="size_and_source",
        created="2025-01-31",
        version="0.1.0",
        seeds=tuple(range(seeds)),
        margin=0.05,
        axes=(
            Axis(
                name="size",
                values=tuple(SIZES),
                x_label="weights of one student",
                x=tuple(map(float, SIZES.values())),
                sentences=(
                    "source human: socratic_iterative solves more than cot at tiny (14 points, Holm-adjusted p < 0.001)"
                    "; at the other size values the data cannot tell.",
                    *(f"source {LONG}-{number}: At no size can the data tell cot from pair." for number in range(2, 9)),
                ),
            ),
            Axis(
                name="source",
                values=SOURCES,
                sentences=("At no source can the data tell any two of answer_only, cot, socratic_iterative apart.",),
            ),
        ),
        cells=tuple(one for one, _ in made.values()),
        contrasts=(Contrast(comparison=contrast, parameters_a=2 * SIZES["tiny"], parameters_b=SIZES["large"]),),
        notes=("tiny-human: 120 problems have one step, whose subquestion is the question itself.",),
    )


def plain_findings() -> Findings:
    """Make the smallest study: no axes, one cell, one seed, and nothing that is not known."""
    one, _ = cell("tiny", "human", problems=60, seeds=1, solves=FEW, resamples=RESAMPLES)
    unknown = {"by_steps": (), "faults": {}, "flops_per_problem": 0.0, "train_flops": 0.0}
    solves = {name: solve.model_copy(update=unknown) for name, solve in one.solves.items()}
    bare = one.model_copy(update={"name": "plain", "values": {}, "solves": solves, "comparisons": (), "reports": ()})
    update = {"axes": (), "cells": (bare,), "contrasts": (), "notes": (), "seeds": (0,), "name": "plain"}
    return findings(seeds=1, solves=FEW).model_copy(update=update)
