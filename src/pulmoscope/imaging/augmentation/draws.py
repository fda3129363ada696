"""The random numbers of a batch: a fixed number for each picture, whatever the others get."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from pulmoscope.imaging.augmentation.spec import Augment

CROP_ATTEMPTS = 10
_FIRST = 16
# Columns of the second table; the crop's attempts come last.
VFLIP, MULTIPLY, RGB, HSV, GREYSCALE, EQUALISE, BLUR, APPLY = 0, 1, slice(2, 5), slice(5, 8), 8, 9, 10, 11
CROP_PLACE, CROP_SHAPE = slice(12, 14), slice(14, 14 + 2 * CROP_ATTEMPTS)
_SECOND = CROP_SHAPE.stop


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Uniform numbers in [0, 1), a row a picture.

    Attributes:
        first: (N, 16), for rotation to erase as they stand in :class:`Augment`; always drawn.
        second: (N, 34), for the fields from ``vflip`` on; empty unless one of them needs it, so that recipes without
            them give the pixels they always gave.
        noise: (N, C, H, W) standard normal, or None.
    """

    first: torch.Tensor
    second: torch.Tensor
    noise: torch.Tensor | None

    def of(self, rows: slice | torch.Tensor) -> Draws:
        """Those of some pictures."""
        noise = None if self.noise is None else self.noise[rows]
        return replace(self, first=self.first[rows], second=self.second[rows], noise=noise)


def draw(recipe: Augment, shape: tuple[int, ...], generator: torch.Generator, device: torch.device) -> Draws:
    """Draw on the generator's device, so that the same state gives the same changes on CPU and GPU.

    Args:
        recipe: Says which tables are needed.
        shape: (N, C, H, W) of the result.
        generator: Source of every number.
        device: Where they go.
    """
    source = generator.device
    count, wide = shape[0], _SECOND if needs_second(recipe) else 0
    first = torch.rand((count, _FIRST), generator=generator, device=source)
    second = torch.rand((count, wide), generator=generator, device=source)
    noise = torch.randn(shape, generator=generator, device=source) if recipe.noise else None
    return Draws(
        first=first.to(device),
        second=second.to(device),
        noise=None if noise is None else noise.to(device),
    )


def needs_second(recipe: Augment) -> bool:
    """Whether a field from ``vflip`` on draws."""
    rates = (recipe.vflip, recipe.multiply, recipe.greyscale, recipe.equalise, recipe.blur)
    return recipe.crops or recipe.colours or recipe.apply < 1 or any(rates)


def either_side(draw: torch.Tensor, reach: float) -> torch.Tensor:
    """Uniform in -reach to reach."""
    return (2 * draw - 1) * reach
