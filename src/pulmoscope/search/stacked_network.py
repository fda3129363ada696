"""Many heads of one shape as one network: their weights lie in two tensors, and a layer of all is one product."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import nn

# Pictures that are validated at a time; bounds the memory of wide heads.
_BLOCK = 2048


class _Kept(NamedTuple):
    """Of one activation in the last forward pass: what it was given and gave, and what of that was not dropped out."""

    given: torch.Tensor
    out: torch.Tensor
    entering: torch.Tensor


_OF = torch.ops.aten
_ONEDNN = hasattr(torch.ops.mkldnn, "_linear_pointwise")
# The gradient by what an activation was given, from that by what it gave: the kernels that autograd uses.
_SLOPES: dict[type[nn.Module], Callable[[torch.Tensor, _Kept], torch.Tensor]] = {
    nn.ReLU: lambda slope, kept: _OF.threshold_backward(slope, kept.out, 0),
    nn.LeakyReLU: lambda slope, kept: _OF.leaky_relu_backward(slope, kept.given, 0.01, False),
    nn.ELU: lambda slope, kept: _OF.elu_backward(slope, 1.0, 1.0, 1.0, False, kept.given),
    nn.GELU: lambda slope, kept: _OF.gelu_backward(slope, kept.given),
    nn.SiLU: lambda slope, kept: _OF.silu_backward(slope, kept.given),
    nn.Tanh: lambda slope, kept: _OF.tanh_backward(slope, kept.out),
}


def _product(weights: torch.Tensor, shown: torch.Tensor) -> torch.Tensor:
    """Weights (O, F) times shown (B, F) transposed, (O, B).

    Few pictures make a narrow product, for which oneDNN's kernel takes about three quarters of the time of the one that
    ``torch.mm`` calls on the CPU.
    """
    if _ONEDNN and weights.device.type == "cpu" and weights.dtype == torch.float32:
        found: torch.Tensor = torch.ops.mkldnn._linear_pointwise(weights, shown, None, "none", [], "")
        return found
    return torch.mm(weights, shown.t())


class StackedHeads:
    """K heads of one shape.

    The first layer holds nearly all weights, and its input is the same for all heads, so its forward pass and its
    gradient are one matrix product each. Pictures are the last axis: the gradient then needs no transposed copy.
    Gradients are written out, because autograd takes new memory at every step and costs as much again as the small
    layers themselves.

    Args:
        heads: As :func:`pulmoscope.models.head.build_head` builds them; all of one shape.

    Attributes:
        first: The first layers' weights, (K, H, F).
        rest: All other weights of each head, flat, (K, R): the first bias, then weight and bias of each later layer.
        rest_gradient: Of ``rest``, (K, R).
        matrix: Whether each place of ``rest`` is of a weight matrix and not of a bias, (R,).
        widths: Of the inputs of all layers.
    """

    def __init__(self, heads: Sequence[nn.Sequential]) -> None:
        states = [list(head.state_dict().values()) for head in heads]
        self._names = list(heads[0].state_dict())
        self._shapes = [value.shape for value in states[0][1:]]
        self._activations = [m for m in heads[0] if not isinstance(m, nn.Linear | nn.Dropout)]
        self.matrix = torch.cat([torch.full((shape.numel(),), len(shape) > 1) for shape in self._shapes])
        self.widths = [value.shape[1] for value in states[0] if value.ndim > 1]
        self._take(
            torch.stack([state[0] for state in states]),
            torch.stack([torch.cat([value.flatten() for value in state[1:]]) for state in states]),
        )

    def __len__(self) -> int:
        return len(self.first)

    def keep(self, chosen: torch.Tensor) -> None:
        """Go on with the heads at ``chosen`` alone."""
        self._take(self.first[chosen], self.rest[chosen])

    def state(self, at: int) -> dict[str, torch.Tensor]:
        """A copy of one head's weights by their names in the lone head."""
        values = [self.first[at], *(part[at] for part in self._parts)]
        return {name: value.clone() for name, value in zip(self._names, values, strict=True)}

    def answer(self, features: torch.Tensor) -> torch.Tensor:
        """Logits (K, M, C) of features (M, F), without dropout."""
        blocks = [self.forward(block, []) for block in torch.split(features, _BLOCK)]
        return torch.cat(blocks, dim=2).transpose(1, 2).contiguous()

    def forward(self, shown: torch.Tensor, masks: Sequence[torch.Tensor]) -> torch.Tensor:
        """Logits (K, C, B).

        Args:
            shown: What all heads see, dropped out already, (B, F).
            masks: What dropout multiplies the later layers' inputs by, (B, H) each; none without dropout.
        """
        heads, width, features = self.first.shape
        whole = _product(self.first.view(heads * width, features), shown).add_(self._parts[0].reshape(-1, 1))
        values = whole.view(heads, width, len(shown))
        self._kept: list[_Kept] = []
        for number, activation in enumerate(self._activations):
            given, out = values, activation(values)
            entering = out * masks[number].t() if masks else out
            weight, bias = self._parts[2 * number + 1], self._parts[2 * number + 2]
            values = torch.baddbmm(bias[:, :, None], weight, entering)
            self._kept.append(_Kept(given, out, entering))
        return values

    def backward(self, slope: torch.Tensor, masks: Sequence[torch.Tensor]) -> torch.Tensor:
        """From the gradient by the logits of the last forward pass to ``rest_gradient``.

        Returns:
            The gradient by the first layers' outputs, (K, H, B): times what was shown it is that by ``first``.
        """
        for number in reversed(range(len(self._activations))):
            kept = self._kept[number]
            weight = self._parts[2 * number + 1]
            self._gradients[2 * number + 1].copy_(torch.bmm(slope, kept.entering.transpose(1, 2)))
            torch.sum(slope, dim=2, out=self._gradients[2 * number + 2])
            slope = torch.bmm(weight.transpose(1, 2), slope)
            if masks:
                slope.mul_(masks[number].t())
            slope = _SLOPES[type(self._activations[number])](slope, kept)
        torch.sum(slope, dim=2, out=self._gradients[0])
        return slope

    def _take(self, first: torch.Tensor, rest: torch.Tensor) -> None:
        self.first, self.rest = first, rest
        self.rest_gradient = torch.empty_like(rest)
        self._parts, self._gradients = self._views(rest), self._views(self.rest_gradient)

    def _views(self, flat: torch.Tensor) -> list[torch.Tensor]:
        """The parts of ``rest`` or of its gradient, (K, ...)."""
        pieces = torch.split(flat, [shape.numel() for shape in self._shapes], dim=1)
        return [piece.view(len(flat), *shape) for piece, shape in zip(pieces, self._shapes, strict=True)]
