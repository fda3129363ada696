"""k-fold cross-validation: one run a fold, judged together on what each held out."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import pandas as pd

from pulmoscope.cohort import Cohort
from pulmoscope.evaluation import Predictions, evaluate
from pulmoscope.files import make_folder
from pulmoscope.training import Recipe
from pulmoscope.workflow.run import Run
from pulmoscope.workflow.settle import RAW_FILE
from pulmoscope.workflow.training_run import claim, finish, publish_if_finished, train_once

log = logging.getLogger("pulmoscope")


def cross_validate(recipe: Recipe, cohort: Cohort, folder: Path, *, seed: int, progress: bool) -> None:
    """Train every fold under ``folder/folds`` and pool the held-out predictions.

    Each fold carves its validation part out of its own training part, so that no fold chooses by what it is judged on.
    """
    if publish_if_finished(folder):
        return
    started = time.monotonic()
    folds = sorted(int(fold) for fold in cohort.frame["fold"].dropna().unique())
    tables, raw, rows = [], [], []
    for fold in folds:
        log.info("fold %d of %d", fold + 1, len(folds))
        part = make_folder(folder / "folds" / f"fold-{fold}")
        claim(part, recipe, cohort, seed, resume=(part / "recipe.yaml").is_file())
        train_once(recipe, cohort, part, seed=seed, fold=fold, progress=progress)
        run = Run(part)
        tables.append(run.predict("test").frame)
        raw.append(run.raw_predictions.part("test").frame)
        rows.append({"fold": fold, "test": run.metrics["test"], "val": run.metrics["val"]})
    pooled = Predictions(pd.concat(tables, ignore_index=True), tuple(cohort.classes))
    if any((folder / "folds" / f"fold-{fold}" / RAW_FILE).is_file() for fold in folds):
        # Every fold has its own calibration.
        Predictions(pd.concat(raw, ignore_index=True), tuple(cohort.classes)).write(folder / RAW_FILE)
    pooled.write(folder / "predictions.parquet")
    # Every fold decoded the whole cohort, so each dropped the same pictures.
    held_out = cohort.frame[cohort.frame["image_id"].isin(pooled.frame["image_id"])].copy()
    held_out["split"] = "test"
    last = Run(folder / "folds" / f"fold-{folds[-1]}").cohort
    Cohort(held_out, {**cohort.info, "dropped": last.info["dropped"]}, last.dropped).write(folder)
    metrics: dict[str, Any] = {
        "test": evaluate(pooled, split="test", replicates=recipe.evaluate.replicates).as_dict(),
        "folds": rows,
    }
    finish(folder, metrics, None, time.monotonic() - started)
