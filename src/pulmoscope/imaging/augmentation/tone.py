"""Grey levels: equalisation, gamma, contrast, brightness, gain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pulmoscope.imaging.augmentation.draws import MULTIPLY, Draws, either_side

if TYPE_CHECKING:
    from pulmoscope.imaging.augmentation.spec import Augment

_LEVELS = 256


def tone(batch: torch.Tensor, recipe: Augment, draws: Draws) -> torch.Tensor:
    """Map the grey levels of each picture (N, C, H, W), every plane alike."""
    columns = draws.first[:, 6:9, None, None, None].to(batch.dtype)
    if recipe.gamma:
        batch = batch.clamp(0, 1).pow(either_side(columns[:, 0], recipe.gamma).exp())
    if recipe.contrast or recipe.brightness:
        gain = 1 + either_side(columns[:, 1], recipe.contrast)
        offset = 0.5 - 0.5 * gain + either_side(columns[:, 2], recipe.brightness)
        batch = (batch * gain + offset).clamp_(0, 1)
    if recipe.multiply:
        gain = 1 + either_side(draws.second[:, MULTIPLY, None, None, None].to(batch.dtype), recipe.multiply)
        batch = (batch * gain).clamp_(0, 1)
    return batch


def equalise(batch: torch.Tensor) -> torch.Tensor:
    """Equalise the histogram of each plane in 256 levels, as ``cv2.equalizeHist`` does it.

    Args:
        batch: (N, C, H, W) in [0, 1].

    Returns:
        The same shape, in whole levels of 1/255; a plane of one level stays as it is.
    """
    planes = batch.flatten(0, 1).flatten(1)
    levels = (planes * (_LEVELS - 1)).round_().clamp_(0, _LEVELS - 1).to(torch.int64)
    start = torch.arange(len(planes), device=batch.device)[:, None] * _LEVELS
    counts = torch.bincount((levels + start).flatten(), minlength=len(planes) * _LEVELS)
    below = counts.view(-1, _LEVELS).cumsum(dim=1)
    total = planes.shape[1]
    darkest = below.masked_fill(below == 0, total).amin(dim=1, keepdim=True)
    spread = (_LEVELS - 1) / (total - darkest).clamp_min(1).to(torch.float32)
    table = ((below - darkest).to(torch.float32) * spread).round_().clamp_(0) / (_LEVELS - 1)
    flat = darkest == total
    equalised = torch.where(flat, planes, table.to(batch.dtype).gather(1, levels))
    return equalised.view(batch.shape)
