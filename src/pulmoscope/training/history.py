"""What happened, a row an epoch."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulmoscope.evaluation import auroc
from pulmoscope.files import write_text


@dataclass(frozen=True, kw_only=True)
class EpochRow:
    """One epoch. Losses in nats; the training columns are of augmented pictures, before the epoch's end."""

    stage: str
    epoch: int
    train_loss: float
    val_loss: float
    train_accuracy: float
    val_accuracy: float
    val_macro_auroc: float
    learning_rate: float
    seconds: float


def write_history(path: Path, rows: Sequence[EpochRow]) -> None:
    """Write all rows as CSV, whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(EpochRow)], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _number(value) for name, value in asdict(row).items()})
    write_text(path, text.getvalue())


def validation_scores(
    logits: NDArray[np.float64], labels: NDArray[np.int64], weights: NDArray[np.float64]
) -> dict[str, float]:
    """``val_loss`` (class-weighted, nats), ``val_accuracy``, ``val_macro_auroc`` of logits (N, C) and labels (N,)."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    sample_weights = weights[labels]
    losses = -log_probabilities[np.arange(len(labels)), labels]
    areas = [auroc(labels == index, log_probabilities[:, index]) for index in range(logits.shape[1])]
    defined = [area for area in areas if not np.isnan(area)]
    return {
        "val_loss": float(np.sum(losses * sample_weights) / np.sum(sample_weights)),
        "val_accuracy": float(np.mean(logits.argmax(axis=1) == labels)),
        "val_macro_auroc": float(np.mean(defined)) if defined else float("nan"),
    }


def improves(select: str, value: float, best: float | None) -> bool:
    """Whether ``value`` of the metric ``select`` beats ``best``; an undefined value never does."""
    if np.isnan(value):
        return False
    if best is None:
        return True
    return value < best if select == "val_loss" else value > best


def _number(value: Any) -> Any:
    if isinstance(value, float):
        return "" if np.isnan(value) else repr(round(value, 10))
    return value
