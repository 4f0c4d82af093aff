"""Intervals and paired tests on which problems were solved, over scipy and statsmodels.

Outcome vectors are aligned: position i is the same problem in each of them. Every interval is of 95 % and every
bootstrap resamples problems alone: what it says is of these trained students, not of training them again.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, bootstrap, permutation_test
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import DescrStatsW

from socratic_distill.records import Record

Interval = tuple[float, float]

Counts = NDArray[np.int16]
"""A whole number for each problem, such as the seeds that solved it: sums of them are exact, in any order."""

BLOCK = 300_000
"""Resampled problems that are held at once."""


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


BySeed = Mapping[int, Sequence[bool]]
"""By the seed of the training, whether each problem was solved; all in one order of the problems."""


class SeedsComparison(Record):
    """Two solves on the same problems over seeds: of these trained students, not of training them again."""

    a: str
    b: str
    seeds: int
    """Trained sets of students behind each of the two; seed s of a stands beside seed s of b."""
    difference: float
    """Accuracy of a minus accuracy of b, mean over problems and seeds."""
    interval: Interval
    """Paired bootstrap percentile interval (95 %) of the difference; a problem's mean over seeds is one value."""
    p_value: float
    """Two-sided; of several seeds conditional on these students: their problems' signs flip, no student is drawn."""
    test: Literal["mcnemar", "sign_flip"]
    """Exact McNemar for one seed; for several a sign-flip test on the problems' mean differences."""
    p_adjusted: float
    """Holm-adjusted over all comparisons that were made together."""
    by_seed: tuple[Comparison, ...]
    """Each seed by itself, ascending; the Holm family is that seed's comparisons."""
    smallest: float | None
    """The smallest true difference that as many problems, varying as these do, show with 80 % power at 5 %.

    None where the problems' differences do not vary, which tells nothing of it, or where not even 1 would be shown.
    """
    margin: float
    """Differences within it count as none."""
    equivalence_p: float
    """Two one-sided t-tests: below 0.05 the two are equivalent within the margin. See `equivalence`."""
    relative: float | None
    """Accuracy of a over accuracy of b, minus 1; None where b's own bootstrap interval touches zero."""
    relative_interval: Interval | None
    """Paired bootstrap percentile interval (95 %) of the relative gain."""
    only_a: int
    """Problems that a solved and b did not, summed over seeds."""
    only_b: int


def wilson(correct: int, problems: int) -> Interval:
    """Give the Wilson score interval (95 %) of a share; no problems leave it anywhere in (0, 1)."""
    if problems == 0:
        return 0.0, 1.0
    interval = binomtest(correct, problems).proportion_ci(confidence_level=0.95, method="wilson")
    return float(interval.low), float(interval.high)


