"""Is a probability of 0.8 right eight times in ten?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulmoscope.evaluation.confusion import ratio
from pulmoscope.evaluation.intervals import wilson

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Reliability:
    """Pictures binned by the probability of their most probable class.

    Attributes:
        edges: Borders of the bins, (B + 1,) in [0, 1]; a bin holds its upper border, not its lower one.
        counts: Pictures in each bin, (B,).
        confidence: Mean probability of the most probable class, (B,); NaN in an empty bin.
        accuracy: Share of pictures whose most probable class is right, (B,); NaN in an empty bin.
        low: Lower end of the accuracy's 95% Wilson interval, (B,); NaN in an empty bin.
        high: Its upper end, (B,); NaN in an empty bin.
        ece: Expected calibration error: mean of ``|accuracy - confidence|`` weighted by count; NaN without pictures.
    """

    edges: FloatArray
    counts: npt.NDArray[np.int64]
    confidence: FloatArray
    accuracy: FloatArray
    low: FloatArray
    high: FloatArray
    ece: float


def reliability(truth: npt.ArrayLike, probabilities: npt.ArrayLike, bins: int = 10) -> Reliability:
    """Bin predictions by confidence, bins of equal width (Guo et al. 2017, ICML, equations 1 to 3).

    Args:
        truth: True classes, (N,) integers in [0, K).
        probabilities: (N, K) in [0, 1].
        bins: Number of bins, at least 1.

    >>> reliability([0, 1], [[0.75, 0.25], [0.5, 0.5]]).ece
    0.375
    """
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    labels, scores = np.asarray(truth, np.int64), np.asarray(probabilities, np.float64)
    if scores.ndim != 2 or labels.shape != scores.shape[:1]:
        raise ValueError(
            f"expected truth (N,) and probabilities (N, K), got {labels.shape} and {scores.shape}"
        )
    top = scores.max(axis=1)
    right = (scores.argmax(axis=1) == labels).astype(np.float64)
    edges = np.linspace(0.0, 1.0, bins + 1)
    where = np.clip(np.searchsorted(edges, top, side="left") - 1, 0, bins - 1)
    counts = np.bincount(where, minlength=bins).astype(np.int64)
    rights = np.bincount(where, right, bins)
    confidence_sums = np.bincount(where, top, bins)
    low, high = wilson(rights, counts)
    gap = float(np.abs(rights - confidence_sums).sum())
    return Reliability(
        edges=edges,
        counts=counts,
        confidence=ratio(confidence_sums, counts),
        accuracy=ratio(rights, counts),
        low=low,
        high=high,
        ece=gap / len(labels) if len(labels) else float("nan"),
    )


def expected_calibration_error(truth: npt.ArrayLike, probabilities: npt.ArrayLike, bins: int = 10) -> float:
    """The ECE of :func:`reliability`, in [0, 1]; NaN without pictures."""
    return reliability(truth, probabilities, bins).ece
