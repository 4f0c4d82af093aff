"""Whether the intervals and tests by which students are compared hold what they promise, on simulated students.

    python benchmarks/comparing.py --json FILE

Students share the difficulty of a problem, and the seeds of one student its own taste: a student solves a problem where
a normal variable of these and of chance stays below the quantile of its accuracy, so every true accuracy is known.
Simulations draw new problems for the same students, which is what the intervals and tests speak of.
"""

import argparse
import gc
import json
import math
import time
from collections.abc import Iterator, Sequence
from itertools import combinations
from multiprocessing import Pool
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import norm

from socratic_distill.statistics import (
    Interval,
    compare_over_seeds,
    holm,
    mcnemar_exact,
    mean_interval,
    paired_interval,
)

SIGNIFICANT = 0.05
COVERED = (0.93, 0.97)
BLOCK = 250
"""Simulations that are drawn at once."""
TASTE = 0.2
"""Share of the variance that the seeds of one student have in common beyond the problem's difficulty."""
SHARED = 0.5
"""Share of the variance that is the problem's difficulty."""

PAIRS: tuple[tuple[float, float, float], ...] = (
    *((accuracy, accuracy, SHARED) for accuracy in (0.05, 0.1, 0.25, 0.5, 0.75, 0.95)),
    *((accuracy, accuracy, 0.8) for accuracy in (0.05, 0.5)),
    *((high, low, SHARED) for high, low in ((0.15, 0.05), (0.35, 0.25), (0.55, 0.45), (0.75, 0.65), (0.95, 0.85))),
    *((0.1, 0.05, shared) for shared in (0.0, SHARED, 0.8)),
    (0.95, 0.9, 0.8),
    (0.7, 0.3, SHARED),
    (0.95, 0.05, SHARED),
)
"""Accuracy of a, of b, and how far the two share what is difficult; one seed each."""

FAMILIES: tuple[tuple[float, ...], ...] = (
    *((accuracy,) * 5 for accuracy in (0.05, 0.25, 0.5, 0.95)),
    (0.3, 0.3, 0.3, 0.45, 0.45),
    (0.05, 0.05, 0.15, 0.15, 0.15),
)
"""Accuracies of five students; a pair of equals told apart is a false one."""

SEEDS: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...] = (
    ((0.03, 0.05, 0.07), (0.07, 0.03, 0.05)),
    ((0.4, 0.5, 0.6), (0.5, 0.5, 0.5)),
    ((0.08, 0.1, 0.12), (0.04, 0.05, 0.06)),
    ((0.52, 0.55, 0.58), (0.42, 0.45, 0.48)),
)
"""Accuracies of the seeds of a, and of b."""


class Options(NamedTuple):
    """What every setting is simulated with."""

    problems: int
    simulations: int
    resamples: int
    seed: int


class Setting(NamedTuple):
    """One row of a table: what is simulated, and the number that seeds it."""

    table: str
    place: int
    options: Options


