"""Comparisons over seeds against values worked by hand, the plain functions, symmetry and empty samples."""

import math
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socratic_distill.statistics import (
    SeedsComparison,
    compare_all,
    compare_over_seeds,
    equivalence,
    flips,
    mcnemar_exact,
    mean_interval,
    paired_interval,
    sign_flip,
    smallest_shown,
    wilson,
)

Seeds = list[list[bool]]


def numbered(seeds: Seeds) -> dict[int, list[bool]]:
    return dict(enumerate(seeds))


def simulated(*accuracies: float, problems: int = 200, seeds: int = 3, rng_seed: int = 0) -> dict[str, Seeds]:
    """Solve problems of shared hardness: a name and a number of seeds for each accuracy."""
    rng = np.random.default_rng(rng_seed)
    hardness = rng.random(problems) - 0.5
    return {
        f"solve_{place}": (rng.random((seeds, problems)) < accuracy + hardness).tolist()
        for place, accuracy in enumerate(accuracies)
    }


def over_seeds(outcomes: Mapping[str, Seeds], **options: Any) -> list[SeedsComparison]:
    return compare_over_seeds({name: numbered(seeds) for name, seeds in outcomes.items()}, **options)


def compared(a: Seeds, b: Seeds, *, margin: float = 0.05, resamples: int = 1_000) -> SeedsComparison:
    (found,) = compare_over_seeds({"a": numbered(a), "b": numbered(b)}, margin=margin, resamples=resamples)
    return found


def test_flips_are_the_positions_that_one_of_the_two_solved() -> None:
    assert flips([True, True, False, False, True], [True, False, False, True, False]) == ((1, 4), (3,))
    assert flips([], []) == ((), ())
    with pytest.raises(AssertionError, match="1 and 2 outcomes"):
        flips([True], [True, False])


def test_a_comparison_over_two_seeds_is_the_one_worked_by_hand() -> None:
    # Of six problems a solves 5 and 4, b solves 2 and 1; the means differ by 1, 1, 1/2, 1/2, 0, 0.
    a = [[True, True, True, True, True, False], [True, True, False, True, True, False]]
    b = [[False, False, False, True, True, False], [False, False, False, False, True, False]]
    found = compared(a, b)
    assert (found.a, found.b, found.seeds, found.test) == ("a", "b", 2, "sign_flip")
    assert found.difference == pytest.approx(6 / 12)
    # Four differences have a sign: of the 16 ways to give it only the two that are all alike are as far from 0.
    assert found.p_value == pytest.approx(2 / 16)
    assert (found.only_a, found.only_b) == (6, 0)
    assert found.relative is None  # b solves two problems of six: a resample may well miss both
    assert [one.difference for one in found.by_seed] == pytest.approx([3 / 6, 3 / 6])
    assert [one.p_value for one in found.by_seed] == pytest.approx([2 / 8, 2 / 8])


def test_one_seed_gives_what_the_plain_functions_give() -> None:
    outcomes = simulated(0.3, 0.5, 0.6, seeds=1)
    plain = compare_all({name: seeds[0] for name, seeds in outcomes.items()}, resamples=500)
    found = over_seeds(outcomes, margin=0.05, resamples=500)
    for one, seeded in zip(plain, found, strict=True):
        assert seeded.by_seed == (one,)
        assert seeded.test == "mcnemar"
        shared = one.model_dump()
        assert seeded.model_dump(include=set(shared)) == shared


def test_each_seed_is_a_family_of_its_own() -> None:
    outcomes = simulated(0.3, 0.4, 0.6)
    found = over_seeds(outcomes, margin=0.05, resamples=500)
    for number in range(3):
        alone = compare_all({name: seeds[number] for name, seeds in outcomes.items()}, resamples=500)
        assert [one.by_seed[number] for one in found] == alone


def test_equal_seeds_add_no_evidence_to_the_interval() -> None:
    outcomes = simulated(0.4, 0.55, seeds=1)
    (a,), (b,) = outcomes.values()
    once, thrice = compared([a], [b]), compared([a] * 3, [b] * 3)
    for field in ("difference", "interval", "smallest", "equivalence_p", "relative", "relative_interval"):
        assert getattr(thrice, field) == pytest.approx(getattr(once, field)), field
    assert (thrice.only_a, thrice.only_b) == (3 * once.only_a, 3 * once.only_b)


