"""Confusion matrices and the rates that are read from them.

Every function takes matrices of any leading shape, (..., K, K), so one call serves the data and all bootstrap
replicates. Rows are the truth, columns the prediction. A rate whose denominator is 0 is NaN, never 0.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def confusion_matrix(truth: npt.ArrayLike, predicted: npt.ArrayLike, classes: int) -> npt.NDArray[np.int64]:
    """Count pictures by true and predicted class.

    Args:
        truth: True classes, (N,) integers in [0, classes).
        predicted: Predicted classes, (N,) integers in [0, classes).
        classes: K.

    Returns:
        Counts, (K, K); rows are the truth.

    Raises:
        ValueError: Different lengths, or a class outside [0, classes).

    >>> confusion_matrix([0, 0, 1], [0, 1, 1], 2).tolist()
    [[1, 1], [0, 1]]
    """
    cells = confusion_cells(truth, predicted, classes)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def confusion_cells(truth: npt.ArrayLike, predicted: npt.ArrayLike, classes: int) -> npt.NDArray[np.int64]:
    """The cell of the flattened confusion matrix that each picture counts in, (N,): ``truth * K + predicted``.

    Raises:
        ValueError: Different lengths, or a class outside [0, classes).
    """
    true, guess = np.asarray(truth, np.int64), np.asarray(predicted, np.int64)
    if true.ndim != 1 or true.shape != guess.shape:
        raise ValueError(
            f"truth and predicted must be of one length, got shapes {true.shape} and {guess.shape}"
        )
    for what, values in (("truth", true), ("predicted", guess)):
        if len(values) and (values.min() < 0 or values.max() >= classes):
            raise ValueError(f"{what} must lie in [0, {classes}), got {values.min()} to {values.max()}")
    return true * classes + guess


def confusion_by_group(
    truth: npt.ArrayLike, predicted: npt.ArrayLike, codes: npt.ArrayLike, *, classes: int, groups: int
) -> npt.NDArray[np.int64]:
    """:func:`confusion_matrix` of each group, (G, K, K).

    Args:
        truth: True classes, (N,) integers in [0, classes).
        predicted: Predicted classes, (N,) integers in [0, classes).
        codes: Group of each picture, (N,) integers in [0, groups).
        classes: K.
        groups: G.
    """
    cells = confusion_cells(truth, predicted, classes) + classes * classes * np.asarray(codes, np.int64)
    counts = np.bincount(cells, minlength=groups * classes * classes)
    return counts.reshape(groups, classes, classes).astype(np.int64)


def hits(confusion: npt.ArrayLike) -> FloatArray:
    """True positives of each class, (..., K)."""
    return np.asarray(np.diagonal(np.asarray(confusion, np.float64), axis1=-2, axis2=-1), np.float64)


def support(confusion: npt.ArrayLike) -> FloatArray:
    """Pictures that are of each class, (..., K)."""
    return np.asarray(np.asarray(confusion, np.float64).sum(axis=-1), np.float64)


def called(confusion: npt.ArrayLike) -> FloatArray:
    """Pictures that were called each class, (..., K)."""
    return np.asarray(np.asarray(confusion, np.float64).sum(axis=-2), np.float64)


def total(confusion: npt.ArrayLike) -> FloatArray:
    """All pictures, (...)."""
    return np.asarray(np.asarray(confusion, np.float64).sum(axis=(-2, -1)), np.float64)


def accuracy_counts(confusion: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Right predictions and all predictions, (...)."""
    return hits(confusion).sum(axis=-1), total(confusion)


def sensitivity_counts(confusion: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """TP and TP + FN of each class against the rest, (..., K)."""
    return hits(confusion), support(confusion)


def specificity_counts(confusion: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """TN and TN + FP of each class against the rest, (..., K)."""
    return _true_negatives(confusion), total(confusion)[..., None] - support(confusion)


def ppv_counts(confusion: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """TP and TP + FP of each class against the rest, (..., K)."""
    return hits(confusion), called(confusion)


def npv_counts(confusion: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """TN and TN + FN of each class against the rest, (..., K)."""
    return _true_negatives(confusion), total(confusion)[..., None] - called(confusion)


def overlap_counts(confusion: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """TP and TP + FP + FN of each class, (..., K): their ratio is the Jaccard index, of which F1 is a function."""
    right = hits(confusion)
    return right, support(confusion) + called(confusion) - right


def accuracy(confusion: npt.ArrayLike) -> FloatArray:
    """Share of right predictions over all classes, (...); NaN without pictures."""
    return ratio(*accuracy_counts(confusion))


def sensitivity(confusion: npt.ArrayLike) -> FloatArray:
    """TP / (TP + FN) of each class against the rest (recall), (..., K); NaN where no picture is of the class."""
    return ratio(*sensitivity_counts(confusion))


def specificity(confusion: npt.ArrayLike) -> FloatArray:
    """TN / (TN + FP) of each class against the rest, (..., K); NaN where every picture is of the class."""
    return ratio(*specificity_counts(confusion))


def ppv(confusion: npt.ArrayLike) -> FloatArray:
    """TP / (TP + FP) of each class against the rest (precision), (..., K); NaN where the class is never predicted."""
    return ratio(*ppv_counts(confusion))


def npv(confusion: npt.ArrayLike) -> FloatArray:
    """TN / (TN + FN) of each class against the rest, (..., K); NaN where the class is always predicted."""
    return ratio(*npv_counts(confusion))


def f1(confusion: npt.ArrayLike) -> FloatArray:
    """2 TP / (2 TP + FP + FN) of each class, (..., K); NaN where the class neither occurs nor is predicted.

    >>> f1([[2, 1], [0, 3]]).round(3).tolist()
    [0.8, 0.857]
    """
    return ratio(2 * hits(confusion), support(confusion) + called(confusion))


def balanced_accuracy(confusion: npt.ArrayLike) -> FloatArray:
    """Mean sensitivity over the classes that occur in the truth, (...); NaN without pictures."""
    return mean_defined(sensitivity(confusion))


def macro_f1(confusion: npt.ArrayLike) -> FloatArray:
    """Mean F1 over the classes that occur or are predicted, (...); NaN without pictures."""
    return mean_defined(f1(confusion))


def ratio(numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> FloatArray:
    """``numerator / denominator``, NaN where the denominator is 0."""
    above, below = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    known = below > 0
    return np.where(known, above / np.where(known, below, 1.0), np.nan)


def mean_defined(values: npt.ArrayLike) -> FloatArray:
    """Mean over the last axis of what is not NaN, (...); NaN where nothing is defined."""
    rates = np.asarray(values, np.float64)
    known = ~np.isnan(rates)
    return ratio(np.where(known, rates, 0.0).sum(axis=-1), known.sum(axis=-1))


def _true_negatives(confusion: npt.ArrayLike) -> FloatArray:
    return total(confusion)[..., None] - support(confusion) - called(confusion) + hits(confusion)
