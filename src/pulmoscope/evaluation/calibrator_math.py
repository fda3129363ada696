"""What the recalibrations share: log-probabilities, and one-vs-rest scores back to probabilities."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

#: Probabilities are raised to this before their logarithm is taken: a network that is sure writes exact zeros.
FLOOR = 1e-12


def checked(probabilities: npt.ArrayLike, classes: int) -> FloatArray:
    """Probabilities as (N, C) floats.

    Raises:
        ValueError: Another shape.
    """
    scores = np.asarray(probabilities, np.float64)
    if scores.ndim != 2 or scores.shape[1] != classes:
        raise ValueError(f"expected probabilities of shape (N, {classes}), got {scores.shape}")
    return scores


def checked_pair(
    truth: npt.ArrayLike, probabilities: npt.ArrayLike
) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """True classes (N,) in [0, C) and probabilities (N, C), N of at least 1.

    Raises:
        ValueError: Another shape, no rows, or a class outside the columns.
    """
    labels, scores = np.asarray(truth, np.int64), np.asarray(probabilities, np.float64)
    if scores.ndim != 2 or scores.shape[1] < 2 or labels.shape != scores.shape[:1] or not len(labels):
        raise ValueError(
            f"expected truth (N,) and probabilities (N, C) of 2 classes or more and 1 row or more, "
            f"got {labels.shape} and {scores.shape}"
        )
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        raise ValueError(f"truth must lie in [0, {scores.shape[1]}), got {labels.min()} to {labels.max()}")
    return labels, scores


def log_probabilities(probabilities: FloatArray) -> FloatArray:
    """Natural logarithms, those of less than :data:`FLOOR` raised to its."""
    return np.asarray(np.log(np.maximum(probabilities, FLOOR)), np.float64)


def log_odds(probabilities: FloatArray) -> FloatArray:
    """``log(p / (1 - p))``, with p kept :data:`FLOOR` away from 0 and 1."""
    kept = np.clip(probabilities, FLOOR, 1 - FLOOR)
    return np.asarray(np.log(kept) - np.log1p(-kept), np.float64)


def columns(classes: int) -> tuple[int, ...]:
    """The classes that get a map of their own: of two the second alone, whose complement is the first."""
    return (1,) if classes == 2 else tuple(range(classes))


def renormalised(mapped: FloatArray, before: FloatArray) -> FloatArray:
    """One-vs-rest probabilities as rows that sum to 1 (Zadrozny and Elkan 2002, KDD, section 4).

    Args:
        mapped: (N, 1) of the second of two classes, or (N, C).
        before: The probabilities that were mapped, (N, C); a row that every class denies stays as it was.
    """
    if before.shape[1] == 2:
        return np.column_stack([1 - mapped[:, 0], mapped[:, 0]])
    sums = mapped.sum(axis=1, keepdims=True)
    return np.where(sums > 0, mapped / np.where(sums > 0, sums, 1.0), before)
