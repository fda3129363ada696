"""The mean of one number a picture, with an interval over groups (patients)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pulmoscope.evaluation.bootstrap import draw_weights, group_codes
from pulmoscope.evaluation.intervals import percentile_interval
from pulmoscope.files import or_null

_REPLICATES = 2000


@dataclass(frozen=True, kw_only=True)
class GroupMean:
    """A mean over pictures.

    Attributes:
        value: NaN where no picture has the number.
        low: Lower bound of the 95% interval; NaN with fewer than two groups.
        high: Upper bound.
        pictures: How many have the number.
        groups: How many groups they are from.
    """

    value: float
    low: float
    high: float
    pictures: int
    groups: int

    def above(self, bound: float) -> bool:
        """Whether the whole interval lies above ``bound``; never where there is no interval."""
        return self.low > bound

    def below(self, bound: float) -> bool:
        """Whether the whole interval lies below ``bound``; never where there is no interval."""
        return self.high < bound

    def as_dict(self) -> dict[str, Any]:
        """For JSON; undefined is null."""
        return {
            "value": or_null(self.value), "low": or_null(self.low), "high": or_null(self.high),
            "pictures": self.pictures, "groups": self.groups,
        }  # fmt: skip


def mean_over_groups(values: ArrayLike, groups: ArrayLike, *, seed: int = 0) -> GroupMean:
    """Mean and expanded percentile bootstrap interval: whole groups are drawn, 2,000 times.

    Args:
        values: (N,) one number a picture; NaN where it has none, which is left out.
        groups: (N,) names or numbers.
        seed: Of the bootstrap.

    >>> mean_over_groups([0.0, 1.0, float("nan")], ["a", "b", "c"]).value
    0.5
    """
    numbers = np.asarray(values, np.float64)
    there = ~np.isnan(numbers)
    kept = numbers[there]
    if not len(kept):
        return GroupMean(value=np.nan, low=np.nan, high=np.nan, pictures=0, groups=0)
    codes, count = group_codes(np.asarray(groups)[there])
    sums, sizes = np.bincount(codes, kept, count), np.bincount(codes, minlength=count)
    drawn = [
        float(weights @ sums) / float(weights @ sizes)
        for weights in draw_weights(count, _REPLICATES, np.random.default_rng(seed))
    ]
    low, high, _ = percentile_interval(drawn, groups=count)
    return GroupMean(value=float(kept.mean()), low=low, high=high, pictures=len(kept), groups=count)
