"""ROC curves and the area under them, one class against the rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulmoscope.evaluation.confusion import mean_defined

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class RocCurve:
    """The points of a ROC curve, from (0, 0) to (1, 1), one a distinct score.

    Attributes:
        false_positive_rate: 1 - specificity, (M,), not falling.
        sensitivity: (M,), not falling.
        thresholds: (M,): a picture is called positive when its score is at least this; the first is infinite.
    """

    false_positive_rate: FloatArray
    sensitivity: FloatArray
    thresholds: FloatArray


def roc_curve(positive: npt.ArrayLike, scores: npt.ArrayLike) -> RocCurve:
    """Every operating point of a score.

    Args:
        positive: Whether each picture is of the class, (N,) booleans.
        scores: Any score that rises with the class's probability, (N,).

    Returns:
        The curve; the rate of a side that has no pictures is NaN.

    >>> roc_curve([True, False, True], [0.9, 0.8, 0.7]).sensitivity.tolist()
    [0.0, 0.5, 0.5, 1.0]
    """
    labels, values = _checked(positive, scores)
    order = np.argsort(-values, kind="stable")
    ranked = values[order]
    ends = (
        np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(ranked) else np.empty(0, np.int64)
    )
    true_positives = np.concatenate([[0], np.cumsum(labels[order])[ends]]).astype(np.float64)
    called = np.concatenate([[0], ends + 1]).astype(np.float64)
    positives = float(labels.sum())
    negatives = len(labels) - positives
    return RocCurve(
        false_positive_rate=(called - true_positives) / (negatives or np.nan),
        sensitivity=true_positives / (positives or np.nan),
        thresholds=np.concatenate([[np.inf], ranked[ends]]),
    )


def auroc(positive: npt.ArrayLike, scores: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """Area under the ROC curve: the chance that a positive outranks a negative, ties counted half (Mann-Whitney).

    Args:
        positive: Whether each picture is of the class, (N,) booleans.
        scores: Any score that rises with the class's probability, (N,).
        weights: How often each picture counts, (N,), not negative; once each if left out.

    Returns:
        A number in [0, 1]; NaN where one side has no pictures (or no weight), or a score is NaN.

    >>> auroc([True, True, False], [0.9, 0.5, 0.5])
    0.75
    """
    labels, values = _checked(positive, scores)
    weight = np.ones(len(labels)) if weights is None else np.asarray(weights, np.float64)
    if weight.shape != labels.shape:
        raise ValueError(f"weights must be of shape {labels.shape}, got {weight.shape}")
    if np.isnan(values).any():
        return float("nan")
    levels, level = np.unique(values, return_inverse=True)
    up = np.bincount(level, np.where(labels, weight, 0.0), len(levels))
    down = np.bincount(level, np.where(labels, 0.0, weight), len(levels))
    pairs = float(up.sum() * down.sum())
    if pairs <= 0:
        return float("nan")
    return float(up @ (2 * np.cumsum(down) - down)) / (2 * pairs)


def one_vs_rest_auroc(truth: npt.ArrayLike, probabilities: npt.ArrayLike) -> FloatArray:
    """AUROC of each class against the rest, (K,); NaN for a class that no picture or every picture is of.

    Args:
        truth: True classes, (N,) integers in [0, K).
        probabilities: (N, K) in [0, 1].
    """
    labels, scores = np.asarray(truth), np.asarray(probabilities, np.float64)
    return np.array(
        [auroc(labels == index, scores[:, index]) for index in range(scores.shape[1])], np.float64
    )


def macro_auroc(areas: npt.ArrayLike) -> FloatArray:
    """Unweighted mean over the last axis of the areas that are defined, (...); NaN where none is."""
    return mean_defined(areas)


def _checked(positive: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[npt.NDArray[np.bool_], FloatArray]:
    labels, values = np.asarray(positive, np.bool_), np.asarray(scores, np.float64)
    if labels.ndim != 1 or labels.shape != values.shape:
        raise ValueError(
            f"positive and scores must be of one length, got shapes {labels.shape} and {values.shape}"
        )
    return labels, values
