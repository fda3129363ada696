from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from pulmoscope.evaluation import auroc, macro_auroc, one_vs_rest_auroc, roc_curve

# Few distinct scores, so that ties are common.
sides = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=60).filter(
    lambda rows: 0 < sum(positive for positive, _ in rows) < len(rows)
)
Rows = list[tuple[bool, int]]


def _split(rows: Rows) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    return np.array([row[0] for row in rows]), np.array([row[1] / 6 for row in rows])


def test_area_by_hand() -> None:
    # Pairs (positive, negative): .8 beats .7 and .3; .4 beats .3 and loses to .7; .7 ties with .7 and beats .3.
    positive, scores = [True, False, True, False, True], [0.8, 0.7, 0.4, 0.3, 0.7]
    assert auroc(positive, scores) == (2 + 1 + 1.5) / 6


@pytest.mark.parametrize("positive", [[], [True, True], [False, False]])
def test_area_is_undefined_with_one_side_only(positive: list[bool]) -> None:
    assert np.isnan(auroc(positive, np.linspace(0, 1, len(positive))))


def test_area_is_undefined_for_nan_scores_and_takes_infinite_ones() -> None:
    assert np.isnan(auroc([True, False], [np.nan, 0.5]))
    assert auroc([True, False, False], [-0.1, -np.inf, -0.2]) == 1.0


@settings(max_examples=50, deadline=None)
@given(rows=sides, data=st.data())
def test_area_agrees_with_scikit_learn_weighted_too(rows: Rows, data: st.DataObject) -> None:
    positive, scores = _split(rows)
    assert auroc(positive, scores) == pytest.approx(reference.roc_auc_score(positive, scores), abs=1e-12)
    weights = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows))))
    if weights[positive].sum() and weights[~positive].sum():
        other = reference.roc_auc_score(positive, scores, sample_weight=weights)
        assert auroc(positive, scores, weights) == pytest.approx(other, abs=1e-12)
    else:
        assert np.isnan(auroc(positive, scores, weights))


@settings(max_examples=50, deadline=None)
@given(rows=sides, seed=st.integers(0, 99))
def test_area_ignores_row_order_and_monotone_scales(rows: Rows, seed: int) -> None:
    positive, scores = _split(rows)
    area = auroc(positive, scores)
    order = np.random.default_rng(seed).permutation(len(rows))
    assert 0 <= area <= 1
    assert auroc(positive[order], scores[order]) == area
    assert auroc(positive, np.exp(3 * scores)) == area
    assert auroc(~positive, scores) == pytest.approx(1 - area, abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(rows=sides)
def test_curve_agrees_with_scikit_learn_and_with_the_area(rows: Rows) -> None:
    positive, scores = _split(rows)
    curve = roc_curve(positive, scores)
    false_positive, sensitivity, thresholds = reference.roc_curve(positive, scores, drop_intermediate=False)
    assert curve.false_positive_rate == pytest.approx(false_positive)
    assert curve.sensitivity == pytest.approx(sensitivity)
    assert curve.thresholds == pytest.approx(thresholds)
    assert np.trapezoid(curve.sensitivity, curve.false_positive_rate) == pytest.approx(
        auroc(positive, scores)
    )


def test_curve_of_one_side_is_undefined_on_the_other() -> None:
    curve = roc_curve([True, True], [0.2, 0.9])
    assert curve.sensitivity.tolist() == [0.0, 0.5, 1.0]
    assert np.isnan(curve.false_positive_rate).all()
    assert np.isnan(roc_curve([], []).sensitivity).all()


def test_macro_area_is_over_defined_classes() -> None:
    truth = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.5, 0.5, 0.0], [0.1, 0.8, 0.1]])
    areas = one_vs_rest_auroc(truth, probabilities)
    assert areas[:2].tolist() == [0.875, 1.0]
    assert np.isnan(areas[2])
    assert macro_auroc(areas) == 0.9375
    assert np.isnan(macro_auroc([np.nan, np.nan]))


def test_macro_area_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 4, 200)
    probabilities = rng.dirichlet(np.ones(4), 200).round(2)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    other = reference.roc_auc_score(truth, probabilities, multi_class="ovr", average="macro")
    assert macro_auroc(one_vs_rest_auroc(truth, probabilities)) == pytest.approx(other, abs=1e-12)


def test_refuses_different_lengths() -> None:
    with pytest.raises(ValueError, match="one length"):
        auroc([True, False], [0.5])
    with pytest.raises(ValueError, match="weights"):
        auroc([True, False], [0.5, 0.1], [1.0])
