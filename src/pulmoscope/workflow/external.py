"""External validation: a trained model on a cohort it never saw, beside its internal test."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pulmoscope.cohort import Cohort
from pulmoscope.errors import CohortError, LabelError, SplitLeakError
from pulmoscope.evaluation import Evaluation, IntervalMethod, evaluate
from pulmoscope.evaluation.merge import merge_classes, merged_classes, parents_in
from pulmoscope.evaluation.operating_table import JudgedPoint, judge_points
from pulmoscope.evaluation.predictions import Predictions
from pulmoscope.evaluation.transport import compare_transport
from pulmoscope.evaluation.transport_result import Transport
from pulmoscope.files import make_folder, write_json
from pulmoscope.inference import Predictor
from pulmoscope.report import write_report
from pulmoscope.workflow.parts import decode_all
from pulmoscope.workflow.results_folder import refuse_run_or_cohort
from pulmoscope.workflow.run import Run
from pulmoscope.workflow.shared import shared_with_training
from pulmoscope.workflow.training_run import predictions_table

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger("pulmoscope")


@dataclass(frozen=True, kw_only=True, eq=False)
class External:
    """What an external validation found.

    Attributes:
        evaluation: Every metric on the external cohort.
        transport: Beside the internal test; None where the run has no test part, or no class occurs on both sides.
        points: The operating points that the model keeps, fixed on its validation part, on the external cohort; not of
            classes that were summed.
        folder: Where predictions, metrics and the report are.
    """

    evaluation: Evaluation
    transport: Transport | None
    points: tuple[JudgedPoint, ...]
    folder: Path

    def as_dict(self) -> dict[str, Any]:
        """The evaluation, ``transport`` and ``operating_points``."""
        return self.evaluation.as_dict() | {
            "transport": None if self.transport is None else self.transport.as_dict(),
            "operating_points": [one.as_dict() for one in self.points],
        }


def evaluate_external(
    run: Run,
    cohort: Cohort,
    *,
    name: str,
    split: str | None = None,
    out: str | os.PathLike[str] | None = None,
    allow_leak: bool = False,
    intervals: IntervalMethod = "default",
    class_map: Mapping[str, str] | None = None,
    progress: bool = False,
) -> External:
    """Judge ``run`` on another cohort beside its internal test, and write predictions, metrics and a report.

    Args:
        run: A finished run.
        cohort: Its classes must be among the model's, or be what the model's are summed to.
        name: Of the cohort; the results go to ``RUN/external/NAME`` unless ``out`` is given.
        split: Only this part of the cohort; every row by default.
        out: Folder for the results.
        allow_leak: Go on although pictures or patients of the cohort were trained on; the report says so.
        intervals: As in :func:`pulmoscope.evaluation.evaluate`.
        class_map: Class of the model to the cohort's class that it belongs to: their probabilities are summed. By
            default what the hierarchy of the run's label scheme says of the cohort's classes.
        progress: Draw progress bars.

    Raises:
        LabelError: The cohort has a class that the model does not know.
        SplitLeakError: The cohort shares pictures or patients with the training data.
    """
    if split is not None:
        cohort = cohort.part(split)
    if not len(cohort):
        raise CohortError("the cohort has no picture to judge on" + (f" in {split!r}" if split else ""))
    model = run.model
    parents = _parents(run, cohort, class_map)
    classes = merged_classes(model.classes, parents) if parents else tuple(model.classes)
    unknown = set(cohort.frame["label"]) - set(classes)
    if unknown:
        raise LabelError(
            f"the cohort has classes the model does not know: {', '.join(sorted(unknown))}",
            expected=", ".join(classes),
            remedy="build the cohort with the label scheme the model was trained with (--labels), or say which classes "
            f"of the model belong to one of the cohort's, as in --map {classes[0]}={min(unknown)}",
        )
    shared = shared_with_training(run, cohort)
    if shared and not allow_leak:
        shown = ", ".join(shared[:5])
        raise SplitLeakError(
            f"{len(shared)} of {len(cohort)} radiographs share a patient or a picture with the training data: {shown}",
            remedy="leave them out, or go on with --allow-leak, which marks every output",
        )
    folder = make_folder(out if out is not None else run.folder / "external" / re.sub(r"[^\w.-]+", "-", name))
    refuse_run_or_cohort(folder, own_cohort=_is_external(folder))
    parts = decode_all(cohort, model.preprocess, progress=progress)
    frame = parts.cohort.frame.assign(split="test")
    probabilities = Predictor(model).predict_store(parts.store, frame["image_id"])
    predictions = _table(frame, probabilities, model.classes, parents)
    info = dict(parts.cohort.info)
    info["classes"] = list(classes)
    info["split"] = {
        "kind": "external",
        "leaked": bool(shared),
        "leaking_groups": len(shared),
        "model": run.folder.name,
    }
    if parents:
        summed = "; ".join(
            f"{' + '.join(one for one, to in parents.items() if to == parent)} = {parent}"
            for parent in dict.fromkeys(parents.values())
        )
        info["caveats"] = [
            *info.get("caveats", []),
            f"The model's probabilities are summed to this cohort's classes, {summed}, on the internal test too.",
        ]
    absent = [label for label in classes if label not in set(frame["label"])]
    if absent:
        info["caveats"] = [
            *info.get("caveats", []),
            f"This cohort has no {', '.join(absent)}: what needs it is undefined.",
        ]
    Cohort(frame, info, parts.cohort.dropped).write(folder)
    predictions.write(folder / "predictions.parquet")
    evaluation = evaluate(
        predictions, split="test", intervals=intervals, replicates=run.recipe.evaluate.replicates
    )
    transport = _beside_internal(run, predictions, parents, intervals)
    metrics: dict[str, Any] = {"test": evaluation.as_dict()} | ({"leaked_split": True} if shared else {})
    if transport is not None:
        metrics["transport"] = transport.as_dict()
    summed_classes = {*parents, *parents.values()}
    points = judge_points(
        [one for one in model.operating_points if one.positive not in summed_classes], predictions
    )
    if points:
        metrics["operating_points"] = [one.as_dict() for one in points]
    write_json(folder / "metrics.json", metrics)
    write_report(folder)
    if not shared:
        log.info("judged on %d radiographs that the model was not trained on", len(frame))
    return External(evaluation=evaluation, transport=transport, points=points, folder=folder)


def _parents(run: Run, cohort: Cohort, class_map: Mapping[str, str] | None) -> dict[str, str]:
    """Class of the model to the cohort's class it is summed to; empty where nothing is."""
    if class_map is not None:
        strangers = sorted(set(class_map.values()) - set(cohort.classes) - set(run.model.classes))
        if strangers:
            raise LabelError(
                f"the cohort has no class {', '.join(strangers)} to map to",
                expected=", ".join(cohort.classes),
            )
        return dict(class_map)
    found = parents_in(
        run.model.classes, run.cohort.info.get("hierarchy"), sorted(set(cohort.frame["label"]))
    )
    if found:
        log.info("summed by the label scheme: %s", ", ".join(f"{one}={to}" for one, to in found.items()))
    return found


