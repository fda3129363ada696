"""Interval of a mean of several proportions, from the interval of each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from pulmoscope.evaluation.clustered import Interval, clustered_interval, effective_size
from pulmoscope.evaluation.confusion import mean_defined, ratio
from pulmoscope.evaluation.intervals import FloatArray


def mean_interval(
    values: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike, moved: npt.ArrayLike
) -> tuple[float, float]:
    """Interval of the mean of M numbers whose intervals are known: the method of variance estimates recovery.

    With means over the M of value, lower and upper bound, and r the correlation of two numbers' errors::

        low  = mean - sqrt(sum_ij r_ij (value_i - low_i) (value_j - low_j)) / M
        high = mean + sqrt(sum_ij r_ij (high_i - value_i) (high_j - value_j)) / M

    (Zou and Donner 2008, Statistics in Medicine 27:1693). What a bootstrap cannot see it keeps: a rate of 1 never
    varies among replicates, but its lower bound is not 1.

    Args:
        values: (M,); NaN where undefined, which are left out.
        low: Lower bounds, (M,).
        high: Upper bounds, (M,).
        moved: What each group adds to the error of each, (G, M), on any scale: only correlations are taken from it. A
            number that no group moves is taken as independent of the others.

    Returns:
        Lower and upper bound; NaN where nothing is defined, or a bound of what is.

    >>> low, high = mean_interval([0.5, 1.0], [0.3, 0.8], [0.7, 1.0], [[1, 0], [-1, 0]])
    >>> f"{low:.3f} {high:.3f}"
    '0.609 0.850'
    """
    point = np.asarray(values, np.float64)
    known = ~np.isnan(point)
    if not known.any():
        return float("nan"), float("nan")
    middle = float(mean_defined(point))
    adds = np.nan_to_num(np.asarray(moved, np.float64)[:, known])
    product = adds.T @ adds
    length = np.sqrt(np.outer(np.diag(product), np.diag(product)))
    likeness = np.nan_to_num(ratio(product, length))
    np.fill_diagonal(likeness, 1.0)
    down, up = (
        np.sqrt(max(float(reach @ likeness @ reach), 0.0)) / known.sum()
        for reach in (
            point[known] - np.asarray(low, np.float64)[known],
            np.asarray(high, np.float64)[known] - point[known],
        )
    )
    return middle - float(down), middle + float(up)


def mean_share_interval(
    interval: Interval,
    successes: npt.ArrayLike,
    trials: npt.ArrayLike,
    level: float = 0.95,
    *,
    scale: Callable[[npt.ArrayLike], FloatArray] = np.asarray,
) -> tuple[float, float]:
    """:func:`mean_interval` of M proportions of pictures, each at its effective sample size.

    Args:
        interval: Of independent trials; :func:`~pulmoscope.evaluation.jeffreys` is what is advised for parts (Laud and
            Dane 2014, Pharmaceutical Statistics 13:294).
        successes: k of each group and proportion, (G, M).
        trials: n of each, (G, M).
        level: Of the interval, in (0, 1).
        scale: What is averaged, a function that rises with the proportion, as :func:`f1_of_overlap`.

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
    # Of what rises with a share the errors are correlated as those of the shares, to first order.
    return mean_interval(scale(share), scale(low), scale(high), k - share * n)


def f1_of_overlap(share: npt.ArrayLike) -> FloatArray:
    """F1 of the share J = TP / (TP + FP + FN), the Jaccard index: 2 J / (1 + J), which rises with J from 0 to 1.

    >>> f1_of_overlap([0.0, 0.6, 1.0]).round(3).tolist()
    [0.0, 0.75, 1.0]
    """
    overlap = np.asarray(share, np.float64)
    return 2 * overlap / (1 + overlap)
