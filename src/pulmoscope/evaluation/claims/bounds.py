"""The 95% interval that a printed number deserves, from the counts alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import NormalDist

import numpy as np

from pulmoscope.evaluation import confusion as rates
from pulmoscope.evaluation.claims.definitions import Counts, Definition, IntArray
from pulmoscope.evaluation.intervals import percentile_interval, wilson
from pulmoscope.evaluation.named import mean_ovr_accuracy, mean_specificity, ovr_balanced_accuracy

_REPLICATES = 2_000
_Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A 95% interval.

    Attributes:
        low: Lower bound.
        high: Upper bound.
        method: How it was computed, in words.
        n: Pictures that the number is a rate of.
    """

    low: float
    high: float
    method: str
    n: int


def proportion_interval(low: Fraction, high: Fraction, n: int) -> Interval | None:
    """Wilson's interval of a printed proportion of ``n``: over every k of which k / n lies in [``low``, ``high``].

    >>> found = proportion_interval(Fraction("0.8145"), Fraction("0.8155"), 27)  # 22 of 27
    >>> f"{found.low:.3f} {found.high:.3f}" if found else None
    '0.633 0.918'
    """
    least, most = max(0, math.ceil(low * n)), min(n, math.floor(high * n))
    if n < 1 or least > most:
        return None
    lows, highs = wilson([least, most], n)
    return Interval(low=float(lows[0]), high=float(highs[1]), method="Wilson", n=n)


def auc_interval(area: float, positives: int, negatives: int) -> Interval | None:
    """Interval of an AUC from the counts alone (Hanley and McNeil 1982, Radiology 143:29, equation 1 and 2).

    It assumes scores that are exponentially distributed in both classes; DeLong's needs the scores.

    Args:
        area: The AUC, in (0, 1).
        positives: Pictures of the class.
        negatives: The others.

    Returns:
        None where it is undefined: an AUC of 0 or 1, or a class without pictures.

    >>> found = auc_interval(0.893, 51, 58)  # standard error 0.0325
    >>> f"{found.low:.3f} {found.high:.3f}" if found else None
    '0.829 0.957'
    """
    if not 0 < area < 1 or positives < 1 or negatives < 1:
        return None
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (area * (1 - area) + (positives - 1) * (q1 - area**2) + (negatives - 1) * (q2 - area**2)) / (
        positives * negatives
    )
    half = _Z * math.sqrt(max(variance, 0.0))
    return Interval(
        low=max(0.0, area - half), high=min(1.0, area + half), method="Hanley-McNeil", n=positives + negatives
    )


def definition_interval(
    definition: Definition,
    bounds: tuple[Fraction, Fraction],
    supports: Sequence[int],
    confusion: IntArray | None,
) -> Interval | None:
    """The interval of a number under one definition.

    Args:
        definition: What it is.
        bounds: Where its value lies: a point, or what rounds to the printed digits.
        supports: Pictures of each class.
        confusion: The matrix, or one that fits; None where there is none.

    Returns:
        Wilson's where the denominator is known from the class counts (and for PPV and NPV from the matrix); a
        percentile bootstrap that draws each class anew from the matrix for the rest; None without a matrix.
    """
    counts = Counts(supports)
    low, high = bounds
    terms = () if definition.terms is None else definition.terms(counts)
    if len(terms) == 1 and terms[0].below.fixed:
        return proportion_interval(low, high, terms[0].below.constant)
    if definition.family == "mean_ovr_accuracy":
        size = counts.size
        inner = proportion_interval(1 - (1 - low) * size / 2, 1 - (1 - high) * size / 2, counts.n)
        if inner is None:
            return None
        ends = [1 - 2 * (1 - end) / size for end in (inner.low, inner.high)]
        return Interval(low=ends[0], high=ends[1], method="Wilson of the accuracy", n=counts.n)
    if confusion is None:
        return None
    if definition.family in ("ppv", "npv") and definition.index is not None:
        kernel = rates.ppv_counts if definition.family == "ppv" else rates.npv_counts
        k, n = (int(one[definition.index]) for one in kernel(confusion))
        return proportion_interval(Fraction(k, n), Fraction(k, n), n) if n else None
    return _resampled(definition, confusion)


def _resampled(definition: Definition, confusion: IntArray) -> Interval | None:
    kernels = {
        "balanced_accuracy": rates.balanced_accuracy, "macro_specificity": mean_specificity,
        "macro_f1": rates.macro_f1, "f1": rates.f1, "mean_ovr_accuracy": mean_ovr_accuracy,
        "ovr_balanced_accuracy": ovr_balanced_accuracy,
    }  # fmt: skip
    rng = np.random.default_rng(0)
    rows = [
        rng.multinomial(
            int(row.sum()), row / row.sum() if row.sum() else np.full(len(row), 1 / len(row)), _REPLICATES
        )
        for row in confusion
    ]
    drawn = np.stack(rows, axis=1)
    kernel = kernels.get(definition.family)
    if kernel is not None:
        values = np.asarray(kernel(drawn))
        values = values if definition.index is None else values[:, definition.index]
    else:
        values = np.array([float(definition.of(one)) for one in drawn[: _REPLICATES // 4]])
    low, high, _ = percentile_interval(values)
    if math.isnan(low) or low == high:
        return None
    return Interval(low=low, high=high, method="bootstrap by class", n=int(confusion.sum()))
