"""Probabilities to calls, at the operating points that a model keeps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pulmoscope.errors import PulmoscopeError
from pulmoscope.evaluation import OperatingPoint, PrevalenceShift
from pulmoscope.models import Bundle


def stored_points(bundle: Bundle, rule: str) -> tuple[OperatingPoint, ...]:
    """The operating points of one rule, one a class.

    Args:
        bundle: The model.
        rule: As :attr:`Rule.code <pulmoscope.evaluation.Rule.code>` writes it, such as ``sensitivity>=0.95``.

    Raises:
        PulmoscopeError: The model keeps none of that rule.
    """
    wanted = rule.replace(" ", "")
    found = tuple(point for point in bundle.operating_points if point.rule.code == wanted)
    if not found:
        codes = dict.fromkeys(point.rule.code for point in bundle.operating_points)
        raise PulmoscopeError(
            f"the model keeps no operating point {rule!r}", code="E_OPTION",
            expected=" or ".join(codes) or None,
            remedy=None if codes else "choose them by pulmoscope calibrate RUN --method none",
        )  # fmt: skip
    return found


def called(points: Sequence[OperatingPoint], probabilities: Mapping[str, float]) -> dict[str, bool | None]:
    """Whether a picture is called for each class; several may be, or none. None where no threshold could be chosen.

    >>> from pulmoscope.evaluation import Rule, choose_threshold
    >>> point = choose_threshold([1, 1, 0, 0], [0.9, 0.4, 0.6, 0.1], Rule(kind="youden"), name="covid")
    >>> point.threshold, called([point], {"covid": 0.3})
    (0.25, {'covid': True})
    """
    return {
        point.positive: None
        if math.isnan(point.threshold)
        else bool(point.call([probabilities[point.positive]])[0])
        for point in points
    }


def prevalence_shift(bundle: Bundle, shares: Mapping[str, float]) -> PrevalenceShift:
    """The correction from the class shares of validation, where the model was calibrated, to those of another place.

    Args:
        bundle: A calibrated model.
        shares: Class to its share there, all classes, in [0, 1], summing to 1.

    Raises:
        PulmoscopeError: The model is not calibrated, so its probabilities are right at no known shares; or the shares
            are not of its classes, or do not sum to 1.
    """
    old = bundle.validation_shares
    if bundle.calibration is None or old is None:
        raise PulmoscopeError(
            "a correction for another prevalence needs calibrated probabilities", code="E_CALIBRATION",
            got="a model without calibration", remedy="first pulmoscope calibrate RUN",
        )  # fmt: skip
    if set(shares) != set(bundle.classes):
        raise PulmoscopeError(
            "a prevalence must be stated of every class", code="E_USAGE",
            expected=",".join(f"{name}=SHARE" for name in bundle.classes), got=", ".join(shares) or "none",
        )  # fmt: skip
    new = tuple(shares[name] for name in bundle.classes)
    if not all(0 <= share <= 1 for share in new) or abs(sum(new) - 1) > 1e-6:
        raise PulmoscopeError(
            "the shares of the classes must lie in [0, 1] and sum to 1", code="E_USAGE",
            got=", ".join(f"{name} {share:g}" for name, share in shares.items()),
        )  # fmt: skip
    if min(old) <= 0:
        lacking = ", ".join(name for name, share in zip(bundle.classes, old, strict=True) if share <= 0)
        raise PulmoscopeError(
            f"validation held no picture of {lacking}, so nothing can be carried over to another prevalence",
            code="E_CALIBRATION",
        )
    return PrevalenceShift(old=old, new=new)