def mcnemar_exact(a: Sequence[bool], b: Sequence[bool]) -> float:
    """Give the two-sided p-value of the exact McNemar test; 1 where the vectors never differ."""
    only_a, only_b = map(len, flips(a, b))
    return float(mcnemar([[0, only_a], [only_b, 0]], exact=True).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for having made all these tests, by Holm's step-down method; the order is kept."""
    if len(p_values) < 2:
        return list(p_values)
    return [float(p) for p in multipletests(p_values, method="holm")[1]]


def flips(a: Sequence[bool], b: Sequence[bool]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Give the positions of the problems that only a solved, and of those that only b solved."""
    assert len(a) == len(b), f"{len(a)} and {len(b)} outcomes are not of the same problems"
    differences = _counts([a]) - _counts([b])
    return tuple(np.flatnonzero(differences > 0).tolist()), tuple(np.flatnonzero(differences < 0).tolist())


def paired_interval(a: Sequence[bool], b: Sequence[bool], *, seed: int = 0, resamples: int = 10_000) -> Interval:
    """Give the paired bootstrap percentile interval (95 %) of mean(a) - mean(b).

    Fewer than two problems say nothing of the difference: (-1, 1).
    """
    assert len(a) == len(b), f"{len(a)} and {len(b)} outcomes are not of the same problems"
    if len(a) < 2:
        return -1.0, 1.0
    # Resampling the per-problem differences keeps the pairs together.
    differences = _counts([a]) - _counts([b])
    (interval,) = _intervals([differences], lambda sums: sums / len(a), seed=seed, resamples=resamples)
    return interval


def mean_interval(outcomes: Sequence[Sequence[bool]], *, seed: int = 0, resamples: int = 10_000) -> Interval:
    """Give the interval (95 %) of the accuracy over seeds: `outcomes[s][i]` is problem i, solved by seed s or not.

    One seed has Wilson's. Several have the bootstrap percentile interval of the problems' means over seeds, or
    Wilson's, of the problems, where all these means are the same: resampling finds no spread then.
    """
    counts = _counts(outcomes)
    problems, seeds = len(counts), len(outcomes)
    if seeds == 1 or len(np.unique(counts)) < 2:
        return wilson(round(int(counts.sum()) / seeds), problems)
    (interval,) = _intervals([counts], lambda sums: sums / (problems * seeds), seed=seed, resamples=resamples)
    return interval


def compare_all(
    outcomes: Mapping[str, Sequence[bool]],
    *,
    pairs: Sequence[tuple[str, str]] | None = None,
    seed: int = 0,
    resamples: int = 10_000,
) -> list[Comparison]:
    """Compare the given pairs of solves, else every pair in the mapping's order; they are the Holm family."""
    pairs = list(combinations(outcomes, 2)) if pairs is None else pairs
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
        for only_a, only_b in [map(len, flips(outcomes[a], outcomes[b]))]
    ]


def compare_over_seeds(
    outcomes: Mapping[str, BySeed],
    *,
    margin: float,
    pairs: Sequence[tuple[str, str]] | None = None,
    seed: int = 0,
    resamples: int = 10_000,
) -> list[SeedsComparison]:
    """Compare the given pairs of solves over seeds, else every pair in the mapping's order; they are the Holm family.

    A pair is compared on the seeds that both have, which must be of the same problems; different pairs need not share
    any. Several seeds are tested by flipping the signs of the problems' mean differences, which takes these trained
    students as they are: another training may differ by more.
    """
    pairs = list(combinations(outcomes, 2)) if pairs is None else pairs
    shared = [sorted(outcomes[a].keys() & outcomes[b].keys()) for a, b in pairs]
    for (a, b), numbers in zip(pairs, shared, strict=True):
        sizes = {len(outcomes[name][number]) for name in (a, b) for number in numbers}
        assert len(sizes) == 1, f"{a} and {b} cannot be paired: on seeds {numbers} they have {sizes} problems"
    by_seed: list[list[Comparison]] = [[] for _ in pairs]
    for number in sorted({number for numbers in shared for number in numbers}):
        family = [place for place, numbers in enumerate(shared) if number in numbers]
        solved = {name: outcomes[name][number] for place in family for name in pairs[place]}
        found = compare_all(solved, pairs=[pairs[place] for place in family], seed=seed, resamples=resamples)
        for place, comparison in zip(family, found, strict=True):
            by_seed[place].append(comparison)
    counts = [
        (_counts([outcomes[a][number] for number in numbers]), _counts([outcomes[b][number] for number in numbers]))
        for (a, b), numbers in zip(pairs, shared, strict=True)
    ]
    p_values = [
        found[0].p_value if len(found) == 1 else sign_flip((a - b).tolist(), seed=seed, resamples=resamples)
        for found, (a, b) in zip(by_seed, counts, strict=True)
    ]
    return [
        _over_seeds(found, a, b, p_value=p_value, p_adjusted=p_adjusted, margin=margin, seed=seed, resamples=resamples)
        for found, (a, b), p_value, p_adjusted in zip(by_seed, counts, p_values, holm(p_values), strict=True)
    ]


def sign_flip(differences: Sequence[int], *, seed: int = 0, resamples: int = 10_000) -> float:
    """Give the two-sided p-value of a sign-flip test of the problems' differences, which are whole numbers.

    Were the two alike, either sign of a problem's difference would be as likely. The test is exact where `resamples`
    hold all flips, else seeded; on differences of -1, 0 and 1 it is McNemar's.
    """
    # A zero has no sign: without them few differences are tested exactly, and many sooner.
    signed = np.asarray([value for value in differences if value], dtype=np.int64)
    if len(signed) < 2:
        return 1.0
    found = permutation_test(
        (signed,),
        np.sum,
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, BLOCK // len(signed)),
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def equivalence(differences: Sequence[float], *, margin: float) -> float:
    """Give the p-value of two one-sided t-tests that the mean of the problems' differences lies within the margin.

    Never below the chance that no problem differs though the share of those that do is the margin, which the true
    difference cannot exceed: that is the p-value where none differs, and no outcome speaks more for equivalence.
    """
    assert 0 < margin < 1, f"a margin of {margin} is not between 0 and 1"
    if not len(differences):
        return 1.0
    none_differs = float(binomtest(0, len(differences), margin, alternative="less").pvalue)
    if len(set(differences)) == 1:  # no spread, so no t statistic
        return 1.0 if differences[0] else none_differs
    return max(none_differs, float(DescrStatsW(differences).ttost_mean(-margin, margin)[0]))


def smallest_shown(differences: Sequence[float]) -> float | None:
    """Give the smallest true difference shown with 80 % power at 5 %, two-sided, if problems vary as these do.

    None where they do not vary, for a sample without spread tells nothing of it, or where not even 1 would be shown.
    """
    if len(set(differences)) < 2:
        return None
    smallest = _effect_shown(len(differences)) * float(np.std(differences, ddof=1))
    return smallest if smallest <= 1 else None


@cache
def _effect_shown(problems: int) -> float:
    """Give `smallest_shown` in standard deviations."""
    return float(TTestPower().solve_power(effect_size=None, nobs=problems, alpha=0.05, power=0.8))


def _over_seeds(
    by_seed: Sequence[Comparison],
    a: Counts,
    b: Counts,
    *,
    p_value: float,
    p_adjusted: float,
    margin: float,
    seed: int,
    resamples: int,
) -> SeedsComparison:
    """Put a comparison together from that of each seed and the seeds that solved each problem."""
    problems, seeds = len(a), len(by_seed)
    answers = max(1, problems * seeds)
    differences = ((a - b) / seeds).tolist()

    def statistics(sums: NDArray[np.int64]) -> NDArray[np.float64]:
        of_a, of_b = sums
        # A resample of which b solves nothing has no ratio and counts one: 2.5 % at most where the interval is given.
        return np.stack([(of_a - of_b) / answers, of_b / answers, of_a / np.maximum(of_b, 1) - 1])

    interval, baseline, gain = (
        ((-1.0, 1.0), (0.0, 1.0), (-1.0, float("inf")))
        if problems < 2
        else _intervals([a, b], statistics, seed=seed, resamples=resamples)
    )
    return SeedsComparison(
        a=by_seed[0].a,
        b=by_seed[0].b,
        seeds=seeds,
        difference=int((a - b).sum()) / answers,
        interval=interval,
        p_value=p_value,
        test="mcnemar" if seeds == 1 else "sign_flip",
        p_adjusted=p_adjusted,
        by_seed=tuple(by_seed),
        smallest=smallest_shown(differences),
        margin=margin,
        equivalence_p=equivalence(differences, margin=margin),
        relative=int(a.sum()) / int(b.sum()) - 1 if baseline[0] > 0 else None,
        relative_interval=gain if baseline[0] > 0 else None,
        only_a=sum(one.only_a for one in by_seed),
        only_b=sum(one.only_b for one in by_seed),
    )


def _counts(outcomes: Sequence[Sequence[bool]]) -> Counts:
    """Count the seeds that solved each problem."""
    counts: Counts = np.asarray(outcomes, dtype=np.int16).sum(axis=0, dtype=np.int16)
    return counts


def _intervals(
    rows: Sequence[Counts], statistic: Callable[[NDArray[np.int64]], NDArray[np.float64]], *, seed: int, resamples: int
) -> list[Interval]:
    """Give bootstrap percentile intervals (95 %) of what `statistic` makes of the rows' sums over resampled problems.

    It takes (rows, resamples) and returns (statistics, resamples). A resample has the same problems in every row.
    """
    interval = bootstrap(
        (np.stack(rows),),
        lambda resampled, axis: statistic(resampled.sum(axis=axis, dtype=np.int64)),
        axis=-1,
        n_resamples=resamples,
        batch=max(1, BLOCK // (len(rows) * len(rows[0]))),
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return list(zip(interval.low.tolist(), interval.high.tolist(), strict=True))
