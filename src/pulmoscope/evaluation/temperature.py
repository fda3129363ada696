"""Temperature scaling: one number that makes a model less, or more, sure of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from pulmoscope.evaluation.calibrator_math import checked, checked_pair, log_probabilities

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Temperature:
    """Probabilities to the power 1/T, renormalised: the softmax of logits divided by T.

    Attributes:
        value: T, above 0: above 1 the model was too sure, below 1 not sure enough, 1 changes nothing.
        classes: C.
        rows: Validation pictures that it was fitted on.
        notes: What who uses it must know.
    """

    method: ClassVar[str] = "temperature"

    value: float
    classes: int
    rows: int = 0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (np.isfinite(self.value) and self.value > 0 and self.classes >= 2):
            raise ValueError(
                f"expected a temperature above 0 and 2 classes or more, got {self.value}, {self.classes}"
            )

    def apply(self, probabilities: npt.ArrayLike) -> FloatArray:
        """Map probabilities (N, C) to (N, C); which class is the most probable stays as it is.

        Raises:
            ValueError: Another number of columns.
        """
        scores = checked(probabilities, self.classes)
        if self.value == 1:
            return scores.copy()
        return _softmax(log_probabilities(scores) / self.value)

    def as_dict(self) -> dict[str, Any]:
        """Its JSON form."""
        return {
            "method": self.method, "classes": self.classes, "temperature": self.value, "rows": self.rows,
            "notes": list(self.notes),
        }  # fmt: skip

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Temperature:
        """Read :meth:`as_dict` back; KeyError, TypeError or ValueError where it is damaged."""
        return cls(
            value=float(content["temperature"]), classes=int(content["classes"]), rows=int(content.get("rows", 0)),
            notes=tuple(map(str, content.get("notes", ()))),
        )  # fmt: skip


def fit_temperature(truth: npt.ArrayLike, probabilities: npt.ArrayLike) -> Temperature:
    """The temperature with the least mean negative log-likelihood (Guo et al. 2017, ICML, section 4.2).

    The likelihood is convex in 1/T, so its slope has one root, which is bracketed and found by Brent's method. Logits
    are not needed: they differ from log-probabilities by a number a picture, which the softmax cancels.

    Args:
        truth: True classes of the validation pictures, (N,) integers in [0, C).
        probabilities: (N, C) in [0, 1].

    Returns:
        The temperature; 1 and a note where none is best: every picture right (the likelihood rises towards T = 0) or
        probabilities no better than chance (it rises towards T = infinity).

    Raises:
        ValueError: The shapes differ, or there are no rows.

    >>> round(fit_temperature([0, 0, 0, 1], [[0.9, 0.1]] * 4).value, 9)  # sure at 9 : 1, right at 3 : 1
    2.0
    """
    labels, scores = checked_pair(truth, probabilities)
    logs = log_probabilities(scores)
    logs = logs - logs.max(axis=1, keepdims=True)
    of_truth = logs[np.arange(len(labels)), labels]

    def slope(inverse: float) -> float:
        """Derivative of the mean negative log-likelihood by 1/T: rises with 1/T."""
        return float(((_softmax(inverse * logs) * logs).sum(axis=1) - of_truth).mean())

    classes, rows = scores.shape[1], len(labels)
    if not (of_truth < 0).any():
        said = "every validation picture is right, so no temperature is best; the probabilities are left as they are"
        return Temperature(value=1.0, classes=classes, rows=rows, notes=(said,))
    if slope(0.0) >= 0:
        said = (
            "the validation probabilities are no better than chance, which no temperature mends; "
            "they are left as they are"
        )
        return Temperature(value=1.0, classes=classes, rows=rows, notes=(said,))
    from scipy.optimize import brentq

    low = high = 1.0
    while slope(low) > 0:
        low /= 2
    while slope(high) < 0:
        high *= 2
    inverse = high if low == high else float(brentq(slope, low, high, xtol=1e-15, rtol=1e-14))
    return Temperature(value=1 / inverse, classes=classes, rows=rows)


def _softmax(logits: FloatArray) -> FloatArray:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float64)
