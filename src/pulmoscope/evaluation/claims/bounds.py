"""The 95% interval that a printed number deserves, from the counts alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from pulmoscope.evaluation import confusion as rates
from pulmoscope.evaluation.claims.definitions import Counts, Definition, IntArray
from pulmoscope.evaluation.intervals import jeffreys, percentile_interval, wilson
from pulmoscope.evaluation.joined_interval import f1_likeness, f1_of_overlap, mean_interval

_REPLICATES = 500


def _both(cells: npt.ArrayLike) -> tuple[rates.FloatArray, rates.FloatArray]:
    """Of every class its sensitivity, then of every class its specificity."""
    parts = rates.sensitivity_counts(cells), rates.specificity_counts(cells)
    k, n = (np.concatenate([one[side] for one in parts], axis=-1) for side in (0, 1))
    return k, n


# Means over the classes, and the proportions of pictures that they are the means of.
_JOINED = {
    "balanced_accuracy": rates.sensitivity_counts, "macro_specificity": rates.specificity_counts,
    "macro_ppv": rates.ppv_counts, "macro_npv": rates.npv_counts, "macro_f1": rates.overlap_counts,
    "mean_ovr_balanced_accuracy": _both, "ovr_balanced_accuracy": _both,
}  # fmt: skip
_OF_A_CLASS = {
    "ppv": rates.ppv_counts, "npv": rates.npv_counts, "f1": rates.overlap_counts, "jaccard": rates.overlap_counts,
}  # fmt: skip
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
        Wilson's where the denominator is known from the class counts (and for PPV, NPV and F1 from the matrix); those
        of the parts joined for means over classes (:func:`~pulmoscope.evaluation.joined_interval.mean_interval`); a
        percentile bootstrap that draws each class anew from the matrix for the rest; None without a matrix.
    """
    counts = Counts(supports)
    low, high = bounds
    terms = () if definition.terms is None else definition.terms(counts)
    if len(terms) == 1 and terms[0].below.fixed:
        return proportion_interval(low, high, terms[0].below.constant)
    if definition.family == "mean_ovr_accuracy":
        return _of_accuracy(counts, low, high)
    return None if confusion is None else _of_matrix(definition, confusion)


def _of_accuracy(counts: Counts, low: Fraction, high: Fraction) -> Interval | None:
    """Of the mean one-vs-rest accuracy, which is linear in the accuracy."""
    size = counts.size
    inner = proportion_interval(1 - (1 - low) * size / 2, 1 - (1 - high) * size / 2, counts.n)
    if inner is None:
        return None
    ends = [1 - 2 * (1 - end) / size for end in (inner.low, inner.high)]
    return Interval(low=ends[0], high=ends[1], method="Wilson of the accuracy", n=counts.n)


def _of_matrix(definition: Definition, confusion: IntArray) -> Interval | None:
    family, at = definition.family, definition.index
    if family in _JOINED:
        return _joined(family, at, confusion)
    if at is None or family not in _OF_A_CLASS:
        return _resampled(definition, confusion)
    right, of = (int(one[at]) for one in _OF_A_CLASS[family](confusion))
    if not of:
        return None
    if family == "f1":
        low, high = f1_of_overlap(np.array(wilson(right, of))).tolist()
        return Interval(low=low, high=high, method="Wilson", n=of)
    return proportion_interval(Fraction(right, of), Fraction(right, of), of)


def _joined(family: str, at: int | None, confusion: IntArray) -> Interval | None:
    """Of a mean of proportions, one picture a patient; a cell's pictures are alike, so cells stand for them."""
    size = len(confusion)
    cells = np.eye(size * size).reshape(-1, size, size)
    pictures = np.asarray(confusion, np.float64).ravel()
    k, n = (np.asarray(one, np.float64) for one in _JOINED[family](cells))
    if at is not None:
        k, n = k[:, [at, size + at]], n[:, [at, size + at]]
    right, of = pictures @ k, pictures @ n
    if not of.all():
        # A claim counts nothing of nothing as 0, which no interval of counts does.
        return None
    share = right / of
    moved = np.sqrt(pictures)[:, None] * (k - share * n)
    low, high = jeffreys(right, of)
    if family == "macro_f1":
        value, low, high = map(f1_of_overlap, (share, low, high))
        bounds = mean_interval(value, low, high, moved, unmoved=f1_likeness(size))
    else:
        bounds = mean_interval(share, low, high, moved)
    return Interval(
        low=bounds[0], high=bounds[1], method="the classes' intervals joined", n=int(confusion.sum())
    )


def _resampled(definition: Definition, confusion: IntArray) -> Interval | None:
    rng = np.random.default_rng(0)
    rows = [
        rng.multinomial(
            int(row.sum()), row / row.sum() if row.sum() else np.full(len(row), 1 / len(row)), _REPLICATES
        )
        for row in confusion
    ]
    drawn = np.stack(rows, axis=1)
    values = np.array([float(definition.of(one)) for one in drawn])
    low, high, _ = percentile_interval(values)
    if math.isnan(low) or low == high:
        return None
    return Interval(low=low, high=high, method="bootstrap by class", n=int(confusion.sum()))
