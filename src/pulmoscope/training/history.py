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
from pulmoscope.evaluation.confusion import (
    balanced_accuracy,
    confusion_matrix,
    f1,
    macro_f1,
    sensitivity,
    specificity,
)
from pulmoscope.files import write_text
from pulmoscope.training.selection import ClassMetric, column_of


@dataclass(frozen=True, kw_only=True)
class EpochRow:
    """One epoch. Losses in nats; the training columns are of augmented pictures, before the epoch's end.

    ``train_loss`` is the recipe's loss, ``val_loss`` the cross-entropy weighted by class, whatever the recipe's loss,
    so that runs compare. The validation columns are NaN where nothing was validated or the metric is undefined.
    ``plain_train_loss`` is measured as ``val_loss`` is, on some training pictures as they are, where the gap between
    the two ends the training; ``val_selected`` is the metric of one class that chooses the epoch, where one does.
    """

    stage: str
    epoch: int
    train_loss: float
    val_loss: float
    train_accuracy: float
    val_accuracy: float
    val_macro_auroc: float
    learning_rate: float
    seconds: float
    val_balanced_accuracy: float = float("nan")
    val_macro_f1: float = float("nan")
    plain_train_loss: float = float("nan")
    val_selected: float = float("nan")


UNKNOWN_SCORES = {
    name: float("nan")
    for name in (
        "val_loss",
        "val_accuracy",
        "val_macro_auroc",
        "val_balanced_accuracy",
        "val_macro_f1",
        "val_selected",
    )
}
_RATES = {"val_sensitivity": sensitivity, "val_specificity": specificity, "val_f1": f1}


def write_history(path: Path, rows: Sequence[EpochRow]) -> None:
    """Write all rows as CSV, whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(EpochRow)], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _number(value) for name, value in asdict(row).items()})
    write_text(path, text.getvalue())


def validation_scores(
    log_probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    weights: NDArray[np.float64],
    selected: ClassMetric | None = None,
) -> dict[str, float]:
    """The validation columns of a row.

    Means over classes are over those that are defined: with a class that no picture is of, they go by the others.

    Args:
        log_probabilities: (N, C), normalised.
        labels: Class indices, (N,).
        weights: Of the classes in ``val_loss``, (C,).
        selected: What ``val_selected`` is; NaN without it.

    Returns:
        A value for each of ``UNKNOWN_SCORES``; all NaN where a log-probability is.
    """
    if np.isnan(log_probabilities).any():
        return dict(UNKNOWN_SCORES)
    classes = log_probabilities.shape[1]
    predicted = log_probabilities.argmax(axis=1)
    counts = confusion_matrix(labels, predicted, classes)
    areas = [auroc(labels == index, log_probabilities[:, index]) for index in range(classes)]
    defined = [area for area in areas if not np.isnan(area)]
    chosen = float("nan")
    if selected is not None:
        rate = _RATES.get(selected.metric)
        chosen = areas[selected.at] if rate is None else rate(counts)[selected.at]
    return {
        "val_loss": weighted_cross_entropy(log_probabilities, labels, weights),
        "val_accuracy": float(np.mean(predicted == labels)),
        "val_macro_auroc": float(np.mean(defined)) if defined else float("nan"),
        "val_balanced_accuracy": float(balanced_accuracy(counts)),
        "val_macro_f1": float(macro_f1(counts)),
        "val_selected": float(chosen),
    }


def weighted_cross_entropy(
    log_probabilities: NDArray[np.float64], labels: NDArray[np.int64], weights: NDArray[np.float64]
) -> float:
    """Mean of -log p of the true class, each picture counted by the weight of its class, in nats."""
    sample_weights = weights[labels]
    losses = -log_probabilities[np.arange(len(labels)), labels]
    return float(np.sum(losses * sample_weights) / np.sum(sample_weights))


def improves(select: str, value: float, best: float | None) -> bool:
    """Whether ``value`` of the metric ``select`` beats ``best``; an undefined value never does. Losses are to fall."""
    if np.isnan(value):
        return False
    if best is None:
        return True
    return value < best if select == "val_loss" else value > best


def best_row(rows: Sequence[EpochRow], select: str) -> EpochRow | None:
    """The first row with the best value of the metric ``select``; None where it is undefined in all."""
    best: EpochRow | None = None
    column = column_of(select)
    for row in rows:
        if improves(select, getattr(row, column), None if best is None else getattr(best, column)):
            best = row
    return best


def _number(value: Any) -> Any:
    if isinstance(value, float):
        return "" if np.isnan(value) else repr(round(value, 10))
    return value
