"""Mixing the pictures of a batch with each other, and their labels with them: mixup and cutmix."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

    from pulmoscope.imaging.augmentation.spec import Augment


def mix(
    batch: torch.Tensor, targets: torch.Tensor, recipe: Augment, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mix each picture with another of its batch, at random.

    Mixup blends whole pictures (Zhang et al. 2018, equation 1), cutmix pastes a rectangle (Yun et al. 2019,
    section 3.1); both with one share and one permutation for the whole batch, as in their authors' code. A recipe
    with both gets one of them, by chance, each time.

    Args:
        batch: (N, C, H, W) float.
        targets: (N, K) float, each row a distribution over the classes.
        recipe: Its ``mixup`` and ``cutmix``.
        generator: Source of every random number.

    Returns:
        Pictures and targets of the same shapes, mixed by the same share: for cutmix that of the pixels that
        were pasted. What was given is left alone, and comes back itself where there is nothing to mix.
    """
    import torch

    if not recipe.mixes or len(batch) < 2:
        return batch, targets
    device = generator.device
    coin, row, column = torch.rand(3, generator=generator, device=device).tolist()
    order = torch.randperm(len(batch), generator=generator, device=device).to(batch.device)
    # torch draws from a Beta distribution by the global generator only.
    seed = int(torch.randint(1 << 62, (), generator=generator, device=device))
    pastes = recipe.cutmix > 0 and (recipe.mixup == 0 or coin < 0.5)
    alpha = recipe.cutmix if pastes else recipe.mixup
    share = float(np.random.default_rng(seed).beta(alpha, alpha))
    if not pastes:
        return torch.lerp(batch[order], batch, share), torch.lerp(targets[order], targets, share)
    height, width = batch.shape[2:]
    rows, columns = _cut(row, height, share), _cut(column, width, share)
    mixed = batch.clone()
    mixed[:, :, rows, columns] = batch[order, :, rows, columns]
    pasted = (rows.stop - rows.start) * (columns.stop - columns.start) / (height * width)
    return mixed, torch.lerp(targets, targets[order], pasted)


def _cut(centre: float, length: int, share: float) -> slice:
    """Along one axis: as long as sqrt(1 - share) asks, about a uniform centre, cut off at the border."""
    half = int(length * math.sqrt(1 - share)) // 2
    middle = int(centre * length)
    return slice(max(middle - half, 0), min(middle + half, length))
