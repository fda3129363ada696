"""Random changes to a batch of pictures, each picture by its own draw from an explicit generator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from pulmoscope.imaging.augmentation.draws import Draws
    from pulmoscope.imaging.augmentation.spec import Augment

# On a CPU so many pixels go through all steps at a time: what one step leaves is still in the cache for the next.
_TOGETHER = 1 << 19


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What is to be done to each picture, worked out for the whole batch at once."""

    draws: Draws
    matrices: torch.Tensor | None
    table: torch.Tensor | None

    def of(self, rows: slice | torch.Tensor) -> _Plan:
        return _Plan(
            draws=self.draws.of(rows),
            matrices=None if self.matrices is None else self.matrices[rows],
            table=None if self.table is None else self.table[rows],
        )


def augment(
    batch: torch.Tensor,
    recipe: Augment,
    generator: torch.Generator,
    only: torch.Tensor | None = None,
) -> torch.Tensor:
    """Change each picture at random.

    All draws are made on the generator's device, a fixed number for each picture: the same generator state gives the
    same changes on CPU and GPU, and a picture's change does not depend on ``only``.

    Args:
        batch: (N, 1 or 3, H, W) float in [0, 1].
        recipe: How far; its mixing is done by :func:`mix`.
        generator: Source of every random number.
        only: (N,) bool, the pictures that may change; None is all of them.

    Returns:
        The same N, H and W, in [0, 1], with three planes where the recipe makes colours; ``batch`` itself when the
        recipe changes nothing.
    """
    import torch

    from pulmoscope.imaging.augmentation.draws import APPLY, draw

    if not recipe.changes:
        return batch
    count, planes, height, width = batch.shape
    shape = (count, 3 if recipe.colours else planes, height, width)
    if count == 0:
        return batch.expand(shape)
    draws = draw(recipe, shape, generator, batch.device)
    chosen = None if only is None else only.to(batch.device)
    if recipe.apply < 1:
        applied = draws.second[:, APPLY] < recipe.apply
        chosen = applied if chosen is None else chosen & applied
    plan = _plan(batch, recipe, draws)
    together = max(1, _TOGETHER // (height * width)) if batch.device.type == "cpu" else count
    if chosen is None and count <= together:
        return _change(batch, recipe, plan)
    if chosen is None:
        result = torch.empty(shape, dtype=batch.dtype, device=batch.device)
        for start in range(0, count, together):
            rows = slice(start, start + together)
            place = result[rows]
            changed = _change(batch[rows], recipe, plan.of(rows), place)
            if changed is not place:
                place.copy_(changed)
        return result
    result = batch.expand(shape).clone()
    rows_chosen = chosen.nonzero()[:, 0]
    for start in range(0, len(rows_chosen), together):
        some = rows_chosen[start : start + together]
        result[some] = _change(batch[some], recipe, plan.of(some))
    return result


def _plan(batch: torch.Tensor, recipe: Augment, draws: Draws) -> _Plan:
    from pulmoscope.imaging.augmentation import colour, geometry

    height, width = batch.shape[2:]
    paints = recipe.colours and batch.shape[1] == 1
    matrices = geometry.affine_matrices(recipe, draws, height, width) if recipe.moves else None
    table = colour.colour_table(recipe, draws).to(batch.dtype) if paints else None
    return _Plan(draws=draws, matrices=matrices, table=table)


def _change(
    batch: torch.Tensor, recipe: Augment, plan: _Plan, place: torch.Tensor | None = None
) -> torch.Tensor:
    """All steps, in the order that :class:`Augment` states; the result may be written to ``place``."""
    from pulmoscope.imaging.augmentation import colour, geometry, local, tone
    from pulmoscope.imaging.augmentation.draws import BLUR, EQUALISE

    draws = plan.draws
    if recipe.equalise:
        # First, on the levels as they were stored: the black that a rotation uncovers has no part in it.
        rows = (draws.second[:, EQUALISE] < recipe.equalise).nonzero()[:, 0]
        if len(rows):
            batch = batch.index_copy(0, rows, tone.equalise(batch[rows]))
    if plan.matrices is not None:
        batch = geometry.move(batch, recipe, plan.matrices)
    if recipe.blur:
        batch = local.blur(batch, draws.second[:, BLUR] * recipe.blur, recipe.blur)
    if plan.table is not None:
        batch = colour.paint(batch, plan.table, place)
    else:
        batch = tone.tone(batch, recipe, draws)
        if batch.shape[1] == 3:
            batch = colour.tint(batch, recipe, draws)
    if draws.noise is not None:
        batch = local.add_noise(batch, recipe.noise, draws.noise)
    if recipe.erase:
        batch = local.erase(batch, recipe, draws)
    return batch
