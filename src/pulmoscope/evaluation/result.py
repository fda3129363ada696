"""What an evaluation holds, and its form in ``metrics.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

IntervalMethod = Literal["default", "exact", "patient-bootstrap"]

OVERALL = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auroc")
BY_CLASS = ("sensitivity", "specificity", "ppv", "npv", "f1", "auroc")


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """One metric with its interval.

    Attributes:
        value: The metric, in [0, 1]; NaN where undefined.
        low: Lower bound; NaN where undefined.
        high: Upper bound; NaN where undefined.
        n: Pictures that the metric is a rate of: the denominator of a proportion, of F1 those that are of the class or
            called so; else all pictures.
        method: ``"wilson"``, ``"clopper-pearson"`` (both at the effective sample size where groups hold several
            pictures), ``"joined"`` (a mean over classes, from the classes' Jeffreys intervals, of ``"exact"``
            evaluations Clopper-Pearson's), ``"delong"`` or ``"bootstrap"``.
        undefined_replicates: Bootstrap replicates that were left out because the metric is undefined there.
    """

    value: float
    low: float
    high: float
    n: int
    method: str
    undefined_replicates: int = 0

    def as_dict(self) -> dict[str, float | None]:
        """``{"value", "low", "high"}``, None where undefined."""
        return {"value": _or_none(self.value), "low": _or_none(self.low), "high": _or_none(self.high)}


@dataclass(frozen=True, kw_only=True)
class ClassMetrics:
    """One class against the rest.

    Attributes:
        support: Pictures that are of the class.
        sensitivity: TP / (TP + FN).
        specificity: TN / (TN + FP).
        ppv: TP / (TP + FP).
        npv: TN / (TN + FN).
        f1: 2 TP / (2 TP + FP + FN).
        auroc: Area under the ROC curve; undefined without probabilities.
    """

    support: int
    sensitivity: Estimate
    specificity: Estimate
    ppv: Estimate
    npv: Estimate
    f1: Estimate
    auroc: Estimate

    def as_dict(self) -> dict[str, Any]:
        """The class's part of ``metrics.json``."""
        return {"support": self.support} | {name: getattr(self, name).as_dict() for name in BY_CLASS}


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """Every metric of one set of predictions. Printed, it is a readable table.

    Attributes:
        n: Pictures.
        groups: Groups (patients) they come from.
        split: The split that was judged; None for all rows.
        model: The model that was judged; None where the table names none.
        accuracy: Share of right predictions over all classes.
        balanced_accuracy: Mean sensitivity over the classes that occur.
        macro_f1: Mean F1 over the classes that occur or are predicted.
        macro_auroc: Mean one-vs-rest AUROC over the classes for which it is defined.
        classes: Metrics of each class, in the order of the classes.
        confusion: Counts, (K, K) integers; rows are the truth.
        level: Confidence level of every interval.
        intervals: ``"default"`` (Wilson for proportions and F1, joined for their means, bootstrap over groups for
            AUROCs), ``"exact"`` (Clopper-Pearson, joined likewise, DeLong for the AUROC of a class, bootstrap over
            groups for the macro AUROC) or ``"patient-bootstrap"`` (bootstrap over groups for all).
        replicates: Bootstrap replicates drawn.
        seed: Seed of the bootstrap.
        notes: What a reader of the numbers must know.
    """

    n: int
    groups: int
    split: str | None
    model: str | None
    accuracy: Estimate
    balanced_accuracy: Estimate
    macro_f1: Estimate
    macro_auroc: Estimate
    classes: Mapping[str, ClassMetrics]
    confusion: npt.NDArray[np.int64]
    level: float
    intervals: IntervalMethod
    replicates: int
    seed: int
    notes: tuple[str, ...]

    def estimates(self) -> dict[str, Estimate]:
        """Every metric by its name: ``accuracy``, ..., ``sensitivity (covid)``, ..."""
        found: dict[str, Estimate] = {name: getattr(self, name) for name in OVERALL}
        for label, metrics in self.classes.items():
            found |= {f"{name} ({label})": getattr(metrics, name) for name in BY_CLASS}
        return found

    def as_dict(self) -> dict[str, Any]:
        """This part of ``metrics.json``: plain numbers, lists and None where undefined."""
        dropped = {
            name: one.undefined_replicates
            for name, one in self.estimates().items()
            if one.undefined_replicates
        }
        return {
            "n": self.n,
            **{name: getattr(self, name).as_dict() for name in OVERALL},
            "classes": {label: metrics.as_dict() for label, metrics in self.classes.items()},
            "confusion": {"labels": list(self.classes), "counts": self.confusion.tolist()},
            "intervals": {
                "level": self.level,
                "method": self.intervals,
                "replicates": self.replicates,
                "seed": self.seed,
                "groups": self.groups,
                "undefined_replicates": dropped,
                "notes": list(self.notes),
            },
        }

    def __str__(self) -> str:
        """The numbers as a table to read."""
        from pulmoscope.evaluation.summary import summarise

        return summarise(self)


def show_level(level: float) -> str:
    """A confidence level or promised coverage with all the digits it has.

    >>> show_level(0.95), show_level(0.999)
    ('95%', '99.9%')
    """
    return f"{100 * level:.10g}%"


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
