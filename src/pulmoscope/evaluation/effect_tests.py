"""Tests of a paired effect that respect what was drawn: groups of pictures, and seeds where there are several.

With one seed the pictures are all that varies: :func:`sign_flip_p`, exact unless they are very many. With several
seeds the trainings vary too, and an effect must stand out from both: :func:`two_way_p`.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
# From here on the sum of signs is normal to more digits than anybody reads.
_EXACT_UP_TO = 5_000


def sign_flip_p(sums: npt.ArrayLike) -> float:
    """Two-sided sign-flip test of whole numbers, one a group: are they as likely to be of either sign?

    The p-value is the chance, over all assignments of signs, of a sum at least as far from 0 (Fisher 1935, The Design
    of Experiments, section 21). With one picture a group and two models it is McNemar's exact test. It is exact up to
    sizes of 5,000 in all, in their largest common unit; above that the sum of signs is taken as normal.

    Args:
        sums: (G,) integers: for each group how many more pictures one side has right; any common multiple will do.

    Returns:
        In (0, 1]; 1 where all sums are 0.

    >>> sign_flip_p([1] * 7 + [-1])  # McNemar of 1 : 7
    0.0703125
    """
    sizes = np.abs(np.asarray(sums, np.int64))
    sizes = sizes[sizes > 0]
    if not len(sizes):
        return 1.0
    unit = int(np.gcd.reduce(sizes))
    sizes, total = sizes // unit, abs(int(np.sum(np.asarray(sums, np.int64)))) // unit
    reach = int(sizes.sum())
    if reach > _EXACT_UP_TO:
        return math.erfc(total / math.sqrt(2 * float((sizes**2).sum())))
    # Chance of each sum from -reach to reach, one group after the other.
    chances = np.zeros(2 * reach + 1)
    chances[reach] = 1.0
    for size in sizes:
        half = 0.5 * chances
        chances[:] = 0.0
        chances[size:] += half[:-size]
        chances[:-size] += half[size:]
    at = np.abs(np.arange(-reach, reach + 1)) >= total
    return min(1.0, float(chances[at].sum()))


def two_way_p(sums: npt.ArrayLike, counts: npt.ArrayLike) -> float:
    """Two-sided t test of a mean over groups and seeds, both of them drawn.

    The variance has a part of the groups and a part of the seeds, as that of readers and cases in studies of diagnostic
    accuracy (Dorfman, Berbaum and Metz 1992); degrees of freedom after Hillis (2007, Stat Med 26:596). Groups of
    several pictures enter by the linearised ratio.

    Args:
        sums: (G, S), the effect summed over the pictures of each group, for each seed; S of at least 2.
        counts: Pictures of each group, (G,).

    Returns:
        In [0, 1]; 1 where the effect is 0, and NaN where it is not but nothing varies, or there are fewer than two
        groups or seeds.
    """
    values, sizes = np.asarray(sums, np.float64), np.asarray(counts, np.float64)
    G, S = values.shape
    if G < 2 or S < 2:
        return float("nan")
    mean = float(values.sum() / (S * sizes.sum()))
    if abs(mean) < 1e-12:
        return 1.0
    # What each group adds to the mean beyond its share, so that the rest is as for groups of one picture.
    parts = (values - mean * sizes[:, None]) * (G / sizes.sum())
    by_group, by_seed = parts.mean(axis=1), parts.mean(axis=0)
    rest = parts - by_group[:, None] - by_seed
    square_groups = S * float((by_group**2).sum()) / (G - 1)
    square_seeds = G * float((by_seed**2).sum()) / (S - 1)
    square_rest = float((rest**2).sum()) / ((G - 1) * (S - 1))
    # Never below what the groups alone give: with few seeds their mean square may come out small by chance.
    excess = max(square_seeds + max(square_groups - square_rest, 0.0), square_groups)
    if excess < 1e-15:
        return float("nan")
    distance = abs(mean) / math.sqrt(excess / (G * S))
    if square_seeds < 1e-15:
        return math.erfc(distance / math.sqrt(2))
    from scipy.stats import t

    return float(2 * t.sf(distance, excess**2 / (square_seeds**2 / (S - 1))))