def main() -> None:
    """Simulate, print the tables and say whether all holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    parser.add_argument("--simulations", type=int, default=10_000)
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--resamples", type=int, default=1_000, help="of every bootstrap and sign-flip test")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    options = Options(given.problems, given.simulations, given.resamples, given.seed)
    settings = [Setting(table, place, options) for table, (rows, *_) in TABLES.items() for place in range(len(rows))]
    began = time.monotonic()
    found: dict[str, list[dict[str, Any]]] = {table: [] for table in TABLES}
    # statsmodels' multipletests collects garbage at every call: what stands already need not be looked through.
    with Pool(given.workers, initializer=gc.freeze) as pool:
        for setting, row in zip(settings, pool.imap(measure, settings), strict=True):
            if setting.place == 0:
                print(f"\n{setting.table}\n" + "  ".join(f"{name:>{width(name)}}" for name in row))
            print("  ".join(f"{written(value):>{width(name)}}" for name, value in row.items()), flush=True)
            found[setting.table].append(row)
    seconds = time.monotonic() - began
    print(f"\n{options}, {seconds:.0f} s; a share of 5 % has a simulation error of {error(options):.2%}")
    for sentence in judged(found, options):
        print(sentence)
    if given.json:
        figures = {"options": options._asdict(), "seconds": seconds, "tables": found}
        given.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def measure(setting: Setting) -> dict[str, Any]:
    """Simulate one row of a table."""
    rows, one = TABLES[setting.table]
    place = [*TABLES].index(setting.table)
    rng = np.random.default_rng([setting.options.seed, place, setting.place])
    row: dict[str, Any] = one(rows[setting.place], setting.options, rng)
    return row


def measure_pair(pair: tuple[float, float, float], options: Options, rng: np.random.Generator) -> dict[str, Any]:
    """Count how often a pair's interval covers the true difference, and McNemar's test tells the two apart."""
    a, b, shared = pair
    covered = mean_covered = told_apart = 0
    for number, solved in simulated(((a,), (b,)), options, rng, shared=shared):
        (of_a,), (of_b,) = solved
        covered += within(a - b, paired_interval(of_a, of_b, seed=number, resamples=options.resamples))
        mean_covered += within(a, mean_interval([of_a]))
        told_apart += mcnemar_exact(of_a, of_b) < SIGNIFICANT
    return {
        "a": a,
        "b": b,
        "shared": shared,
        "difference": a - b,
        "interval covers": covered / options.simulations,
        "wilson covers a": mean_covered / options.simulations,
        "mcnemar tells apart": told_apart / options.simulations,
    }


def measure_family(family: tuple[float, ...], options: Options, rng: np.random.Generator) -> dict[str, Any]:
    """Count how often Holm's adjustment of McNemar's tests tells any two equal students apart."""
    pairs = list(combinations(range(len(family)), 2))
    wrong = wrong_unadjusted = 0
    for _, solved in simulated([(accuracy,) for accuracy in family], options, rng):
        p_values = [mcnemar_exact(solved[a][0], solved[b][0]) for a, b in pairs]
        equal = [family[a] == family[b] for a, b in pairs]
        wrong += any(p < SIGNIFICANT and same for p, same in zip(holm(p_values), equal, strict=True))
        wrong_unadjusted += any(p < SIGNIFICANT and same for p, same in zip(p_values, equal, strict=True))
    return {
        "accuracies": " ".join(map(str, family)),
        "equal pairs": sum(family[a] == family[b] for a, b in pairs),
        "any wrong": wrong / options.simulations,
        "without holm": wrong_unadjusted / options.simulations,
    }


def measure_seeds(
    pair: tuple[tuple[float, ...], tuple[float, ...]], options: Options, rng: np.random.Generator
) -> dict[str, Any]:
    """Count the same of a comparison over seeds, with its relative gain and its test of equivalence.

    The margin is the true difference, at which the two must not be called equivalent; 0.05 where there is none.
    """
    a, b = (math.fsum(seeds) / len(seeds) for seeds in pair)
    true = a - b if abs(a - b) > 1e-9 else 0.0
    margin = true or 0.05
    covered = mean_covered = told_apart = equivalent = gains = gains_covered = 0
    for number, (of_a, of_b) in simulated(pair, options, rng):
        seeded = {"a": dict(enumerate(of_a)), "b": dict(enumerate(of_b))}
        (found,) = compare_over_seeds(seeded, margin=margin, seed=number, resamples=options.resamples)
        covered += within(true, found.interval)
        mean_covered += within(a, mean_interval(of_a, seed=number, resamples=options.resamples))
        told_apart += found.p_value < SIGNIFICANT
        equivalent += found.equivalence_p < SIGNIFICANT
        if found.relative_interval is not None:
            gains += 1
            gains_covered += within(a / b - 1, found.relative_interval)
    return {
        "a": " ".join(map(str, pair[0])),
        "b": " ".join(map(str, pair[1])),
        "difference": true,
        "interval covers": covered / options.simulations,
        "mean covers a": mean_covered / options.simulations,
        "signs tell apart": told_apart / options.simulations,
        "gain covers": gains_covered / gains if gains else None,
        "gains given": gains / options.simulations,
        "margin": round(margin, 6),
        "called equivalent": equivalent / options.simulations,
    }


TABLES: dict[str, tuple[Sequence[Any], Any]] = {
    "two students, one seed": (PAIRS, measure_pair),
    "five students, ten pairs, one seed": (FAMILIES, measure_family),
    "two students, three seeds": (SEEDS, measure_seeds),
}
"""What each table's rows simulate, and what measures one of them."""


