"""How much each group (patient) weighs in an AUROC, and how many groups its standard error really rests on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pulmoscope.evaluation.delong import placements

FloatArray = npt.NDArray[np.float64]


def auroc_influence(
    truth: npt.ArrayLike, probabilities: npt.ArrayLike, codes: npt.ArrayLike, groups: int
) -> FloatArray:
    """What each group adds to the error of each class's AUROC against the rest, to first order.

    Summed over a group's pictures: how far a picture's share of the area lies from the mean of its side, divided by the
    pictures of that side. The sum of squares is the variance of DeLong's method where each picture is a group of its
    own (Obuchowski 1997, Biometrics 53:567, for several).

    Args:
        truth: True classes, (N,) integers in [0, K).
        probabilities: (N, K).
        codes: Group of each picture, (N,) integers in [0, G).
        groups: G.

    Returns:
        (G, K); NaN for a class that no picture or every picture is of.

    >>> auroc_influence([1, 1, 0, 0], [[0.1, 0.9], [0.6, 0.4], [0.5, 0.5], [0.8, 0.2]], [0, 1, 2, 3], 4)[:, 1]
    array([ 0.125, -0.125, -0.125,  0.125])
    """
    labels, scores, of = np.asarray(truth), np.asarray(probabilities, np.float64), np.asarray(codes)
    found = np.full((groups, scores.shape[1]), np.nan)
    for index in range(scores.shape[1]):
        positive = labels == index
        if positive.all() or not positive.any():
            continue
        moved = np.empty(len(labels))
        for side, share in zip((positive, ~positive), placements(positive, scores[:, index]), strict=True):
            # Sorted: rounding must not depend on the order of the rows.
            moved[side] = (share - np.sort(share).mean()) / len(share)
        order = np.lexsort((moved, of))
        found[:, index] = np.bincount(of[order], moved[order], groups)
    return found


def freedom(influence: npt.ArrayLike) -> float:
    """Degrees of freedom of a standard error to which G groups contribute, some far more than others.

    A variance that is estimated from G contributions of kurtosis k has itself a relative variance of (k - 1) / G;
    Satterthwaite's degrees of freedom (1946, Biometrics Bulletin 2:110) are those of the chi-squared distribution with
    that variance, 2 G / (k - 1): G for normal contributions, few where a handful of patients makes all the mistakes.

    Args:
        influence: Of each group, (G,).

    Returns:
        Between 1 and G - 1; G - 1 where no group adds anything, NaN where an influence is.

    >>> round(freedom([1, -1, 2, -2, 0.5, -0.5]), 2), round(freedom([0.01] * 50 + [-0.5, 1]), 2)
    (5.0, 3.15)
    """
    moved = np.asarray(influence, np.float64)
    count = len(moved)
    squares = (moved - moved.mean()) ** 2
    total = float(squares.sum())
    if np.isnan(total) or not total:
        return float("nan") if np.isnan(total) else float(count - 1)
    excess = count * float((squares**2).sum()) / total**2 - 1
    return float(np.clip(2 * count / excess, 1, count - 1)) if excess > 0 else float(count - 1)
