"""Probabilities for a place where the classes are more or less common than where the model was trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from pulmoscope.evaluation.calibrator_math import checked

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class PrevalenceShift:
    """Bayes' rule with other priors (Saerens, Latinne and Decaestecker 2002, Neural Computation 14:21, equation 2.4).

    Each probability is multiplied by the new prior of its class over the old one, and rows are renormalised. It holds
    where only the shares of the classes differ: pictures of a class look alike in both places (no shift of scanner,
    age or severity), and the probabilities were calibrated at the old priors.

    Attributes:
        old: Share of each class where the probabilities are calibrated (the training part, or the validation part if
            they were recalibrated there), C numbers above 0 that sum to 1.
        new: Share of each class where they will be used, C numbers of at least 0 that sum to 1.
    """

    method: ClassVar[str] = "prevalence"

    old: tuple[float, ...]
    new: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.old) != len(self.new) or len(self.old) < 2:
            raise ValueError(
                f"expected old and new shares of the same 2 classes or more, got {len(self.old)} and {len(self.new)}"
            )
        old, new = np.asarray(self.old, np.float64), np.asarray(self.new, np.float64)
        # Written so that a NaN is refused too.
        if not (
            (old > 0).all() and (new >= 0).all() and abs(old.sum() - 1) < 1e-6 and abs(new.sum() - 1) < 1e-6
        ):
            raise ValueError(f"shares must sum to 1, the old ones be above 0, got {self.old} and {self.new}")

    @property
    def classes(self) -> int:
        """C."""
        return len(self.old)

    @property
    def notes(self) -> tuple[str, ...]:
        """What who uses it must know."""
        return ("holds where only the shares of the classes differ, not how a class looks",)

    def apply(self, probabilities: npt.ArrayLike) -> FloatArray:
        """Map probabilities (N, C) to (N, C); a row is NaN where all its classes are impossible at the new priors.

        Raises:
            ValueError: Another number of columns.

        >>> shift = PrevalenceShift(old=(0.5, 0.5), new=(0.9, 0.1))
        >>> shift.apply([[0.5, 0.5]]).round(3).tolist()
        [[0.9, 0.1]]
        """
        scores = checked(probabilities, self.classes)
        weighted = scores * (np.asarray(self.new) / np.asarray(self.old))
        sums = weighted.sum(axis=1, keepdims=True)
        return np.where(sums > 0, weighted / np.where(sums > 0, sums, 1.0), np.nan)

    def as_dict(self) -> dict[str, Any]:
        """Its JSON form."""
        return {"method": self.method, "old": list(self.old), "new": list(self.new)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> PrevalenceShift:
        """Read :meth:`as_dict` back; KeyError, TypeError or ValueError where it is damaged."""
        return cls(old=tuple(map(float, content["old"])), new=tuple(map(float, content["new"])))
