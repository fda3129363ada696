"""What changes a pixel by its neighbours, by chance or by place: blur, noise, cut-outs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from pulmoscope.imaging.augmentation.draws import Draws
    from pulmoscope.imaging.augmentation.spec import Augment

_ERASE_SIDES = (0.1, 0.3)


def blur(batch: torch.Tensor, deviations: torch.Tensor, largest: float) -> torch.Tensor:
    """Gaussian blur, each picture by its own width; beyond the border the picture is reflected.

    Args:
        batch: (N, C, H, W).
        deviations: (N,) in pixels; 0 changes nothing.
        largest: Of all that could have been drawn: kernels reach three times as far.
    """
    count, planes, height, width = batch.shape
    reach = min(math.ceil(3 * largest), height - 1, width - 1)
    steps = torch.arange(-reach, reach + 1, device=batch.device, dtype=batch.dtype)
    kernels = torch.exp(-0.5 * (steps / deviations.to(batch.dtype).clamp_min(1e-3)[:, None]) ** 2)
    kernels = (kernels / kernels.sum(dim=1, keepdim=True)).repeat_interleave(planes, dim=0)[:, None, None]
    groups = count * planes
    flat = functional.pad(batch.reshape(1, groups, height, width), (reach,) * 4, mode="reflect")
    flat = functional.conv2d(flat, kernels, groups=groups)
    return functional.conv2d(flat, kernels.transpose(2, 3), groups=groups).view(batch.shape).clamp_(0, 1)


def add_noise(batch: torch.Tensor, deviation: float, noise: torch.Tensor) -> torch.Tensor:
    """Add ``deviation`` times standard normal ``noise`` of the batch's shape."""
    return (batch + deviation * noise).clamp_(0, 1)


def erase(batch: torch.Tensor, recipe: Augment, draws: Draws) -> torch.Tensor:
    """Lay a mid-grey rectangle over some of the pictures (N, C, H, W)."""
    low, high = _ERASE_SIDES
    sides = low + (high - low) * draws.first[:, 10:12]
    starts = draws.first[:, 12:14] * (1 - sides)
    chosen = (draws.first[:, 9] < recipe.erase)[:, None]

    def inside(axis: int, length: int) -> torch.Tensor:
        centres = (torch.arange(length, device=batch.device) + 0.5) / length
        start = starts[:, axis : axis + 1]
        return (centres >= start) & (centres < start + sides[:, axis : axis + 1])

    rows, columns = inside(0, batch.shape[2]) & chosen, inside(1, batch.shape[3])
    return batch.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0.5)
