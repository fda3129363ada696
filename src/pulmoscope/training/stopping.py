"""When a stage ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pulmoscope.training.history import EpochRow, improves
from pulmoscope.training.selection import column_of


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
            the validation loss and that of plain training pictures to come back to its smallest value so far: it stops
            once the gap has been positive and above that for ``patience`` epochs in a row.
        select: The metric that chooses the epoch.
        patience: Epochs.
        bar: A value of ``select`` that the stage has to beat, such as the head's alone.
    """
    if stop == "gap":
        return _epochs_of_wide_gap(rows) >= patience
    metric = select if stop == "select" else "val_loss"
    best, at = (bar if metric == select else None), 0
    for index, row in enumerate(rows, start=1):
        value = getattr(row, column_of(metric))
        if improves(metric, value, best):
            best, at = value, index
    return len(rows) - at >= patience


def _epochs_of_wide_gap(rows: Sequence[EpochRow]) -> int:
    """How many of the last epochs, in a row, had a gap above 0 and above the smallest so far."""
    smallest, waited = float("inf"), 0
    for row in rows:
        gap = row.val_loss - row.plain_train_loss
        waited = waited + 1 if gap > max(0.0, smallest) else 0
        smallest = min(smallest, gap)
    return waited
