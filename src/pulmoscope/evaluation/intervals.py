"""Intervals of single numbers: Wilson, exact and Jeffreys' for a proportion, three for bootstrap replicates."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
# Replicates of a constant differ by rounding only.
_NO_SPREAD = 1e-12


def wilson(
    successes: npt.ArrayLike, trials: npt.ArrayLike, level: float = 0.95
) -> tuple[FloatArray, FloatArray]:
    """Wilson's score interval of a proportion, without continuity correction (Wilson 1927, JASA 22:209).

    The trials are taken as independent: of several pictures of one patient they are not, see
    :func:`~pulmoscope.evaluation.clustered.clustered_interval`.

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
    as independent: of several pictures of one patient they are not, see
    :func:`~pulmoscope.evaluation.clustered.clustered_interval`.

    Args:
        successes: k, any shape, 0 <= k <= n; whole numbers, or effective ones.
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
    return _of_beta(successes, trials, level, apart=0.5)


def jeffreys(
    successes: npt.ArrayLike, trials: npt.ArrayLike, level: float = 0.95
) -> tuple[FloatArray, FloatArray]:
    """Jeffreys' interval of a proportion: quantiles of the beta distribution of k + 1/2 and n - k + 1/2.

    Its bounds are 0 and 1 at k = 0 and k = n (Brown, Cai and DasGupta 2001, Statistical Science 16:101). Its tails are
    more even than those of :func:`wilson`, which makes it the better part of an interval of a mean.

    Args:
        successes: k, any shape, 0 <= k <= n; whole numbers, or effective ones.
        trials: n, broadcast against ``successes``.
        level: Confidence level in (0, 1).

    Returns:
        Lower and upper bounds in [0, 1], of the broadcast shape; NaN where ``trials`` is 0.

    Raises:
        ValueError: ``level`` outside (0, 1), or successes outside [0, trials].

    >>> low, high = jeffreys(8, 10)
    >>> f"{low:.4f} {high:.4f}"
    '0.4972 0.9559'
    """
    return _of_beta(successes, trials, level, apart=0.0)


def tail_share(level: float, groups: int) -> float:
    """Share of bootstrap replicates beyond each bound of an expanded percentile interval.

    Percentiles of draws from G groups are as narrow as a normal interval without Student's t, and with G for G - 1:
    percentiles further out make up for it (Hesterberg 2015, American Statistician 69:371).

    Args:
        level: Confidence level in (0, 1).
        groups: G, at least 2.

    >>> round(tail_share(0.95, 60), 4), round(tail_share(0.95, 10**6), 4)
    (0.0218, 0.025)
    """
    from scipy.special import ndtr, stdtrit

    return float(ndtr(-math.sqrt(groups / (groups - 1)) * stdtrit(groups - 1, 0.5 + level / 2)))


