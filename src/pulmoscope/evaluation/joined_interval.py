"""Interval of a mean of several proportions, from the interval of each."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pulmoscope.evaluation.clustered import Interval, clustered_interval, effective_size
from pulmoscope.evaluation.confusion import ratio
from pulmoscope.evaluation.intervals import FloatArray


def mean_interval(
    values: npt.ArrayLike,
    low: npt.ArrayLike,
    high: npt.ArrayLike,
    moved: npt.ArrayLike,
    *,
    unmoved: float = 0.0,
) -> tuple[float, float]:
    """Interval of the mean of M numbers whose intervals are known, the wider of two ways on each side.

    The method of variance estimates recovery (Zou and Donner 2008, Statistics in Medicine 27:1693), with r the
    correlation of two numbers' errors::

        low  = mean - sqrt(sum_ij r_ij (value_i - low_i) (value_j - low_j)) / M
        high = mean + sqrt(sum_ij r_ij (high_i - value_i) (high_j - value_j)) / M

    It keeps what a bootstrap cannot see: a rate of 1 never varies among replicates, but its lower bound is not 1. It
    also hands the skew of each number's interval on to the mean whole, and with many numbers near 1 the upper bound is
    then too low: variances add, and third moments do too, so a mean is less skew than its parts. With half widths h_i
    and skews s_i, by how much an interval's middle lies below its value, the second way is::

        mean - s -+ h
        h = sqrt(sum_ij r_ij h_i h_j) / M
        s = sum_i s_i (sum_j r_ij h_j)^2 / sum_ij r_ij h_i h_j / M

    (a mean of the s_i over M where r is 0, the mean itself where r is 1 throughout).

    Args:
        values: (M,), in [0, 1]; NaN where undefined, which are left out.
        low: Lower bounds, (M,).
        high: Upper bounds, (M,).
        moved: What each group adds to the error of each, (G, M), on any scale: only correlations are taken from it. One
            below 0 counts as 0: of few groups it is a guess, which could take all width away.
        unmoved: The correlation with a number that no group moves, in [0, 1].

    Returns:
        Lower and upper bound in [0, 1]; NaN where no value is defined, or a bound of a defined value is NaN.

    >>> low, high = mean_interval([0.5, 1.0], [0.3, 0.8], [0.7, 1.0], [[1, 0], [-1, 0]])
    >>> f"{low:.3f} {high:.3f}"
    '0.609 0.852'
    """
    point = np.asarray(values, np.float64)
    known = ~np.isnan(point)
    if not known.any():
        return float("nan"), float("nan")
    point = point[known]
    down = point - np.asarray(low, np.float64)[known]
    up = np.asarray(high, np.float64)[known] - point
    adds = np.asarray(moved, np.float64)[:, known]
    product = adds.T @ adds
    length = np.sqrt(np.outer(np.diag(product), np.diag(product)))
    likeness = np.clip(np.where(length > 0, ratio(product, length), unmoved), 0.0, 1.0)
    np.fill_diagonal(likeness, 1.0)

    def joined(reach: FloatArray) -> float:
        return float(np.sqrt(reach @ likeness @ reach)) / len(point)

    half, skew = (up + down) / 2, (down - up) / 2
    together = likeness @ half
    shift = float(ratio((skew * together**2).sum(), half @ together * len(point)))
    middle, reach = float(point.mean()), joined(half)
    below, above = np.fmax(joined(down), reach + shift), np.fmax(joined(up), reach - shift)
    return max(middle - float(below), 0.0), min(middle + float(above), 1.0)


def mean_share_interval(
    interval: Interval,
    successes: npt.ArrayLike,
    trials: npt.ArrayLike,
    level: float = 0.95,
    *,
    f1: bool = False,
) -> tuple[float, float]:
    """:func:`mean_interval` of M proportions of pictures, each at its effective sample size.

    Args:
        interval: Of independent trials; :func:`~pulmoscope.evaluation.jeffreys` is what is advised for parts (Laud and
            Dane 2014, Pharmaceutical Statistics 13:294).
        successes: k of each group and proportion, (G, M).
        trials: n of each, (G, M).
        level: Of the interval, in (0, 1).
        f1: Average not the proportions J = TP / (TP + FP + FN) of M classes but their F1, whose mistakes are shared
            (:func:`f1_likeness`).

    Returns:
        Lower and upper bound; NaN where no proportion has pictures.

    >>> from pulmoscope.evaluation.intervals import jeffreys
    >>> low, high = mean_share_interval(jeffreys, [[1, 0], [0, 0], [0, 1]], [[1, 0], [1, 0], [0, 1]])
    >>> f"{low:.3f} {high:.3f}"
    '0.270 0.970'
    """
    k, n = np.asarray(successes, np.float64), np.asarray(trials, np.float64)
    right, of = k.sum(axis=0), n.sum(axis=0)
    share = ratio(right, of)
    low, high = clustered_interval(interval, right, of, effective_size(k, n, level), level)
    moved = k - share * n
    if not f1:
        return mean_interval(share, low, high, moved)
    # Of what rises with a share the errors are correlated as those of the shares, to first order.
    values, below, above = map(f1_of_overlap, (share, low, high))
    return mean_interval(values, below, above, moved, unmoved=f1_likeness(k.shape[1]))


def f1_likeness(classes: int) -> float:
    """How alike the errors of two classes' F1 are where none has been seen: each mistake is of two of the K classes.

    With mistakes spread evenly 1 / (K - 1): of two classes both F1 fall by every mistake.

    >>> f1_likeness(2), f1_likeness(3)
    (1.0, 0.5)
    """
    return 1 / max(classes - 1, 1)


def f1_of_overlap(share: npt.ArrayLike) -> FloatArray:
    """F1 of the share J = TP / (TP + FP + FN), the Jaccard index: 2 J / (1 + J), which rises with J from 0 to 1.

    >>> f1_of_overlap([0.0, 0.6, 1.0]).round(3).tolist()
    [0.0, 0.75, 1.0]
    """
    overlap = np.asarray(share, np.float64)
    return 2 * overlap / (1 + overlap)
