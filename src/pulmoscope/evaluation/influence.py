"""How much each group (patient) weighs in a metric, and how many groups its standard error really rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulmoscope.evaluation.curves import macro_auroc
from pulmoscope.evaluation.delong import placements

FloatArray = npt.NDArray[np.float64]
LEAST_FREEDOM = 8.0
"""With fewer an interval of one picture's making leaves nearly every AUROC open, and holds the truth hardly more often:
``benchmarks/coverage.py`` has both."""
#: Metrics that are no share of pictures: what each patient adds to them tells how far they can be trusted.
BY_INFLUENCE = ("balanced_accuracy", "macro_auroc", "auroc")


@dataclass(frozen=True, kw_only=True, eq=False)
class Influence:
    """What the error of a metric rests on.

    Attributes:
        moved: What each group adds to it, (G,).
        fewest: Groups of the class with the fewest.
    """

    moved: FloatArray
    fewest: int


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


def recall_influence(
    truth: npt.ArrayLike, said: npt.ArrayLike, codes: npt.ArrayLike, groups: int
) -> FloatArray:
    """What each group adds to the error of the balanced accuracy, (G,): that of each class's sensitivity, averaged.

    Args:
        truth: True classes, (N,) integers.
        said: Predicted classes, (N,) integers.
        codes: Group of each picture, (N,) integers in [0, G).
        groups: G.

    >>> recall_influence([0, 0, 1], [0, 1, 1], [0, 1, 2], 3)
    array([ 0.125, -0.125,  0.   ])
    """
    labels, hit, of = np.asarray(truth), np.asarray(truth) == np.asarray(said), np.asarray(codes)
    present = np.unique(labels)
    found = np.zeros(groups)
    for label in present:
        rows = labels == label
        found += np.bincount(of[rows], (hit[rows] - hit[rows].mean()) / rows.sum(), groups)
    return found / len(present)


def fewest_groups(truth: npt.ArrayLike, codes: npt.ArrayLike, index: int | None = None) -> int:
    """How many groups the class with the fewest has; of one class against the rest, the smaller of the two sides.

    >>> fewest_groups([0, 0, 1, 1], [0, 1, 2, 2]), fewest_groups([0, 0, 1, 2], [0, 1, 2, 3], 0)
    (1, 2)
    """
    labels, of = np.asarray(truth), np.asarray(codes)
    sides = labels if index is None else labels == index
    return min((len(np.unique(of[sides == side])) for side in np.unique(sides)), default=0)


def influences(
    truth: npt.ArrayLike,
    predicted: npt.ArrayLike,
    probabilities: npt.NDArray[np.float64] | None,
    codes: npt.ArrayLike,
    groups: int,
) -> dict[str, list[Influence]]:
    """What the metrics that may hang on few groups rest on, as the values stand.

    Args:
        truth: True classes, (N,) integers in [0, K).
        predicted: Predicted classes, (N,) integers in [0, K).
        probabilities: (N, K); without them there is no AUROC.
        codes: Group of each picture, (N,) integers in [0, G).
        groups: G.

    Returns:
        ``balanced_accuracy`` and ``macro_auroc``, of one entry, and ``auroc``, one a class.
    """
    found = {"balanced_accuracy": [_of_recall(truth, predicted, codes, groups)]}
    if probabilities is not None:
        moved = auroc_influence(truth, probabilities, codes, groups)
        found["auroc"] = [_of_auroc(moved, truth, codes, index) for index in range(moved.shape[1])]
        found["macro_auroc"] = [_of_auroc(moved, truth, codes, None)]
    return found


def _of_recall(
    truth: npt.ArrayLike, predicted: npt.ArrayLike, codes: npt.ArrayLike, groups: int
) -> Influence:
    return Influence(
        moved=recall_influence(truth, predicted, codes, groups), fewest=fewest_groups(truth, codes)
    )


def _of_auroc(moved: FloatArray, truth: npt.ArrayLike, codes: npt.ArrayLike, index: int | None) -> Influence:
    """Of one class, or with None of the mean over them."""
    own = macro_auroc(moved) if index is None else moved[:, index]
    return Influence(moved=own, fewest=fewest_groups(truth, codes, index))


def named_influence(
    metric: str,
    truth: npt.ArrayLike,
    predicted: npt.ArrayLike,
    probabilities: npt.NDArray[np.float64] | None,
    codes: npt.ArrayLike,
    groups: int,
    classes: Sequence[str],
) -> Influence | None:
    """The one of :func:`influences` that is of a metric's name, as ``auroc:covid``; None of other metrics."""
    name, _, label = metric.partition(":")
    if name not in BY_INFLUENCE or bool(label) != (name == "auroc"):
        return None
    if name == "balanced_accuracy":
        return _of_recall(truth, predicted, codes, groups)
    if probabilities is None:
        return None
    moved = auroc_influence(truth, probabilities, codes, groups)
    return _of_auroc(moved, truth, codes, list(classes).index(label) if label else None)


def freedom(influence: Influence, *, least: float = LEAST_FREEDOM) -> float:
    """Degrees of freedom of a standard error to which G groups contribute, some far more than others.

    A variance that is estimated from G contributions of kurtosis k has itself a relative variance of (k - 1) / G;
    Satterthwaite's degrees of freedom (1946, Biometrics Bulletin 2:110) are those of the chi-squared distribution with
    that variance, 2 G / (k - 1): G for normal contributions, few where a handful of patients makes all the mistakes.
    The kurtosis itself is then a guess, so they are no fewer than ``least``, but never more than the patients of the
    rarest class less one: a spread cannot be known better than that of the few it rests on.

    Args:
        influence: Of each group.
        least: The fewest, where the rarest class has as many groups.

    Returns:
        1 or more; NaN where an influence is.

    >>> crowd = np.linspace(-0.1, 0.1, 50)
    >>> moved = [np.array([*crowd, *few]) for few in ([], [-0.2, 0.2], [-0.5, 1])]
    >>> [round(freedom(Influence(moved=one, fewest=50)), 2) for one in moved]
    [49.0, 42.17, 8.0]
    >>> freedom(Influence(moved=moved[0], fewest=4))
    3.0
    """
    moved = np.asarray(influence.moved, np.float64)
    most = float(max(min(influence.fewest, len(moved)) - 1, 1))
    return float(spread_freedom(moved - moved.mean(), len(moved), most, least=least))


def spread_freedom(
    moved: npt.ArrayLike, groups: npt.ArrayLike, most: npt.ArrayLike, *, least: float = LEAST_FREEDOM
) -> FloatArray:
    """The rule of :func:`freedom` for many metrics at once.

    Args:
        moved: What each group adds, (G, ...), summing to 0.
        groups: How many groups can add anything, (...): those that have pictures that the metric is of.
        most: Never more degrees of freedom than these, (...).
        least: The fewest, where ``most`` allows.

    Returns:
        (...); ``most`` where no group adds more or less than another; NaN where an influence is.
    """
    squares = np.asarray(moved, np.float64) ** 2
    total = squares.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = np.asarray(groups, np.float64) * (squares**2).sum(axis=0) / total**2 - 1
        found = np.where(
            excess > 0, np.minimum(most, np.maximum(least, 2 * np.asarray(groups) / excess)), most
        )
    return np.asarray(np.where(np.isnan(total), np.nan, found), np.float64)
