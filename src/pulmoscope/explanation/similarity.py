"""How alike two maps of the same picture are: by rank, by structure, by where they are highest."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
TOP = 0.1
"""Share of a picture that counts as a map's top."""
# Wang et al. 2004, section III-B, for values in [0, 1].
_WINDOW, _SIGMA, _C1, _C2 = 11, 1.5, 0.01**2, 0.03**2


def spearman(first: NDArray[np.float32], second: NDArray[np.float32]) -> FloatArray:
    """Spearman's rank correlation of the pixels, a picture (Adebayo et al. 2018, section 3).

    Args:
        first: (N, S, S).
        second: (N, S, S).

    Returns:
        (N,) in [-1, 1]; NaN where one of the two is constant.
    """
    from scipy.stats import rankdata

    a, b = (rankdata(one.reshape(len(one), -1), axis=1) for one in (first, second))
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    size = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.where(size > 0, (a * b).sum(axis=1) / np.where(size > 0, size, 1), np.nan)


def ssim(first: NDArray[np.float32], second: NDArray[np.float32]) -> FloatArray:
    """Structural similarity (Wang et al. 2004, equation 13): Gaussian window of 11 pixels, 1.5 wide.

    Args:
        first: (N, S, S) in [0, 1].
        second: (N, S, S) in [0, 1].

    Returns:
        (N,) mean over windows round every pixel; 1 for equal maps; NaN where one of the two is constant.
    """
    return np.array([_ssim(a, b) for a, b in zip(first, second, strict=True)], np.float64)


def top_weights(values: NDArray[np.float32], count: int) -> FloatArray:
    """Which pixels of a map (S, S) are its ``count`` highest: 1, 0, or a share where equal values compete."""
    flat = values.ravel().astype(np.float64)
    least = np.partition(flat, flat.size - count)[flat.size - count]
    above, level = flat > least, flat == least
    shared = (count - above.sum()) / level.sum()
    return np.asarray((above + level * shared).reshape(values.shape), np.float64)


def top_overlap(first: NDArray[np.float32], second: NDArray[np.float32], share: float = TOP) -> FloatArray:
    """Share of the highest pixels of one map that are also among the highest of the other.

    Args:
        first: (N, S, S).
        second: (N, S, S).
        share: Of the picture that counts as highest; also what chance gives.

    Returns:
        (N,) in [0, 1]; NaN where one of the two is constant.
    """
    count = max(1, round(share * first[0].size)) if len(first) else 1
    return np.array(
        [
            np.nan if _constant(a) or _constant(b)
            else np.minimum(top_weights(a, count), top_weights(b, count)).sum() / count
            for a, b in zip(first, second, strict=True)
        ],
        np.float64,
    )  # fmt: skip


def empty(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(N,) whether a map (N, S, S) is constant, so that it says nothing of where."""
    return np.asarray(values.max(axis=(1, 2)) == values.min(axis=(1, 2)))


def _constant(values: NDArray[np.float32]) -> bool:
    return bool(values.max() == values.min())


def _ssim(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    if _constant(first) or _constant(second):
        return float("nan")

    def mean(one: FloatArray) -> FloatArray:
        # At the edge the picture is mirrored.
        return np.asarray(cv2.GaussianBlur(one, (_WINDOW, _WINDOW), _SIGMA), np.float64)

    a, b = first.astype(np.float64), second.astype(np.float64)
    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b, both = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2, mean(a * b) - mean_a * mean_b
    top = (2 * mean_a * mean_b + _C1) * (2 * both + _C2)
    return float((top / ((mean_a**2 + mean_b**2 + _C1) * (var_a + var_b + _C2))).mean())
