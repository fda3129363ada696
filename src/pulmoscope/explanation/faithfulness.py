"""Does the model use what the map shows? Pixels are taken away and put back in the map's order, and the model is asked.

All measures compare a map with another of the same picture; alone they mean little, since a network may fall quickly
whatever is taken from a picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from pulmoscope.explanation.explainer import Explainer
from pulmoscope.explanation.group_mean import GroupMean, mean_over_groups
from pulmoscope.explanation.imputation import impute

Score = Callable[[NDArray[np.float32], NDArray[np.int64]], NDArray[np.float64]]
"""(pictures (N, S, S) in [0, 1], targets (N,)) -> the target's probability (N,)."""

SHARES = np.linspace(0, 1, 11)
"""Shares of the pixels that are taken away or put back: the points of a curve."""
ROAD_SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
BLUR = 1 / 16
"""Standard deviation of the blur that insertion begins with, as a share of the side."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Faithfulness:
    """Curves and areas of N maps.

    Attributes:
        deletion_curves: (N, 11) probability of the target as the map's highest pixels become the picture's mean grey.
        insertion_curves: (N, 11) as they come back into the blurred picture.
        deletion: (N,) area under each, in [0, 1]; low is good (Petsiuk et al. 2018, section 3.3).
        insertion: (N,) area; high is good.
        road: (N,) fall of the probability, the mean over removed shares of 10% to 90%, each filled in from its
            surroundings; high is good (Rong et al. 2022, most relevant first).
    """

    deletion_curves: NDArray[np.float64]
    insertion_curves: NDArray[np.float64]
    deletion: NDArray[np.float64]
    insertion: NDArray[np.float64]
    road: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Gain:
    """How much better one map does than another on the same pictures; above 0 speaks for the first.

    Attributes:
        deletion: The other's area less the map's.
        insertion: The map's area less the other's.
        road: The map's fall less the other's.
    """

    deletion: GroupMean
    insertion: GroupMean
    road: GroupMean


class ModelScore:
    """The :data:`Score` of a trained model: one view, without calibration, in float32.

    Args:
        explainer: Its network, device and batch are used.
    """

    def __init__(self, explainer: Explainer) -> None:
        self.explainer = explainer

    @torch.inference_mode()
    def __call__(self, pictures: NDArray[np.float32], targets: NDArray[np.int64]) -> NDArray[np.float64]:
        """Probabilities (N,) of the targets."""
        explainer, found = self.explainer, []
        for start in range(0, len(pictures), explainer.batch):
            some = np.ascontiguousarray(pictures[start : start + explainer.batch])
            planes = torch.from_numpy(some)[:, None].to(explainer.device)
            inputs = explainer.bundle.preprocess.to_input(planes)
            logits = explainer.network(inputs.contiguous(memory_format=torch.channels_last))
            probabilities = explainer.network.log_probabilities(logits.double().cpu()).exp().numpy()
            found.append(probabilities[np.arange(len(some)), targets[start : start + explainer.batch]])
        return np.concatenate(found) if found else np.empty(0)


def faithfulness(
    score: Score,
    pictures: NDArray[np.float32],
    values: NDArray[np.float32],
    targets: NDArray[np.int64],
    *,
    seed: int = 0,
) -> Faithfulness:
    """Deletion, insertion and ROAD of one map a picture.

    Args:
        score: The model.
        pictures: (N, S, S) in [0, 1].
        values: (N, S, S) maps; only the order of a map's pixels counts. Equal ones come in a random order.
        targets: (N,) the class that each map explains.
        seed: Of that order and of ROAD's noise.
    """
    orders = np.stack([_order(one, np.random.default_rng([seed, n])) for n, one in enumerate(values)])
    side = pictures.shape[1]
    grey = np.broadcast_to(pictures.mean(axis=(1, 2), keepdims=True), pictures.shape)
    blurred = np.stack([cv2.GaussianBlur(one, (0, 0), side * BLUR) for one in pictures])
    whole = score(pictures, targets)

    def curve(start: NDArray[np.float32], end: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.stack([score(_mixed(start, end, orders, share), targets) for share in SHARES], axis=1)

    deletion, insertion = curve(pictures, grey), curve(blurred, pictures)
    left = []
    for share in ROAD_SHARES:
        filled = [
            impute(picture, _highest(order, share, picture.shape), seed=seed)
            for picture, order in zip(pictures, orders, strict=True)
        ]
        left.append(score(np.stack(filled), targets))
    return Faithfulness(
        deletion_curves=deletion, insertion_curves=insertion,
        deletion=_area(deletion), insertion=_area(insertion),
        road=whole - np.mean(left, axis=0),
    )  # fmt: skip


def gain(one: Faithfulness, other: Faithfulness, groups: ArrayLike, *, asked: NDArray[np.bool_]) -> Gain:
    """The paired differences of two maps of the same pictures.

    Args:
        one: Of the map.
        other: Of what it is compared with.
        groups: (N,) of the pictures.
        asked: (N,) pictures that count: those whose map is not empty.
    """

    def mean(difference: NDArray[np.float64]) -> GroupMean:
        return mean_over_groups(np.where(asked, difference, np.nan), groups)

    return Gain(
        deletion=mean(other.deletion - one.deletion),
        insertion=mean(one.insertion - other.insertion),
        road=mean(one.road - other.road),
    )


def _area(curves: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.trapezoid(curves, SHARES, axis=1), np.float64)


def _order(values: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.int64]:
    """Flat indices from the highest value to the lowest."""
    shuffled = generator.permutation(values.size)
    return np.asarray(shuffled[np.argsort(-values.ravel()[shuffled], kind="stable")], np.int64)


def _highest(order: NDArray[np.int64], share: float, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    chosen = np.zeros(order.size, bool)
    chosen[order[: round(share * order.size)]] = True
    return chosen.reshape(shape)


def _mixed(
    start: NDArray[np.float32], end: NDArray[np.float32], orders: NDArray[np.int64], share: float
) -> NDArray[np.float32]:
    chosen = np.stack([_highest(order, share, start.shape[1:]) for order in orders])
    return np.where(chosen, end, start).astype(np.float32)
