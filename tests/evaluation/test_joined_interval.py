"""Means of several proportions: SciPy and statsmodels for the parts, Newcombe's case by hand, simulated coverage."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from pulmoscope.evaluation import (
    clopper_pearson,
    effective_size,
    evaluate,
    jeffreys,
    mean_share_interval,
    wilson,
)
from pulmoscope.evaluation.confusion import confusion_by_group, overlap_counts, sensitivity_counts
from pulmoscope.evaluation.joined_interval import f1_likeness, f1_of_overlap, mean_interval


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
    # Newcombe's example (a): .0524 to .3339.
    assert wanted == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert 2 * low - 1 == pytest.approx(wanted[0])
    # Above, the mean is less skew than its parts.
    assert wanted[1] < 2 * high - 1 < wanted[1] + 0.01


def test_errors_of_the_same_patients_add_up() -> None:
    """Wholly alike their reaches add; a likeness below 0 counts as 0; what is undefined is left out."""
    both, against = np.array([[1, 1], [-1, -1]]), np.array([[1, -1], [-1, 1]])
    values, low, high = [0.5, 0.7], [0.3, 0.5], [0.7, 0.9]
    assert mean_interval(values, low, high, both) == pytest.approx((0.4, 0.8))
    apart = 0.2 / np.sqrt(2)
    assert mean_interval(values, low, high, against) == pytest.approx((0.6 - apart, 0.6 + apart))
    assert mean_interval([0.5, np.nan], [0.3, np.nan], [0.7, np.nan], both) == pytest.approx((0.3, 0.7))
    assert np.isnan(mean_interval([np.nan], [np.nan], [np.nan], [[1.0]])).all()
    # Nothing is known of the likeness with a number that no patient moves.
    one = np.array([[1, 0], [-1, 0]])
    assert mean_interval(values, low, high, one, unmoved=1.0) == pytest.approx((0.4, 0.8))
    assert mean_interval(values, low, high, one) == pytest.approx((0.6 - apart, 0.6 + apart))


def test_the_skew_of_many_parts_is_not_handed_on_whole() -> None:
    """Eight rates of 1 that reach down to .7: half widths .15 add as squares, and skews of .15 as their mean."""
    apart = np.eye(8)
    low, high = mean_interval([1.0] * 8, [0.7] * 8, [1.0] * 8, apart)
    assert low == pytest.approx(1 - max(0.3 / np.sqrt(8), 0.15 / np.sqrt(8) + 0.15 / 8))
    assert high == 1
    # Of .8 (.5 to .95) recovery reaches up by .15 / sqrt(8); half widths are .225, skews .075.
    low, high = mean_interval([0.8] * 8, [0.5] * 8, [0.95] * 8, apart)
    assert high == pytest.approx(0.8 + 0.225 / np.sqrt(8) - 0.075 / 8)
    assert low == pytest.approx(0.8 - 0.3 / np.sqrt(8))
    # Parts whose likeness is whole are one part, and their skew is the mean's.
    assert mean_interval([0.8] * 8, [0.5] * 8, [0.95] * 8, np.ones((1, 8))) == pytest.approx((0.5, 0.95))


def joined_by_hand(k: np.ndarray, n: np.ndarray, level: float, *, f1: bool) -> tuple[float, float]:
    """The two ways pair by pair, from SciPy's beta at the effective sizes and NumPy's correlation."""
    right, of, parts = k.sum(axis=0), n.sum(axis=0), k.shape[1]
    share, size = right / of, effective_size(k, n, level)
    tail = (1 - level) / 2
    low, high = (beta.ppf(end, share * size + 0.5, (1 - share) * size + 0.5) for end in (tail, 1 - tail))
    if f1:
        share, low, high = (2 * one / (1 + one) for one in (share, low, high))
    moved = k - right / of * n
    alike = np.array([[(a @ b) / np.sqrt((a @ a) * (b @ b)) for b in moved.T] for a in moved.T]).clip(0)
    ways = []
    for reach in (share - low, high - share, (high - low) / 2):
        ways.append(
            np.sqrt(sum(alike[i, j] * reach[i] * reach[j] for i in range(parts) for j in range(parts)))
        )
    half, skew = (high - low) / 2, (2 * share - low - high) / 2
    beside = np.array([sum(alike[i, j] * half[j] for j in range(parts)) for i in range(parts)])
    shift = (skew * beside**2).sum() / (half * beside).sum()
    below, above = max(ways[0], ways[2] + shift), max(ways[1], ways[2] - shift)
    return float(share.mean() - below / parts), float(share.mean() + above / parts)


@pytest.mark.parametrize("level", [0.95, 0.8])
@pytest.mark.parametrize("f1", [False, True])
def test_several_pictures_a_patient_by_hand(level: float, f1: bool) -> None:
    random = np.random.default_rng(8)
    codes = np.repeat(np.arange(30), random.integers(1, 6, 30))
    truth = random.integers(0, 3, len(codes))
    said = np.where(random.random(30)[codes] < 0.7, truth, (truth + 1) % 3)
    cells = confusion_by_group(truth, said, codes, classes=3, groups=30)
    k, n = (overlap_counts if f1 else sensitivity_counts)(cells)
    found = mean_share_interval(jeffreys, k, n, level, f1=f1)
    assert found == pytest.approx(joined_by_hand(k, n, level, f1=f1))
    if level == 0.95:
        table = pd.DataFrame({
            "image_id": [str(row) for row in range(len(codes))], "group_id": [f"g{one}" for one in codes],
            "label": [f"c{one}" for one in truth], "prediction": [f"c{one}" for one in said],
        })  # fmt: skip
        whole = evaluate(table, split=None)
        one = whole.macro_f1 if f1 else whole.balanced_accuracy
        assert (one.low, one.high) == pytest.approx(found)


@pytest.mark.parametrize(("classes", "pictures"), [(2, 60), (4, 60)])
def test_f1_without_a_mistake_is_no_surer_than_its_classes(classes: int, pictures: int) -> None:
    """Each mistake would be of two classes, so of two classes the mean is as open as either."""
    labels = [f"c{row % classes}" for row in range(pictures)]
    table = pd.DataFrame(
        {"image_id": [str(row) for row in range(pictures)], "label": labels, "prediction": labels}
    )
    for kind, lower in (("default", jeffreys), ("exact", clopper_pearson)):
        found = evaluate(table, split=None, intervals=kind)
        share = float(lower(pictures / classes, pictures / classes)[0])
        reach = 1 - 2 * share / (1 + share)
        likeness = f1_likeness(classes)
        wanted = 1 - reach * np.sqrt((1 + (classes - 1) * likeness) / classes)
        assert found.macro_f1.low == pytest.approx(wanted, abs=1e-6)
        assert found.macro_f1.high == 1


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
    assert 0 <= found[0] <= share.mean() + 1e-12
    assert share.mean() - 1e-12 <= found[1] <= 1
    assert found[1] - found[0] > 0.05
    assert mean_share_interval(clopper_pearson, k, n)[0] <= found[0] + 1e-9


def test_coverage_with_a_class_of_five() -> None:
    random = np.random.default_rng(3)
    held = []
    for _ in range(800):
        right = [int(random.binomial(of, 0.9)) for of in (5, 100, 100)]
        low, high = mean_share_interval(jeffreys, *one_picture_each(*zip(right, (5, 100, 100), strict=True)))
        held.append(low <= 0.9 <= high)
    assert 0.93 < np.mean(held) < 0.99
