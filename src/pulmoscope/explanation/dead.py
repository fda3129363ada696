"""What a network carries without using it: weights that are all but zero, and channels that never answer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from pulmoscope.errors import PulmoscopeError
from pulmoscope.explanation.following import Watcher, WeightLayer, watching, weight_layers
from pulmoscope.files import or_null

TOLERANCE = 1e-3


@dataclass(frozen=True, kw_only=True)
class LayerUse:
    """How much of one layer is used.

    Attributes:
        path: The module.
        kind: ``convolution`` or ``dense``.
        channels: That it puts out.
        weights: Its weights, biases left out.
        near_zero: Share of weights at most the tolerance times the layer's largest, in [0, 1]; each weight is taken
            times its channel's scale in the batch normalisation that follows, where one does.
        dead_filters: Channels all of whose weights are so.
        never_active: Channels whose output, after the normalisation and the activation that follow, is at most the
            tolerance times the layer's largest in size, on every picture and at every place. After ReLU: never above 0.
        constant: Channels whose output differs by at most that over all pictures and places, the never active ones
            included: they tell pictures apart no more than a bias would.
        activation: Whether an activation follows; without one a channel is seldom all but 0.
    """

    path: str
    kind: str
    channels: int
    weights: int
    near_zero: float
    dead_filters: int
    never_active: int
    constant: int
    activation: bool

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "layer": self.path, "kind": self.kind, "channels": self.channels, "weights": self.weights,
            "near_zero": or_null(self.near_zero), "dead_filters": self.dead_filters,
            "never_active": self.never_active, "constant": self.constant, "activation": self.activation,
        }  # fmt: skip


def layer_use(
    network: nn.Module, batches: Iterable[torch.Tensor], *, tolerance: float = TOLERANCE
) -> tuple[LayerUse, ...]:
    """What every convolution and dense layer of a network does on real pictures.

    Args:
        network: Any classifier; left as it was.
        batches: Pictures (N, C, S, S) as it takes them, at least one batch; read once, so they may be a generator.
        tolerance: What counts as zero, relative to the largest of the layer; in [0, 1).

    Raises:
        PulmoscopeError: No batch, or the tolerance is out of range.
    """
    if not 0 <= tolerance < 1:
        raise PulmoscopeError(
            "the tolerance is out of range", code="E_OPTION", expected="in [0, 1)", got=str(tolerance)
        )
    known: tuple[WeightLayer, ...] = ()
    ranges: dict[str, _Range] = {}
    for batch in batches:
        if not known:
            known = weight_layers(network, batch)
            ranges = {one.last: _Range(one.kind == "convolution") for one in known}
        watchers: dict[str, Watcher] = dict(ranges)
        with torch.no_grad(), watching(network, watchers):
            network(batch)
    if not known:
        raise PulmoscopeError("there is no picture to watch the layers on", code="E_MISSING")
    return tuple(_use(network, one, ranges[one.last], tolerance) for one in known)


def effective_weights(network: nn.Module, path: str, norm: str | None) -> torch.Tensor:
    """A layer's weights (D, ...) in absolute value, each channel times its scale in the normalisation that follows."""
    modules = dict(network.named_modules())
    layer = modules[path]
    weights: torch.Tensor = layer.weight.detach().abs()
    if norm is None:
        return weights
    after = modules[norm]
    scale: torch.Tensor = torch.rsqrt(after.running_var + after.eps)
    if after.weight is not None:
        scale = scale * after.weight.detach().abs()
    return weights * scale.view(-1, *[1] * (weights.ndim - 1))


def use_table(layers: Sequence[LayerUse]) -> str:
    """The layers as a table of text, one a line, the totals below."""
    width = max(len(one.path) for one in layers)
    head = f"{'layer':<{width}}  channels  weights near 0  dead filters  never active  constant"
    lines = [head]
    lines += [
        f"{one.path:<{width}}  {one.channels:>8}  {_share(one.near_zero):>14}  {one.dead_filters:>12}  "
        f"{one.never_active:>12}  {one.constant:>8}"
        for one in layers
    ]
    channels = sum(one.channels for one in layers)
    weights = sum(one.weights for one in layers)
    near = (
        sum(one.near_zero * one.weights for one in layers if one.weights) / weights if weights else math.nan
    )
    dead, never, still = (
        sum(getattr(one, name) for one in layers) for name in ("dead_filters", "never_active", "constant")
    )
    lines.append(f"{'all':<{width}}  {channels:>8}  {_share(near):>14}  {dead:>12}  {never:>12}  {still:>8}")
    return "\n".join(lines)


class _Range:
    """Smallest and largest output of each channel over all batches."""

    def __init__(self, maps: bool) -> None:
        self.maps = maps
        self.low: torch.Tensor | None = None
        self.high: torch.Tensor | None = None

    def __call__(self, _path: str, _module: nn.Module, _given: object, output: torch.Tensor) -> None:
        # A map has its channels second, tokens and features have them last.
        flat = (output.movedim(1, -1) if self.maps else output).flatten(0, -2)
        low, high = flat.amin(dim=0), flat.amax(dim=0)
        self.low = low if self.low is None else torch.minimum(self.low, low)
        self.high = high if self.high is None else torch.maximum(self.high, high)


def _use(network: nn.Module, layer: WeightLayer, seen: _Range, tolerance: float) -> LayerUse:
    weights = effective_weights(network, layer.path, layer.norm)
    small = weights <= tolerance * weights.max()
    if seen.low is None or seen.high is None:
        raise PulmoscopeError(f"layer {layer.path!r} ran once and not again", code="E_LAYER")
    largest = torch.maximum(seen.low.abs(), seen.high.abs())
    spread = seen.high - seen.low
    return LayerUse(
        path=layer.path, kind=layer.kind, channels=layer.channels, weights=weights.numel(),
        near_zero=float(small.float().mean()), dead_filters=int(small.flatten(1).all(dim=1).sum()),
        never_active=int((largest <= tolerance * largest.max()).sum()),
        constant=int((spread <= tolerance * largest.max()).sum()), activation=layer.activation,
    )  # fmt: skip


def _share(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{100 * value:.1f}%"
