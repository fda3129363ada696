"""Bootstrap over groups: patients are drawn with replacement, and all of a patient's pictures come along.

Pictures of one patient are alike, so drawing pictures would give intervals that are too narrow (Davison and Hinkley
1997, section 3.8). A replicate is held as one count a group, and what can be is computed once before the first
replicate: each picture's cell of the confusion matrix, and for the AUROC how many negatives lie below each positive.
A replicate then costs a few passes over the pictures and no sorting. Memory is that of a few copies of the scores,
whatever the number of replicates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulmoscope.evaluation.confusion import confusion_cells

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Replicates:
    """What each bootstrap replicate holds.

    Attributes:
        confusions: Confusion counts, (B, K, K); rows are the truth.
        aurocs: AUROC of each class against the rest, (B, K); NaN where undefined in that replicate, all NaN
            where there are no probabilities.
    """

    confusions: FloatArray
    aurocs: FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class RankedPairs:
    """One class's positives and negatives, sorted once, ready for any group weights.

    Attributes:
        positive_groups: Group of each positive, (P,).
        negative_groups: Group of each negative in rising order of score, (M,).
        below: Negatives that score less than each positive, (P,).
        upto: Negatives that score at most as much, (P,); None where no positive ties with a negative.
    """

    positive_groups: IntArray
    negative_groups: IntArray
    below: IntArray
    upto: IntArray | None

    @classmethod
    def of(cls, positive: npt.NDArray[np.bool_], scores: FloatArray, groups: IntArray) -> RankedPairs:
        """Sort one class's scores, (N,), with ``positive`` (N,) booleans and ``groups`` (N,) in [0, G)."""
        negatives = np.flatnonzero(~positive)
        negatives = negatives[np.argsort(scores[negatives], kind="stable")]
        positives = np.flatnonzero(positive)
        # In order of score, so that the look-ups of each replicate walk through memory in one direction.
        positives = positives[np.argsort(scores[positives], kind="stable")]
        below = np.searchsorted(scores[negatives], scores[positives], "left")
        upto = np.searchsorted(scores[negatives], scores[positives], "right")
        return cls(
            positive_groups=groups[positives],
            negative_groups=groups[negatives],
            below=below,
            upto=None if np.array_equal(below, upto) else upto,
        )

    def auroc(self, weights: IntArray) -> float:
        """AUROC when group g counts ``weights[g]`` times, (G,) integers; NaN where a side has no weight.

        Sums are of integers, hence exact and free of any order of the pictures.
        """
        cumulated = np.zeros(len(self.negative_groups) + 1, np.int64)
        np.cumsum(weights[self.negative_groups], out=cumulated[1:])
        drawn = weights[self.positive_groups]
        pairs = int(drawn.sum()) * int(cumulated[-1])
        if not pairs:
            return float("nan")
        if self.upto is None:
            return int(drawn @ cumulated[self.below]) / pairs
        return int(drawn @ (cumulated[self.below] + cumulated[self.upto])) / (2 * pairs)


def group_codes(names: npt.ArrayLike) -> tuple[IntArray, int]:
    """Number the groups by their sorted names, so that the order of rows changes no replicate.

    Args:
        names: Group of each picture, (N,) strings or integers.

    Returns:
        Codes, (N,) in [0, G), and G.
    """
    levels, codes = np.unique(np.asarray(names), return_inverse=True)
    return codes.astype(np.int64), len(levels)


def draw_weights(groups: int, replicates: int, generator: np.random.Generator) -> Iterator[IntArray]:
    """Draw ``groups`` groups with replacement, ``replicates`` times.

    Args:
        groups: G.
        replicates: B.
        generator: Source of the draws.

    Yields:
        How often each group was drawn, (G,), summing to G: a multinomial draw, by counting G drawn numbers, which
        is an order of magnitude faster than drawing G binomials.
    """
    for _ in range(replicates):
        yield np.bincount(generator.integers(0, groups, groups), minlength=groups).astype(
            np.int64, copy=False
        )


def resample(
    weights: Iterable[npt.NDArray[np.integer]],
    *,
    truth: npt.ArrayLike,
    predicted: npt.ArrayLike,
    probabilities: npt.ArrayLike | None,
    groups: npt.ArrayLike,
    classes: int,
) -> Replicates:
    """Confusion matrix and AUROCs of every replicate.

    Args:
        weights: One array a replicate: how often each group counts, (G,) integers, as from :func:`draw_weights`.
        truth: True classes, (N,) integers in [0, K).
        predicted: Predicted classes, (N,) integers in [0, K).
        probabilities: (N, K); None where there are only hard labels.
        groups: Group of each picture, (N,) integers in [0, G).
        classes: K.
    """
    codes = np.asarray(groups, np.int64)
    true = np.asarray(truth, np.int64)
    cells = confusion_cells(true, predicted, classes)
    ranked: list[RankedPairs] = []
    if probabilities is not None:
        scores = np.asarray(probabilities, np.float64)
        ranked = [RankedPairs.of(true == index, scores[:, index], codes) for index in range(classes)]
    confusions, aurocs = [], []
    for drawn in weights:
        counts = drawn.astype(np.int64, copy=False)
        confusions.append(np.bincount(cells, counts[codes], classes * classes))
        aurocs.append([pairs.auroc(counts) for pairs in ranked] or [float("nan")] * classes)
    return Replicates(
        confusions=np.array(confusions, np.float64).reshape(-1, classes, classes),
        aurocs=np.array(aurocs, np.float64).reshape(-1, classes),
    )
