"""Two models on the same pictures: McNemar's test, Holm's correction, the paired bootstrap of any metric.

Everywhere the difference is the second minus the first, so the one that stands for "before" comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pulmoscope.evaluation import confusion as rates
from pulmoscope.evaluation.bootstrap import Replicates, draw_weights, group_codes, resample
from pulmoscope.evaluation.curves import macro_auroc
from pulmoscope.evaluation.delong import DeLong, delong_paired
from pulmoscope.evaluation.influence import Influence, freedom, named_influence
from pulmoscope.evaluation.intervals import difference_interval
from pulmoscope.evaluation.named import mean_ovr_accuracy, mean_specificity

__all__ = [
    "DeLong",
    "McNemar",
    "Metric",
    "PairedDifference",
    "delong_paired",
    "holm",
    "mcnemar",
    "paired_bootstrap",
    "paired_difference",
    "replicated_metric",
]

FloatArray = npt.NDArray[np.float64]
#: One number a replicate, (B,), from confusion matrices (B, K, K) and AUROCs (B, K); NaN where undefined.
Metric = Callable[[Replicates], FloatArray]

_OF_CONFUSION: dict[str, Callable[[npt.ArrayLike], FloatArray]] = {
    "accuracy": rates.accuracy,
    "balanced_accuracy": rates.balanced_accuracy,
    "macro_f1": rates.macro_f1,
    "mean_ovr_accuracy": mean_ovr_accuracy,
    "mean_specificity": mean_specificity,
}
_OF_A_CLASS: dict[str, Callable[[npt.ArrayLike], FloatArray]] = {
    "sensitivity": rates.sensitivity,
    "specificity": rates.specificity,
    "ppv": rates.ppv,
    "npv": rates.npv,
    "f1": rates.f1,
}


@dataclass(frozen=True, kw_only=True)
class McNemar:
    """On how many pictures just one of two models is right, and how likely that is if both err alike.

    Attributes:
        only_first: Pictures that the first alone has right.
        only_second: Pictures that the second alone has right.
        exact_p: Two-sided, conditional on their sum: binomial with one half. 1 where no picture tells them apart.
        mid_p: The same with half the probability of what was observed, less conservative (Fagerland et al. 2013, BMC
            Med Res Methodol 13:91). 1 where both counts are equal.
    """

    only_first: int
    only_second: int
    exact_p: float
    mid_p: float


def mcnemar(right_first: npt.ArrayLike, right_second: npt.ArrayLike) -> McNemar:
    """McNemar's test of two models on the same pictures, exact and mid-p (McNemar 1947, Psychometrika 12:153).

    Pictures are taken as independent: of several of one patient they are not.

    Args:
        right_first: Whether the first model is right on each picture, (N,) booleans.
        right_second: Whether the second is, (N,).

    Raises:
        ValueError: The shapes differ.

    >>> found = mcnemar([True] * 4 + [False] * 7, [False] * 1 + [True] * 10)
    >>> found.only_first, found.only_second, round(found.exact_p, 4), round(found.mid_p, 4)
    (1, 7, 0.0703, 0.0391)
    """
    first, second = np.asarray(right_first, bool), np.asarray(right_second, bool)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"expected two arrays of one shape (N,), got {first.shape} and {second.shape}")
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    total, smaller = only_first + only_second, min(only_first, only_second)
    exact = mid = 1.0
    if only_first != only_second:
        from scipy.stats import binom

        tail = float(binom.cdf(smaller, total, 0.5))
        exact = min(1.0, 2 * tail)
        mid = min(1.0, 2 * tail - float(binom.pmf(smaller, total, 0.5)))
    return McNemar(only_first=only_first, only_second=only_second, exact_p=exact, mid_p=mid)


def holm(p_values: npt.ArrayLike) -> FloatArray:
    """Holm's step-down adjustment for testing several at once (Holm 1979, Scand J Stat 6:65).

    Args:
        p_values: (M,) in [0, 1]; NaN where there was no test, which does not count among the M.

    Returns:
        Adjusted p-values, (M,): those below alpha keep the chance of any false claim below alpha, however the tests
        depend on each other. NaN where there was no test.

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    given = np.asarray(p_values, np.float64)
    adjusted = np.full(given.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(given))
    order = tested[np.argsort(given[tested], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(given[order] * factors), 1.0)
    return adjusted


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """One metric of two models on the same pictures.

    Attributes:
        first: Of the first model; NaN where undefined.
        second: Of the second.
        difference: Second minus first.
        low: Lower bound of the 95% interval of the difference, over groups
            (:func:`~pulmoscope.evaluation.difference_interval`).
        high: Upper bound.
        p: Two-sided, of the same t: below 0.05 where the interval leaves 0 out, and only there.
        undefined_replicates: Replicates that were left out because the metric is undefined there.
        drawn: The difference in each replicate, (B,), for what else may be asked of it.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    p: float
    undefined_replicates: int
    drawn: FloatArray = field(repr=False, compare=False)


def replicated_metric(name: str, classes: Sequence[str] = ()) -> Metric:
    """The metric called ``name``, of all replicates at once.

    Args:
        name: ``accuracy``, ``balanced_accuracy``, ``macro_f1``, ``macro_auroc``, ``mean_ovr_accuracy``,
            ``mean_specificity``; or of one class against the rest ``sensitivity:CLASS``, ``specificity:CLASS``,
            ``ppv:CLASS``, ``npv:CLASS``, ``f1:CLASS``, ``auroc:CLASS``.
        classes: Their names in the order of the matrices; needed for a metric of one class.

    Raises:
        ValueError: There is no such metric or class.
    """
    if name == "macro_auroc":
        return lambda drawn: np.asarray(macro_auroc(drawn.aurocs), np.float64)
    if name in _OF_CONFUSION:
        whole = _OF_CONFUSION[name]
        return lambda drawn: whole(drawn.confusions)
    metric, colon, label = name.partition(":")
    if not colon or label not in classes or metric not in {*_OF_A_CLASS, "auroc"}:
        known = ", ".join(
            ["macro_auroc", *_OF_CONFUSION, *(f"{one}:CLASS" for one in _OF_A_CLASS), "auroc:CLASS"]
        )
        raise ValueError(
            f"no metric {name!r} of classes {', '.join(classes) or 'none'}: expected one of {known}"
        )
    at = list(classes).index(label)
    if metric == "auroc":
        return lambda drawn: drawn.aurocs[:, at]
    rate = _OF_A_CLASS[metric]
    return lambda drawn: rate(drawn.confusions)[:, at]


def paired_bootstrap(
    truth: npt.ArrayLike,
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    *,
    groups: npt.ArrayLike,
    classes: int,
    metric: str | Metric = "accuracy",
    replicates: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> PairedDifference:
    """The difference of any metric of two models, with an interval over groups (patients).

    Both models are judged on the same drawn groups, so what makes a picture hard for both cancels.

    Args:
        truth: True classes, (N,) integers in [0, K).
        first: What the first model says: probabilities (N, K), or predicted classes (N,) integers. An AUROC of
            predicted classes is NaN.
        second: What the second says, on the same pictures.
        groups: Group of each picture, (N,) names or numbers.
        classes: K.
        metric: A function of :class:`~pulmoscope.evaluation.Replicates`, or a name of :func:`replicated_metric` (class
            K of a metric of one class is then called by its index, as in ``f1:0``).
        replicates: B, at least 1.
        seed: Of the bootstrap: the same groups are drawn whatever the order of the rows.
        level: Of the interval, in (0, 1).

    Returns:
        The difference; its interval and p are NaN with fewer than two groups or where the difference is undefined.

    Raises:
        ValueError: ``metric`` is no metric, or the arrays do not fit.

    >>> found = paired_bootstrap([0, 0, 1, 1], [0, 1, 0, 1], [0, 0, 1, 1], groups=[0, 1, 2, 3], classes=2)
    >>> found.first, found.second, found.difference
    (0.5, 1.0, 0.5)
    """
    names = tuple(str(index) for index in range(classes))
    of = replicated_metric(metric, names) if isinstance(metric, str) else metric
    codes, count = group_codes(groups)
    points, drawn, moved = [], [], []
    for said in (np.asarray(first), np.asarray(second)):
        if said.ndim == 2 and said.shape[1] != classes:
            raise ValueError(f"expected probabilities of shape (N, {classes}), got {said.shape}")
        # A generator anew from the same seed: both models see the same draws, and none has to be kept.
        weights = draw_weights(count, replicates, np.random.default_rng(seed))
        points.append(float(_values(of, [np.ones(count, np.int64)], truth, said, codes, classes)[0]))
        drawn.append(_values(of, weights, truth, said, codes, classes))
        if isinstance(metric, str):
            called, soft = (said.argmax(axis=1), said) if said.ndim == 2 else (said, None)
            moved.append(named_influence(metric, truth, called, soft, codes, count, names))
    return paired_difference(
        points[0], points[1], drawn[0], drawn[1], groups=count, level=level, freedom=paired_freedom(*moved)
    )


def paired_freedom(first: Influence | None = None, second: Influence | None = None) -> float | None:
    """Degrees of freedom of a difference from the two models' influences; None where either is not known.

    A value near 1 rests on few patients, and a difference of two on fewer. Accuracy and macro F1 do not need it:
    ``benchmarks/coverage.py`` has both.
    """
    if first is None or second is None:
        return None
    return freedom(Influence(moved=second.moved - first.moved, fewest=first.fewest))


def paired_difference(
    first: float,
    second: float,
    drawn_first: npt.ArrayLike,
    drawn_second: npt.ArrayLike,
    *,
    groups: int,
    level: float = 0.95,
    freedom: float | None = None,
) -> PairedDifference:
    """:func:`paired_bootstrap` of replicates that are there already, so that many models need each be drawn once.

    Args:
        first: The metric of the first model.
        second: Of the second.
        drawn_first: The metric of the first in each replicate, (B,).
        drawn_second: Of the second in the same replicates, (B,).
        groups: How many were drawn from; with fewer than two, interval and p are NaN.
        level: Of the interval, in (0, 1).
        freedom: Of Student's t; G - 1 unless told.

    >>> found = paired_difference(0.5, 1.0, [0.5, 0.0, 0.5], [1.0, 1.0, 1.0], groups=4)
    >>> found.difference, round(found.p, 2)
    (0.5, 0.23)
    """
    difference = second - first
    spread = np.asarray(drawn_second, np.float64) - np.asarray(drawn_first, np.float64)
    low, high, p, undefined = difference_interval(
        difference, spread, groups=groups, level=level, freedom=freedom
    )
    return PairedDifference(
        first=first, second=second, difference=difference, low=low, high=high, p=p,
        undefined_replicates=undefined, drawn=spread,
    )  # fmt: skip


def _values(
    of: Metric,
    weights: Iterable[npt.NDArray[np.integer]],
    truth: npt.ArrayLike,
    said: npt.NDArray[np.generic],
    codes: npt.NDArray[np.int64],
    classes: int,
) -> FloatArray:
    """The metric of one model in every replicate, (B,)."""
    soft = said.ndim == 2
    drawn = resample(
        weights, truth=truth, predicted=said.argmax(axis=1) if soft else said,
        probabilities=said if soft else None, groups=codes, classes=classes,
    )  # fmt: skip
    return np.asarray(of(drawn), np.float64)
