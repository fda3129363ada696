"""How far training moved each layer from where it began."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from pulmoscope.errors import PulmoscopeError
from pulmoscope.files import or_null


@dataclass(frozen=True, kw_only=True)
class LayerChange:
    """One tensor of weights, before and after.

    Attributes:
        name: Of the tensor, such as ``backbone.conv_stem.weight``.
        weights: How many it holds.
        relative: Size of the change over the size before, both as Euclidean norms, at least 0; NaN where it was all 0.
            0 is untouched, 1 a change as large as the weights themselves; unrelated weights of one size give 1.41.
        cosine: Of the angle between before and after, in [-1, 1]; 1 is the same direction. NaN where either is all 0.
    """

    name: str
    weights: int
    relative: float
    cosine: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name, "weights": self.weights, "relative": or_null(self.relative),
            "cosine": or_null(self.cosine),
        }  # fmt: skip


def layer_changes(
    before: Mapping[str, torch.Tensor], after: Mapping[str, torch.Tensor]
) -> tuple[LayerChange, ...]:
    """The change of every convolution's and dense layer's weights that both states have in the same shape.

    Biases and normalisations are left out: a tensor of one dimension says little by its direction.

    Args:
        before: Names to tensors.
        after: The same network's, later.

    Raises:
        PulmoscopeError: They have no layer in common.
    """
    found = []
    for name, later in after.items():
        first = before.get(name)
        if first is None or later.ndim < 2 or first.shape != later.shape or not later.is_floating_point():
            continue
        a, b = first.double().flatten(), later.double().flatten()
        size, other = float(a.norm()), float(b.norm())
        found.append(
            LayerChange(
                name=name, weights=a.numel(),
                relative=float((b - a).norm()) / size if size else math.nan,
                cosine=max(-1.0, min(1.0, float(a @ b) / size / other)) if size and other else math.nan,
            )
        )  # fmt: skip
    if not found:
        raise PulmoscopeError(
            "the two networks have no layer in common",
            code="E_LAYER",
            expected="two trainings of one architecture",
            remedy="name a run of the same backbone with --before",
        )
    return tuple(found)


def change_table(changes: Sequence[LayerChange]) -> str:
    """The changes as a table of text, one layer a line."""
    width = max(len(one.name) for one in changes)
    lines = [f"{'weights of':<{width}}  how many  relative change  cosine"]
    lines += [
        f"{one.name:<{width}}  {one.weights:>8}  {_number(one.relative):>15}  {_number(one.cosine):>6}"
        for one in changes
    ]
    return "\n".join(lines)


def _number(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:.3f}"
