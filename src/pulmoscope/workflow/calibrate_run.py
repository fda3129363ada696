"""Calibrate a finished run: fit on its validation predictions, store in its model, write its results anew."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

from pulmoscope.errors import RunError
from pulmoscope.evaluation import Predictions, evaluate
from pulmoscope.evaluation.calibration_summary import CalibrationSummary, calibration_summary
from pulmoscope.evaluation.recalibrate import Calibrator
from pulmoscope.evaluation.subgroup_words import show_estimate
from pulmoscope.files import exclusive, write_json
from pulmoscope.report import write_report
from pulmoscope.workflow.run import Run
from pulmoscope.workflow.settle import RAW_FILE, settle, with_calibration
from pulmoscope.workflow.training_run import reported_part, write_predictions

_PARTS = {"val": "validation", "test": "test"}
_ROWS = {
    "ece_width": "ECE, equal width",
    "ece_mass": "ECE, equal mass",
    "brier": "Brier score",
    "log_loss": "log loss",
}


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """What a calibration changed. Printed, it is a readable table.

    Attributes:
        method: ``none``, ``temperature``, ``platt`` or ``isotonic``.
        calibration: As it is stored; None for ``none``.
        was: The method that the run was calibrated by before; None where by none.
        before: Of the raw probabilities, by part: ``val`` and, where there is one, ``test``.
        after: Of the calibrated ones; the validation part flatters, as it was fitted there.
        changed: Pictures of each part whose predicted class changed.
        notes: What a reader must know.
    """

    method: str
    calibration: Calibrator | None
    was: str | None
    before: dict[str, CalibrationSummary]
    after: dict[str, CalibrationSummary]
    changed: dict[str, int]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Its JSON form."""
        return {
            "method": self.method, "was": self.was,
            "calibration": None if self.calibration is None else self.calibration.as_dict(),
            "parts": {
                part: {
                    "before": self.before[part].as_dict(), "after": self.after[part].as_dict(),
                    "changed_predictions": self.changed[part],
                }
                for part in self.before
            },
            "notes": list(self.notes),
        }  # fmt: skip

    def __str__(self) -> str:
        """The numbers as text."""
        lines = [f"calibration: {self.method}, fitted on the validation part"]
        if self.calibration is None:
            lines = ["calibration: none, the probabilities are as the network gives them"]
        value = getattr(self.calibration, "value", None)
        if value is not None:
            lines.append(f"temperature {value:.3f}: {'less' if value > 1 else 'more'} sure than before")
        for part, before in self.before.items():
            after = self.after[part]
            fitted = " (fitted here: flatters)" if part == "val" and self.calibration is not None else ""
            lines += [
                "",
                f"{_PARTS[part]} part, {before.n} pictures of {before.groups} groups{fitted}",
                f"  {'':<18}{'before':<24}after",
            ]
            for name, title in _ROWS.items():
                lines.append(
                    f"  {title:<18}{show_estimate(getattr(before, name)):<24}{show_estimate(getattr(after, name))}"
                )
            lines.append(
                f"  ECE by chance     {before.ece_by_chance:<24.3f}{after.ece_by_chance:.3f}   (equal mass, exact "
                "probabilities)"
            )
            lines.append(f"  predicted class changed for {self.changed[part]} of {before.n} pictures")
            lines.append(
                f"  {'Brier in parts':<18}{'before: reliability, resolution':<36}after (uncertainty)"
            )
            for label, one in before.by_class.items():
                then = after.by_class[label]
                parts = f"{one.reliability:.4f}, {one.resolution:.4f}"
                lines.append(
                    f"    {label:<16}{parts:<36}{then.reliability:.4f}, {then.resolution:.4f} ({then.uncertainty:.4f})"
                )
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def calibrate(run: str | os.PathLike[str], method: str = "temperature") -> Calibrated:
    """Fit a calibration on a run's validation predictions and store it in its model; the weights are untouched.

    Always fitted on the raw probabilities, so that calibrating again is as if for the first time. Operating points are
    chosen anew on the calibrated ones, and predictions, metrics, figures and report are written anew. A kill leaves
    either model; the same command again makes the rest fit it.

    Args:
        run: Folder of a finished run; of a cross-validation one of its folds.
        method: ``temperature``, ``platt``, ``isotonic``, or ``none`` to take a calibration away.

    Raises:
        RunError: No finished run, or one of several folds.
        TableError: The validation part is missing or lacks a class that the method needs.
    """
    found = Run(run)
    folder, bundle = found.folder, found.model
    metrics = found.metrics
    with exclusive(folder):
        raw = found.raw_predictions
        if "val" not in raw.splits:
            raise RunError(
                f"{folder} has no validation predictions", expected="rows of split val to fit on",
                remedy="name a run whose cohort has a validation part",
            )  # fmt: skip
        settled = settle(bundle, raw, method)
        kept = {name: value for name, value in bundle.notes.items() if name != "calibration"}
        after = replace(settled.bundle, notes=kept)
        # The raw ones must be there before a model says that it is calibrated.
        if after.calibration is not None:
            raw.write(folder / RAW_FILE)
        after.save_description(folder / "model")
        predictions = write_predictions(folder, raw, after)
        was = None if bundle.calibration is None else bundle.calibration.method
        compared = _compare(raw, after.calibration, found.recipe.evaluate.replicates)
        result = Calibrated(
            method=method, calibration=after.calibration, was=was, notes=_notes(was, method, settled.notes), **compared,
        )  # fmt: skip
        for part in raw.splits:
            if part in metrics:
                metrics[part] = evaluate(
                    predictions, split=part, replicates=found.recipe.evaluate.replicates
                ).as_dict()
        write_json(folder / "metrics.json", metrics)
        write_report(folder, part=reported_part(metrics))
    return result


def _compare(raw: Predictions, calibration: Calibrator | None, replicates: int) -> dict[str, Any]:
    """The fields ``before``, ``after`` and ``changed`` of :class:`Calibrated`."""
    before: dict[str, CalibrationSummary] = {}
    after: dict[str, CalibrationSummary] = {}
    changed: dict[str, int] = {}
    for part in (name for name in _PARTS if name in raw.splits):
        plain = raw.part(part)
        mended = with_calibration(plain, calibration)
        for found, table in ((before, plain), (after, mended)):
            summary = calibration_summary(table, replicates=replicates)
            if summary is not None:
                found[part] = summary
        changed[part] = int((plain.predicted != mended.predicted).sum())
    return {"before": before, "after": after, "changed": changed}


def _notes(was: str | None, method: str, settled: tuple[str, ...]) -> tuple[str, ...]:
    notes = list(settled)
    if was is not None and method != "none":
        notes.append(
            f"the run was calibrated already ({was}); this one was fitted on the raw probabilities and replaces it"
        )
    elif was is not None:
        notes.append(f"the calibration by {was} was taken away")
    if method != "none":
        notes.append("choose between methods by validation, not by the test part")
    return tuple(notes)