def simulated(
    students: Sequence[Sequence[float]], options: Options, rng: np.random.Generator, *, shared: float = SHARED
) -> Iterator[tuple[int, list[list[list[bool]]]]]:
    """Yield each simulation's number and `solved[student][seed][problem]`; a student is its seeds' accuracies."""
    shape = (len(students), len(students[0]), options.problems)
    quantiles = norm.ppf(np.asarray(students))[:, :, None]
    taste = min(TASTE, 1 - shared)
    for start in range(0, options.simulations, BLOCK):
        count = min(BLOCK, options.simulations - start)
        hardness = rng.standard_normal((count, 1, 1, options.problems))
        tastes = rng.standard_normal((count, len(students), 1, options.problems))
        chance = rng.standard_normal((count, *shape))
        latent = (
            math.sqrt(shared) * hardness + math.sqrt(taste) * tastes + math.sqrt(max(0.0, 1 - shared - taste)) * chance
        )
        for offset, solved in enumerate((latent < quantiles).tolist()):
            yield start + offset, solved


def judged(found: dict[str, list[dict[str, Any]]], options: Options) -> Iterator[str]:
    """Say of each promise whether it is kept, with the figures furthest off."""
    pairs, families, seeds = found.values()
    covers = [row["interval covers"] for row in (*pairs, *seeds)]
    yield (
        f"intervals cover {min(covers):.1%} to {max(covers):.1%} (promised 93 to 97 %): "
        f"{kept(COVERED[0] <= min(covers), max(covers) <= COVERED[1])}"
    )
    false = max(row["mcnemar tells apart"] for row in pairs if not row["difference"])
    yield f"McNemar tells equals apart in at most {false:.2%} (promised 5 %): {kept(false <= SIGNIFICANT)}"
    wrong = max(row["any wrong"] for row in families)
    yield f"Holm lets a family err in at most {wrong:.2%} (promised 5 %): {kept(wrong <= SIGNIFICANT)}"
    signs = max(row["signs tell apart"] for row in seeds if not row["difference"])
    yield (
        f"sign flips tell equals apart in at most {signs:.2%} (promised 5 %, here and two simulation errors): "
        f"{kept(signs <= SIGNIFICANT + 2 * error(options))}"
    )
    same = max(row["called equivalent"] for row in seeds if row["difference"])
    yield f"students that differ by the margin are called equivalent in at most {same:.2%} (a t-test: about 5 %)"


def kept(*conditions: bool) -> str:
    """Write whether all conditions hold."""
    return "kept" if all(conditions) else "NOT KEPT"


def within(value: float, interval: Interval) -> bool:
    """Tell whether an interval covers a value; its ends do, whatever the last bit says."""
    return interval[0] - 1e-9 <= value <= interval[1] + 1e-9


def error(options: Options) -> float:
    """Give the standard error of a simulated share of 5 %."""
    return math.sqrt(SIGNIFICANT * (1 - SIGNIFICANT) / options.simulations)


def width(name: str) -> int:
    """Give the width of a column."""
    return max(len(name), 24 if name == "accuracies" else 14 if len(name) == 1 else 6)


def written(value: float | str | None) -> str:
    """Write a cell: texts and counts as they are, shares as percentages."""
    return value if isinstance(value, str) else f"{100 * value:.2f} %" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
