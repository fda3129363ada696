"""One AUROC with its interval, and two of the same pictures compared, by DeLong's method in the time of a sort."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from pulmoscope.evaluation.intervals import logit_bounds

FloatArray = npt.NDArray[np.float64]
#: On what scale an interval is symmetric: the log-odds of the area, or the area itself.
Scale = Literal["logit", "plain"]
# Areas are sums of midranks: what differs by less than this differs by rounding only.
_NO_SPREAD = 1e-12


@dataclass(frozen=True, kw_only=True)
class DeLong:
    """Two paired AUROCs and what can be said of their difference.

    Attributes:
        first: AUROC of the first scores.
        second: AUROC of the second.
        difference: Second minus first.
        se: Standard error of the difference; NaN with fewer than two pictures on a side.
        low: Lower bound of the 95% interval of the difference.
        high: Upper bound.
        p: Two-sided, of no difference. 1 where the two scores rank alike; NaN where the standard error is 0 although
            the areas differ (a score that parts the classes wholly, against one that is constant).
    """

    first: float
    second: float
    difference: float
    se: float
    low: float
    high: float
    p: float


@dataclass(frozen=True, kw_only=True)
class AurocInterval:
    """An AUROC and its interval.

    Attributes:
        value: In [0, 1]; NaN where one side has no pictures.
        se: Standard error; NaN with fewer than two pictures on a side.
        low: Lower bound in [0, 1]; NaN where the standard error is NaN or 0.
        high: Upper bound.
    """

    value: float
    se: float
    low: float
    high: float


def delong_interval(
    positive: npt.ArrayLike, scores: npt.ArrayLike, *, level: float = 0.95, scale: Scale = "logit"
) -> AurocInterval:
    """An AUROC with DeLong's standard error (DeLong, DeLong and Clarke-Pearson 1988, Biometrics 44:837) and interval.

    The interval is symmetric in the log-odds of the area (Pepe 2003, The Statistical Evaluation of Medical Tests,
    section 5.2.5), with Student's t for the uncertain standard error (degrees of freedom after Brunner and Munzel 2000,
    Biometrical Journal 42:17): it stays inside 0 and 1, and near 1, where the area's own distribution is skew, it holds
    the truth far more often than the plain one (simulated in ``benchmarks/coverage.py``).

    Pictures are taken as independent: where patients have several, the bootstrap over groups is right.

    Args:
        positive: Whether each picture is of the class, (N,) booleans.
        scores: Any score that rises with the class's probability, (N,).
        level: Of the interval, in (0, 1).
        scale: ``"logit"``; or ``"plain"``, value plus or minus z standard errors, cut at 0 and 1, as pROC and most
            papers print it.

    Returns:
        All NaN where one side has no pictures or a score is NaN. Where no picture's share of the area differs from
        another's (an AUROC of 1 or 0, or a constant score) the method has no spread to go by, and the bounds are NaN.

    Raises:
        ValueError: The shapes differ, ``level`` is outside (0, 1), or there is no such scale.

    >>> found = delong_interval([1, 1, 1, 0, 0, 0], [0.9, 0.8, 0.3, 0.4, 0.2, 0.1])
    >>> f"{found.value:.3f} {found.se:.4f} ({found.low:.3f}-{found.high:.3f})"
    '0.889 0.1571 (0.088-0.998)'
    """
    from scipy.special import stdtrit

    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    if scale not in get_args(Scale):
        raise ValueError(f"scale must be one of {', '.join(get_args(Scale))}, got {scale!r}")
    labels, values = np.asarray(positive).astype(bool), np.asarray(scores, np.float64)
    if labels.ndim != 1 or values.shape != labels.shape:
        raise ValueError(
            f"labels and scores must be of one shape (N,), got {labels.shape} and {values.shape}"
        )
    nan = float("nan")
    sides = int(labels.sum()), int((~labels).sum())
    if not min(sides) or np.isnan(values).any():
        return AurocInterval(value=nan, se=nan, low=nan, high=nan)
    parts = placements(labels, values)
    area = float(parts[0].mean())
    se = nan
    if min(sides) > 1:
        se = math.sqrt(
            sum(float(np.var(part, ddof=1)) / size for part, size in zip(parts, sides, strict=True))
        )
    if not se > _NO_SPREAD:
        return AurocInterval(value=area, se=se, low=nan, high=nan)
    if scale == "plain":
        half = NormalDist().inv_cdf(0.5 + level / 2) * se
        return AurocInterval(value=area, se=se, low=max(0.0, area - half), high=min(1.0, area + half))
    # With a spread the area is neither 0 nor 1; the error of its log-odds is that of the area by their slope there.
    low, high = logit_bounds(area, float(stdtrit(_freedom(parts), 0.5 + level / 2)) * se)
    return AurocInterval(value=area, se=se, low=low, high=high)


def delong_paired(
    positive: npt.ArrayLike, scores_first: npt.ArrayLike, scores_second: npt.ArrayLike, *, level: float = 0.95
) -> DeLong:
    """Compare two scores of the same pictures by the areas under their ROC curves.

    DeLong, DeLong and Clarke-Pearson (1988, Biometrics 44:837), computed from midranks as Sun and Xu (2014, IEEE Signal
    Processing Letters 21:1389): O(n log n). Pictures are taken as independent: where patients have several,
    :func:`~pulmoscope.evaluation.paired_bootstrap` of the macro AUROC draws patients.

    Args:
        positive: Whether each picture is of the class, (N,) booleans.
        scores_first: Any score that rises with the class's probability, (N,).
        scores_second: Another, (N,).
        level: Of the interval, in (0, 1).

    Returns:
        All NaN where one side has no pictures, or a score is NaN. Without a spread the bounds are NaN, and p is 1 where
        the difference is 0.

    Raises:
        ValueError: The shapes differ, or ``level`` is outside (0, 1).

    >>> found = delong_paired([1, 1, 1, 0, 0, 0], [0.9, 0.8, 0.3, 0.4, 0.2, 0.1], [0.9, 0.8, 0.7, 0.3, 0.2, 0.1])
    >>> f"{found.first:.3f} {found.second:.3f} {found.se:.4f} {found.p:.2f}"
    '0.889 1.000 0.1571 0.48'
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    labels = np.asarray(positive).astype(bool)
    both = [np.asarray(one, np.float64) for one in (scores_first, scores_second)]
    if labels.ndim != 1 or any(one.shape != labels.shape for one in both):
        raise ValueError(
            f"labels and scores must be of one shape (N,), got {[labels.shape, *[s.shape for s in both]]}"
        )
    nan = float("nan")
    positives, negatives = int(labels.sum()), int((~labels).sum())
    if not positives or not negatives or any(np.isnan(one).any() for one in both):
        return DeLong(first=nan, second=nan, difference=nan, se=nan, low=nan, high=nan, p=nan)
    parts = [placements(labels, one) for one in both]
    first, second = (float(of_positives.mean()) for of_positives, _ in parts)
    difference = second - first
    se = nan
    if positives > 1 and negatives > 1:
        # The variance of a difference is that of the differences of the structural components.
        spread = [float(np.var(parts[1][side] - parts[0][side], ddof=1)) for side in (0, 1)]
        se = math.sqrt(spread[0] / positives + spread[1] / negatives)
    same = abs(difference) < _NO_SPREAD
    p = half = nan
    if se > _NO_SPREAD:
        p = math.erfc(abs(difference) / se / math.sqrt(2))
        half = NormalDist().inv_cdf(0.5 + level / 2) * se
    elif not math.isnan(se) and same:
        p = 1.0
    return DeLong(
        first=first, second=second, difference=difference, se=se, low=difference - half, high=difference + half, p=p
    )  # fmt: skip


