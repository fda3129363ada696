"""External validation: a trained model on a cohort it never saw."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

from pulmoscope.cohort import Cohort
from pulmoscope.errors import CohortError, LabelError, RunError, SplitLeakError
from pulmoscope.evaluation import Evaluation, IntervalMethod, evaluate
from pulmoscope.files import make_folder, write_json
from pulmoscope.inference import Predictor
from pulmoscope.report import write_report
from pulmoscope.workflow.parts import decode_all
from pulmoscope.workflow.run import Run
from pulmoscope.workflow.shared import shared_with_training
from pulmoscope.workflow.training_run import predictions_table

log = logging.getLogger("pulmoscope")


def evaluate_external(
    run: Run,
    cohort: Cohort,
    *,
    name: str,
    split: str | None = None,
    out: str | os.PathLike[str] | None = None,
    allow_leak: bool = False,
    intervals: IntervalMethod = "default",
    progress: bool = False,
) -> tuple[Evaluation, Path]:
    """Judge ``run`` on another cohort and write predictions, metrics and a report.

    Args:
        run: A finished run.
        cohort: Its classes must be among the model's.
        name: Of the cohort; the results go to ``RUN/external/NAME`` unless ``out`` is given.
        split: Only this part of the cohort; every row by default.
        out: Folder for the results.
        allow_leak: Go on although pictures or patients of the cohort were trained on; the report says so.
        intervals: As in :func:`pulmoscope.evaluation.evaluate`.
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
    unknown = set(cohort.frame["label"]) - set(model.classes)
    if unknown:
        raise LabelError(
            f"the cohort has classes the model does not know: {', '.join(sorted(unknown))}",
            expected=", ".join(model.classes),
            remedy="build the cohort with the label scheme the model was trained with (--labels)",
        )
    shared = shared_with_training(run, cohort)
    if shared and not allow_leak:
        shown = ", ".join(shared[:5])
        raise SplitLeakError(
            f"{len(shared)} of {len(cohort)} radiographs share a patient or a picture with the training data: {shown}",
            remedy="leave them out, or go on with --allow-leak, which marks every output",
        )
    folder = make_folder(out if out is not None else run.folder / "external" / re.sub(r"[^\w.-]+", "-", name))
    _refuse_other_content(folder)
    parts = decode_all(cohort, model.preprocess, progress=progress)
    frame = parts.cohort.frame.assign(split="test")
    probabilities = Predictor(model).predict_store(parts.store, frame["image_id"])
    predictions = predictions_table(frame, probabilities, model.classes)
    info = dict(parts.cohort.info)
    info["classes"] = list(model.classes)
    info["split"] = {
        "kind": "external",
        "leaked": bool(shared),
        "leaking_groups": len(shared),
        "model": run.folder.name,
    }
    absent = [label for label in model.classes if label not in set(frame["label"])]
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
    metrics = {"test": evaluation.as_dict()} | ({"leaked_split": True} if shared else {})
    write_json(folder / "metrics.json", metrics)
    write_report(folder)
    if not shared:
        log.info("judged on %d radiographs that the model was not trained on", len(frame))
    return evaluation, folder


def _refuse_other_content(folder: Path) -> None:
    """Results may replace earlier ones of an external validation, never a run or a cohort."""
    held = folder / "cohort.parquet"
    is_ours = held.is_file() and Cohort.read(held).info.get("split", {}).get("kind") == "external"
    if (folder / "recipe.yaml").is_file() or (held.is_file() and not is_ours):
        raise RunError(
            f"{folder} holds a run or a cohort",
            code="E_RUN_EXISTS",
            remedy="choose another folder with --out",
        )
