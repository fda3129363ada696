"""Metrics by the names that reports of published systems need, beside those of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pulmoscope.evaluation import confusion as rates
from pulmoscope.evaluation.bootstrap import group_codes
from pulmoscope.evaluation.intervals import jeffreys
from pulmoscope.evaluation.joined_interval import mean_share_interval
from pulmoscope.evaluation.metrics import evaluate
from pulmoscope.evaluation.predictions import Predictions
from pulmoscope.evaluation.result import BY_CLASS, OVERALL, Estimate, Evaluation

FloatArray = npt.NDArray[np.float64]

#: What each name means, in words that a table can print. ``:CLASS`` follows those that are of one class.
MEANINGS: Mapping[str, str] = {
    "accuracy": "accuracy over all classes",
    "balanced_accuracy": "mean sensitivity over the classes",
    "macro_f1": "mean F1 over the classes",
    "macro_auroc": "mean one-vs-rest AUROC",
    "auroc": "AUROC",
    "mean_ovr_accuracy": "mean of the one-vs-rest accuracies",
    "mean_sensitivity": "mean sensitivity over the classes",
    "mean_specificity": "mean specificity over the classes",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ppv": "positive predictive value",
    "npv": "negative predictive value",
    "f1": "F1",
}


def mean_ovr_accuracy(confusion: npt.ArrayLike) -> FloatArray:
    """Mean over the classes of the accuracy of that class against the rest, (...) of matrices (..., K, K).

    A wrong picture is wrong in two of the K tables, so this is 1 - 2 (1 - accuracy) / K: above the accuracy for K > 2.

    >>> float(mean_ovr_accuracy([[8, 2, 0], [0, 10, 0], [1, 0, 9]]))  # accuracy 0.9
    0.9333333333333333
    """
    counts = np.asarray(confusion, np.float64)
    wrong = 1 - rates.accuracy(counts)
    return np.asarray(1 - 2 * wrong / counts.shape[-1], np.float64)


def mean_specificity(confusion: npt.ArrayLike) -> FloatArray:
    """Mean one-vs-rest specificity over the classes, (...); NaN where one of them is undefined."""
    return np.asarray(rates.specificity(confusion).mean(axis=-1), np.float64)


def ovr_balanced_accuracy(confusion: npt.ArrayLike) -> FloatArray:
    """Mean of sensitivity and specificity of each class against the rest, (..., K).

    It is the AUROC of the hard label: the ROC curve of a label has one corner.
    """
    return np.asarray((rates.sensitivity(confusion) + rates.specificity(confusion)) / 2, np.float64)


_ALIASES = {"mean_sensitivity": "balanced_accuracy", "auroc": "macro_auroc"}


def named_estimates(
    table: Predictions,
    names: tuple[str, ...],
    *,
    replicates: int = 1000,
    seed: int = 0,
    evaluation: Evaluation | None = None,
) -> dict[str, Estimate]:
    """Compute the named metrics of a predictions table with their 95% intervals.

    Args:
        table: All its rows are judged.
        names: Keys of :data:`MEANINGS`, those of one class as ``f1:covid``. ``auroc`` is the one that two classes
            share, or the mean over more; ``balanced_accuracy:covid`` is :func:`ovr_balanced_accuracy`.
        replicates: Bootstrap replicates over groups.
        seed: Of the bootstrap.
        evaluation: Of all rows of the table, where there is one already.

    Returns:
        The metrics that there are: a name that is unknown, or of a class that the table has not, is left out. The value
        is NaN where undefined.
    """
    evaluation = evaluation or evaluate(table, split=None, replicates=replicates, seed=seed)
    codes, groups = group_codes(table.groups)
    by_group = rates.confusion_by_group(
        table.labels, table.predicted, codes, classes=len(table.classes), groups=groups
    )
    right, beside = rates.sensitivity_counts(by_group), rates.specificity_counts(by_group)

    def joined(value: float, k: FloatArray, n: FloatArray) -> Estimate:
        # A mean with a part undefined is undefined here, not the mean of the others.
        low, high = mean_share_interval(jeffreys, k, n) if not np.isnan(value) else (np.nan, np.nan)
        return Estimate(value=value, low=low, high=high, n=len(table), method="joined")

    found: dict[str, Estimate] = {}
    for name in names:
        metric, _, label = name.partition(":")
        if label:
            if label not in table.classes:
                continue
            if metric == "balanced_accuracy":
                at = table.classes.index(label)
                k, n = (
                    np.stack([of[:, at], rest[:, at]], axis=1) for of, rest in zip(right, beside, strict=True)
                )
                found[name] = joined(float(ovr_balanced_accuracy(evaluation.confusion)[at]), k, n)
            elif metric in BY_CLASS:
                found[name] = getattr(evaluation.classes[label], metric)
        elif metric == "mean_ovr_accuracy":
            found[name] = _from_accuracy(evaluation.accuracy, len(table.classes))
        elif metric == "mean_specificity":
            found[name] = joined(float(mean_specificity(evaluation.confusion)), *beside)
        elif _ALIASES.get(metric, metric) in OVERALL:
            found[name] = getattr(evaluation, _ALIASES.get(metric, metric))
    return found


def _from_accuracy(accuracy: Estimate, classes: int) -> Estimate:
    """The mean one-vs-rest accuracy is linear in the accuracy, so its Wilson interval is too."""
    value, low, high = (1 - 2 * (1 - one) / classes for one in (accuracy.value, accuracy.low, accuracy.high))
    return Estimate(value=value, low=low, high=high, n=accuracy.n, method=accuracy.method)
