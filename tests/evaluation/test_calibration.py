from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binned_statistic
from sklearn.calibration import calibration_curve

from pulmoscope.evaluation import expected_calibration_error, reliability, wilson
from pulmoscope.evaluation.calibration import event_reliability


def test_by_hand() -> None:
    # Confidences .9 (right), .9 (wrong), .6 (right): bins (.8, 1] and (.4, .6] of five.
    bins = reliability([0, 1, 0], [[0.9, 0.1], [0.9, 0.1], [0.6, 0.4]], bins=5)
    assert bins.counts.tolist() == [0, 0, 1, 0, 2]
    assert bins.accuracy[[2, 4]].tolist() == [1.0, 0.5]
    assert bins.confidence[[2, 4]].tolist() == [0.6, 0.9]
    assert np.isnan(bins.accuracy[[0, 1, 3]]).all()
    assert np.isnan(bins.low[[0, 1, 3]]).all()
    assert bins.ece == pytest.approx((1 * 0.4 + 2 * 0.4) / 3)
    low, high = wilson(1, 2)
    assert (bins.low[4], bins.high[4]) == (low, high)


def test_agrees_with_scikit_learn_and_scipy() -> None:
    rng = np.random.default_rng(0)
    top = rng.uniform(0.5, 1, 500)
    probabilities = np.column_stack([top, 1 - top])
    truth = (rng.random(500) > top).astype(int)
    bins = reliability(truth, probabilities, bins=10)
    kept = bins.counts > 0
    accuracy, confidence = calibration_curve(truth == 0, top, n_bins=10)
    assert bins.accuracy[kept] == pytest.approx(accuracy)
    assert bins.confidence[kept] == pytest.approx(confidence)
    gaps = binned_statistic(top, (truth == 0) - top, "sum", bins=np.linspace(0, 1, 11)).statistic
    assert bins.ece == pytest.approx(np.abs(gaps).sum() / 500)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), rows=st.integers(1, 40), bins=st.integers(1, 20))
def test_counts_all_pictures_in_any_order(seed: int, rows: int, bins: int) -> None:
    rng = np.random.default_rng(seed)
    truth, probabilities = rng.integers(0, 3, rows), rng.dirichlet(np.ones(3), rows)
    found = reliability(truth, probabilities, bins)
    assert found.counts.sum() == rows
    assert 0 <= found.ece <= 1
    order = rng.permutation(rows)
    assert reliability(truth[order], probabilities[order], bins).ece == pytest.approx(found.ece)
    used = found.counts > 0
    assert (found.confidence[used] >= found.edges[:-1][used] - 1e-12).all()
    assert (found.confidence[used] <= found.edges[1:][used] + 1e-12).all()


def test_certain_and_right_is_calibrated_and_nothing_is_undefined() -> None:
    assert expected_calibration_error([0, 1], [[1.0, 0.0], [0.0, 1.0]]) == 0.0
    assert expected_calibration_error([1, 0], [[1.0, 0.0], [0.0, 1.0]]) == 1.0
    assert np.isnan(expected_calibration_error([], np.empty((0, 3))))


def test_refuses_wrong_shapes() -> None:
    with pytest.raises(ValueError, match="expected truth"):
        reliability([0, 1], [0.5, 0.5])
    with pytest.raises(ValueError, match="at least 1"):
        reliability([0], [[1.0, 0.0]], bins=0)


def test_equal_mass_by_hand() -> None:
    # In order .5 .6 | .7 .8 | .9 1.0: right are .6, .7, .9 and 1.0.
    top = np.array([0.9, 0.5, 0.8, 0.6, 1.0, 0.7])
    truth = np.array([0, 1, 1, 0, 0, 0])
    found = reliability(truth, np.column_stack([top, 1 - top]), bins=3, binning="mass")
    assert found.counts.tolist() == [2, 2, 2]
    assert found.edges.tolist() == [0.0, 0.6, 0.8, 1.0]
    assert found.accuracy.tolist() == [0.5, 0.5, 1.0]
    assert found.ece == pytest.approx((2 * 0.05 + 2 * 0.25 + 2 * 0.05) / 6)


def test_equal_mass_agrees_with_scikit_learn_and_pandas() -> None:
    rng = np.random.default_rng(5)
    top = rng.uniform(0.5, 1, 600)
    probabilities = np.column_stack([top, 1 - top])
    truth = (rng.random(600) > top).astype(int)
    found = reliability(truth, probabilities, bins=12, binning="mass")
    assert found.counts.tolist() == [50] * 12
    blocks = np.argsort(top).reshape(12, 50)
    right = truth == 0
    assert found.ece == pytest.approx(np.mean(np.abs(right[blocks].mean(1) - top[blocks].mean(1))))
    accuracy, confidence = calibration_curve(right, top, n_bins=12, strategy="quantile")
    # scikit-learn interpolates its borders, so a picture may change bins.
    assert found.accuracy == pytest.approx(accuracy, abs=0.03)
    assert found.confidence == pytest.approx(confidence, abs=0.002)


@settings(max_examples=80, deadline=None)
@given(values=st.lists(st.integers(0, 6), min_size=0, max_size=50), bins=st.integers(1, 12))
def test_equal_mass_never_parts_ties_and_keeps_every_picture(values: list[int], bins: int) -> None:
    forecasts = np.array(values, float) / 6
    happened = np.arange(len(values)) % 2 == 0
    found = event_reliability(happened, forecasts, bins, "mass")
    assert found.counts.sum() == len(values)
    assert 1 <= len(found.counts) <= bins
    assert (found.edges[[0, -1]] == [0.0, 1.0]).all()
    assert (np.diff(found.edges) > 0).all()
    if len(values):
        assert (found.counts > 0).all()
        assert 0 <= found.ece <= 1
    else:
        assert np.isnan(found.ece)


def test_more_bins_never_hide_a_gap_that_one_bin_shows() -> None:
    rng = np.random.default_rng(8)
    forecasts = rng.random(400)
    happened = rng.random(400) < forecasts**2
    one = event_reliability(happened, forecasts, 1, "mass").ece
    assert one == pytest.approx(abs(happened.mean() - forecasts.mean()))
    assert event_reliability(happened, forecasts, 8, "mass").ece >= one


def test_refuses_an_unknown_binning() -> None:
    with pytest.raises(ValueError, match="binning must be one of"):
        event_reliability([True], [0.5], 2, "depth")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one shape"):
        event_reliability([True, False], [0.5], 2)
