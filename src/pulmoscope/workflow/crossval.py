"""k-fold cross-validation: one run a fold, judged together on what each held out."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import pandas as pd

from pulmoscope.cohort import Cohort
from pulmoscope.evaluation import Predictions, evaluate
from pulmoscope.files import exclusive, make_folder
from pulmoscope.training import Recipe
from pulmoscope.workflow.run import Run
from pulmoscope.workflow.runlog import run_log
from pulmoscope.workflow.settle import RAW_FILE
from pulmoscope.workflow.training_run import claim, finish, publish_if_finished, train_once

log = logging.getLogger("pulmoscope")


def folds_of(cohort: Cohort) -> list[int]:
    """The folds' numbers in order; none where the cohort has a split."""
    return sorted(int(fold) for fold in cohort.frame["fold"].dropna().unique())


def train_fold(recipe: Recipe, cohort: Cohort, folder: Path, fold: int, *, seed: int, progress: bool) -> Path:
    """Train one fold of the cross-validation in ``folder``, or find it finished; its own folder.

    Its validation part is carved out of its own training part, so that no fold chooses by what it is judged on.

    Raises:
        RunBusyError: Another process trains this fold.
    """
    part = make_folder(folder / "folds" / f"fold-{fold}")
    with exclusive(part):
        claim(part, recipe, cohort, seed, resume=(part / "recipe.yaml").is_file())
        with run_log(part):
            train_once(recipe, cohort, part, seed=seed, fold=fold, progress=progress)
    return part


def cross_validate(recipe: Recipe, cohort: Cohort, folder: Path, *, seed: int, progress: bool) -> None:
    """Train every fold under ``folder/folds`` and pool the held-out predictions; finished folds stay."""
    if publish_if_finished(folder):
        return
    folds = folds_of(cohort)
    tables, raw, rows, seconds = [], [], [], 0.0
    for fold in folds:
        log.info("fold %d of %d", fold + 1, len(folds))
        run = Run(train_fold(recipe, cohort, folder, fold, seed=seed, progress=progress))
        tables.append(run.predict("test").frame)
        raw.append(run.raw_predictions.part("test").frame)
        rows.append({"fold": fold, "test": run.metrics["test"], "val": run.metrics["val"]})
        # Of its own clock: it may have been trained in an earlier life, or elsewhere beside the others.
        seconds += run.environment["seconds"]
    started = time.monotonic()
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
    finish(folder, metrics, None, seconds + time.monotonic() - started)
