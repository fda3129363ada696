from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as reference

from pulmoscope.evaluation import (
    accuracy,
    balanced_accuracy,
    confusion_matrix,
    f1,
    macro_f1,
    npv,
    ppv,
    sensitivity,
    specificity,
)

BY_CLASS = (sensitivity, specificity, ppv, npv, f1)
OVERALL = (accuracy, balanced_accuracy, macro_f1)

counts = arrays(np.int64, (3, 3), elements=st.integers(0, 30))


def _rows(matrix: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    truth, predicted = np.nonzero(np.ones_like(matrix))
    return np.repeat(truth, matrix.ravel()), np.repeat(predicted, matrix.ravel())


def test_by_hand() -> None:
    # Truth in rows:     8 2 0
    #                    1 6 3
    #                    0 0 5
    matrix = [[8, 2, 0], [1, 6, 3], [0, 0, 5]]
    assert accuracy(matrix) == 19 / 25
    assert sensitivity(matrix).tolist() == [8 / 10, 6 / 10, 1.0]
    assert specificity(matrix).tolist() == [14 / 15, 13 / 15, 17 / 20]
    assert ppv(matrix).tolist() == [8 / 9, 6 / 8, 5 / 8]
    assert npv(matrix).tolist() == [14 / 16, 13 / 17, 1.0]
    assert f1(matrix).tolist() == [16 / 19, 12 / 18, 10 / 13]
    assert balanced_accuracy(matrix) == pytest.approx((0.8 + 0.6 + 1.0) / 3)
    assert macro_f1(matrix) == pytest.approx((16 / 19 + 12 / 18 + 10 / 13) / 3)


def test_rows_are_the_truth() -> None:
    assert confusion_matrix([0, 0, 0, 1], [0, 1, 1, 1], 3).tolist() == [[1, 2, 0], [0, 1, 0], [0, 0, 0]]


def test_no_pictures_is_undefined_everywhere() -> None:
    empty = confusion_matrix([], [], 2)
    assert empty.shape == (2, 2)
    for metric in (*BY_CLASS, *OVERALL):
        assert np.isnan(metric(empty)).all()


def test_undefined_is_nan_and_never_zero() -> None:
    # Class 2 neither occurs nor is predicted; class 1 occurs and is never predicted.
    matrix = [[4, 0, 0], [3, 0, 0], [0, 0, 0]]
    assert np.isnan(sensitivity(matrix)).tolist() == [False, False, True]
    assert np.isnan(ppv(matrix)).tolist() == [False, True, True]
    assert np.isnan(npv(matrix)).tolist() == [True, False, False]
    assert np.isnan(f1(matrix)).tolist() == [False, False, True]
    assert f1(matrix)[1] == 0.0
    assert balanced_accuracy(matrix) == 0.5
    assert np.isnan(specificity([[5, 1], [0, 0]])[0])


@pytest.mark.parametrize(("truth", "predicted"), [([0, 2], [0, 1]), ([0, 1], [-1, 1]), ([0], [0, 1])])
def test_refuses_what_is_no_class(truth: list[int], predicted: list[int]) -> None:
    with pytest.raises(ValueError, match="must"):
        confusion_matrix(truth, predicted, 2)


@settings(max_examples=50, deadline=None)
@given(matrix=counts.filter(lambda matrix: matrix.sum() > 0))
def test_agrees_with_scikit_learn(matrix: npt.NDArray[np.int64]) -> None:
    truth, predicted = _rows(matrix)
    labels = [0, 1, 2]
    assert confusion_matrix(truth, predicted, 3).tolist() == matrix.tolist()
    assert matrix.tolist() == reference.confusion_matrix(truth, predicted, labels=labels).tolist()
    assert accuracy(matrix) == pytest.approx(reference.accuracy_score(truth, predicted))
    nan = {"labels": labels, "average": None, "zero_division": np.nan}
    assert sensitivity(matrix) == pytest.approx(reference.recall_score(truth, predicted, **nan), nan_ok=True)
    assert ppv(matrix) == pytest.approx(reference.precision_score(truth, predicted, **nan), nan_ok=True)
    assert f1(matrix) == pytest.approx(reference.f1_score(truth, predicted, **nan), nan_ok=True)
    assert macro_f1(matrix) == pytest.approx(reference.f1_score(truth, predicted, average="macro"))
    present = matrix.sum(axis=1) > 0
    recalls = reference.recall_score(truth, predicted, labels=np.flatnonzero(present), average=None)
    assert balanced_accuracy(matrix) == pytest.approx(recalls.mean())
    for index in labels:
        # Specificity and NPV are the other side's recall and precision.
        other = {"pos_label": False, "zero_division": np.nan}
        side = (truth == index, predicted == index)
        assert specificity(matrix)[index] == pytest.approx(
            reference.recall_score(*side, **other), nan_ok=True
        )
        assert npv(matrix)[index] == pytest.approx(reference.precision_score(*side, **other), nan_ok=True)


@settings(max_examples=50, deadline=None)
@given(matrix=counts, order=st.permutations(range(3)))
def test_relabelling_permutes_and_rates_stay_in_bounds(
    matrix: npt.NDArray[np.int64], order: list[int]
) -> None:
    renamed = matrix[np.ix_(order, order)]
    for metric in BY_CLASS:
        values = metric(matrix)
        assert np.array_equal(metric(renamed), values[order], equal_nan=True)
        assert ((values >= 0) & (values <= 1) | np.isnan(values)).all()
    for metric in OVERALL:
        assert metric(renamed) == pytest.approx(metric(matrix), nan_ok=True)


@settings(max_examples=20, deadline=None)
@given(stack=arrays(np.int64, (4, 3, 3), elements=st.integers(0, 5)))
def test_a_stack_is_each_matrix_alone(stack: npt.NDArray[np.int64]) -> None:
    for metric in (*BY_CLASS, *OVERALL):
        alone = np.array([metric(matrix) for matrix in stack])
        assert np.array_equal(metric(stack), alone, equal_nan=True)
