"""Cohort and recipe to a run: trained, predicted, evaluated, reported."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from pulmoscope.cohort import Cohort
from pulmoscope.errors import RunError, SplitLeakError
from pulmoscope.evaluation import Predictions, evaluate
from pulmoscope.files import exclusive, write_json, write_text
from pulmoscope.inference import Predictor
from pulmoscope.models import Bundle, trained_run
from pulmoscope.report import write_report
from pulmoscope.report.numbers import flat_settings
from pulmoscope.search.engine import Engine, beyond
from pulmoscope.training import Fitted, Recipe, fit, load_recipe
from pulmoscope.training.failures import one_line
from pulmoscope.workflow.cascade import FittedCascade, fit_cascade
from pulmoscope.workflow.environment import describe, now
from pulmoscope.workflow.parts import Parts, decode_all, with_splits
from pulmoscope.workflow.run import Run, read_json
from pulmoscope.workflow.runlog import run_log
from pulmoscope.workflow.settle import RAW_FILE, settle_or_say, with_calibration
from pulmoscope.workflow.shared import shared_with_training
from pulmoscope.workflow.summary import is_leaked

log = logging.getLogger("pulmoscope")


def train(
    recipe: str | os.PathLike[str] | Recipe,
    cohort: Cohort,
    *,
    out: str | os.PathLike[str] | None = None,
    seed: int = 0,
    overrides: Sequence[str] = (),
    resume: bool = False,
    engine: Engine | None = None,
    progress: bool = False,
) -> Run:
    """Train, keep what validates best, then read the test part once and report.

    Args:
        recipe: A shipped recipe's name, a path, or a :class:`Recipe`.
        cohort: The radiographs. One with folds is cross-validated: every fold is a run of its own under ``folds/``, and
            the run's test metrics are of all held-out predictions together.
        out: The run's folder; by default the next free ``runs/NAME-seedN``.
        seed: Of everything random.
        overrides: ``key=value`` changes to the recipe.
        resume: Go on with the run in ``out``.
        engine: What decodes the pictures and trains the folds; by default this process.
        progress: Draw progress bars.

    Raises:
        PulmoscopeError: One of its kinds, with what to do.
    """
    if not isinstance(recipe, Recipe) or overrides:
        if isinstance(recipe, Recipe):
            raise RunError("overrides go with a recipe's name or path, not with a Recipe")
        recipe = load_recipe(recipe, overrides)
    recipe = recipe.resolved()
    folder = Path(out) if out is not None else _next_free(recipe.name, seed)
    with exclusive(folder):
        claim(folder, recipe, cohort, seed, resume)
        with run_log(folder):
            if engine is not None and beyond(engine) is not None:
                from pulmoscope.workflow.trainings import Training, prepare_run

                whole = Training(
                    recipe=recipe,
                    cohort=str((folder / "folds" / "cohort").resolve()),
                    out=str(folder.resolve()),
                    seed=seed,
                    progress=progress,
                )
                prepare_run(whole, cohort, engine)
            if cohort.frame["fold"].notna().any():
                from pulmoscope.workflow.crossval import cross_validate

                cross_validate(recipe, cohort, folder, seed=seed, progress=progress)
            else:
                train_once(recipe, cohort, folder, seed=seed, fold=None, progress=progress)
    return Run(folder)


def train_once(
    recipe: Recipe, cohort: Cohort, folder: Path, *, seed: int, fold: int | None, progress: bool
) -> None:
    """One training into a folder that has been claimed. A finished one is left as it is."""
    if publish_if_finished(folder):
        return
    started = time.monotonic()
    parts = decode_all(cohort, recipe.preprocess, progress=progress)
    _note_start(folder, sorted(parts.store.failures))
    readable = with_splits(parts.cohort, fold=fold, validation_fraction=recipe.validation_fraction, seed=seed)
    parts = Parts(cohort=readable, store=parts.store)
    refuse_known_test(recipe, parts.cohort)
    parts.cohort.write(folder)
    fitted: Fitted | FittedCascade
    if recipe.cascade is not None:
        fitted = fit_cascade(recipe, parts, folder=folder, seed=seed, progress=progress)
    else:
        fitted = fit(
            recipe,
            train=parts.examples("train"),
            val=parts.examples("val"),
            classes=tuple(cohort.classes),
            folder=folder,
            seed=seed,
            progress=progress,
        )
    bundle = _bundle(recipe, parts.cohort, fitted, seed)
    with one_line(recipe, "prediction"):
        validation = _predict_validation(bundle, fitted, parts, recipe)
    if validation is not None:
        bundle = settle_or_say(bundle, validation, recipe.evaluate.calibration)
    bundle.save(folder / "model")
    with one_line(recipe, "prediction"):
        test = _predict(replace(bundle, calibration=None), parts, recipe, "test")
    raw = [part.frame for part in (validation, test) if part is not None]
    predictions = write_predictions(
        folder, Predictions(pd.concat(raw, ignore_index=True), bundle.classes), bundle
    )
    metrics: dict[str, Any] = {
        part: evaluate(predictions, split=part, replicates=recipe.evaluate.replicates).as_dict()
        for part in ("val", "test")
        if part in predictions.splits
    }
    if is_leaked(parts.cohort):
        metrics["leaked_split"] = True
    if "test" in metrics:
        log.info("the test part was read once, after every choice was made")
    finish(folder, metrics, fitted.chosen, time.monotonic() - started)


def finish(folder: Path, metrics: dict[str, Any], chosen: dict[str, Any] | None, seconds: float) -> None:
    """Write environment, metrics, figures and report. ``metrics.json`` marks a run that need not train again."""
    environment = _environment(folder)
    environment |= {"finished": now(), "seconds": round(seconds, 1), "chosen": chosen}
    write_json(folder / "environment.json", environment)
    write_json(folder / "metrics.json", metrics)
    write_report(folder, part=reported_part(metrics))


def reported_part(metrics: dict[str, Any]) -> str:
    """The part a report is of: the test part, or validation where there is none."""
    return "test" if "test" in metrics else "val"


def _note_start(folder: Path, unreadable: list[str]) -> None:
    """Note the threads of this start, and which pictures could not be read: a resumed run must find the same ones."""
    environment = _environment(folder)
    if environment.setdefault("unreadable", unreadable) != unreadable:
        raise RunError(
            f"the pictures changed since {folder} was begun",
            code="E_RESUME_MISMATCH",
            expected=f"{len(environment['unreadable'])} unreadable pictures as before",
            got=f"{len(unreadable)}",
            remedy="bring the pictures back, or train into another folder",
        )
    resumed = (folder / "checkpoints").is_dir()
    starts = environment.setdefault("threads_of_starts", [environment["threads"]] if resumed else [])
    starts.append(torch.get_num_threads())
    write_json(folder / "environment.json", environment)


def refuse_known_test(recipe: Recipe, cohort: Cohort) -> None:
    """Starting weights from another run may know the test pictures: then the test would be one of memory.

    Raises:
        SplitLeakError: Test pictures share a patient or a picture with what the other run learned from.
    """
    test = cohort.subset((cohort.frame["split"] == "test").to_numpy())
    places = {trained_run(one.model.weights) for one in recipe.networks}
    for place in sorted(place for place in places if place is not None and len(test)):
        if not (place / "cohort.parquet").is_file():
            log.warning("%s does not say what it was trained on: it may know test pictures", place)
            continue
        known = shared_with_training(Run(place), test)
        if known:
            raise SplitLeakError(
                f"{place} was trained on patients or pictures of {len(known)} of {len(test)} test pictures",
                got=", ".join(known[:5]),
                remedy="start from a run on other patients, or on the training part of this very split",
            )
        refuse_known_test(Run(place).recipe, cohort)  # that run may itself have begun from another


def publish_if_finished(folder: Path) -> bool:
    """Whether the run has its metrics; a report that a kill kept from being written is written now."""
    if not (folder / "metrics.json").is_file():
        return False
    log.info("%s is finished already", folder)
    if not (folder / "report.html").is_file():
        write_report(folder, part=reported_part(read_json(folder / "metrics.json")))
    return True


def claim(folder: Path, recipe: Recipe, cohort: Cohort, seed: int, resume: bool) -> None:
    """Begin a run in ``folder``, or prove that the one in it is the same and may go on."""
    identity = {
        "seed": seed,
        "cohort": cohort.fingerprint(),
        "classes": list(cohort.classes),
    }
    if (folder / "recipe.yaml").is_file():
        if not resume:
            raise RunError(
                f"{folder} holds a run already",
                code="E_RUN_EXISTS",
                remedy="go on with it by --resume, or choose another folder with --out",
            )
        before = _environment(folder)
        changed = [
            f"{name} ({before.get(name)!r} before, {value!r} now)"
            for name, value in identity.items()
            if before.get(name) != value
        ]
        # Recipes are compared, not texts: a field that came after the run was begun has its default there.
        differences = _recipe_difference(load_recipe(folder / "recipe.yaml"), recipe)
        if differences:
            changed.append(f"the recipe ({differences})")
        if changed:
            raise RunError(
                f"{folder} was begun with other settings: {', '.join(changed)}",
                code="E_RESUME_MISMATCH",
                remedy="resume with the settings it was begun with, or choose another folder with --out",
            )
        return
    if (folder / "cohort.parquet").is_file():
        raise RunError(
            f"{folder} holds a cohort",
            code="E_RUN_EXISTS",
            remedy="choose another folder for the run with --out",
        )
    write_json(folder / "environment.json", describe() | identity)
    write_text(folder / "recipe.yaml", recipe.as_yaml())


def _recipe_difference(before: Recipe, after: Recipe) -> str:
    # Where one recipe has fields and the other none, the fields are named, not the empty mapping beside them.
    old, new = (
        {name: value for name, value in flat_settings(one.model_dump(mode="json")).items() if value != {}}
        for one in (before, after)
    )
    changed = [
        f"{key}: {old.get(key)!r} before, {new.get(key)!r} now"
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]
    return "; ".join(changed[:4])


def _environment(folder: Path) -> dict[str, Any]:
    path = folder / "environment.json"
    if not path.is_file():
        return describe()
    return read_json(path)


def _bundle(recipe: Recipe, cohort: Cohort, fitted: Fitted | FittedCascade, seed: int) -> Bundle:
    return Bundle(
        spec=fitted.spec,
        preprocess=recipe.preprocess,
        views=recipe.predict.views,
        weights=_state(fitted.network),
        origin=fitted.origin,
        notes={
            "recipe": recipe.name,
            "seed": seed,
            "chosen": fitted.chosen,
            "sources": sorted(cohort.frame["source"].unique()),
            "training_pictures": fitted.pictures,
            "cohort": cohort.fingerprint(),
            "leaked_split": is_leaked(cohort),
            "caveats": list(cohort.info.get("caveats", [])),
        },
    )


def _state(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().contiguous() for name, value in network.state_dict().items()}


def _predictor(bundle: Bundle, recipe: Recipe) -> Predictor:
    return Predictor(bundle, device=recipe.train.device, precision=recipe.train.precision)


def _predict_validation(
    bundle: Bundle, fitted: Fitted | FittedCascade, parts: Parts, recipe: Recipe
) -> Predictions | None:
    """Raw probabilities of the validation part; a network trained again on it too must not be judged on it."""
    if fitted.selected is None:
        return _predict(bundle, parts, recipe, "val")
    if recipe.evaluate.calibration != "none":
        log.warning(
            "the network was trained again on validation too: its calibration is fitted on the network before that"
        )
    return _predict(replace(bundle, weights=_state(fitted.selected)), parts, recipe, "val")


def _predict(bundle: Bundle, parts: Parts, recipe: Recipe, part: str) -> Predictions | None:
    frame = parts.cohort.frame
    rows = frame[frame["split"] == part].reset_index(drop=True)
    if not len(rows):
        return None
    probabilities = _predictor(bundle, recipe).predict_store(parts.store, rows["image_id"])
    return predictions_table(rows, probabilities, bundle.classes)


def write_predictions(folder: Path, raw: Predictions, bundle: Bundle) -> Predictions:
    """Write what the model answers, and beside it the raw probabilities where a calibration changed them.

    The raw ones come first and go last, so that they are there whenever ``predictions.parquet`` is calibrated.
    """
    predictions = with_calibration(raw, bundle.calibration)
    if bundle.calibration is not None:
        raw.write(folder / RAW_FILE)
    predictions.write(folder / "predictions.parquet")
    if bundle.calibration is None:
        (folder / RAW_FILE).unlink(missing_ok=True)
    return predictions


def predictions_table(frame: pd.DataFrame, probabilities: Any, classes: Sequence[str]) -> Predictions:
    """The predictions table of the rows of a cohort and their probabilities (N, C)."""
    table = frame[["image_id", "group_id", "label", "split"]].reset_index(drop=True).copy()
    for index, name in enumerate(classes):
        table[f"p_{name}"] = np.asarray(probabilities)[:, index]
    return Predictions(table, tuple(classes))


def _next_free(name: str, seed: int) -> Path:
    stem = re.sub(r"[^\w.-]+", "-", name)
    base = Path("runs") / f"{stem}-seed{seed}"
    folder, number = base, 2
    while folder.exists():
        folder, number = base.with_name(f"{base.name}-{number}"), number + 1
    return folder
