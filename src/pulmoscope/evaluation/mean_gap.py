"""Do balanced accuracy and macro AUROC differ between subgroups? Tested by what each patient adds to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulmoscope.evaluation.curves import macro_auroc
from pulmoscope.evaluation.influence import auroc_influence, freedom

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class MeanGap:
    """Of the level with the lowest value and that with the highest.

    Attributes:
        low: Lower bound of the 95% interval of the highest minus the lowest; NaN where a level has no spread to go by
            (a value of 0 or 1), or fewer than two groups.
        high: Upper bound.
        p: That all levels have one value; NaN likewise.
    """

    low: float
    high: float
    p: float


def recall_influence(
    truth: npt.ArrayLike, said: npt.ArrayLike, codes: npt.ArrayLike, groups: int
) -> FloatArray:
    """What each group adds to the error of the balanced accuracy, (G,): that of each class's sensitivity, averaged.

    Args:
        truth: True classes, (N,) integers.
        said: Predicted classes, (N,) integers.
        codes: Group of each picture, (N,) integers in [0, G).
        groups: G.

    >>> recall_influence([0, 0, 1], [0, 1, 1], [0, 1, 2], 3)
    array([ 0.125, -0.125,  0.   ])
    """
    labels, hit, of = np.asarray(truth), np.asarray(truth) == np.asarray(said), np.asarray(codes)
    present = np.unique(labels)
    found = np.zeros(groups)
    for label in present:
        rows = labels == label
        found += np.bincount(of[rows], (hit[rows] - hit[rows].mean()) / rows.sum(), groups)
    return found / len(present)


def mean_gap(
    values: Sequence[float], influences: Sequence[npt.ArrayLike], groups: int, level: float = 0.95
) -> MeanGap:
    """Wald's test that L levels have one value, and the interval of the highest minus the lowest.

    The covariance of the values is that of the groups' contributions, so a patient with pictures in several levels is
    allowed for. The statistic over L - 1 is taken as F with L - 1 degrees of freedom and those of the interval's
    Student's t (:func:`~pulmoscope.evaluation.influence.freedom` of the difference): of two levels p is below 1 -
    ``level`` just where the interval leaves 0 out.

    Args:
        values: Of each level, (L,), at least two.
        influences: What each group adds to it, (L, G); 0 of groups without pictures there.
        groups: G, at least 2: how many groups the levels have together.
        level: Of the interval, in (0, 1).

    >>> found = mean_gap([0.7, 0.9], [[0.02, -0.02, 0, 0], [0, 0, 0.03, -0.03]], 4)
    >>> f"{found.low:.3f} {found.high:.3f} {found.p:.3f}"
    '0.013 0.387 0.043'
    """
    from scipy.stats import f, t

    moved = np.asarray(influences, np.float64)
    if groups < 2 or not moved.any(axis=1).all() or np.isnan(moved).any():
        return MeanGap(low=float("nan"), high=float("nan"), p=float("nan"))
    spread = moved @ moved.T * groups / (groups - 1)
    lowest, highest = int(np.argmin(values)), int(np.argmax(values))
    degrees = freedom(moved[highest] - moved[lowest])
    against_first = np.hstack([-np.ones((len(values) - 1, 1)), np.eye(len(values) - 1)])
    apart = against_first @ np.asarray(values)
    wald = float(apart @ np.linalg.solve(against_first @ spread @ against_first.T, apart)) / len(apart)
    value = values[highest] - values[lowest]
    error = float(np.sqrt(spread[lowest, lowest] + spread[highest, highest] - 2 * spread[lowest, highest]))
    half = float(t.ppf(0.5 + level / 2, degrees)) * error
    return MeanGap(low=value - half, high=value + half, p=float(f.sf(wald, len(apart), degrees)))


def level_influence(
    metric: str, truth: IntArray, said: IntArray, probabilities: FloatArray | None, codes: IntArray, groups: int,
    rows: npt.NDArray[np.bool_],
) -> FloatArray:  # fmt: skip
    """What each group adds to ``balanced_accuracy`` or ``macro_auroc`` of some rows, (G,)."""
    if metric == "balanced_accuracy":
        return recall_influence(truth[rows], said[rows], codes[rows], groups)
    if probabilities is None:
        return np.full(groups, np.nan)
    return macro_auroc(auroc_influence(truth[rows], probabilities[rows], codes[rows], groups))
