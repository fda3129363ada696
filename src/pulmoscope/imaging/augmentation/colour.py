"""Colour planes: RGB shift, HSV shift, greyscale, and how a grey picture gets them cheaply."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pulmoscope.imaging.augmentation.draws import GREYSCALE, HSV, RGB, Draws, either_side
from pulmoscope.imaging.augmentation.tone import tone

if TYPE_CHECKING:
    from pulmoscope.imaging.augmentation.spec import Augment

# ITU-R BT.601, of red, green and blue.
_LUMA = (0.299, 0.587, 0.114)
_TABLE = 1024


def colour_table(recipe: Augment, draws: Draws) -> torch.Tensor:
    """What :func:`tone` and :func:`tint` make of 1,024 grey levels from 0 to 1: (N, 3, 1024)."""
    count = len(draws.first)
    levels = torch.linspace(0, 1, _TABLE, device=draws.first.device).expand(count, 3, 1, -1)
    return tint(tone(levels, recipe, draws), recipe, draws).reshape(count, 3, _TABLE)


def paint(batch: torch.Tensor, table: torch.Tensor, place: torch.Tensor | None = None) -> torch.Tensor:
    """Give grey pictures (N, 1, H, W) their tones and colours.

    Both are functions of a pixel's grey level alone, so they are looked up in :func:`colour_table`: the result is that
    of grey levels rounded to 1/1023. Pictures are stored in 256.

    Args:
        batch: In [0, 1].
        table: Of these pictures.
        place: (N, 3, H, W), contiguous, to write to and return; None makes a new tensor.
    """
    count, _, height, width = batch.shape
    if place is None:
        place = torch.empty((count, 3, height, width), dtype=table.dtype, device=table.device)
    # Cutting off the decimals of x + 0.5 rounds, in one pass less than round does.
    index = batch.flatten(2).mul(_TABLE - 1).add_(0.5).clamp_(0, _TABLE - 1).to(torch.int64)
    torch.gather(table, 2, index.expand(-1, 3, -1), out=place.view(count, 3, -1))
    return place


def tint(batch: torch.Tensor, recipe: Augment, draws: Draws) -> torch.Tensor:
    """Shift the colours of each picture (N, 3, H, W), or take them out."""
    second = draws.second.to(batch.dtype)
    if recipe.rgb_shift:
        batch = (batch + either_side(second[:, RGB, None, None], recipe.rgb_shift)).clamp_(0, 1)
    if any(recipe.hsv_shift):
        hue, saturation, value = (
            either_side(column[:, None, None], reach)
            for column, reach in zip(second[:, HSV].unbind(1), recipe.hsv_shift, strict=True)
        )
        batch = shift_hsv(batch, hue, saturation, value)
    if recipe.greyscale:
        luma = sum(weight * plane for weight, plane in zip(_LUMA, batch.unbind(1), strict=True))
        chosen = second[:, GREYSCALE] < recipe.greyscale
        batch = torch.where(chosen[:, None, None, None], torch.as_tensor(luma)[:, None], batch)
    return batch


def shift_hsv(
    batch: torch.Tensor, hue: torch.Tensor, saturation: torch.Tensor, value: torch.Tensor
) -> torch.Tensor:
    """Add to hue, saturation and value (Smith 1978); saturation and value are cut to [0, 1].

    Args:
        batch: (N, 3, H, W) in [0, 1]: red, green, blue.
        hue: Fraction of the circle; it and the following broadcast against (N, H, W).
        saturation: In -1 to 1.
        value: In -1 to 1.
    """
    red, green, blue = batch.unbind(1)
    top = torch.maximum(torch.maximum(red, green), blue)
    chroma = top - torch.minimum(torch.minimum(red, green), blue)
    # Where there is no chroma every difference is 0, and so is the hue whatever it is divided by.
    per_chroma = 1 / chroma.clamp_min(1e-12)
    sixth = torch.where(
        top == red,
        (green - blue) * per_chroma,
        torch.where(top == green, 2 + (blue - red) * per_chroma, 4 + (red - green) * per_chroma),
    )
    sixth = torch.remainder(sixth + 6 * hue, 6)
    level = (top + value).clamp_(0, 1)
    depth = (chroma / top.clamp_min(1e-12) + saturation).clamp_(0, 1).mul_(level)
    # How far each plane lies below the value, as a share of the depth: 0 in its own third of the circle, else up to 1.
    away = torch.stack([2 - (sixth - 3).abs_(), (sixth - 2).abs_() - 1, (sixth - 4).abs_() - 1], dim=1)
    return level[:, None] - away.clamp_(0, 1).mul_(depth[:, None])
