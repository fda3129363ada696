"""The reports' own networks. They end in a map; the dense layers of the reports are the head, with ``pool: flatten``.

All start from Kaiming-uniform weights (He et al. 2015), the head's dense layers too, as system C's report says; biases
start at 0. Each docstring says what the report states and what is our choice.

Every builder takes ``widths``: the channels of its convolutions one by one, as in ``12,24,40``, instead of what
``width`` gives. Pruning writes them there, so that a smaller network is built again from its spec.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from pulmoscope.errors import RecipeError
from pulmoscope.models.head import DenseInit
from pulmoscope.models.registry import register

_WIDEST = 65536


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
    """Two 3 x 3 convolutions beside a path that passes the map on: relu(x + f(x)), of one width and size.

    Args:
        width: D, of the path and of what is added to it.
        middle: Channels between the two convolutions; as many as ``width`` by default.
        batch_norm: After each convolution.
    """

    def __init__(self, width: int, *, middle: int | None = None, batch_norm: bool) -> None:
        super().__init__()
        between = width if middle is None else middle
        self.first = _convolution(width, between, batch_norm=batch_norm)
        second = _convolution(between, width, batch_norm=batch_norm)
        self.second = second[:-1]
        self.relu = nn.ReLU()

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Maps (N, D, h, w) to maps of the same shape."""
        added: torch.Tensor = self.relu(maps + self.second(self.first(maps)))
        return added


@register("plain_cnn", note="system C, stage 1: 3 to 5 blocks of convolution, ReLU and max pooling")
def plain_cnn(
    *,
    channels: int,
    blocks: int = 5,
    width: int = 16,
    batch_norm: bool = True,
    dropout: float = 0.0,
    widths: str = "",
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
    outputs = _widths(widths, [width << block for block in range(blocks)])
    return _in_a_row(channels, outputs, [dropout] * blocks, batch_norm=batch_norm, padding=0)


@register("residual_cnn", note="system C, stage 2: 10 convolutions in residual blocks")
def residual_cnn(
    *, channels: int, width: int = 16, batch_norm: bool = True, dropout: float = 0.0, widths: str = ""
) -> nn.Module:
    """System C's COVID/non-COVID network.

    The report states: 10 convolutions in residual blocks, two dense layers, batch normalisation, dropout in the dense
    layers, Kaiming-uniform initialisation, 150 pixels. Our choice: one convolution that halves the map, then max
    pooling; then three stages, each a convolution of twice the channels and half the size before a residual pair:
    1 + 3 x (1 + 2) = 10. The last map of 150 pixels is 5 x 5 with 8 x ``width`` channels. ``widths`` are of the
    first convolution, then of each stage's first and of its pair's middle: the pair gives as many channels as it takes.

    Raises:
        RecipeError: An option is out of range.
    """
    _check(width=(width, 1, 256))
    _check_dropout(dropout)
    usual = [width] + [width << stage + 1 for stage in range(3) for _ in ("down", "middle")]
    inputs, *rest = _widths(widths, usual)
    layers: list[nn.Module] = [_convolution(channels, inputs, batch_norm=batch_norm, stride=2, pool=True)]
    for outputs, middle in zip(rest[::2], rest[1::2], strict=True):
        down = _convolution(inputs, outputs, batch_norm=batch_norm, stride=2)
        pair = ResidualPair(outputs, middle=middle, batch_norm=batch_norm)
        layers.append(nn.Sequential(down, pair, *_dropouts(dropout)))
        inputs = outputs
    return MapNetwork(nn.Sequential(*layers), inputs)


@register("dropout_cnn", note="system A: blocks of convolution and max pooling with 30% dropout between")
def dropout_cnn(
    *, channels: int, blocks: int = 4, width: int = 16, dropout: float = 0.3, widths: str = ""
) -> nn.Module:
    """System A's own network.

    The report states: blocks of convolution and max pooling with 30% dropout between, ReLU, sigmoid output (the
    head's). Our choice: 4 blocks of one padded 3 x 3 convolution, 16 channels in the first and twice as many in each
    that follows, no batch normalisation, no dropout after the last block (the head has its own).

    Raises:
        RecipeError: An option is out of range.
    """
    _check(blocks=(blocks, 1, 8), width=(width, 1, 512))
    _check_dropout(dropout)
    outputs = _widths(widths, [width << block for block in range(blocks)])
    return _in_a_row(channels, outputs, [dropout] * (blocks - 1) + [0.0], batch_norm=False, padding=1)


@register("ten_layer_cnn", note="system D: 8 convolutions in pairs, before the 2 dense layers of the head")
def ten_layer_cnn(*, channels: int, width: int = 16, batch_norm: bool = False, widths: str = "") -> nn.Module:
    """System D's first network, which did poorly before it was given augmented pictures.

    The report states: 10 layers, 256 pixels. Our choice: 10 layers with weights, 4 pairs of padded 3 x 3 convolutions
    with max pooling after each, 16 channels in the first pair and twice as many in each that follows, and the head's
    two dense layers (one hidden width).

    Raises:
        RecipeError: An option is out of range.
    """
    _check(width=(width, 1, 512))
    layers: list[nn.Module] = []
    inputs = channels
    outputs = _widths(widths, [width << pair for pair in range(4) for _ in ("first", "second")])
    for middle, last in zip(outputs[::2], outputs[1::2], strict=True):
        first = _convolution(inputs, middle, batch_norm=batch_norm)
        second = _convolution(middle, last, batch_norm=batch_norm, pool=True)
        layers.append(nn.Sequential(*first, *second))
        inputs = last
    return MapNetwork(nn.Sequential(*layers), inputs)


def _in_a_row(
    channels: int, widths: Sequence[int], dropouts: Sequence[float], *, batch_norm: bool, padding: int
) -> MapNetwork:
    """A block of convolution and pooling for each of ``widths``."""
    layers: list[nn.Module] = []
    inputs = channels
    for outputs, dropout in zip(widths, dropouts, strict=True):
        block = _convolution(inputs, outputs, batch_norm=batch_norm, padding=padding, pool=True)
        layers.append(nn.Sequential(*block, *_dropouts(dropout)))
        inputs = outputs
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


def _widths(text: str, usual: list[int]) -> list[int]:
    """Channels of the convolutions: those of ``text``, or the usual ones where it is empty."""
    if not text:
        return usual
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != len(usual) or not all(
        part.isascii() and part.isdigit() and 1 <= int(part) <= _WIDEST for part in parts
    ):
        raise RecipeError(
            "model.options.widths",
            code="E_BACKBONE",
            expected=f"{len(usual)} whole numbers from 1 to {_WIDEST}, as in {','.join(map(str, usual))}",
            got=repr(text),
        )
    return [int(part) for part in parts]


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
