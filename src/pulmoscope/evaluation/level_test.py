"""Does a rate differ between subgroups? A permutation test that moves a patient's pictures together."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


def level_test(
    right: npt.ArrayLike,
    levels: npt.ArrayLike,
    groups: npt.ArrayLike,
    *,
    permutations: int = 2000,
    seed: int = 0,
) -> float:
    """Permutation test that a rate is the same in every level.

    The statistic is the sum over the levels of (right - expected)^2 / pictures, where expected is the level's pictures
    times the common rate: Pearson's chi-squared but for a factor that all permutations share. What is permuted are
    units, a group's (patient's) pictures in one level, which stay together (Good 2005, Permutation, Parametric and
    Bootstrap Tests, section 3). A patient with pictures in two levels is a unit in each; its likeness to itself, which
    makes the levels more alike, is not used, so the test is then careful.

    Units of one level may hold more pictures than those of another; then a permutation brings other numbers of pictures
    to a level, and where few are wrong the same mistakes look smaller than they were: p comes out too low. So pictures
    are permuted one by one too, and the larger p counts.

    Only the kinds of units (pictures, right ones) matter, not which unit is which, so a permutation is drawn as
    hypergeometric numbers: time and memory do not grow with the pictures.

    Args:
        right: Whether each picture counts as right, (N,) booleans.
        levels: Level of each picture, (N,) integers from 0.
        groups: Group of each picture, (N,) integers.
        permutations: B, at least 1; the smallest p is 1 / (B + 1).
        seed: Of the permutations.

    Returns:
        p in (0, 1]; NaN with fewer than two levels; 1 where all pictures are right, or all wrong.

    >>> level_test([1] * 10 + [0] * 10, [0] * 10 + [1] * 10, range(20), permutations=999)
    0.001
    """
    hit, level = np.asarray(right, np.int64), np.asarray(levels, np.int64)
    group = np.asarray(groups, np.int64)
    if not hit.shape == level.shape == group.shape or hit.ndim != 1:
        raise ValueError(f"expected three arrays (N,), got {hit.shape}, {level.shape} and {group.shape}")
    names, level = np.unique(level, return_inverse=True)
    if len(names) < 2:
        return float("nan")
    if hit.min() == hit.max():
        return 1.0
    _, unit = np.unique(np.stack([group, level]), axis=1, return_inverse=True)
    several = len(np.unique(unit)) < len(unit)
    ways = (unit, np.arange(len(unit))) if several else (unit,)
    return max(_permuted(hit, level, one, permutations, np.random.default_rng(seed)) for one in ways)


def _permuted(
    hit: IntArray, level: IntArray, unit: IntArray, permutations: int, generator: np.random.Generator
) -> float:
    """The p-value of the test that permutes these units, (N,) integers from 0, each of one level."""
    size, hits = np.bincount(unit), np.bincount(unit, hit).astype(np.int64)
    home = np.zeros(len(size), np.int64)
    home[unit] = level
    kinds, kind, many = np.unique(np.stack([size, hits]), axis=1, return_inverse=True, return_counts=True)
    drawn = _dealt(many, np.bincount(home), permutations, generator)
    seen = np.zeros((1, int(level.max()) + 1, len(many)), np.int64)
    np.add.at(seen[0], (home, kind), 1)
    rate = hit.mean()
    observed, others = (_statistic(counts, kinds, rate) for counts in (seen, drawn))
    # Equal statistics may differ by rounding.
    beyond = int((others >= observed[0] * (1 - 1e-9)).sum())
    return (beyond + 1) / (permutations + 1)


def _dealt(kinds: IntArray, places: IntArray, permutations: int, generator: np.random.Generator) -> IntArray:
    """Deal units to levels at random: how many of each kind each level gets, (B, L, T).

    Args:
        kinds: Units of each kind, (T,).
        places: Units that each level holds, (L,).
        permutations: B.
        generator: Of the draws.
    """
    dealt = np.zeros((permutations, len(places), len(kinds)), np.int64)
    free = np.tile(places, (permutations, 1))
    for kind, count in enumerate(kinds):
        left = np.full(permutations, count)
        elsewhere = free.sum(axis=1)
        for level in range(len(places)):
            elsewhere = elsewhere - free[:, level]
            got = generator.hypergeometric(free[:, level], elsewhere, left)
            dealt[:, level, kind] = got
            left = left - got
        free = free - dealt[:, :, kind]
    return dealt


def _statistic(counts: IntArray, kinds: IntArray, rate: float) -> npt.NDArray[np.float64]:
    """The sum over levels of (right - expected)^2 / pictures, (B,), of units of each kind (B, L, T)."""
    pictures, right = counts @ kinds[0], counts @ kinds[1]
    return np.asarray(((right - rate * pictures) ** 2 / pictures).sum(axis=1), np.float64)
