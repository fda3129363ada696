"""Cross-entropy with class weights and label smoothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pulmoscope.errors import RecipeError


def class_weights(
    choice: str | Mapping[str, float], labels: NDArray[np.int64], classes: Sequence[str]
) -> torch.Tensor:
    """Weights (C,) of the classes in the loss.

    Args:
        choice: ``none`` (all 1), ``balanced`` (n / (C * n_c), as in King and Zeng 2001) or a weight a class.
        labels: Of the training pictures, (N,) indices.
        classes: Their names.

    Raises:
        RecipeError: A class lacks a weight, or a weight names no class.
    """
    if isinstance(choice, Mapping):
        if set(choice) != set(classes):
            raise RecipeError(
                "train.class_weights must name every class once",
                expected=", ".join(classes),
                got=", ".join(choice) or "nothing",
            )
        return torch.tensor([float(choice[name]) for name in classes])
    if choice == "none":
        return torch.ones(len(classes))
    counts = np.bincount(labels, minlength=len(classes))
    weights = len(labels) / (len(classes) * np.maximum(counts, 1))
    return torch.tensor(weights, dtype=torch.float32)


def training_loss(weights: torch.Tensor, label_smoothing: float) -> nn.CrossEntropyLoss:
    """Mean cross-entropy of logits (N, C) and labels (N,), in nats; a batch's mean is weighted by class."""
    return nn.CrossEntropyLoss(weight=weights, label_smoothing=label_smoothing)
