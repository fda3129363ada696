"""Does the map lie where it should? Against known lesions, and against the lungs.

A map that lies elsewhere may still be true to a model that looks elsewhere: this judges map and model together.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pulmoscope.explanation.similarity import top_weights

FloatArray = NDArray[np.float64]
TOLERANCE = 0.03
"""How far off the highest pixel may be and still hit, as a share of the side: 15 of 500 pixels (Zhang et al. 2018)."""


def widened(targets: NDArray[np.bool_], tolerance: float = TOLERANCE) -> NDArray[np.bool_]:
    """Targets (N, S, S) with a rim of ``tolerance`` sides round them."""
    reach = round(tolerance * targets.shape[1])
    if not reach:
        return targets
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = (y**2 + x**2 <= reach**2).astype(np.uint8)
    return np.stack([cv2.dilate(one.astype(np.uint8), disc) > 0 for one in targets])


def pointing(
    values: NDArray[np.float32], targets: NDArray[np.bool_], tolerance: float = TOLERANCE
) -> FloatArray:
    """The pointing game: does the highest pixel lie in the target (Zhang et al. 2018, section 4.2)?

    Args:
        values: (N, S, S).
        targets: (N, S, S) where it should point.
        tolerance: Share of the side by which it may miss.

    Returns:
        (N,) 1 or 0; the share of hits where several pixels are equally high. NaN for an empty map or no target.
    """
    hit = widened(targets, tolerance)
    highest = values == values.max(axis=(1, 2), keepdims=True)
    found = (highest & hit).sum(axis=(1, 2)) / highest.sum(axis=(1, 2))
    return np.where(_judged(values, targets), found, np.nan)


def pointing_by_chance(
    values: NDArray[np.float32], targets: NDArray[np.bool_], tolerance: float = TOLERANCE
) -> FloatArray:
    """(N,) what a random pixel hits: the area of the widened target as a share; NaN where :func:`pointing` is."""
    return np.where(_judged(values, targets), _area(widened(targets, tolerance)), np.nan)


def share_inside(values: NDArray[np.float32], targets: NDArray[np.bool_]) -> FloatArray:
    """Share of a map's sum that lies in the target.

    Args:
        values: (N, S, S) at least 0.
        targets: (N, S, S).

    Returns:
        (N,) in [0, 1]; NaN for an empty map or no target. An even map gives the target's area.
    """
    total = values.sum(axis=(1, 2), dtype=np.float64)
    inside = np.where(targets, values, 0).sum(axis=(1, 2), dtype=np.float64)
    return np.where(_judged(values, targets), inside / np.where(total > 0, total, 1), np.nan)


def area_share(values: NDArray[np.float32], targets: NDArray[np.bool_]) -> FloatArray:
    """(N,) the target's area as a share of the picture: what :func:`share_inside` is by chance; NaN where that is."""
    return np.where(_judged(values, targets), _area(targets), np.nan)


def top_iou(values: NDArray[np.float32], targets: NDArray[np.bool_]) -> FloatArray:
    """Intersection over union of the target and as many of the map's highest pixels as the target has.

    Args:
        values: (N, S, S).
        targets: (N, S, S).

    Returns:
        (N,) in [0, 1]; NaN for an empty map or no target.
    """
    found = np.full(len(values), np.nan)
    for row in np.flatnonzero(_judged(values, targets)):
        count = int(targets[row].sum())
        both = float(top_weights(values[row], count)[targets[row]].sum())
        found[row] = both / (2 * count - both)
    return found


def iou_by_chance(values: NDArray[np.float32], targets: NDArray[np.bool_]) -> FloatArray:
    """(N,) :func:`top_iou` of a map whose top lies as often in the target as the target is large: a / (2 - a)."""
    area = area_share(values, targets)
    return np.asarray(area / (2 - area))


def _area(targets: NDArray[np.bool_]) -> FloatArray:
    return np.asarray(targets.mean(axis=(1, 2)), np.float64)


def _judged(values: NDArray[np.float32], targets: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Maps that say where, with a target to say it of that is not the whole picture."""
    some = targets.any(axis=(1, 2)) & ~targets.all(axis=(1, 2))
    return np.asarray(some & (values.max(axis=(1, 2)) > values.min(axis=(1, 2))))
