"""How well probabilities are calibrated, in four numbers with intervals over groups (patients)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from pulmoscope.evaluation.bootstrap import draw_weights, group_codes
from pulmoscope.evaluation.brier import Brier, brier_by_class
from pulmoscope.evaluation.calibration import Binning, bin_codes, bin_edges
from pulmoscope.evaluation.calibrator_math import log_probabilities
from pulmoscope.evaluation.intervals import tail_share
from pulmoscope.evaluation.predictions import Predictions
from pulmoscope.evaluation.result import Estimate

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class CalibrationSummary:
    """Calibration of one set of probabilities; all NaN without pictures.

    Attributes:
        n: Pictures.
        groups: Groups (patients) that were drawn.
        ece_width: Expected calibration error of the predicted class, bins of equal width, in [0, 1]; 0 is best.
        ece_mass: The same with bins of equal mass.
        brier: Brier score over all classes, in [0, 2]; 0 is best.
        log_loss: Mean negative natural logarithm of the true class's probability (at least 1e-12); 0 is best.
        ece_by_chance: Mean ECE (equal mass) that probabilities that are exactly right would show on as many pictures.
        by_class: The Brier score of each class against the rest, in its parts.
    """

    n: int
    groups: int
    ece_width: Estimate
    ece_mass: Estimate
    brier: Estimate
    log_loss: Estimate
    ece_by_chance: float
    by_class: Mapping[str, Brier]

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, None where undefined."""
        named = ("ece_width", "ece_mass", "brier", "log_loss")
        chance = None if np.isnan(self.ece_by_chance) else self.ece_by_chance
        return (
            {"n": self.n, "groups": self.groups}
            | {name: getattr(self, name).as_dict() for name in named}
            | {"ece_by_chance": chance, "by_class": {k: one.as_dict() for k, one in self.by_class.items()}}
        )


def calibration_summary(
    predictions: Predictions,
    *,
    bins: int = 10,
    replicates: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> CalibrationSummary | None:
    """ECE, Brier score and log loss of a table with true labels; None where it has no probabilities.

    Intervals are bootstraps over groups with the bins left where they are. Percentiles for Brier score and log loss.
    The ECE is the mean size of gaps, and drawing pictures anew widens gaps by chance: a replicate overstates the ECE
    of the sample about as the sample overstates the truth. The lower end of its interval is therefore the reflected
    one, ``2 x estimate`` less the upper percentile (Davison and Hinkley 1997, equation 5.6), and 0 where probabilities
    that are exactly right show as large an ECE in more than one of 40 draws (at 95%). The upper end is the percentile,
    which is on the safe side, so the interval holds the truth more often than its level says. The bootstrap's
    percentiles are taken further out for few groups (:func:`~pulmoscope.evaluation.intervals.tail_share`).

    Args:
        predictions: The rows that are judged.
        bins: Of the ECE.
        replicates: Of the bootstrap; 0 for no intervals.
        seed: Of the bootstrap.
        level: Of the intervals, in (0, 1).
    """
    probabilities = predictions.probabilities
    if probabilities is None:
        return None
    labels = predictions.labels
    codes, count = group_codes(predictions.groups)
    columns = [
        _gaps(labels, probabilities, codes, count, bins, "width"),
        _gaps(labels, probabilities, codes, count, bins, "mass"),
        _sums(((probabilities - np.eye(probabilities.shape[1])[labels]) ** 2).sum(axis=1), codes, count),
        _sums(-log_probabilities(probabilities)[np.arange(len(labels)), labels], codes, count),
    ]
    top = probabilities.max(axis=1) if len(labels) else np.empty(0)
    chance = [_by_chance(top, bins, binning, seed) for binning in get_args(Binning)]
    sizes = _sums(np.ones(len(labels)), codes, count)
    values = _values(np.ones(count), columns, sizes)
    low = high = np.full(4, np.nan)
    if replicates and count > 1:
        drawn = np.array([
            _values(weights.astype(np.float64), columns, sizes)
            for weights in draw_weights(count, replicates, np.random.default_rng(seed))
        ])  # fmt: skip
        tail = tail_share(level, count)
        low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
        beyond = [
            value > np.quantile(one, (1 + level) / 2) for value, one in zip(values[:2], chance, strict=True)
        ]
        low[:2] = np.where(beyond, np.clip(2 * values[:2] - high[:2], 0, values[:2]), 0)
        high[:2] = np.maximum(high[:2], values[:2])
    found = [
        Estimate(value=float(v), low=float(a), high=float(b), n=len(labels), method="bootstrap")
        for v, a, b in zip(values, low, high, strict=True)
    ]
    return CalibrationSummary(
        n=len(labels), groups=count, ece_width=found[0], ece_mass=found[1], brier=found[2], log_loss=found[3],
        ece_by_chance=float(chance[1].mean()),
        by_class=dict(zip(predictions.classes, brier_by_class(labels, probabilities, bins), strict=True)),
    )  # fmt: skip


def _gaps(
    labels: npt.NDArray[np.int64],
    probabilities: FloatArray,
    codes: npt.NDArray[np.int64],
    count: int,
    bins: int,
    binning: Binning,
) -> FloatArray:
    """Sum of (right - confidence) by group and bin, (G, B)."""
    top = probabilities.max(axis=1) if len(labels) else np.empty(0)
    right = probabilities.argmax(axis=1) == labels
    edges = bin_edges(top, bins, binning)
    size = len(edges) - 1
    places = codes * size + bin_codes(top, edges)
    sums = np.bincount(places, right - top, count * size).reshape(count, size)
    return np.asarray(sums, np.float64)


def _sums(values: FloatArray, codes: npt.NDArray[np.int64], count: int) -> FloatArray:
    """Sums by group, (G, 1)."""
    return np.asarray(np.bincount(codes, values, count).reshape(count, 1), np.float64)


def _values(weights: FloatArray, columns: list[FloatArray], sizes: FloatArray) -> FloatArray:
    """The four numbers when group g counts ``weights[g]`` times."""
    total = float((weights @ sizes)[0])
    if not total:
        return np.full(len(columns), np.nan)
    return np.array([np.abs(weights @ one).sum() / total for one in columns])


def _by_chance(
    confidence: FloatArray, bins: int, binning: Binning, seed: int, draws: int = 200
) -> FloatArray:
    """ECEs (D,) where each picture is right with just the probability that is said (Broecker and Smith 2007)."""
    if not len(confidence):
        return np.full(draws, np.nan)
    generator = np.random.default_rng(seed)
    edges = bin_edges(confidence, bins, binning)
    places, size = bin_codes(confidence, edges), len(edges) - 1
    gaps = [
        np.abs(np.bincount(places, (generator.random(len(confidence)) < confidence) - confidence, size)).sum()
        for _ in range(draws)
    ]
    return np.asarray(gaps, np.float64) / len(confidence)
