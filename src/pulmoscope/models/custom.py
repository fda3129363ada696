"""The reports' own networks. They end in a map; the dense layers of the reports are the head, with ``pool: flatten``.

All start from Kaiming-uniform weights (He et al. 2015), the head's dense layers too, as system C's report says; biases
start at 0. Each docstring says what the report states and what is our choice.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from pulmoscope.errors import RecipeError
from pulmoscope.models.head import DenseInit
from pulmoscope.models.registry import register


class MapNetwork(nn.Module):
    """A stack of blocks that ends in a map.

    Args:
        blocks: (N, channels, H, W) -> (N, D, h, w).
        width: D.
    """

    dense_init: DenseInit = "kaiming-uniform"

    def __init__(self, blocks: nn.Sequential, width: int) -> None:
        super().__init__()
        self.blocks = blocks
        self.num_features = width
        for module in blocks.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward_features(self, pictures: torch.Tensor) -> torch.Tensor:
        """The last map (N, D, h, w)."""
        maps: torch.Tensor = self.blocks(pictures)
        return maps

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """The last map, averaged over height and width: (N, D)."""
        return self.forward_features(pictures).mean(dim=(2, 3))


class ResidualPair(nn.Module):
    """Two 3 x 3 convolutions beside a path that passes the map on: relu(x + f(x)), of one width and size."""

    def __init__(self, width: int, *, batch_norm: bool) -> None:
        super().__init__()
        self.first = _convolution(width, width, batch_norm=batch_norm)
        second = _convolution(width, width, batch_norm=batch_norm)
        self.second = second[:-1]
        self.relu = nn.ReLU()

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Maps (N, D, h, w) to maps of the same shape."""
        added: torch.Tensor = self.relu(maps + self.second(self.first(maps)))
        return added


@register("plain_cnn", note="system C, stage 1: 3 to 5 blocks of convolution, ReLU and max pooling")
def plain_cnn(
    *, channels: int, blocks: int = 5, width: int = 16, batch_norm: bool = True, dropout: float = 0.0
) -> nn.Module:
    """System C's normal/infected network.

    The report states: blocks of convolution, ReLU and max pooling, 3, 4 and 5 of them compared, the last map 2 x 2 of
    150 pixels (so the convolutions have no padding: 150 -> 148 -> 74 -> 36 -> 17 -> 7 -> 2), two dense layers, batch
    normalisation, dropout in the dense layers, Kaiming-uniform initialisation. Our choice: 3 x 3, 16 channels in
    the first block and twice as many in each that follows, normalisation after the pooling, dropout after both where
    ``dropout`` is not 0.

    Raises:
        RecipeError: An option is out of range.
    """
    _check(blocks=(blocks, 1, 8), width=(width, 1, 512))
    _check_dropout(dropout)
    return _doubling(channels, width, [dropout] * blocks, batch_norm=batch_norm, padding=0)


@register("residual_cnn", note="system C, stage 2: 10 convolutions in residual blocks")
def residual_cnn(
    *, channels: int, width: int = 16, batch_norm: bool = True, dropout: float = 0.0
) -> nn.Module:
    """System C's COVID/non-COVID network.

    The report states: 10 convolutions in residual blocks, two dense layers, batch normalisation, dropout in the dense
    layers, Kaiming-uniform initialisation, 150 pixels. Our choice: one convolution that halves the map, then max
    pooling; then three stages, each a convolution of twice the channels and half the size before a residual pair:
    1 + 3 x (1 + 2) = 10. The last map of 150 pixels is 5 x 5 with 8 x ``width`` channels.

    Raises:
        RecipeError: An option is out of range.
    """
    _check(width=(width, 1, 256))
    _check_dropout(dropout)
    layers: list[nn.Module] = [_convolution(channels, width, batch_norm=batch_norm, stride=2, pool=True)]
    for stage in range(3):
        inputs, outputs = width << stage, width << stage + 1
        down = _convolution(inputs, outputs, batch_norm=batch_norm, stride=2)
        layers.append(nn.Sequential(down, ResidualPair(outputs, batch_norm=batch_norm), *_dropouts(dropout)))
    return MapNetwork(nn.Sequential(*layers), 8 * width)