def percentile_interval(
    replicates: npt.ArrayLike, level: float = 0.95, groups: int | None = None
) -> tuple[float, float, int]:
    """Percentile bootstrap interval (Efron 1981), replicates in which the metric is undefined left out.

    Args:
        replicates: The metric in each replicate, (B,); NaN where undefined.
        level: Confidence level in (0, 1).
        groups: How many groups were drawn from: expands the interval for their small number by :func:`tail_share`.

    Returns:
        Lower and upper bound and the number of undefined replicates. Both bounds are NaN where more than half of the
        replicates are undefined, there are none, or ``groups`` is below 2.

    >>> percentile_interval([0.0, 0.5, 1.0, float("nan")], level=0.5)
    (0.25, 0.75, 1)
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    values = np.asarray(replicates, np.float64)
    defined = values[~np.isnan(values)]
    undefined = len(values) - len(defined)
    if not len(defined) or undefined > len(values) / 2 or (groups is not None and groups < 2):
        return float("nan"), float("nan"), undefined
    tail = (1 - level) / 2 if groups is None else tail_share(level, groups)
    low, high = np.quantile(defined, [tail, 1 - tail])
    return float(low), float(high), undefined


def bootstrap_interval(
    value: float,
    replicates: npt.ArrayLike,
    *,
    groups: int,
    level: float = 0.95,
    freedom: float | None = None,
) -> tuple[float, float, int]:
    """Interval of a metric in [0, 1] from bootstrap replicates over groups: their standard error on the logit scale.

    ``logit(value)`` plus or minus Student's t of G - 1 degrees of freedom times the replicates' standard deviation,
    taken to the logit scale by the delta method and widened by sqrt(G / (G - 1)), since G draws of G groups vary by
    that much too little (Efron and Tibshirani 1993, An Introduction to the Bootstrap, sections 12.2 and 13.2;
    Hesterberg 2015, American Statistician 69:371). Near 1, where few groups hold all the mistakes,
    percentiles reach too little downwards; simulated side by side in ``benchmarks/coverage.py``.

    Args:
        value: The metric on all groups, in [0, 1]; NaN where undefined.
        replicates: The metric in each replicate, (B,); NaN where undefined, which are left out.
        groups: G, how many were drawn from.
        level: Confidence level in (0, 1).
        freedom: Degrees of freedom of Student's t where they are fewer than G - 1
            (:func:`~pulmoscope.evaluation.influence.freedom`).

    Returns:
        Lower and upper bound and the number of undefined replicates. Both bounds are NaN with fewer than two groups,
        where the value is undefined or more than half of the replicates are, and where no replicate differs, as with a
        value of 0 or 1: there is nothing to go by, and no certainty.

    Raises:
        ValueError: ``level`` is outside (0, 1).

    >>> low, high, _ = bootstrap_interval(0.9, [0.85, 0.9, 0.95], groups=30)
    >>> f"{low:.3f} {high:.3f}"
    '0.739 0.966'
    """
    from scipy.special import stdtrit

    spread, undefined = _replicate_spread(value, replicates, groups, level)
    if math.isnan(spread) or not 0 < value < 1 or spread < _NO_SPREAD:
        return math.nan, math.nan, undefined
    low, high = logit_bounds(value, float(stdtrit(freedom or groups - 1, 0.5 + level / 2)) * spread)
    return low, high, undefined


def difference_interval(
    value: float,
    replicates: npt.ArrayLike,
    *,
    groups: int,
    level: float = 0.95,
    freedom: float | None = None,
) -> tuple[float, float, float, int]:
    """Interval and test of a difference from bootstrap replicates over groups, which agree with each other.

    ``value`` plus or minus Student's t of G - 1 degrees of freedom times the replicates' standard deviation, widened by
    sqrt(G / (G - 1)) as in :func:`bootstrap_interval`; the p-value is of the same t. Differences of two models lie
    far from the ends of their scale, so they need no other one. Simulated beside percentiles, which are too narrow
    for them, in ``benchmarks/coverage.py``.

    Args:
        value: The difference on all groups; NaN where undefined.
        replicates: The difference in each replicate, (B,); NaN where undefined, which are left out.
        groups: G, how many were drawn from.
        level: Confidence level in (0, 1).
        freedom: As in :func:`bootstrap_interval`.

    Returns:
        Lower and upper bound, the two-sided p-value (below 1 - ``level`` where the interval leaves 0 out, and only
        there), and the number of undefined replicates. NaN with fewer than two groups, where the value is undefined or
        more than half of the replicates are, and where no replicate differs: there is nothing to go by. p alone is 1
        where the difference is 0 in all of them, as of two models that always agree: nothing speaks for a difference,
        but that does not bound it.

    Raises:
        ValueError: ``level`` is outside (0, 1).

    >>> low, high, p, _ = difference_interval(0.05, [0.03, 0.05, 0.07], groups=30)
    >>> f"{low:.4f} {high:.4f} {p:.3f}"
    '0.0084 0.0916 0.020'
    """
    from scipy.stats import t

    spread, undefined = _replicate_spread(value, replicates, groups, level)
    if math.isnan(spread) or np.size(replicates) - undefined < 2:
        return math.nan, math.nan, math.nan, undefined
    if spread < _NO_SPREAD:
        return math.nan, math.nan, 1.0 if abs(value) < _NO_SPREAD else math.nan, undefined
    of_t = freedom or groups - 1
    half = float(t.ppf(0.5 + level / 2, of_t)) * spread
    return value - half, value + half, float(2 * t.sf(abs(value) / spread, of_t)), undefined


def _replicate_spread(
    value: float, replicates: npt.ArrayLike, groups: int, level: float
) -> tuple[float, int]:
    """The standard error that replicates over G groups give, and how many are undefined.

    It is widened by sqrt(G / (G - 1)); 0 of a single defined replicate; NaN with fewer than two groups, an undefined
    value, no defined replicate, or more than half of them undefined.

    Raises:
        ValueError: ``level`` is outside (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    values = np.asarray(replicates, np.float64)
    defined = values[~np.isnan(values)]
    undefined = len(values) - len(defined)
    if groups < 2 or math.isnan(value) or not len(defined) or undefined > len(values) / 2:
        return math.nan, undefined
    spread = float(defined.std(ddof=1)) if len(defined) > 1 else 0.0
    return spread * math.sqrt(groups / (groups - 1)), undefined


def logit_bounds(value: float, half: float) -> tuple[float, float]:
    """Bounds that are symmetric in the log-odds: what a half-width on the plain scale is there by the delta method.

    Args:
        value: In (0, 1), both excluded.
        half: Half-width around it on the plain scale, at least 0.

    Returns:
        Lower and upper bound, inside [0, 1].

    >>> low, high = logit_bounds(0.9, 0.09)
    >>> f"{low:.4f} {high:.4f}"
    '0.7680 0.9607'
    """
    middle, reach = math.log(value / (1 - value)), half / (value * (1 - value))
    # expit, written so that no exponential overflows.
    return (1 + math.tanh((middle - reach) / 2)) / 2, (1 + math.tanh((middle + reach) / 2)) / 2


def _of_beta(
    successes: npt.ArrayLike, trials: npt.ArrayLike, level: float, *, apart: float
) -> tuple[FloatArray, FloatArray]:
    """Quantiles of two beta distributions, of k + 1/2 and n - k + 1/2 moved ``apart`` outwards; 0 and 1 at the ends."""
    from scipy.special import betaincinv

    k, n = _counts(successes, trials, level)
    tail = (1 - level) / 2
    empty, none, every = n == 0, k == 0, k == n
    right, wrong = k + 0.5, n - k + 0.5
    # The beta function is not defined at the ends where the two are half apart.
    low = np.where(none, 0.0, betaincinv(np.where(none, 1, right - apart), wrong + apart, tail))
    high = np.where(every, 1.0, betaincinv(right + apart, np.where(every, 1, wrong - apart), 1 - tail))
    return np.where(empty, np.nan, low), np.where(empty, np.nan, high)


def _counts(successes: npt.ArrayLike, trials: npt.ArrayLike, level: float) -> tuple[FloatArray, FloatArray]:
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    k, n = np.broadcast_arrays(np.asarray(successes, np.float64), np.asarray(trials, np.float64))
    if np.any((k < 0) | (k > n)):
        raise ValueError("successes must lie between 0 and trials")
    return k, n
