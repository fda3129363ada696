"""Do balanced accuracy and AUROCs differ between subgroups? Tested by what each patient adds to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from pulmoscope.evaluation.influence import Influence, freedom

_NO_SPREAD = 1e-12


@dataclass(frozen=True, kw_only=True)
class MeanGap:
    """Of the level with the lowest value and that with the highest.

    Attributes:
        low: Lower bound of the 95% interval of the highest minus the lowest; NaN where a level has no spread to go by
            (a value of 0 or 1), or fewer than two groups.
        high: Upper bound.
        p: That all levels have one value, by the pairs that can be tested; NaN where none can.
    """

    low: float
    high: float
    p: float


def mean_gap(
    values: Sequence[float],
    influences: Sequence[Influence],
    present: Sequence[npt.ArrayLike],
    level: float = 0.95,
) -> MeanGap:
    """The interval of the highest of L values minus the lowest, and a test that all are one.

    Every two levels are compared by Student's t of the groups that they have, with the degrees of freedom that the
    groups' contributions leave (:func:`~pulmoscope.evaluation.influence.freedom`), fewer than the level and class with
    the fewest groups has; a patient with pictures in both is allowed for. p is the smallest of these, times their
    number: careful, and of two levels below 1 - ``level`` just where the interval leaves 0 out. Wald's test of all at
    once rejects too often with many small levels.

    Args:
        values: Of each level, (L,), at least two.
        influences: What each group adds to it, of each level; 0 of groups without pictures there.
        present: Whether each group has pictures there, (L, G).
        level: Of the interval, in (0, 1).

    >>> here = [[1, 1, 0, 0], [0, 0, 1, 1]]
    >>> moved = [[0.02, -0.02, 0, 0], [0, 0, 0.03, -0.03]]
    >>> found = mean_gap([0.7, 0.9], [Influence(moved=np.array(one), fewest=2) for one in moved], here)
    >>> f"{found.low:.3f} {found.high:.3f} {found.p:.3f}"
    '-0.716 1.116 0.220'
    """
    there = np.asarray(present, bool)
    pairs = {
        (one, other): _compared(
            values[other] - values[one], influences[one], influences[other], there[[one, other]], level
        )
        for one, other in combinations(range(len(values)), 2)
    }
    tested = [found.p for found in pairs.values() if not np.isnan(found.p)]
    lowest, highest = int(np.argmin(values)), int(np.argmax(values))
    # Of equal values the two are one; any pair has the same gap then.
    apart = pairs[min(lowest, highest), max(lowest, highest)] if lowest != highest else pairs[0, 1]
    low, high = (apart.low, apart.high) if lowest < highest else (-apart.high, -apart.low)
    p = min(1.0, min(tested) * len(tested)) if tested else float("nan")
    return MeanGap(low=low, high=high, p=p)


def _compared(
    value: float, first: Influence, second: Influence, there: npt.NDArray[np.bool_], level: float
) -> MeanGap:
    """The second of two levels minus the first; NaN where one has fewer than two groups, or no spread."""
    from scipy.stats import t

    blank = MeanGap(low=float("nan"), high=float("nan"), p=float("nan"))
    moved, groups = np.array([first.moved, second.moved]), there.sum(axis=1)
    # Contributions that cancel leave their rounding.
    if (groups < 2).any() or not (np.abs(moved).max(axis=1) > _NO_SPREAD).all():
        return blank
    # Each level's spread is of its own groups.
    scaled = moved * np.sqrt(groups / (groups - 1))[:, None]
    apart = (scaled[1] - scaled[0])[there.any(axis=0)]
    error = float(np.sqrt((apart**2).sum()))
    if not error > _NO_SPREAD:
        return blank
    degrees = freedom(Influence(moved=apart, fewest=min(first.fewest, second.fewest)))
    half = float(t.ppf(0.5 + level / 2, degrees)) * error
    return MeanGap(low=value - half, high=value + half, p=float(2 * t.sf(abs(value) / error, degrees)))
