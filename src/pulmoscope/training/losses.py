"""Losses with class weights, label smoothing and soft targets; each is of the probabilities the network will answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from pulmoscope.errors import RecipeError, did_you_mean, near_names

Output = Literal["softmax", "sigmoid"]
# Below it, 1 - p has no digits left in float32; the focal exponent's derivative must stay finite there.
_TINY = 1.2e-7


def class_weights(
    choice: str | Mapping[str, float], labels: NDArray[np.int64], classes: Sequence[str]
) -> torch.Tensor:
    """Weights (C,) of the classes in the loss.

    Args:
        choice: ``none`` (all 1), ``balanced`` (n / (C * n_c), as in King and Zeng 2001) or a weight a class.
        labels: Of the pictures that are learned from, (N,) indices.
        classes: Their names.

    Raises:
        RecipeError: A class lacks a weight, or a weight names no class.
    """
    if isinstance(choice, Mapping):
        if set(choice) != set(classes):
            near = [one for name in choice for one in near_names(name, classes)]
            unknown = set(choice) - set(classes)
            raise RecipeError(
                "train.class_weights must name every class once",
                expected=", ".join(classes),
                got=", ".join(choice) or "nothing",
                remedy=did_you_mean(dict.fromkeys(near)) if unknown else None,
            )
        return torch.tensor([float(choice[name]) for name in classes])
    if choice == "none":
        return torch.ones(len(classes))
    counts = np.bincount(labels, minlength=len(classes))
    weights = len(labels) / (len(classes) * np.maximum(counts, 1))
    return torch.tensor(weights, dtype=torch.float32)


def training_loss(
    weights: torch.Tensor,
    *,
    kind: Literal["cross-entropy", "focal", "binary-cross-entropy"] = "cross-entropy",
    label_smoothing: float = 0.0,
    focal_gamma: float = 2.0,
    output: Output = "softmax",
) -> Loss:
    """The loss of a recipe, in nats.

    Args:
        weights: Of the classes, (C,).
        kind: Its name in the recipe.
        label_smoothing: Share of every target spread evenly over all classes (Szegedy et al. 2016).
        focal_gamma: Of the focal loss.
        output: What turns the logits into probabilities.

    Returns:
        A module of logits (N, C) and targets, labels (N,) or shares (N, C) that sum to 1.
    """
    if kind == "focal" and focal_gamma > 0:
        return Focal(weights, label_smoothing, output, gamma=focal_gamma)
    if kind == "binary-cross-entropy":
        return BinaryCrossEntropy(weights, label_smoothing, output)
    return CrossEntropy(weights, label_smoothing, output)


class Loss(nn.Module, ABC):
    """A mean over the batch in which every picture counts by the weight of its class.

    A picture with shares of several classes counts by their weights' mean. The mean is divided by the sum of those
    weights, as torch's ``CrossEntropyLoss`` does for labels, so a batch of one class has the same scale as any other.
    """

    def __init__(self, weights: torch.Tensor, label_smoothing: float, output: Output) -> None:
        super().__init__()
        self.register_buffer("weight", weights)
        self.weight: torch.Tensor
        self.label_smoothing = label_smoothing
        self.output = output

    @abstractmethod
    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The mean loss of a batch, a scalar."""

    def shares(self, targets: torch.Tensor) -> torch.Tensor:
        """Targets as shares (N, C), before smoothing."""
        if targets.ndim > 1:
            return targets.to(self.weight.dtype)
        return functional.one_hot(targets, len(self.weight)).to(self.weight.dtype)

    def smoothed(self, shares: torch.Tensor) -> torch.Tensor:
        """Shares with ``label_smoothing`` of each spread over all classes."""
        if not self.label_smoothing:
            return shares
        return shares * (1 - self.label_smoothing) + self.label_smoothing / shares.shape[1]


class CrossEntropy(Loss):
    """Cross-entropy; for labels it is torch's own, to the last bit."""

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The mean loss of a batch, a scalar."""
        scores = normalised(logits, self.output)
        if targets.ndim == 1:
            return functional.cross_entropy(
                scores, targets, weight=self.weight, label_smoothing=self.label_smoothing
            )
        shares = self.shares(targets)
        losses = -(self.weight * self.smoothed(shares) * functional.log_softmax(scores, dim=1)).sum()
        return losses / (shares * self.weight).sum()


class Focal(Loss):
    """(1 - p)^gamma times the cross-entropy (Lin et al. 2017), with the class weights as its alpha.

    What the network is sure of counts little. With ``gamma`` 0 it would be the cross-entropy.
    """

    def __init__(
        self, weights: torch.Tensor, label_smoothing: float, output: Output, *, gamma: float
    ) -> None:
        super().__init__(weights, label_smoothing, output)
        self.gamma = gamma

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The mean loss of a batch, a scalar."""
        log_p = functional.log_softmax(normalised(logits, self.output), dim=1)
        doubt = (-torch.expm1(log_p)).clamp(min=_TINY) ** self.gamma
        shares = self.shares(targets)
        losses = -(self.weight * self.smoothed(shares) * doubt * log_p).sum()
        return losses / (shares * self.weight).sum()


class BinaryCrossEntropy(Loss):
    """Each class against the rest, the mean over classes.

    With a softmax output it is of the softmax's probabilities, as when Keras puts ``binary_crossentropy`` on a softmax
    layer: p_c = sigmoid(z_c - logsumexp of the other logits), so neither logarithm is ever of 0.
    """

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The mean loss of a batch, a scalar."""
        against = logits if self.output == "sigmoid" else logits - _rest(logits)
        shares = self.shares(targets)
        losses = functional.binary_cross_entropy_with_logits(
            against, self.smoothed(shares), reduction="none"
        ).mean(dim=1)
        counts = (shares * self.weight).sum(dim=1)
        return (losses * counts).sum() / counts.sum()


def normalised(logits: torch.Tensor, output: Output) -> torch.Tensor:
    """Scores (N, C) whose softmax is the network's answer; the logits themselves where its output is a softmax."""
    return logits if output == "softmax" else functional.logsigmoid(logits)


def _rest(logits: torch.Tensor) -> torch.Tensor:
    """The logsumexp of all other logits, (N, C)."""
    own = torch.eye(logits.shape[1], dtype=torch.bool, device=logits.device)
    return logits[:, None, :].masked_fill(own, -torch.inf).logsumexp(dim=2)
