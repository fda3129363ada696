"""One metric over several seeds: mean, standard deviation, range, and which seed is the middle one."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Spread:
    """One metric over the seeds; values that are undefined are left out, and NaN where none is left.

    Attributes:
        n: Defined values.
        mean: Their mean.
        sd: Sample standard deviation, divided by n - 1; NaN for fewer than two.
        minimum: The smallest.
        maximum: The largest.
    """

    n: int
    mean: float
    sd: float
    minimum: float
    maximum: float


def spread(values: Sequence[float]) -> Spread:
    """Mean, standard deviation and range.

    >>> found = spread([0.8, 0.9, 0.7])
    >>> round(found.mean, 3), round(found.sd, 3), found.minimum, found.maximum
    (0.8, 0.1, 0.7, 0.9)
    """
    defined = [value for value in values if not math.isnan(value)]
    nan = float("nan")
    if not defined:
        return Spread(n=0, mean=nan, sd=nan, minimum=nan, maximum=nan)
    return Spread(
        n=len(defined),
        mean=statistics.fmean(defined),
        sd=statistics.stdev(defined) if len(defined) > 1 else nan,
        minimum=min(defined),
        maximum=max(defined),
    )


def median_index(values: Sequence[float]) -> int | None:
    """Place of the value that is the median, of two middle ones the lower; None where none is defined.

    >>> median_index([0.9, 0.7, 0.8]), median_index([0.9, 0.7])
    (2, 1)
    """
    order = sorted((value, index) for index, value in enumerate(values) if not math.isnan(value))
    return order[(len(order) - 1) // 2][1] if order else None