def test_the_family_is_the_pairs_that_are_asked_for() -> None:
    outcomes = simulated(0.4, 0.5, 0.6)
    every = {(one.a, one.b): one for one in over_seeds(outcomes, margin=0.05, resamples=100)}
    assert list(every) == [("solve_0", "solve_1"), ("solve_0", "solve_2"), ("solve_1", "solve_2")]
    (alone,) = over_seeds(outcomes, pairs=[("solve_1", "solve_0")], margin=0.05, resamples=100)
    assert alone.p_adjusted == alone.p_value
    assert alone.difference == -every["solve_0", "solve_1"].difference
    assert over_seeds(outcomes, pairs=[], margin=0.05) == []
    assert compare_over_seeds({}, margin=0.05) == []


def test_pairs_of_one_family_may_have_other_problems_and_seeds_than_one_another() -> None:
    small, large = simulated(0.3, 0.7, problems=50, seeds=1), simulated(0.45, 0.5, problems=90, seeds=2)
    outcomes = {f"small/{name}": seeds for name, seeds in small.items()} | large
    pairs = [("small/solve_0", "small/solve_1"), ("solve_0", "solve_1")]
    first, second = over_seeds(outcomes, pairs=pairs, margin=0.05, resamples=100)
    assert (first.seeds, first.test, second.seeds, second.test) == (1, "mcnemar", 2, "sign_flip")
    assert len(second.by_seed) == 2
    assert first.p_adjusted == pytest.approx(min(1, 2 * first.p_value))
    assert second.by_seed[1].p_adjusted == second.by_seed[1].p_value  # alone in its family


def test_a_pair_is_compared_on_the_seeds_that_both_have() -> None:
    a, b, c = simulated(0.3, 0.5, 0.6, problems=60).values()
    outcomes = {"a": numbered(a), "b": {1: b[1]}, "c": {2: c[2], 1: c[1]}}
    pairs = [("a", "b"), ("c", "a")]
    first, second = compare_over_seeds(outcomes, pairs=pairs, margin=0.05, resamples=100)
    (alone,) = compare_over_seeds({"a": {1: a[1]}, "b": {1: b[1]}}, margin=0.05, resamples=100)
    assert (first.difference, first.p_value, first.seeds) == (alone.difference, alone.p_value, 1)
    assert [one.difference for one in second.by_seed] == [(sum(c[seed]) - sum(a[seed])) / 60 for seed in (1, 2)]
    assert second.by_seed[1].p_adjusted == second.by_seed[1].p_value  # seed 2 is a family of its own


@pytest.mark.parametrize("b", [[[True], [False]], [[True, False], [True]], []])
def test_solves_of_other_seeds_or_problems_are_refused(b: Seeds) -> None:
    with pytest.raises(AssertionError, match="cannot be paired"):
        compared([[True, False], [True, True]], b)


def test_the_two_may_change_places() -> None:
    a, b = simulated(0.35, 0.5).values()
    one, other = compared(a, b), compared(b, a)
    low, high = one.interval
    assert other.difference == -one.difference
    assert other.interval == pytest.approx((-high, -low))
    assert (other.only_a, other.only_b) == (one.only_b, one.only_a)
    assert (other.smallest, other.equivalence_p) == pytest.approx((one.smallest, one.equivalence_p))
    assert other.p_value == pytest.approx(one.p_value, abs=0.03)
    assert one.relative is not None and other.relative is not None
    assert (1 + one.relative) * (1 + other.relative) == pytest.approx(1)


