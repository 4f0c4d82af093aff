"""Intervals and paired tests on which problems were solved, over scipy and statsmodels.

Outcome vectors are aligned: position i is the same problem in each of them.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from scipy.stats import binomtest, bootstrap
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from socratic_distill.records import Record

Interval = tuple[float, float]


class Comparison(Record):
    """Two solves on the same problems."""

    a: str
    b: str
    difference: float
    """Accuracy of a minus accuracy of b, a share."""
    interval: Interval
    """Paired bootstrap percentile interval (95 %) of the difference."""
    p_value: float
    """Exact McNemar, two-sided."""
    p_adjusted: float
    """Holm-adjusted over all comparisons that were made together."""
    only_a: int
    """Problems that a solved and b did not."""
    only_b: int


def wilson(correct: int, problems: int) -> Interval:
    """Give the Wilson score interval (95 %) of a share; no problems leave it anywhere in (0, 1)."""
    if problems == 0:
        return 0.0, 1.0
    interval = binomtest(correct, problems).proportion_ci(confidence_level=0.95, method="wilson")
    return float(interval.low), float(interval.high)


def mcnemar_exact(a: Sequence[bool], b: Sequence[bool]) -> float:
    """Give the two-sided p-value of the exact McNemar test; 1 where the vectors never differ."""
    only_a, only_b = _flips(a, b)
    return float(mcnemar([[0, only_a], [only_b, 0]], exact=True).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for having made all these tests, by Holm's step-down method; the order is kept."""
    if not p_values:
        return []
    return [float(p) for p in multipletests(p_values, method="holm")[1]]


def paired_interval(a: Sequence[bool], b: Sequence[bool], *, seed: int = 0, resamples: int = 10_000) -> Interval:
    """Give the paired bootstrap percentile interval (95 %) of mean(a) - mean(b).

    Fewer than two problems say nothing of the difference: (-1, 1).
    """
    assert len(a) == len(b), f"{len(a)} and {len(b)} outcomes are not of the same problems"
    if len(a) < 2:
        return -1.0, 1.0
    # Resampling the per-problem differences keeps the pairs together, and int8 keeps the resamples small.
    differences = np.asarray(a, dtype=np.int8) - np.asarray(b, dtype=np.int8)
    interval = bootstrap(
        (differences,),
        np.mean,
        n_resamples=resamples,
        batch=1_000,
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def compare_all(outcomes: Mapping[str, Sequence[bool]], *, seed: int = 0, resamples: int = 10_000) -> list[Comparison]:
    """Compare every pair of solves in the mapping's order; the Holm family is all of these pairs."""
    pairs = list(combinations(outcomes, 2))
    p_values = [mcnemar_exact(outcomes[a], outcomes[b]) for a, b in pairs]
    return [
        Comparison(
            a=a,
            b=b,
            difference=(only_a - only_b) / max(1, len(outcomes[a])),
            interval=paired_interval(outcomes[a], outcomes[b], seed=seed, resamples=resamples),
            p_value=p_value,
            p_adjusted=p_adjusted,
            only_a=only_a,
            only_b=only_b,
        )
        for (a, b), p_value, p_adjusted in zip(pairs, p_values, holm(p_values), strict=True)
        for only_a, only_b in [_flips(outcomes[a], outcomes[b])]
    ]


def _flips(a: Sequence[bool], b: Sequence[bool]) -> tuple[int, int]:
    """Count the problems that only a solved, and those that only b solved."""
    assert len(a) == len(b), f"{len(a)} and {len(b)} outcomes are not of the same problems"
    solved_a, solved_b = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    return int(np.sum(solved_a & ~solved_b)), int(np.sum(solved_b & ~solved_a))
