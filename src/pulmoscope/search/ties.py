"""Which trials cannot be told apart from the best: a paired test of the same validation pictures, corrected by Holm."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulmoscope.evaluation.effect_tests import sign_flip_p
from pulmoscope.evaluation.paired import holm
from pulmoscope.search.objective import Validation

FloatArray = npt.NDArray[np.float64]
ALPHA = 0.05


@dataclass(frozen=True, kw_only=True, eq=False)
class Ties:
    """Every trial against the best.

    Attributes:
        best: Its place among the trials.
        p: Of each trial, (T,); NaN for the best.
        adjusted: By Holm over the other trials, (T,); NaN for the best.
        tied: Whether the trial cannot be told apart from the best, (T,); true for the best.
        method: ``sign_flip`` or ``bootstrap``.
    """

    best: int
    p: FloatArray
    adjusted: FloatArray
    tied: npt.NDArray[np.bool_]
    method: str


def ties_with_best(
    objective: str,
    validation: Validation,
    probabilities: npt.ArrayLike,
    values: FloatArray,
    replicates: FloatArray,
    *,
    maximise: bool,
) -> Ties:
    """Test each trial against the best on the pictures that both answered.

    A patient's pictures are not independent, so groups are what is compared: accuracy by the sign-flip test of the
    groups' differences, which is McNemar's exact test where no two pictures share a group; everything else by the
    paired bootstrap. The best was found on the same pictures, so the test leans towards a difference: what ties here
    ties.

    Args:
        objective: What the trials are ranked by.
        validation: The pictures.
        probabilities: (T, M, C).
        values: The objective of each trial, (T,).
        replicates: In each bootstrap replicate, (T, B).
        maximise: Whether larger is better.
    """
    best = int(np.argmax(values) if maximise else np.argmin(values))
    others = [trial for trial in range(len(values)) if trial != best]
    p = np.full(len(values), np.nan)
    if objective == "val_accuracy":
        method = "sign_flip"
        right = (np.asarray(probabilities).argmax(axis=2) == validation.labels).astype(np.int64)
        for trial in others:
            sums = np.zeros(validation.group_count, np.int64)
            np.add.at(sums, validation.groups, right[best] - right[trial])
            p[trial] = sign_flip_p(sums)
    else:
        method = "bootstrap"
        p[others] = [
            _bootstrap_p(values[best] - values[trial], replicates[best] - replicates[trial])
            for trial in others
        ]
    adjusted = np.full(len(values), np.nan)
    if others:
        adjusted[others] = holm(p[others])
    tied = ~(adjusted < ALPHA)
    return Ties(best=best, p=p, adjusted=adjusted, tied=tied, method=method)


def _bootstrap_p(difference: float, drawn: FloatArray) -> float:
    """Two-sided p value of a difference from its replicates, (B,).

    Below what the replicates can resolve the tail is that of a normal distribution of their deviation.
    """
    defined = drawn[~np.isnan(drawn)]
    if not len(defined) or np.all(defined == 0):
        return 1.0
    count = len(defined)
    beyond = min(int((defined <= 0).sum()), int((defined >= 0).sum()))
    if beyond:
        return min(1.0, 2 * (beyond + 1) / (count + 1))
    deviation = float(defined.std(ddof=1)) if count > 1 else 0.0
    floor = 2 / (count + 1)
    if not deviation:
        return floor
    return min(floor, math.erfc(abs(difference) / deviation / math.sqrt(2)))