@pytest.mark.parametrize("order", [range(59, -1, -1), np.random.default_rng(3).permutation(60).tolist()])
def test_the_order_of_the_problems_does_not_matter(order: Sequence[int]) -> None:
    a, b = simulated(0.4, 0.5, problems=60).values()
    moved_a, moved_b = ([[seed[place] for place in order] for seed in seeds] for seeds in (a, b))
    one, other = (compared(*both, resamples=10_000) for both in ((a, b), (moved_a, moved_b)))
    for field in ("difference", "smallest", "equivalence_p", "relative", "only_a", "only_b"):
        assert getattr(other, field) == pytest.approx(getattr(one, field)), field
    assert other.interval == pytest.approx(one.interval, abs=0.012)
    assert other.p_value == pytest.approx(one.p_value, abs=0.02)


def test_the_same_seed_repeats_every_number_and_batches_change_none(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = simulated(0.4, 0.5).values()
    found = compared(a, b)
    assert compared(a, b) == found
    (other,) = compare_over_seeds({"a": numbered(a), "b": numbered(b)}, margin=0.05, seed=1, resamples=1_000)
    assert (other.interval, other.p_value) != (found.interval, found.p_value)
    monkeypatch.setattr("socratic_distill.statistics.BLOCK", 7_000)
    assert compared(a, b) == found


@given(st.lists(st.sampled_from([-1, 0, 1]), max_size=12))
@settings(max_examples=30, deadline=None)
def test_a_sign_flip_test_of_single_outcomes_is_mcnemars(differences: list[int]) -> None:
    a, b = [value > 0 for value in differences], [value < 0 for value in differences]
    assert sign_flip(differences) == pytest.approx(mcnemar_exact(a, b))


def test_many_sign_flips_are_sampled_close_to_mcnemars() -> None:
    differences = [1] * 60 + [-1] * 40 + [0] * 100
    exact = mcnemar_exact([value > 0 for value in differences], [value < 0 for value in differences])
    assert sign_flip(differences) == pytest.approx(exact, abs=0.012)
    assert sign_flip([1] * 100, resamples=999) == pytest.approx(2 / 1000)  # never 0


def test_the_smallest_difference_is_found_four_times_in_five() -> None:
    # By the normal approximation (1.960 + 0.842) sd / sqrt(n), here of flips in a fifth of 400 problems.
    differences = [1.0] * 40 + [-1.0] * 40 + [0.0] * 320
    expected = 2.802 * math.sqrt(0.2) / math.sqrt(400)
    assert smallest_shown(differences) == pytest.approx(expected, rel=0.01)
    assert smallest_shown(differences) == smallest_shown([-value for value in differences])


def test_no_smallest_difference_is_named_without_spread_or_problems_enough() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert smallest_shown([]) is None
        assert smallest_shown([0.0] * 300) is None
        assert smallest_shown([1.0] * 300) is None
        assert smallest_shown([1.0, -1.0]) is None  # not even 1 would be shown
        shown = [smallest_shown([0.5, *[0.0] * others]) for others in range(1, 40)]
    assert all(one is None or 0 < one <= 1 for one in shown)
    assert shown[-1] is not None


def test_equivalence_is_two_one_sided_t_tests() -> None:
    # The mean is 0 and its standard error 0.025: the margin of 0.05 is two of them away.
    differences = [1.0] * 50 + [-1.0] * 50 + [0.0] * 301
    error = math.sqrt(100 / 400 / 401)
    normal = 0.5 * math.erfc(0.05 / error / math.sqrt(2))
    assert equivalence(differences, margin=0.05) == pytest.approx(normal, rel=0.05)
    shifted = [1.0] * 90 + [-1.0] * 50 + [0.0] * 261
    assert equivalence(shifted, margin=0.05) > 0.5


def test_equivalence_without_a_flip_takes_problems_enough_to_have_seen_one() -> None:
    assert equivalence([0.0] * 10, margin=0.05) == pytest.approx(0.95**10)
    assert equivalence([0.0] * 300, margin=0.05) == pytest.approx(0.95**300)
    assert equivalence([1 / 3] * 300, margin=0.05) == 1.0
    assert equivalence([], margin=0.05) == 1.0
    # A single flip must not be better evidence of equivalence than none.
    assert equivalence([1.0, *[0.0] * 99], margin=0.04) >= equivalence([0.0] * 100, margin=0.04)


@pytest.mark.parametrize("margin", [0.0, 1.0, -0.05, 5.0])
def test_a_margin_is_a_share(margin: float) -> None:
    with pytest.raises(AssertionError, match="margin"):
        compared([[True, False]], [[False, True]], margin=margin)


def test_the_mean_of_one_seed_has_wilsons_interval() -> None:
    assert mean_interval([[True] * 10 + [False] * 90]) == wilson(10, 100)
    assert mean_interval([[]]) == (0.0, 1.0)


def test_the_mean_over_seeds_has_an_interval_of_the_problems() -> None:
    # 100 problems that every seed solves and 100 that none does: three seeds know no more than one.
    low, high = mean_interval([[True] * 100 + [False] * 100] * 3)
    half = 1.96 * math.sqrt(0.25 / 200)
    assert (low, high) == pytest.approx((0.5 - half, 0.5 + half), abs=0.008)


def test_the_mean_over_seeds_is_uncertain_even_where_every_problem_ends_alike() -> None:
    assert mean_interval([[False] * 10] * 3) == wilson(0, 10)
    assert mean_interval([[True] * 10] * 3) == wilson(10, 10)
    assert mean_interval([[True], [False]]) == wilson(0, 1)
    assert mean_interval([[], []]) == (0.0, 1.0)


def test_a_relative_gain_is_a_ratio_with_its_paired_interval() -> None:
    # a solves all that b solves, and seven more for ten of them.
    solved_b = [True] * 100 + [False] * 200
    solved_a = [True] * 170 + [False] * 130
    found = compared([solved_a], [solved_b])
    assert found.relative == pytest.approx(0.7)
    assert found.relative_interval is not None
    # By the delta method: the error of log(a / b) is sqrt(1/100 - 1/170).
    half = 1.96 * math.sqrt(1 / 100 - 1 / 170)
    expected = (1.7 * math.exp(-half) - 1, 1.7 * math.exp(half) - 1)
    assert found.relative_interval == pytest.approx(expected, abs=0.06)


@pytest.mark.parametrize("solved", [0, 1, 3])
def test_there_is_no_ratio_to_a_baseline_whose_interval_touches_zero(solved: int) -> None:
    baseline = [place < solved for place in range(200)]
    assert paired_interval(baseline, [False] * 200)[0] == 0
    found = compared([[True] * 100 + [False] * 100], [baseline])
    assert (found.relative, found.relative_interval) == (None, None)
    above = compared([[True] * 100 + [False] * 100], [[place < 12 for place in range(200)]])
    assert above.relative == pytest.approx(100 / 12 - 1)


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("value", [True, False])
def test_solves_that_never_differ_are_told_so_without_warnings(seeds: int, value: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = compared([[value] * 80] * seeds, [[value] * 80] * seeds)
    assert (found.difference, found.interval, found.p_value, found.p_adjusted) == (0.0, (0.0, 0.0), 1.0, 1.0)
    assert (found.smallest, found.only_a, found.only_b) == (None, 0, 0)
    assert found.equivalence_p == pytest.approx(0.95**80)
    assert (found.relative, found.relative_interval) == ((0.0, (0.0, 0.0)) if value else (None, None))


@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize("problems", [0, 1])
def test_fewer_than_two_problems_leave_everything_open(problems: int, seeds: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = compared([[True] * problems] * seeds, [[False] * problems] * seeds)
    assert (found.interval, found.p_value, found.equivalence_p) == ((-1.0, 1.0), 1.0, 1.0)
    assert (found.smallest, found.relative, found.relative_interval) == (None, None, None)
    assert found.difference == problems


def test_a_comparison_survives_its_own_json() -> None:
    for found in (compared([[True, False]], [[False, False]]), compared(*simulated(0.3, 0.5).values())):
        assert SeedsComparison.model_validate_json(found.model_dump_json()) == found


def test_three_pairs_of_three_seeds_take_a_second() -> None:
    outcomes = simulated(0.3, 0.5, 0.6, problems=300)
    began = time.process_time()
    assert len(over_seeds(outcomes, margin=0.05)) == 3
    assert time.process_time() - began < 3
