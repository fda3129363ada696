"""Maps that know nothing of the model: what a map has to beat to be worth looking at."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

# A Gaussian is over half of its maximum within sqrt(2 ln 2) sigma.
_HALF = 2 * math.log(2)


def elsewhere(values: NDArray[np.float32], *, seed: int = 0) -> NDArray[np.float32]:
    """Each map laid at a random place of its picture: mirrored at random and moved round the edges.

    It has the same blobs, the same area and the same values as the map, so that only *where* differs. Noise of single
    pixels would be an easier opponent: networks react to it as to nothing in a radiograph.

    Args:
        values: (N, S, S).
        seed: Of the places; a picture's place depends on its number, not on how many there are.
    """
    moved = np.empty_like(values)
    for number, one in enumerate(values):
        generator = np.random.default_rng([seed, number])
        down, right = generator.integers(0, one.shape[0]), generator.integers(0, one.shape[1])
        mirrored = one[:: generator.choice([-1, 1]), :: generator.choice([-1, 1])]
        moved[number] = np.roll(mirrored, (int(down), int(right)), axis=(0, 1))
    return moved


def centred(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """A Gaussian in the middle of each picture, over half of its maximum on as large an area as the map is of its own.

    Args:
        values: (N, S, S) at least 0.

    Returns:
        (N, S, S) in (0, 1].
    """
    side_y, side_x = values.shape[1:]
    y, x = np.mgrid[:side_y, :side_x]
    distance = (y - (side_y - 1) / 2) ** 2 + (x - (side_x - 1) / 2) ** 2
    most = values.max(axis=(1, 2), keepdims=True, initial=0)
    area = np.maximum((values >= most / 2).sum(axis=(1, 2)), 1)
    squared = area / (math.pi * _HALF)
    found = np.exp(-distance[None] / (2 * squared[:, None, None]))
    # Far out a small Gaussian underflows to 0; the order of its pixels is kept as far as numbers reach.
    return np.asarray(np.maximum(found, np.finfo(np.float32).tiny), np.float32)
