"""Means of several proportions: SciPy and statsmodels for the parts, Newcombe's case by hand, simulated coverage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from pulmoscope.evaluation import clopper_pearson, jeffreys, mean_share_interval, wilson
from pulmoscope.evaluation.joined_interval import f1_of_overlap, mean_interval


@pytest.mark.parametrize(("k", "n"), [(8, 10), (1, 3), (27, 40), (2.5, 7.25)])
def test_jeffreys_is_statsmodels(k: float, n: float) -> None:
    assert jeffreys(k, n) == pytest.approx(proportion_confint(k, n, method="jeffreys"))


def test_jeffreys_ends_and_errors() -> None:
    assert jeffreys(0, 5)[0] == 0
    assert jeffreys(5, 5)[1] == 1
    assert np.isnan(jeffreys(0, 0)).all()
    with pytest.raises(ValueError, match="between 0 and trials"):
        jeffreys(6, 5)
    # On average over the rates it holds the truth as often as it says.
    rates, k = np.linspace(0.05, 0.95, 181), np.arange(41)
    low, high = jeffreys(k, 40)
    held = [binom.pmf(k, 40, rate)[(low <= rate) & (rate <= high)].sum() for rate in rates]
    assert np.mean(held) == pytest.approx(0.95, abs=0.005)


def one_picture_each(*counts: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """k and n, (G, M), of counts (right, all) of M proportions of different patients."""
    rows = sum(of for _, of in counts)
    k, n = np.zeros((rows, len(counts))), np.zeros((rows, len(counts)))
    first = 0
    for at, (right, of) in enumerate(counts):
        n[first : first + of, at] = 1
        k[first : first + right, at] = 1
        first += of
    return k, n


def test_two_proportions_are_newcombe_s_difference() -> None:
    """p + (1 - q) is 1 + (p - q), whose interval from Wilson's bounds is Newcombe's 10th method (1998)."""
    low, high = mean_share_interval(wilson, *one_picture_each((56, 70), (80 - 48, 80)))
    wanted = confint_proportions_2indep(56, 70, 48, 80, method="newcomb")
    assert (2 * low - 1, 2 * high - 1) == pytest.approx(wanted)
    # Newcombe's example (a): .0524 to .3339.
    assert (2 * low - 1, 2 * high - 1) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_errors_of_the_same_patients_add_up() -> None:
    """Wholly alike their reaches add; opposed they cancel; a proportion that cannot be undefined is left out."""
    both, against = np.array([[1, 1], [-1, -1]]), np.array([[1, -1], [-1, 1]])
    values, low, high = [0.5, 0.7], [0.3, 0.5], [0.6, 0.8]
    assert mean_interval(values, low, high, both) == pytest.approx((0.4, 0.7))
    assert mean_interval(values, low, high, against) == pytest.approx((0.6, 0.6))
    assert mean_interval([0.5, np.nan], [0.3, np.nan], [0.6, np.nan], both) == pytest.approx((0.3, 0.6))
    assert np.isnan(mean_interval([np.nan], [np.nan], [np.nan], [[1.0]])).all()


def test_f1_is_the_function_of_the_overlap() -> None:
    right, wrong, missed = 7, 3, 5
    assert f1_of_overlap(right / (right + wrong + missed)) == pytest.approx(
        2 * right / (2 * right + wrong + missed)
    )


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 3)), min_size=1, max_size=8))
def test_the_mean_lies_inside_and_one_proportion_is_its_own(counts: list[tuple[int, int, int]]) -> None:
    n = np.array([[max(a, b), c] for a, b, c in counts])
    k = np.array([[min(a, b), min(a, c)] for a, b, c in counts])
    found = mean_share_interval(jeffreys, k, n)
    share = k.sum(axis=0)[n.sum(axis=0) > 0] / n.sum(axis=0)[n.sum(axis=0) > 0]
    if not len(share):
        assert np.isnan(found).all()
        return
    assert -1e-9 <= found[0] <= share.mean() + 1e-12
    assert share.mean() - 1e-12 <= found[1] <= 1 + 1e-9
    assert mean_share_interval(clopper_pearson, k, n)[0] <= found[0] + 1e-9


def test_coverage_with_a_class_of_five() -> None:
    random = np.random.default_rng(3)
    held = []
    for _ in range(800):
        right = [int(random.binomial(of, 0.9)) for of in (5, 100, 100)]
        low, high = mean_share_interval(jeffreys, *one_picture_each(*zip(right, (5, 100, 100), strict=True)))
        held.append(low <= 0.9 <= high)
    assert 0.93 < np.mean(held) < 0.99
