"""Random changes to a batch of pictures, each picture by its own draw from an explicit generator."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, field_validator

if TYPE_CHECKING:
    import torch

_ERASE_SIDES = (0.1, 0.3)


class Augment(BaseModel):
    """How far pictures are changed at random; the defaults change nothing.

    Attributes:
        rotate: Degrees to either side, uniform.
        translate: Fraction of the side, to either side, uniform, each axis on its own.
        zoom: Smallest and largest magnification; uniform in its logarithm.
        shear: Degrees to either side, uniform, along the horizontal.
        hflip: Probability of a left-right flip. It moves the heart to the right: think before using it.
        brightness: Added, uniform to either side, on the scale [0, 1].
        contrast: Gain about mid-grey 0.5, uniform in 1 - c to 1 + c.
        gamma: The exponent's natural logarithm, uniform to either side.
        noise: Standard deviation of Gaussian noise, on the scale [0, 1].
        erase: Probability of one cut-out, a mid-grey rectangle with sides of 10 to 30% of the picture's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rotate: float = Field(default=0.0, ge=0, le=180)
    translate: float = Field(default=0.0, ge=0, le=1)
    zoom: tuple[float, float] = (1.0, 1.0)
    shear: float = Field(default=0.0, ge=0, lt=90)
    hflip: float = Field(default=0.0, ge=0, le=1)
    brightness: float = Field(default=0.0, ge=0, le=1)
    contrast: float = Field(default=0.0, ge=0, le=1)
    gamma: float = Field(default=0.0, ge=0, le=3)
    noise: float = Field(default=0.0, ge=0, le=1)
    erase: float = Field(default=0.0, ge=0, le=1)

    @field_validator("zoom")
    @classmethod
    def _check_zoom(cls, zoom: tuple[float, float]) -> tuple[float, float]:
        if not 0.1 <= zoom[0] <= zoom[1] <= 10:
            raise ValueError(f"expected 0.1 <= smallest <= largest <= 10, got {zoom}")
        return zoom

    @property
    def moves(self) -> bool:
        """Whether the geometry changes."""
        return any((self.rotate, self.translate, self.shear, self.hflip)) or self.zoom != (1.0, 1.0)


def augment(batch: torch.Tensor, recipe: Augment, generator: torch.Generator) -> torch.Tensor:
    """Change each picture at random.

    The geometry is one affine resampling (bilinear; black outside). All draws but the noise are made on the
    generator's device, a fixed number for each picture, so the same generator state gives the same changes on
    CPU and GPU.

    Args:
        batch: (N, 1, H, W) float in [0, 1].
        recipe: How far.
        generator: Source of every random number.

    Returns:
        The same shape, in [0, 1]; ``batch`` itself when the recipe changes nothing.
    """
    import torch

    if recipe == Augment():
        return batch
    draws = torch.rand((len(batch), 16), generator=generator, device=generator.device).to(batch.device)
    if recipe.moves:
        batch = _move(batch, recipe, draws)
    batch = _tone(batch, recipe, draws)
    if recipe.noise:
        noise = torch.randn(batch.shape, generator=generator, device=generator.device)
        batch = (batch + recipe.noise * noise.to(batch.device)).clamp_(0, 1)
    if recipe.erase:
        batch = _erase(batch, recipe, draws)
    return batch


def affine_matrices(recipe: Augment, draws: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """The inverse maps (N, 2, 3), output to input, in the normalised coordinates of ``affine_grid``.

    Args:
        recipe: How far.
        draws: (N, 16) uniform in [0, 1).
        height: Of the pictures, in pixels.
        width: Of the pictures, in pixels.
    """
    import torch

    angle = _either_side(draws[:, 0], math.radians(recipe.rotate))
    shear = torch.tan(_either_side(draws[:, 1], math.radians(recipe.shear)))
    low, high = math.log(recipe.zoom[0]), math.log(recipe.zoom[1])
    shrink = torch.exp(-(low + (high - low) * draws[:, 2]))
    flip = 1 - 2 * (draws[:, 5] < recipe.hflip).to(draws.dtype)
    cosine, sine = torch.cos(angle), torch.sin(angle)
    # In pixels: undo the zoom, then the rotation, then the shear, then the flip.
    a, b = cosine * shrink, -sine * shrink
    c, d = sine * shrink, cosine * shrink
    rows = torch.stack(
        [
            flip * (a + shear * c),
            flip * (b + shear * d) * (height / width),
            2 * _either_side(draws[:, 3], recipe.translate),
            c * (width / height),
            d,
            2 * _either_side(draws[:, 4], recipe.translate),
        ],
        dim=1,
    )
    return rows.view(-1, 2, 3)


def _move(batch: torch.Tensor, recipe: Augment, draws: torch.Tensor) -> torch.Tensor:
    from torch.nn import functional

    matrices = affine_matrices(recipe, draws, batch.shape[2], batch.shape[3]).to(batch.dtype)
    grid = functional.affine_grid(matrices, list(batch.shape), align_corners=False)
    return functional.grid_sample(batch, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _tone(batch: torch.Tensor, recipe: Augment, draws: torch.Tensor) -> torch.Tensor:
    columns = draws[:, 6:9, None, None, None].to(batch.dtype)
    if recipe.gamma:
        batch = batch.clamp(0, 1).pow(_either_side(columns[:, 0], recipe.gamma).exp())
    if recipe.contrast or recipe.brightness:
        gain = 1 + _either_side(columns[:, 1], recipe.contrast)
        offset = 0.5 - 0.5 * gain + _either_side(columns[:, 2], recipe.brightness)
        batch = (batch * gain + offset).clamp_(0, 1)
    return batch


def _erase(batch: torch.Tensor, recipe: Augment, draws: torch.Tensor) -> torch.Tensor:
    import torch

    low, high = _ERASE_SIDES
    sides = low + (high - low) * draws[:, 10:12]
    starts = draws[:, 12:14] * (1 - sides)
    chosen = (draws[:, 9] < recipe.erase)[:, None]

    def inside(axis: int, length: int) -> torch.Tensor:
        centres = (torch.arange(length, device=batch.device) + 0.5) / length
        start = starts[:, axis : axis + 1]
        return (centres >= start) & (centres < start + sides[:, axis : axis + 1])

    rows, columns = inside(0, batch.shape[2]) & chosen, inside(1, batch.shape[3])
    return batch.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0.5)


def _either_side(draw: torch.Tensor, reach: float) -> torch.Tensor:
    return (2 * draw - 1) * reach
