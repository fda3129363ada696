"""Mend a model's probabilities on the validation part: temperature, Platt, isotonic, as frozen objects.

A recalibration fitted on the pictures that then judge it flatters itself, so :func:`fit_calibrator` reads the
validation rows of a predictions table and no others. What it returns holds numbers only: ``apply`` maps probabilities
to probabilities, and ``as_dict`` is its JSON form (:func:`calibrator_from_dict` reads it back).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

from pulmoscope.errors import PulmoscopeError, TableError
from pulmoscope.evaluation.isotonic import Isotonic, fit_isotonic
from pulmoscope.evaluation.platt import Platt, fit_platt
from pulmoscope.evaluation.predictions import Predictions, one_model
from pulmoscope.evaluation.prevalence import PrevalenceShift
from pulmoscope.evaluation.temperature import Temperature, fit_temperature

FloatArray = npt.NDArray[np.float64]
Method = Literal["temperature", "platt", "isotonic"]


class Calibrator(Protocol):
    """Maps probabilities to better ones."""

    @property
    def method(self) -> str:
        """Its name in JSON."""
        ...

    @property
    def classes(self) -> int:
        """C: columns of the probabilities that it takes."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What who uses it must know."""
        ...

    def apply(self, probabilities: npt.ArrayLike) -> FloatArray:
        """Map (N, C) probabilities to (N, C), rows summing to 1.

        Raises:
            ValueError: Another number of columns.
        """
        ...

    def as_dict(self) -> dict[str, Any]:
        """Its JSON form: plain numbers, text and lists."""
        ...


_KINDS: dict[str, type[Temperature] | type[Platt] | type[Isotonic] | type[PrevalenceShift]] = {
    "temperature": Temperature,
    "platt": Platt,
    "isotonic": Isotonic,
    "prevalence": PrevalenceShift,
}


def fit_calibrator(
    predictions: Predictions, method: Method | str = "temperature", *, split: str = "val"
) -> Temperature | Platt | Isotonic:
    """Fit one on the validation rows of a predictions table; the other rows are not looked at.

    Args:
        predictions: One model's, with true labels, probabilities and a column ``split``.
        method: ``"temperature"`` keeps every ranking and choice within a picture and needs few pictures; ``"platt"``
            and ``"isotonic"`` treat each class apart and may change which class is the most probable. Isotonic bends
            freely: it wants about a thousand pictures (Niculescu-Mizil and Caruana 2005, ICML).
        split: What the table calls its validation part; ``test`` is refused.

    Raises:
        TableError: No such rows, no probabilities, several models, no picture of some class, or the split is
            the test part.
        PulmoscopeError: No such method.
    """
    if method not in get_args(Method):
        raise PulmoscopeError(
            "unknown way to recalibrate",
            code="E_OPTION",
            expected=", ".join(get_args(Method)),
            got=repr(method),
        )
    if split == "test":
        raise TableError(
            "a recalibration must not be fitted on the test part", expected="the validation part",
            remedy="fit on val; judge on test",
        )  # fmt: skip
    part = one_model(predictions).part(split)
    probabilities = part.probabilities
    if probabilities is None:
        raise TableError(
            f"{predictions.name} has no probabilities", expected="one column p_CLASS a class",
            remedy="hard labels cannot be recalibrated",
        )  # fmt: skip
    truth = part.labels
    if method == "temperature":
        return fit_temperature(truth, probabilities)
    counts = np.bincount(truth, minlength=len(part.classes))
    lacking = [name for name, count in zip(part.classes, counts, strict=True) if count in (0, len(truth))]
    if lacking:
        raise TableError(
            f"the {split} part of {predictions.name} has none, or nothing but, of class {', '.join(lacking)}",
            expected=f"pictures of every class for {method}", remedy="use temperature, or a larger validation part",
        )  # fmt: skip
    return fit_platt(truth, probabilities) if method == "platt" else fit_isotonic(truth, probabilities)


def calibrator_from_dict(content: Mapping[str, Any]) -> Temperature | Platt | Isotonic | PrevalenceShift:
    """Read the JSON form of any calibrator back.

    Raises:
        PulmoscopeError: It is not one: unknown method, fields missing or of another kind, numbers out of range.
    """
    method = content.get("method") if isinstance(content, Mapping) else None
    kind = _KINDS.get(method) if isinstance(method, str) else None
    if kind is None:
        raise PulmoscopeError(
            "this is no stored recalibration", code="E_CALIBRATION",
            expected=f"an object whose method is one of {', '.join(_KINDS)}", got=repr(method)[:80],
        )  # fmt: skip
    try:
        return kind.from_dict(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PulmoscopeError(
            f"the stored recalibration ({method}) is damaged", code="E_CALIBRATION",
            got=f"{type(error).__name__}: {error}"[:200], remedy="fit it again",
        ) from error  # fmt: skip