def _table(
    frame: pd.DataFrame, probabilities: Any, classes: Sequence[str], parents: Mapping[str, str]
) -> Predictions:
    """The predictions, the model's classes summed to the cohort's before they meet its labels."""
    if not parents:
        return predictions_table(frame, probabilities, classes)
    said = Predictions.from_arrays(
        image_id=frame["image_id"].tolist(), probabilities=probabilities, classes=classes
    )
    merged = merge_classes(said, parents)
    return predictions_table(frame, merged.probabilities, merged.classes)


def _beside_internal(
    run: Run, external: Predictions, parents: Mapping[str, str], intervals: IntervalMethod
) -> Transport | None:
    """The internal test beside the external cohort; None where the run has no test part or no class in common."""
    if not (run.folder / "predictions.parquet").is_file() or "test" not in run.predictions.splits:
        log.warning("the run has no test part: there is nothing internal to compare with")
        return None
    internal = run.predict("test")
    internal = merge_classes(internal, parents) if parents else internal
    if not set(internal.labels) & set(external.labels):
        log.warning("no class occurs both in the internal test and in this cohort: they are not compared")
        return None
    return compare_transport(
        internal, external, intervals=intervals, replicates=run.recipe.evaluate.replicates
    )


def _is_external(folder: Path) -> bool:
    """Whether the folder holds the cohort of an earlier external validation, which may be replaced."""
    held = folder / "cohort.parquet"
    return held.is_file() and Cohort.read(held).info.get("split", {}).get("kind") == "external"
