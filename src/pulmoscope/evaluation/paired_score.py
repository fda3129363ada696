"""The difference of two paired proportions with Tango's score interval: right where the bootstrap has nothing to draw.

Where two models differ on few pictures or on none, replicates of the difference have little or no spread and would
promise more than the pictures can tell. The score interval does not: of n pictures without any difference it reaches
to z^2 / (n + z^2) on either side.
"""

from __future__ import annotations

import math
from statistics import NormalDist


def paired_score_interval(
    only_first: int, only_second: int, pictures: int, *, level: float = 0.95
) -> tuple[float, float]:
    """Tango's score interval of the second proportion minus the first (Tango 1998, Stat Med 17:891).

    A difference d is inside where |b - c - n d| <= z sqrt(n (2 q + d (1 - d))), q being the most likely chance that
    only the first is right if the difference is d. Pictures are taken as independent.

    Args:
        only_first: c, pictures that the first alone has right.
        only_second: b, pictures that the second alone has right.
        pictures: n, all of them.
        level: Confidence level in (0, 1).

    Returns:
        Lower and upper bound in [-1, 1]; NaN without pictures.

    Raises:
        ValueError: ``level`` outside (0, 1), or the counts do not fit.

    >>> low, high = paired_score_interval(45, 48, 3432)
    >>> f"{low:.4f} {high:.4f}"
    '-0.0047 0.0065'
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    if min(only_first, only_second) < 0 or only_first + only_second > pictures:
        raise ValueError("the counts must not be negative, nor their sum above the pictures")
    if not pictures:
        return float("nan"), float("nan")
    z = NormalDist().inv_cdf(0.5 + level / 2)
    # The lower bound is the mirrored upper bound of the mirrored difference.
    return -_upper(only_second, only_first, pictures, z), _upper(only_first, only_second, pictures, z)


def _upper(only_first: int, only_second: int, n: int, z: float) -> float:
    """Where the statistic has fallen to -z, by halving: it falls in d."""
    low, high = (only_second - only_first) / n, 1.0
    if _statistic(only_first, only_second, n, 1.0) > -z:
        return 1.0
    while high - low > 1e-12:
        middle = (low + high) / 2
        if _statistic(only_first, only_second, n, middle) > -z:
            low = middle
        else:
            high = middle
    return high


def _statistic(only_first: int, only_second: int, n: int, d: float) -> float:
    """Tango's z of a difference d, 0 at the observed one."""
    distance = only_second - only_first - n * d
    if not distance:
        return 0.0
    # The likeliest q solves 2n q^2 + linear q + constant = 0.
    linear = (2 * n - only_second + only_first) * d - only_second - only_first
    constant = -only_first * d * (1 - d)
    q = (math.sqrt(max(linear * linear - 8 * n * constant, 0.0)) - linear) / (4 * n)
    variance = n * (2 * q + d * (1 - d))
    return distance / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, distance)
