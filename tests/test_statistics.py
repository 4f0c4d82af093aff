"""Intervals and paired tests against known values, symmetry and simulation."""

import math
import time
import warnings
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socratic_distill.statistics import compare_all, holm, mcnemar_exact, paired_interval, wilson


def outcomes(solved: int, problems: int) -> list[bool]:
    return [index < solved for index in range(problems)]


def flipped(only_a: int, only_b: int, both: int = 5) -> tuple[list[bool], list[bool]]:
    a = [True] * only_a + [False] * only_b + [True] * both
    b = [False] * only_a + [True] * only_b + [True] * both
    return a, b


@pytest.mark.parametrize(
    ("correct", "problems", "low", "high"),
    [(10, 100, 0.0552, 0.1744), (50, 100, 0.4038, 0.5962), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0)],
)
def test_wilson_gives_published_values(correct: int, problems: int, low: float, high: float) -> None:
    assert wilson(correct, problems) == pytest.approx((low, high), abs=5e-5)


def test_wilson_of_no_problems_knows_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_share_and_mirrors(counts: tuple[int, int]) -> None:
    correct, problems = counts
    low, high = wilson(correct, problems)
    assert 0 <= low <= correct / problems <= high <= 1
    mirrored = wilson(problems - correct, problems)
    assert (1 - high, 1 - low) == pytest.approx(mirrored, abs=1e-12)


@pytest.mark.parametrize(("only_a", "only_b", "p"), [(0, 0, 1.0), (5, 0, 2 / 2**5), (1, 3, 10 / 16), (4, 4, 1.0)])
def test_mcnemar_is_the_two_sided_binomial_of_the_flips(only_a: int, only_b: int, p: float) -> None:
    a, b = flipped(only_a, only_b)
    assert mcnemar_exact(a, b) == pytest.approx(p)
    assert mcnemar_exact(b, a) == pytest.approx(p)


def test_mcnemar_of_no_problems_is_one() -> None:
    assert mcnemar_exact([], []) == 1.0


def test_mcnemar_finds_a_difference_where_there_is_none_at_most_one_time_in_twenty() -> None:
    rng = np.random.default_rng(7)
    hardness = rng.random((400, 60))
    a, b = rng.random((2, 400, 60)) < hardness
    found = sum(mcnemar_exact(x.tolist(), y.tolist()) < 0.05 for x, y in zip(a, b, strict=True))
    assert found / 400 <= 0.05


def test_holm_gives_a_table_worked_by_hand() -> None:
    # 0.01 * 4 = 0.04; 0.02 * 3 = 0.06; 0.03 * 2 = 0.06; 0.04 * 1 = 0.04, held at 0.06 by the step before it.
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


@settings(max_examples=10)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_never_lowers_a_p_value_nor_changes_their_order(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(raw <= new <= 1 for raw, new in zip(p_values, adjusted, strict=True))
    ordered = [new for _, new in sorted(zip(p_values, adjusted, strict=True))]
    assert all(low <= high for low, high in pairwise(ordered))


def test_identical_vectors_differ_by_exactly_nothing_and_without_warnings() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert paired_interval(outcomes(3, 10), outcomes(3, 10)) == (0.0, 0.0)
        assert paired_interval([True] * 10, [True] * 10) == (0.0, 0.0)


def test_too_few_problems_leave_the_difference_open() -> None:
    assert paired_interval([], []) == (-1.0, 1.0)
    assert paired_interval([True], [False]) == (-1.0, 1.0)


def test_paired_interval_is_close_to_its_normal_approximation() -> None:
    a, b = flipped(60, 30, both=110)
    low, high = paired_interval(a, b)
    half = 1.96 * math.sqrt((90 / 200 - 0.15**2) / 200)
    assert (low, high) == pytest.approx((0.15 - half, 0.15 + half), abs=0.011)


def test_paired_interval_is_mirrored_when_the_two_change_places_and_repeats_itself() -> None:
    a, b = flipped(20, 10, both=30)
    low, high = paired_interval(a, b)
    assert paired_interval(b, a) == pytest.approx((-high, -low), abs=0.018)
    assert paired_interval(a, b) == (low, high)
    assert paired_interval(a, b, seed=1) == pytest.approx((low, high), abs=0.018)


def test_vectors_of_different_problems_are_refused() -> None:
    with pytest.raises(AssertionError, match="3 and 2 outcomes"):
        compare_all({"a": [True, True, False], "b": [True, False]})


def test_every_pair_is_compared_in_the_mappings_order() -> None:
    cot, answer_only = flipped(12, 1, both=7)
    found = compare_all({"cot": cot, "answer_only": answer_only, "same": cot})
    assert [(c.a, c.b) for c in found] == [("cot", "answer_only"), ("cot", "same"), ("answer_only", "same")]
    first, second, third = found
    assert (first.only_a, first.only_b) == (12, 1)
    assert first.difference == pytest.approx(11 / 20)
    assert first.p_value == pytest.approx(2 * 14 / 2**13)
    assert first.p_adjusted == pytest.approx(3 * first.p_value)
    assert first.interval[0] < first.difference < first.interval[1]
    assert (second.difference, second.interval, second.p_value) == (0.0, (0.0, 0.0), 1.0)
    assert third.difference == -first.difference


def test_the_family_is_the_pairs_that_are_asked_for() -> None:
    cot, answer_only = flipped(12, 1, both=7)
    solved = {"cot": cot, "answer_only": answer_only, "same": cot}
    (found,) = compare_all(solved, pairs=[("answer_only", "cot")])
    assert (found.a, found.b, found.only_a, found.only_b) == ("answer_only", "cot", 1, 12)
    assert found.p_adjusted == found.p_value
    assert compare_all(solved, pairs=[]) == []


def test_nothing_and_no_problems_compare_without_an_error() -> None:
    assert compare_all({}) == []
    assert compare_all({"cot": [True]}) == []
    (empty,) = compare_all({"cot": [], "answer_only": []})
    assert (empty.difference, empty.interval, empty.p_value) == (0.0, (-1.0, 1.0), 1.0)


def test_ten_solves_of_two_hundred_problems_take_seconds() -> None:
    rng = np.random.default_rng(0)
    solves = {f"solve_{index}": (rng.random(200) < 0.4).tolist() for index in range(10)}
    began = time.process_time()
    assert len(compare_all(solves)) == 45
    assert time.process_time() - began < 3
