"""Platt scaling: a logistic curve a class over the log-odds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from pulmoscope.evaluation.calibrator_math import checked, checked_pair, columns, log_odds, renormalised

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Platt:
    """``expit(slope x log-odds + intercept)``, of two classes for the second, else for each, then renormalised.

    Attributes:
        classes: C.
        slopes: One a map: 1 for two classes, else C.
        intercepts: As many.
        rows: Validation pictures that it was fitted on.
        notes: What who uses it must know.
    """

    method: ClassVar[str] = "platt"

    classes: int
    slopes: tuple[float, ...]
    intercepts: tuple[float, ...]
    rows: int = 0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        wanted = len(columns(self.classes))
        if self.classes < 2 or len(self.slopes) != wanted or len(self.intercepts) != wanted:
            raise ValueError(f"expected {wanted} slopes and intercepts for {self.classes} classes")
        if not np.isfinite([*self.slopes, *self.intercepts]).all():
            raise ValueError("slopes and intercepts must be finite")

    def apply(self, probabilities: npt.ArrayLike) -> FloatArray:
        """Map probabilities (N, C) to (N, C); with more than two classes the most probable one may change.

        Raises:
            ValueError: Another number of columns.
        """
        from scipy.special import expit

        scores = checked(probabilities, self.classes)
        odds = log_odds(scores)[:, list(columns(self.classes))]
        return renormalised(np.asarray(expit(odds * self.slopes + self.intercepts), np.float64), scores)

    def as_dict(self) -> dict[str, Any]:
        """Its JSON form."""
        return {
            "method": self.method, "classes": self.classes, "slopes": list(self.slopes),
            "intercepts": list(self.intercepts), "rows": self.rows, "notes": list(self.notes),
        }  # fmt: skip

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Platt:
        """Read :meth:`as_dict` back; KeyError, TypeError or ValueError where it is damaged."""
        return cls(
            classes=int(content["classes"]), slopes=tuple(map(float, content["slopes"])),
            intercepts=tuple(map(float, content["intercepts"])), rows=int(content.get("rows", 0)),
            notes=tuple(map(str, content.get("notes", ()))),
        )  # fmt: skip


def fit_platt(truth: npt.ArrayLike, probabilities: npt.ArrayLike) -> Platt:
    """Fit a logistic curve a class, with Platt's softened targets.

    Platt (1999, Advances in Large Margin Classifiers), with the stable sums of Lin, Lin and Weng (2007, Machine
    Learning 68:267). The target of a picture of the class is (P + 1) / (P + 2), that of another 1 / (M + 2), with P
    pictures of the class and M others: so the curve stays finite even where the class is parted wholly.

    Args:
        truth: True classes of the validation pictures, (N,) integers in [0, C), each class at least once.
        probabilities: (N, C) in [0, 1].

    Raises:
        ValueError: The shapes differ, or a class has none or all of the pictures.

    >>> fit_platt([0, 1], [[0.5, 0.5], [0.5, 0.5]]).apply([[0.5, 0.5]]).tolist()
    [[0.5, 0.5]]
    """
    labels, scores = checked_pair(truth, probabilities)
    classes = scores.shape[1]
    fits = []
    for index in columns(classes):
        of_class = labels == index
        if of_class.all() or not of_class.any():
            raise ValueError(f"class {index} has {int(of_class.sum())} of {len(labels)} pictures")
        fits.append(_curve(of_class, log_odds(scores)[:, index]))
    turned = [str(index) for index, (slope, _) in zip(columns(classes), fits, strict=True) if slope < 0]
    notes = (
        f"validation ranks class {', '.join(turned)} (counted from 0) the wrong way round: its curve falls",
    ) if turned else ()  # fmt: skip
    return Platt(
        classes=classes, slopes=tuple(slope for slope, _ in fits),
        intercepts=tuple(intercept for _, intercept in fits), rows=len(labels), notes=notes,
    )  # fmt: skip


def _curve(of_class: npt.NDArray[np.bool_], odds: FloatArray) -> tuple[float, float]:
    """Slope and intercept with the least cross-entropy to the softened targets: Newton's steps, halved where needed."""
    from scipy.special import expit

    positives, negatives = int(of_class.sum()), int((~of_class).sum())
    targets = np.where(of_class, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    middle, scale = float(odds.mean()), float(odds.std()) or 1.0
    design = np.column_stack([(odds - middle) / scale, np.ones(len(odds))])

    def loss(weights: FloatArray) -> float:
        z = design @ weights
        return float((np.logaddexp(0, z) - targets * z).sum())

    weights = np.array([0.0, np.log((positives + 1) / (negatives + 1))])
    current = loss(weights)
    for _ in range(200):
        fitted = np.asarray(expit(design @ weights), np.float64)
        gradient = design.T @ (fitted - targets)
        curvature = (design * (fitted * (1 - fitted))[:, None]).T @ design + 1e-12 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        size = 1.0
        while size > 1e-10 and loss(weights - size * step) > current:
            size /= 2
        weights = weights - size * step
        before, current = current, loss(weights)
        if np.abs(size * step).max() < 1e-12 or before - current < 1e-15 * max(1.0, abs(current)):
            break
    slope = float(weights[0]) / scale
    return slope, float(weights[1]) - slope * middle
