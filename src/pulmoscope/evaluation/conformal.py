"""Sets of classes that hold the true one as often as promised: split conformal prediction.

The promise is of pictures drawn as the validation pictures were, and on average over validation parts: with n of
them, the coverage of one fitted rule scatters about its level as a beta distribution does, and a finite test part
scatters once more (:func:`coverage_range`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from pulmoscope.errors import PulmoscopeError

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
#: One threshold for all pictures, or one a class (Mondrian), which promises the level to each class apart.
Kind = Literal["marginal", "by-class"]


@dataclass(frozen=True, kw_only=True)
class ConformalSets:
    """A rule from probabilities to sets of classes, fixed on validation pictures.

    A class is in the set of a picture where ``1 - p`` is at most the threshold.

    Attributes:
        kind: ``"marginal"`` or ``"by-class"``.
        level: Wanted coverage, in (0, 1).
        classes: Names, in the order of the probabilities.
        thresholds: Of ``1 - p``, one a class, in [0, 1]; infinite where too few pictures were there to set it, so that
            the class is in every set. All alike for ``"marginal"``.
        counts: Validation pictures behind each threshold: of the class, or all of them for ``"marginal"``.
        fitted_on: The split.
        notes: What who uses it must know.
    """

    kind: Kind
    level: float
    classes: tuple[str, ...]
    thresholds: tuple[float, ...]
    counts: tuple[int, ...]
    fitted_on: str
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind) or not 0 < self.level < 1 or len(self.classes) < 2:
            raise ValueError(
                f"expected a kind of {get_args(Kind)}, a level in (0, 1) and 2 classes or more, got {self.kind!r}, "
                f"{self.level}, {len(self.classes)}"
            )
        if not len(self.classes) == len(self.thresholds) == len(self.counts):
            raise ValueError("expected one threshold and one count a class")
        if any(math.isnan(one) or one < 0 for one in self.thresholds):
            raise ValueError(f"a threshold must be at least 0, got {self.thresholds}")

    def sets(self, probabilities: npt.ArrayLike) -> BoolArray:
        """Which classes are in the set of each picture, (N, C) booleans, from probabilities (N, C).

        Raises:
            ValueError: Another number of columns.
        """
        values = np.asarray(probabilities, np.float64)
        if values.ndim != 2 or values.shape[1] != len(self.classes):
            raise ValueError(f"expected probabilities of shape (N, {len(self.classes)}), got {values.shape}")
        return np.asarray(1 - values <= np.asarray(self.thresholds))

    def as_dict(self) -> dict[str, Any]:
        """Its JSON form; an infinite threshold is ``"inf"``."""
        return {
            "kind": self.kind, "level": self.level, "classes": list(self.classes),
            "thresholds": ["inf" if math.isinf(one) else one for one in self.thresholds],
            "counts": list(self.counts), "fitted_on": self.fitted_on, "notes": list(self.notes),
        }  # fmt: skip

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> ConformalSets:
        """Read :meth:`as_dict` back, with the same thresholds to the last bit.

        Raises:
            PulmoscopeError: It is no such rule, or damaged.
        """
        try:
            return cls(
                kind=content["kind"], level=float(content["level"]), classes=tuple(map(str, content["classes"])),
                thresholds=tuple(map(float, content["thresholds"])), counts=tuple(map(int, content["counts"])),
                fitted_on=str(content["fitted_on"]), notes=tuple(map(str, content["notes"])),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise PulmoscopeError(
                "this is no stored rule of conformal sets", code="E_CONFORMAL",
                got=f"{type(error).__name__}: {error}"[:200], remedy="fit it again on the validation part",
            ) from error  # fmt: skip


def fit_conformal(
    truth: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    classes: Sequence[str],
    *,
    level: float = 0.9,
    kind: Kind = "marginal",
    fitted_on: str = "val",
) -> ConformalSets:
    """Fix the thresholds on validation pictures.

    The score of a picture is ``1 - p`` of its true class (Sadinle, Lei and Wasserman 2019, JASA 114:223); the
    threshold is the ``ceil((n + 1) level)``-th smallest of n (Vovk, Gammerman and Shafer 2005, chapter 2; by class:
    section 4.5).

    Args:
        truth: True classes, (N,) integers in [0, C).
        probabilities: (N, C) in [0, 1].
        classes: The C names.
        level: Wanted coverage, in (0, 1).
        kind: One threshold for all, or one a class.
        fitted_on: Name of the split that the pictures are of.

    Raises:
        ValueError: The shapes differ, or an option is out of range.

    >>> rule = fit_conformal([0, 0, 0, 1], [[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.3, 0.7]], ["a", "b"], level=0.6)
    >>> rule.thresholds  # the third smallest of 0.1, 0.2, 0.3, 0.4
    (0.30000000000000004, 0.30000000000000004)
    """
    labels, values = np.asarray(truth, np.int64), np.asarray(probabilities, np.float64)
    if values.ndim != 2 or values.shape != (len(labels), len(classes)):
        raise ValueError(
            f"expected truth (N,) and probabilities (N, {len(classes)}), got {labels.shape} and {values.shape}"
        )
    if not 0 < level < 1:
        raise ValueError(f"a level must lie between 0 and 1, got {level}")
    scores = 1 - values[np.arange(len(labels)), labels]
    if kind == "marginal":
        thresholds = [_quantile(scores, level)] * len(classes)
        counts = [len(scores)] * len(classes)
    else:
        own = [scores[labels == index] for index in range(len(classes))]
        thresholds, counts = [_quantile(one, level) for one in own], [len(one) for one in own]
    return ConformalSets(
        kind=kind, level=level, classes=tuple(classes), thresholds=tuple(thresholds), counts=tuple(counts),
        fitted_on=fitted_on, notes=_notes(kind, level, classes, counts, fitted_on),
    )  # fmt: skip


def fewest_pictures(level: float) -> int:
    """Validation pictures below which no finite threshold has the level: ``ceil(1 / (1 - level)) - 1``.

    >>> fewest_pictures(0.9), fewest_pictures(0.95)
    (9, 19)
    """
    return math.ceil(1 / (1 - level) - 1e-9) - 1


def coverage_range(
    fitted: int, judged: int, level: float, *, confidence: float = 0.95
) -> tuple[float, float]:
    """Between which shares the coverage seen on a test part lies where the promise holds and no scores tie.

    The coverage of a rule fitted on n pictures follows Beta(k, n + 1 - k) with ``k = ceil((n + 1) level)`` (Vovk 2012,
    ACML; Angelopoulos and Bates 2023, FnT Machine Learning 16:494, section 3.2), so the count on m test pictures is
    beta-binomial. Both parts are taken as independent pictures.

    Args:
        fitted: n, validation pictures behind the threshold.
        judged: m, test pictures.
        level: Wanted coverage, in (0, 1).
        confidence: How often it lies between, at least; in (0, 1).

    Returns:
        Lower and upper share in [0, 1]; both 1 where n is too small for a finite threshold, NaN where m is 0.
    """
    if not judged:
        return float("nan"), float("nan")
    rank = _rank(fitted, level)
    if rank > fitted:
        return 1.0, 1.0
    from scipy.stats import betabinom

    tail = (1 - confidence) / 2
    low, high = betabinom.ppf([tail, 1 - tail], judged, rank, fitted + 1 - rank)
    return float(low) / judged, float(high) / judged


def _rank(count: int, level: float) -> int:
    """``ceil((n + 1) level)``, not thrown one up by the rounding of a level such as 0.7."""
    return math.ceil((count + 1) * level - 1e-9)


def _quantile(scores: FloatArray, level: float) -> float:
    rank = _rank(len(scores), level)
    return math.inf if rank > len(scores) else float(np.partition(scores, rank - 1)[rank - 1])


def _notes(
    kind: Kind, level: float, classes: Sequence[str], counts: Sequence[int], part: str
) -> tuple[str, ...]:
    needed = fewest_pictures(level)
    if kind == "marginal":
        if counts[0] >= needed:
            return ()
        said = f"{counts[0]} pictures of the {part} part are too few for a level of {level:g} (it needs {needed})"
        return (f"{said}: every set holds every class",)
    return tuple(
        f"class {name}: {count} pictures of the {part} part are too few for a level of {level:g} (it needs {needed}): "
        "every set holds the class"
        for name, count in zip(classes, counts, strict=True)
        if count < needed
    )
