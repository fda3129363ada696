"""What is fitted on validation once a network is trained, and then fixed: calibration and operating points."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace

from pulmoscope.errors import PulmoscopeError
from pulmoscope.evaluation import Predictions
from pulmoscope.evaluation.operating_table import choose_points
from pulmoscope.evaluation.recalibrate import Calibrator, fit_calibrator
from pulmoscope.models import Bundle

log = logging.getLogger("pulmoscope")

#: The raw probabilities beside ``predictions.parquet``, which then holds the calibrated ones.
RAW_FILE = "predictions_raw.parquet"


@dataclass(frozen=True, kw_only=True)
class Settled:
    """A bundle with what validation chose for it.

    Attributes:
        bundle: With its calibration, if any, and its operating points.
        notes: What a user of them must know, such as why there is none.
    """

    bundle: Bundle
    notes: tuple[str, ...]


def settle(bundle: Bundle, raw: Predictions, method: str) -> Settled:
    """Fit the calibration on the validation rows, then choose the operating points on what it makes of them.

    Args:
        bundle: The trained model; a calibration or points that it has already are replaced.
        raw: Its predictions without any calibration, with validation rows; others are not looked at.
        method: ``none``, ``temperature``, ``platt`` or ``isotonic``.

    Raises:
        TableError: There is no validation part, or it lacks a class that the method needs.
    """
    calibration = None if method == "none" else fit_calibrator(raw.part("val"), method)
    points = choose_points(with_calibration(raw.part("val"), calibration))
    notes = [] if calibration is None else list(calibration.notes)
    # Three rules of a class fail together, for one reason.
    lacking = dict.fromkeys(note for point in points if math.isnan(point.threshold) for note in point.notes)
    settled = replace(bundle, calibration=calibration, operating_points=points)
    return Settled(bundle=settled, notes=(*notes, *lacking))


def settle_or_say(bundle: Bundle, raw: Predictions, method: str) -> Bundle:
    """:func:`settle` for the end of a training, which what validation lacks must not stop: it is logged and noted."""
    try:
        found = settle(bundle, raw, method)
    except PulmoscopeError as error:
        log.warning("the probabilities are left as the network gives them: %s", error)
        if method == "none":
            return bundle
        noted = replace(bundle, notes=bundle.notes | {"calibration": str(error)})
        return settle_or_say(noted, raw, "none")
    for note in found.notes:
        log.warning("%s", note)
    return found.bundle


def with_calibration(raw: Predictions, calibration: Calibrator | None) -> Predictions:
    """The table with its probabilities mended; itself where there is no calibration."""
    probabilities = raw.probabilities
    if calibration is None or probabilities is None:
        return raw
    frame = raw.frame
    frame[[f"p_{name}" for name in raw.classes]] = calibration.apply(probabilities)
    return Predictions(frame, raw.classes, name=raw.name)
