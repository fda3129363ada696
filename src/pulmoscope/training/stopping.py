"""When a stage ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pulmoscope.training.history import EpochRow, improves


@dataclass(frozen=True, kw_only=True)
class Course:
    """What a stage that has no validation part follows: the same stage of a training that had one.

    Attributes:
        epochs: It ends after so many.
        val_losses: Of that training's epochs, which a plateau schedule goes by.
    """

    epochs: int
    val_losses: tuple[float, ...] = ()


def ran_out(
    rows: Sequence[EpochRow],
    *,
    stop: Literal["select", "val_loss", "gap"],
    select: str,
    patience: int,
    bar: float | None = None,
) -> bool:
    """Whether a stage's patience has run out after its last row.

    Args:
        rows: The stage's epochs so far.
        stop: ``select`` and ``val_loss`` wait for a better value of that metric. ``gap`` waits for the gap between
            validation and training loss to come back to its smallest value: it stops once the gap has exceeded it for
            ``patience`` epochs in a row, and never while it shrinks or stays.
        select: The metric that chooses the epoch.
        patience: Epochs.
        bar: A value of ``select`` that the stage has to beat, such as the head's alone.
    """
    if stop == "gap":
        return _since_smallest_gap(rows) >= patience
    metric = select if stop == "select" else "val_loss"
    best, at = (bar if metric == select else None), 0
    for index, row in enumerate(rows, start=1):
        value = getattr(row, metric)
        if improves(metric, value, best):
            best, at = value, index
    return len(rows) - at >= patience


def _since_smallest_gap(rows: Sequence[EpochRow]) -> int:
    smallest, waited = float("inf"), 0
    for row in rows:
        gap = row.val_loss - row.train_loss
        if gap <= smallest:
            smallest, waited = gap, 0
        else:
            waited += 1
    return waited
