"""Isotonic recalibration: any rising curve a class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from pulmoscope.evaluation.calibrator_math import checked, checked_pair, columns, renormalised

FloatArray = npt.NDArray[np.float64]
#: Knots of one class: probabilities before and after, both rising.
Curve = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True, kw_only=True)
class Isotonic:
    """Straight lines between knots, of two classes for the second, else for each class, then renormalised.

    Attributes:
        classes: C.
        curves: The knots: 1 curve for two classes, else C.
        rows: Validation pictures that it was fitted on.
        notes: What who uses it must know.
    """

    method: ClassVar[str] = "isotonic"

    classes: int
    curves: tuple[Curve, ...]
    rows: int = 0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        wanted = len(columns(self.classes))
        if self.classes < 2 or len(self.curves) != wanted:
            raise ValueError(f"expected {wanted} curves for {self.classes} classes, got {len(self.curves)}")
        for before, after in self.curves:
            x, y = np.asarray(before, np.float64), np.asarray(after, np.float64)
            inside = ((x >= 0) & (x <= 1)).all() and ((y >= 0) & (y <= 1)).all()
            if (
                not len(x)
                or x.shape != y.shape
                or not inside
                or (np.diff(x) <= 0).any()
                or (np.diff(y) < 0).any()
            ):
                raise ValueError("the knots of a curve must rise and lie in [0, 1]")

    def apply(self, probabilities: npt.ArrayLike) -> FloatArray:
        """Map probabilities (N, C) to (N, C), possibly 0 or 1; beyond the outer knots the curves are flat.

        A row that every class denies stays as it was.

        Raises:
            ValueError: Another number of columns.
        """
        scores = checked(probabilities, self.classes)
        mapped = [
            np.interp(scores[:, index], before, after)
            for index, (before, after) in zip(columns(self.classes), self.curves, strict=True)
        ]
        return renormalised(np.column_stack(mapped), scores)

    def as_dict(self) -> dict[str, Any]:
        """Its JSON form."""
        return {
            "method": self.method, "classes": self.classes,
            "curves": [{"before": list(before), "after": list(after)} for before, after in self.curves],
            "rows": self.rows, "notes": list(self.notes),
        }  # fmt: skip

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Isotonic:
        """Read :meth:`as_dict` back; KeyError, TypeError or ValueError where it is damaged."""
        return cls(
            classes=int(content["classes"]),
            curves=tuple(
                (tuple(map(float, one["before"])), tuple(map(float, one["after"]))) for one in content["curves"]
            ),
            rows=int(content.get("rows", 0)), notes=tuple(map(str, content.get("notes", ()))),
        )  # fmt: skip


#: Below this the steps of the curve follow the pictures more than the model.
_FEW = 1000


def fit_isotonic(truth: npt.ArrayLike, probabilities: npt.ArrayLike) -> Isotonic:
    """The rising step curve a class with the least squared error (Zadrozny and Elkan 2002, KDD), by scikit-learn.

    Args:
        truth: True classes of the validation pictures, (N,) integers in [0, C), each class at least once.
        probabilities: (N, C) in [0, 1].

    Returns:
        The curves; with few pictures a note that they are rough. Steps at 0 and 1 make the log-likelihood of a single
        wrong picture infinite, and pictures on one step become ties.

    Raises:
        ValueError: The shapes differ, or a class has none or all of the pictures.

    >>> fit_isotonic([0, 1, 0, 1], [[0.9, 0.1], [0.6, 0.4], [0.4, 0.6], [0.1, 0.9]]).curves[0][1]
    (0.0, 0.5, 0.5, 1.0)
    """
    from sklearn.isotonic import IsotonicRegression

    labels, scores = checked_pair(truth, probabilities)
    curves = []
    for index in columns(scores.shape[1]):
        of_class = labels == index
        if of_class.all() or not of_class.any():
            raise ValueError(f"class {index} has {int(of_class.sum())} of {len(labels)} pictures")
        fitted = IsotonicRegression(y_min=0.0, y_max=1.0).fit(scores[:, index], of_class.astype(np.float64))
        before = np.asarray(fitted.X_thresholds_, np.float64)
        # Sums of shares may leave [0, 1], or the order, by rounding.
        after = np.maximum.accumulate(np.clip(np.asarray(fitted.y_thresholds_, np.float64), 0, 1))
        curves.append((tuple(before.tolist()), tuple(after.tolist())))
    notes = (
        f"fitted on {len(labels)} pictures: with fewer than {_FEW} isotonic curves follow chance; "
        "temperature is the safer choice",
    ) if len(labels) < _FEW else ()  # fmt: skip
    return Isotonic(classes=scores.shape[1], curves=tuple(curves), rows=len(labels), notes=notes)
