"""Optimisers by name, over groups of weights with their own rate and decay."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from pulmoscope.models import Classifier
from pulmoscope.training.parts import FinetuneStage, Optimisation

_SGD_MOMENTUM = 0.9


def build_optimiser(
    stage: Optimisation, groups: Iterable[dict[str, Any]], *, fused: bool = False
) -> torch.optim.Optimizer:
    """The optimiser that ``stage`` names.

    Weight decay is decoupled from the gradient for ``adamw`` (Loshchilov and Hutter 2019) and an L2 penalty for the
    others. ``rmsprop`` has no fused form.

    Args:
        stage: Names it, with its numbers.
        groups: As torch takes them: ``params``, and where they differ from the stage's ``weight_decay``; ``share`` is
            the group's part of the learning rate, 1 where it is not given.
        fused: All weights in one kernel.
    """
    common: dict[str, Any] = {"lr": stage.learning_rate, "weight_decay": stage.weight_decay}
    whole = [{"share": 1.0} | group for group in groups]
    if stage.optimizer == "sgd":
        momentum = _SGD_MOMENTUM if stage.momentum is None else stage.momentum
        return torch.optim.SGD(whole, momentum=momentum, fused=fused, **common)
    if stage.optimizer == "rmsprop":
        return torch.optim.RMSprop(whole, momentum=stage.momentum or 0.0, **common)
    if stage.optimizer == "adam":
        return torch.optim.Adam(whole, fused=fused, **common)
    return torch.optim.AdamW(whole, fused=fused, **common)


def finetune_groups(network: Classifier, stage: FinetuneStage) -> list[dict[str, Any]]:
    """Groups of the weights that learn: biases and normalisation weights do not decay, the backbone has its rate.

    The last group is one of the head's, or of all weights where the rates are equal.
    """
    if stage.backbone_rate == 1:
        return _by_decay(network.parameters(), stage.weight_decay, 1.0)
    return [
        *_by_decay(network.backbone.parameters(), stage.weight_decay, stage.backbone_rate),
        *_by_decay(network.head.parameters(), stage.weight_decay, 1.0),
    ]


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Give every group its share of ``rate``."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group["share"]


def l1_penalty(module: nn.Module, strength: float) -> torch.Tensor:
    """``strength`` times the sum of the absolute weights that learn; biases and normalisation weights are free."""
    sums = [p.abs().sum() for p in module.parameters() if p.requires_grad and p.ndim > 1]
    return strength * torch.stack(sums).sum() if sums else torch.zeros(())


def _by_decay(parameters: Iterable[nn.Parameter], decay: float, share: float) -> list[dict[str, Any]]:
    learning = [p for p in parameters if p.requires_grad]
    groups = [
        {"params": [p for p in learning if p.ndim > 1], "weight_decay": decay, "share": share},
        {"params": [p for p in learning if p.ndim <= 1], "weight_decay": 0.0, "share": share},
    ]
    return [group for group in groups if group["params"]]
