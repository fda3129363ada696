"""Pooling and dense heads."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from pulmoscope.errors import RecipeError
from pulmoscope.models.spec import HeadSpec

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky-relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}
_WINDOW = 4


DenseInit = Literal["kaiming-normal", "kaiming-uniform"]


def build_head(
    features: int, classes: int, spec: HeadSpec, init: DenseInit = "kaiming-normal"
) -> nn.Sequential:
    """Dense layers from pooled features to logits.

    Args:
        features: Width of the pooled features, F.
        classes: Number of logits, C.
        spec: Hidden widths, activation and dropout.
        init: ``kaiming-normal`` is of the hidden layers (He et al. 2015), and the last is small so that training starts
            from nearly equal probabilities; ``kaiming-uniform`` is of all.

    Returns:
        A module (N, F) -> (N, C). Biases start at 0.
    """
    layers: list[nn.Module] = []
    width = features
    gain: Literal["relu", "tanh"] = "tanh" if spec.activation == "tanh" else "relu"
    for hidden in spec.hidden:
        dense = nn.Linear(width, hidden)
        if init == "kaiming-uniform":
            nn.init.kaiming_uniform_(dense.weight, nonlinearity=gain)
        else:
            nn.init.kaiming_normal_(dense.weight, nonlinearity=gain)
        nn.init.zeros_(dense.bias)
        layers += [nn.Dropout(spec.dropout), dense, _ACTIVATIONS[spec.activation]()]
        width = hidden
    last = nn.Linear(width, classes)
    if init == "kaiming-uniform":
        nn.init.kaiming_uniform_(last.weight, nonlinearity=gain)
    else:
        nn.init.normal_(last.weight, std=0.01)
    nn.init.zeros_(last.bias)
    layers += [nn.Dropout(spec.dropout), last]
    return nn.Sequential(*layers)


def flat_features(maps: torch.Tensor, pool: Literal["4x4", "flatten"]) -> torch.Tensor:
    """A map (N, D, h, w) as features (N, F): averaged over whole windows of 4 x 4, or as it is.

    >>> flat_features(torch.zeros(2, 3, 7, 9), "4x4").shape
    torch.Size([2, 6])
    """
    if pool == "4x4":
        maps = functional.avg_pool2d(maps, _WINDOW)
    return maps.flatten(1)


def flat_width(
    backbone: nn.Module, *, name: str, channels: int, size: int, pool: Literal["4x4", "flatten"]
) -> int:
    """How many features ``pool`` leaves of the backbone's last map, found by passing an empty picture through it.

    Args:
        backbone: Left as it was; nothing random is drawn.
        name: Of the backbone, for errors.
        channels: Of the picture.
        size: Its side in pixels.
        pool: The head's pooling.

    Raises:
        RecipeError: The picture is too small, or the backbone's last map is not (N, D, h, w).
    """
    training = {module: module.training for module in backbone.modules()}
    backbone.eval()
    try:
        with torch.no_grad():
            maps = backbone.forward_features(torch.zeros(1, channels, size, size))  # type: ignore[operator]
    except RuntimeError as error:
        raise RecipeError(
            f"{name} cannot take pictures of {size} x {size} pixels",
            got=str(error),
            remedy="raise preprocess.size",
        ) from error
    finally:
        for module, before in training.items():
            module.training = before
    if maps.ndim != 4 or maps.shape[1] != backbone.num_features:
        raise RecipeError(
            f"{name} ends in no map of channels, height and width",
            code="E_HEAD",
            got=f"shape {tuple(maps.shape)}",
            remedy="set model.head.pool=global",
        )
    if pool == "4x4" and min(maps.shape[2:]) < _WINDOW:
        raise RecipeError(
            f"{name} leaves a map of {maps.shape[2]} x {maps.shape[3]} of {size} pixels",
            code="E_HEAD",
            expected="at least 4 x 4 for model.head.pool=4x4",
            remedy="raise preprocess.size, or set model.head.pool=flatten",
        )
    return int(flat_features(maps, pool).shape[1])