def midranks(values: npt.ArrayLike) -> FloatArray:
    """Ranks from 1, those of equal values shared, (N,).

    >>> midranks([0.3, 0.1, 0.3]).tolist()
    [2.5, 1.0, 2.5]
    """
    _, level, counts = np.unique(np.asarray(values, np.float64), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[level.ravel()], np.float64)


def _freedom(parts: tuple[FloatArray, FloatArray]) -> float:
    """Satterthwaite's degrees of freedom of the sum of both sides' variances."""
    of_sides = [float(np.var(part, ddof=1)) / len(part) for part in parts]
    rest = sum(one**2 / (len(part) - 1) for one, part in zip(of_sides, parts, strict=True))
    return sum(of_sides) ** 2 / rest


def placements(labels: npt.NDArray[np.bool_], scores: FloatArray) -> tuple[FloatArray, FloatArray]:
    """For each positive the share of negatives below it, (P,); for each negative that of positives above, (M,).

    Args:
        labels: Whether each picture is positive, (N,); at least one is, and one is not.
        scores: (N,); ties count half.
    """
    among_all = midranks(scores)
    of_positives = among_all[labels] - midranks(scores[labels])
    of_negatives = among_all[~labels] - midranks(scores[~labels])
    return of_positives / len(of_negatives), 1 - of_negatives / len(of_positives)
