"""How the learning rate moves: a pure function of the step and, for the plateau, of the validation losses so far.

Nothing of it has to be stored, so a resumed training goes on at exactly the rate it would have had.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from pulmoscope.training.parts import Optimisation

# Of the one-cycle policy, as torch.optim.lr_scheduler.OneCycleLR has them.
_RISE, _START, _END = 0.3, 1 / 25, 1 / 25e4
# The cosine's last steps still move the weights.
_LOWEST_COSINE = 1e-3


def rate_factor(
    stage: Optimisation, step: int, *, epochs: int, batches: int, val_losses: Sequence[float] = ()
) -> float:
    """Factor on the learning rate at one step.

    Args:
        stage: Names the schedule and its numbers.
        step: Counted from 0 over the whole stage.
        epochs: Of the whole stage as planned.
        batches: Steps an epoch.
        val_losses: The validation losses of the epochs that ended before this step, first to last.

    Returns:
        A factor in (0, 1]. Every schedule but the one-cycle is multiplied by a linear warm-up; the cosine begins after
        it, the one-cycle's own rise takes its place.
    """
    steps = epochs * batches
    if stage.schedule == "one-cycle":
        return _one_cycle(step, steps, stage.warmup or _RISE)
    rising = max(1, round(steps * stage.warmup))
    factor = 1.0
    if stage.schedule == "cosine" and step >= rising:
        progress = min(1.0, (step - rising) / max(1, steps - rising))
        factor = max(_LOWEST_COSINE, 0.5 * (1 + math.cos(math.pi * progress)))
    elif stage.schedule == "step":
        factor = stage.factor ** (step // batches // stage.step_epochs)
    elif stage.schedule == "inverse-time":
        factor = 1 / (1 + step * stage.learning_rate / epochs)
    elif stage.schedule == "plateau":
        factor = stage.factor ** _plateaus(val_losses, stage.plateau_patience)
    return factor * min(1.0, (step + 1) / rising)


def _one_cycle(step: int, steps: int, rise: float) -> float:
    """Cosine from 1/25 up to 1 over ``rise`` of the steps, then down to 1/250000 (Smith 2018, as torch has it)."""
    top, end = rise * steps - 1, steps - 1
    if step <= top:
        return _cosine_between(_START, 1.0, step / top if top > 0 else 1.0)
    return _cosine_between(1.0, _END, min(1.0, (step - top) / (end - top)))


def _cosine_between(start: float, end: float, progress: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * progress))


def _plateaus(val_losses: Sequence[float], patience: int) -> int:
    """How often ``patience`` epochs in a row brought no lower loss; each count starts the next."""
    best, waited, found = math.inf, 0, 0
    for loss in val_losses:
        if loss < best:
            best, waited = loss, 0
            continue
        waited += 1
        if waited == patience:
            found, waited = found + 1, 0
    return found
