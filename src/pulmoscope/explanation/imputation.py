"""Pixels taken out of a picture and filled in from their surroundings, so that what is missing does not show."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

# Neighbours side by side count twice as much as those at a corner.
_WEIGHTS = np.array([[1, 2, 1], [2, 0, 2], [1, 2, 1]], np.float64) / 12
NOISE = 0.01
"""Standard deviation of what is added to filled pixels, of a picture in [0, 1]."""
# The equations are solved until what is left of them is a thousandth of the noise in the worst picture that we have.
_TOLERANCE = 1e-7
_MOST_STEPS = 2000


def impute(
    picture: NDArray[np.float32], removed: NDArray[np.bool_], *, noise: float = NOISE, seed: int = 0
) -> NDArray[np.float32]:
    """Noisy linear imputation: a removed pixel is the weighted mean of its neighbours (Rong et al. 2022, section 4.2).

    Where neighbours are removed too, all equations are solved together. With a constant in their place the shape of
    what was removed would itself tell the network the class. At the picture's edge the weights are of the neighbours
    that there are.

    Args:
        picture: (H, W) in [0, 1].
        removed: (H, W).
        noise: Standard deviation of the noise on removed pixels.
        seed: Of the noise.

    Returns:
        (H, W); as it was where nothing was removed, all noise round one half where everything was.
    """
    filled = picture.astype(np.float32).copy()
    count = int(removed.sum())
    if not count:
        return filled
    generator = np.random.default_rng(seed)
    added = generator.normal(0, noise, count).astype(np.float32) if noise else np.float32(0)
    if count == removed.size:
        filled[removed] = np.float32(0.5) + added
        return filled
    filled[removed] = _solved(picture.astype(np.float64), removed)[removed].astype(np.float32) + added
    return filled


def _solved(picture: NDArray[np.float64], removed: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Conjugate gradients: the matrix is symmetric and never built, a step is one filter over the picture.

    That is about ten times quicker than a sparse factorisation where most of a picture is removed.
    """
    inside = removed.astype(np.float64)
    total = _near(np.ones_like(picture))
    wanted = inside * _near((1 - inside) * picture)
    found: NDArray[np.float64] = inside * picture[~removed].mean()
    left = wanted - (total * found - inside * _near(found))
    left *= inside
    way, size = left.copy(), float((left**2).sum())
    for _ in range(_MOST_STEPS):
        if size <= _TOLERANCE**2 * picture.size:
            break
        turned = inside * (total * way - _near(way))
        step = size / float((way * turned).sum())
        found += step * way
        left -= step * turned
        size, before = float((left**2).sum()), size
        way = left + size / before * way
    return found


def _near(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The weighted sum of each pixel's eight neighbours; beyond the edge there is nothing."""
    return np.asarray(cv2.filter2D(values, -1, _WEIGHTS, borderType=cv2.BORDER_CONSTANT), np.float64)
