"""How many independent pictures a proportion is worth when patients have several pictures each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from pulmoscope.evaluation.bootstrap import group_codes
from pulmoscope.evaluation.influence import spread_freedom
from pulmoscope.evaluation.result import Estimate

FloatArray = npt.NDArray[np.float64]
#: Bounds of a proportion from successes, trials and level, as :func:`~pulmoscope.evaluation.wilson`.
Interval = Callable[[npt.ArrayLike, npt.ArrayLike, float], tuple[FloatArray, FloatArray]]


def effective_size(successes: npt.ArrayLike, trials: npt.ArrayLike, level: float = 0.95) -> FloatArray:
    """The effective sample size of a proportion whose pictures come from groups (patients).

    With k of n pictures in all, p = k / n, and k_g of n_g in group g of the G that have any::

        n* = n / deff * (t_{n - 1} / t_f)^2, at least n / max(deff, sum n_g^2 / n)
        deff = G / (G - 1) * sum (k_g - p n_g)^2 / (n / (n - 1) * n p (1 - p)), at least 1

    deff, the design effect, is the variance of the proportion with groups drawn (the ratio estimator's) over that with
    pictures drawn (Rao and Scott 1992, Biometrics 48:577); the quantiles of Student's t allow for a variance that is
    known from groups only (Korn and Graubard 1998, Survey Methodology 24:193). Its f = G - 1 degrees of freedom are
    fewer where few of the groups make most of the variance
    (:func:`~pulmoscope.evaluation.influence.spread_freedom`).

    sum n_g^2 / n is the design effect at worst, of pictures of a group that are right or wrong all together (Kish
    1965): no doubt about deff makes a proportion worth less than that, which is one trial a group where all are of one
    size. Where p is 0 or 1, and of a single group, nothing varies, and deff is taken so.

    Args:
        successes: k_g, (G, ...), 0 <= k_g <= n_g.
        trials: n_g, (G, ...); a group without pictures does not count.
        level: Of the interval that it is for, in (0, 1).

    Returns:
        n*, (...), in [1, n]: n itself where every group has one picture, 1 where all pictures are of
        one group; NaN where there are no pictures.

    >>> effective_size([1, 1, 0, 1], [1, 1, 1, 1]).item(), round(effective_size([2, 2, 0, 2], [2, 2, 2, 2]).item(), 2)
    (4.0, 3.43)
    """
    from scipy.special import stdtrit

    k, n = np.broadcast_arrays(np.asarray(successes, np.float64), np.asarray(trials, np.float64))
    total, groups = n.sum(axis=0), (n > 0).sum(axis=0)
    several = groups < total
    with np.errstate(divide="ignore", invalid="ignore"):
        share = k.sum(axis=0) / total
        moved = k - share * n
        spread = (moved**2).sum(axis=0) * groups / (groups - 1)
        worst = (n**2).sum(axis=0) / total
        varies = (share > 0) & (share < 1) & (groups > 1)
        deff = np.maximum(
            np.where(varies, spread * (total - 1) / (total**2 * share * (1 - share)), worst), 1.0
        )
        upper = 0.5 + level / 2
        # SciPy's quantile is undefined at 0 degrees of freedom, which a single group has.
        degrees = spread_freedom(moved, groups, np.maximum(groups - 1, 1))
        ratio = np.where(varies, stdtrit(np.maximum(total - 1, 1), upper) / stdtrit(degrees, upper), 1.0)
        found = np.where(several, total * np.maximum(ratio**2 / deff, 1 / np.maximum(deff, worst)), total)
    return np.asarray(np.where(total > 0, found, np.nan), np.float64)


def clustered_interval(
    interval: Interval,
    successes: npt.ArrayLike,
    trials: npt.ArrayLike,
    effective: npt.ArrayLike,
    level: float = 0.95,
) -> tuple[FloatArray, FloatArray]:
    """An interval of k of n as if it were the same share of n* pictures.

    Of Clopper-Pearson this is Korn and Graubard's interval; of Wilson it is one of those that Dean and Pagano recommend
    for surveys in clusters (2015, J Surv Stat Methodol 3:484).

    Args:
        interval: Of independent trials: :func:`~pulmoscope.evaluation.wilson` or
            :func:`~pulmoscope.evaluation.clopper_pearson`, or :func:`~pulmoscope.evaluation.jeffreys` in a mean.
        successes: k, any shape.
        trials: n, broadcast against it.
        effective: n*, of :func:`effective_size`; NaN where undefined.
        level: Of the interval, in (0, 1).

    Returns:
        Lower and upper bound, NaN where ``effective`` is.
    """
    k, n, size = np.broadcast_arrays(*(np.asarray(one, np.float64) for one in (successes, trials, effective)))
    known = ~np.isnan(size) & (n > 0)
    held = np.where(known, size, 0.0)
    # All of n is all of n*, whatever the rounding.
    share = np.divide(k, n, out=np.zeros(k.shape), where=known)
    low, high = interval(np.where(k == n, held, np.where(held == n, k, share * held)), held, level)
    return low, high


def clustered_share(
    interval: Interval, right: npt.ArrayLike, groups: npt.ArrayLike, level: float = 0.95
) -> Estimate:
    """A share of pictures with its :func:`clustered_interval`.

    Args:
        interval: Of independent trials.
        right: Whether each picture counts, (N,) booleans.
        groups: Group of each picture, (N,) names or numbers.
        level: Of the interval, in (0, 1).

    Returns:
        The estimate, whose ``method`` is the name of ``interval``; all NaN without pictures.
    """
    hits = np.asarray(right).astype(bool)
    codes, count = group_codes(groups)
    held, trials = int(hits.sum()), len(hits)
    effective = effective_size(np.bincount(codes, hits, count), np.bincount(codes, minlength=count), level)
    low, high = clustered_interval(interval, held, trials, effective, level)
    value = held / trials if trials else float("nan")
    method = getattr(interval, "__name__", "").replace("_", "-")
    return Estimate(value=value, low=float(low), high=float(high), n=trials, method=method)