@register("dropout_cnn", note="system A: blocks of convolution and max pooling with 30% dropout between")
def dropout_cnn(*, channels: int, blocks: int = 4, width: int = 16, dropout: float = 0.3) -> nn.Module:
    """System A's own network.

    The report states: blocks of convolution and max pooling with 30% dropout between, ReLU, sigmoid output (the
    head's). Our choice: 4 blocks of one padded 3 x 3 convolution, 16 channels in the first and twice as many in each
    that follows, no batch normalisation, no dropout after the last block (the head has its own).

    Raises:
        RecipeError: An option is out of range.
    """
    _check(blocks=(blocks, 1, 8), width=(width, 1, 512))
    _check_dropout(dropout)
    return _doubling(channels, width, [dropout] * (blocks - 1) + [0.0], batch_norm=False, padding=1)


@register("ten_layer_cnn", note="system D: 8 convolutions in pairs, before the 2 dense layers of the head")
def ten_layer_cnn(*, channels: int, width: int = 16, batch_norm: bool = False) -> nn.Module:
    """System D's first network, which did poorly before it was given augmented pictures.

    The report states: 10 layers, 256 pixels. Our choice: 10 layers with weights, 4 pairs of padded 3 x 3 convolutions
    with max pooling after each, 16 channels in the first pair and twice as many in each that follows, and the head's
    two dense layers (one hidden width).

    Raises:
        RecipeError: An option is out of range.
    """
    _check(width=(width, 1, 512))
    layers: list[nn.Module] = []
    inputs, outputs = channels, width
    for _ in range(4):
        first = _convolution(inputs, outputs, batch_norm=batch_norm)
        second = _convolution(outputs, outputs, batch_norm=batch_norm, pool=True)
        layers.append(nn.Sequential(*first, *second))
        inputs, outputs = outputs, 2 * outputs
    return MapNetwork(nn.Sequential(*layers), inputs)


def _doubling(
    channels: int, width: int, dropouts: Sequence[float], *, batch_norm: bool, padding: int
) -> MapNetwork:
    """A block of convolution and pooling for each of ``dropouts``, each twice as wide as the one before."""
    layers: list[nn.Module] = []
    inputs, outputs = channels, width
    for dropout in dropouts:
        block = _convolution(inputs, outputs, batch_norm=batch_norm, padding=padding, pool=True)
        layers.append(nn.Sequential(*block, *_dropouts(dropout)))
        inputs, outputs = outputs, 2 * outputs
    return MapNetwork(nn.Sequential(*layers), inputs)


def _convolution(
    inputs: int, outputs: int, *, batch_norm: bool, padding: int = 1, stride: int = 1, pool: bool = False
) -> nn.Sequential:
    # Batch normalisation subtracts any bias, so the convolution before it has none.
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=padding, bias=not batch_norm)
    ]
    if pool:
        # The largest of four is rectified, which is the largest of four rectified ones, at a quarter of the work; it is
        # normalised after the pooling for the same reason.
        layers.append(nn.MaxPool2d(2))
    if batch_norm:
        layers.append(nn.BatchNorm2d(outputs))
    return nn.Sequential(*layers, nn.ReLU())


def _dropouts(probability: float) -> tuple[nn.Module, ...]:
    return (nn.Dropout(probability),) if probability > 0 else ()


def _check(**values: tuple[int, int, int]) -> None:
    for name, (value, low, high) in values.items():
        if not low <= value <= high:
            raise RecipeError(
                f"model.options.{name}", code="E_BACKBONE", expected=f"{low} to {high}", got=str(value)
            )


def _check_dropout(value: float) -> None:
    if not 0 <= value < 1:
        raise RecipeError(
            "model.options.dropout", code="E_BACKBONE", expected="at least 0, under 1", got=str(value)
        )
