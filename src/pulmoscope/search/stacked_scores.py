"""Validation scores of many heads at once: the numbers of ``validation_scores``, to the last bit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pulmoscope.evaluation.confusion import balanced_accuracy, f1, macro_f1, sensitivity, specificity
from pulmoscope.training.history import UNKNOWN_SCORES
from pulmoscope.training.selection import ClassMetric

_RATES = {"val_sensitivity": sensitivity, "val_specificity": specificity, "val_f1": f1}


def stacked_scores(
    log_probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    weights: NDArray[np.float64],
    selected: ClassMetric | None = None,
) -> list[dict[str, float]]:
    """What :func:`pulmoscope.training.history.validation_scores` says of every head.

    Args:
        log_probabilities: (K, M, C), normalised.
        labels: Class indices, (M,).
        weights: Of the classes in ``val_loss``, (C,).
        selected: What ``val_selected`` is; NaN without it.

    Returns:
        K mappings; all NaN for a head of which a log-probability is.
    """
    known = np.asarray(~np.isnan(log_probabilities).any(axis=(1, 2)))
    found = iter(_scores(np.ascontiguousarray(log_probabilities[known]), labels, weights, selected))
    return [next(found) if one else dict(UNKNOWN_SCORES) for one in known.tolist()]


def stacked_cross_entropy(
    log_probabilities: NDArray[np.float64], labels: NDArray[np.int64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean of -log p of the true class, each picture counted by the weight of its class, in nats, (K,)."""
    sample_weights = weights[labels]
    losses = -log_probabilities[:, np.arange(len(labels)), labels]
    whole: NDArray[np.float64] = np.ascontiguousarray(losses * sample_weights).sum(axis=1)
    return whole / np.sum(sample_weights)


def stacked_auroc(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """The area under the ROC curve of each row of scores, ties counted half.

    Args:
        positive: Whether each picture is of the class, (M,).
        scores: (R, M), none NaN.

    Returns:
        (R,); NaN where one side has no pictures.
    """
    rows, pictures = scores.shape
    positives = int(positive.sum())
    pairs = positives * (pictures - positives)
    if not pairs:
        return np.full(rows, np.nan)
    order = np.argsort(scores, axis=1, kind="stable")
    ranked = np.take_along_axis(scores, order, axis=1)
    starts = np.ones((rows, pictures), np.bool_)
    starts[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
    # Level by level over all rows in a row: what is counted below a level restarts with each row.
    first = np.flatnonzero(starts)
    members = np.diff(first, append=rows * pictures)
    up = np.add.reduceat(positive[order].ravel().astype(np.int64), first)
    down = members - up
    row = first // pictures
    below = np.cumsum(down) - down - row * (pictures - positives)
    return np.asarray(np.bincount(row, up * (2 * below + down), rows) / (2.0 * pairs))


def _scores(
    log_probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    weights: NDArray[np.float64],
    selected: ClassMetric | None,
) -> list[dict[str, float]]:
    heads, pictures, classes = log_probabilities.shape
    predicted = log_probabilities.argmax(axis=2)
    cells = (np.arange(heads)[:, None] * classes + labels) * classes + predicted
    counts = np.bincount(cells.ravel(), minlength=heads * classes**2).reshape(heads, classes, classes)
    by_class = np.ascontiguousarray(log_probabilities.transpose(2, 0, 1))
    areas = np.stack([stacked_auroc(labels == index, by_class[index]) for index in range(classes)], axis=1)
    defined = np.ascontiguousarray(areas[:, ~np.isnan(areas).any(axis=0)])
    chosen = np.full(heads, np.nan)
    if selected is not None:
        rate = _RATES.get(selected.metric)
        chosen = areas[:, selected.at] if rate is None else rate(counts)[:, selected.at]
    columns = {
        "val_loss": stacked_cross_entropy(log_probabilities, labels, weights),
        "val_accuracy": (predicted == labels).sum(axis=1) / pictures,
        "val_macro_auroc": defined.mean(axis=1) if defined.size else np.full(heads, np.nan),
        "val_balanced_accuracy": balanced_accuracy(counts),
        "val_macro_f1": macro_f1(counts),
        "val_selected": chosen,
    }
    return [{name: float(column[at]) for name, column in columns.items()} for at in range(heads)]
