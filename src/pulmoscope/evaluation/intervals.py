"""Intervals of single numbers: Wilson and exact for a proportion, percentiles for bootstrap replicates."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def wilson(
    successes: npt.ArrayLike, trials: npt.ArrayLike, level: float = 0.95
) -> tuple[FloatArray, FloatArray]:
    """Wilson's score interval of a proportion, without continuity correction (Wilson 1927, JASA 22:209).

    The trials are taken as independent: of several pictures of one patient they are not.

    Args:
        successes: k, any shape, 0 <= k <= n.
        trials: n, broadcast against ``successes``.
        level: Confidence level in (0, 1).

    Returns:
        Lower and upper bounds in [0, 1], of the broadcast shape; NaN where ``trials`` is 0.

    Raises:
        ValueError: ``level`` outside (0, 1), or successes outside [0, trials].

    >>> low, high = wilson(8, 10)
    >>> f"{low:.4f} {high:.4f}"
    '0.4902 0.9433'
    """
    k, n = _counts(successes, trials, level)
    z2 = NormalDist().inv_cdf(0.5 + level / 2) ** 2
    empty = n == 0
    size = np.where(empty, 1.0, n)
    middle = (k + z2 / 2) / (size + z2)
    half = np.sqrt(z2 * (k * (size - k) / size + z2 / 4)) / (size + z2)
    # The formula reaches 0 and 1 exactly at k = 0 and k = n; rounding would not.
    low = np.where(k == 0, 0.0, np.clip(middle - half, 0.0, 1.0))
    high = np.where(k == n, 1.0, np.clip(middle + half, 0.0, 1.0))
    return np.where(empty, np.nan, low), np.where(empty, np.nan, high)


def clopper_pearson(
    successes: npt.ArrayLike, trials: npt.ArrayLike, level: float = 0.95
) -> tuple[FloatArray, FloatArray]:
    """The exact interval of a proportion: it holds the truth at least as often as it says (Clopper and Pearson 1934).

    Biometrika 26:404. Wider than :func:`wilson`, which holds it as often as it says on average. The trials are taken
    as independent: of several pictures of one patient they are not.

    Args:
        successes: k, any shape, whole numbers, 0 <= k <= n.
        trials: n, broadcast against ``successes``.
        level: Confidence level in (0, 1).

    Returns:
        Lower and upper bounds in [0, 1], of the broadcast shape; NaN where ``trials`` is 0.

    Raises:
        ValueError: ``level`` outside (0, 1), or successes outside [0, trials].

    >>> low, high = clopper_pearson(8, 10)
    >>> f"{low:.4f} {high:.4f}"
    '0.4439 0.9748'
    """
    from scipy.special import betaincinv

    k, n = _counts(successes, trials, level)
    tail = (1 - level) / 2
    empty = n == 0
    # The beta function is not defined at the ends, where the bounds are 0 and 1.
    low = np.where(k == 0, 0.0, betaincinv(np.maximum(k, 1), n - k + 1, tail))
    high = np.where(k == n, 1.0, betaincinv(k + 1, np.maximum(n - k, 1), 1 - tail))
    return np.where(empty, np.nan, low), np.where(empty, np.nan, high)


def percentile_interval(replicates: npt.ArrayLike, level: float = 0.95) -> tuple[float, float, int]:
    """Percentile bootstrap interval (Efron 1981), replicates in which the metric is undefined left out.

    Args:
        replicates: The metric in each replicate, (B,); NaN where undefined.
        level: Confidence level in (0, 1).

    Returns:
        Lower and upper bound and the number of undefined replicates. Both bounds are NaN where more than half of the
        replicates are undefined, or there are none.

    >>> percentile_interval([0.0, 0.5, 1.0, float("nan")], level=0.5)
    (0.25, 0.75, 1)
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    values = np.asarray(replicates, np.float64)
    defined = values[~np.isnan(values)]
    undefined = len(values) - len(defined)
    if not len(defined) or undefined > len(values) / 2:
        return float("nan"), float("nan"), undefined
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high), undefined


def _counts(successes: npt.ArrayLike, trials: npt.ArrayLike, level: float) -> tuple[FloatArray, FloatArray]:
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    k, n = np.broadcast_arrays(np.asarray(successes, np.float64), np.asarray(trials, np.float64))
    if np.any((k < 0) | (k > n)):
        raise ValueError("successes must lie between 0 and trials")
    return k, n
