"""What a run's folder holds for its report; a part that is not there is left out of the page."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from pulmoscope.cohort import Cohort
from pulmoscope.errors import RunError
from pulmoscope.evaluation import Predictions, read_predictions


@dataclass(frozen=True, kw_only=True)
class ModelPredictions:
    """What one model answered.

    Attributes:
        table: Its predictions.
        raw: The same before its calibration; None where it has none.
        method: Of its calibration; None where it has none.
    """

    table: Predictions
    raw: Predictions | None = None
    method: str | None = None


@dataclass(frozen=True, kw_only=True)
class ReportInputs:
    """Everything that the figures and the page are made from.

    Attributes:
        folder: The run's folder.
        part: The part of the data that is reported on.
        metrics: Content of ``metrics.json``.
        predictions: Of all parts; None where the folder has none.
        cohort: The radiographs; None where the folder has none.
        history: A row an epoch; None where nothing was trained here.
        recipe: Content of ``recipe.yaml``, or empty.
        environment: Content of ``environment.json``, or empty.
        model: Content of ``model/model.json``, or empty.
        models: What each model answered: one of a run, one a fold of a cross-validation; empty without predictions.
    """

    folder: Path
    part: str
    metrics: dict[str, Any]
    predictions: Predictions | None
    cohort: Cohort | None
    history: pd.DataFrame | None
    recipe: dict[str, Any]
    environment: dict[str, Any]
    model: dict[str, Any]
    models: tuple[ModelPredictions, ...] = ()

    @property
    def scores(self) -> dict[str, Any]:
        """The metrics of :attr:`part`."""
        found: dict[str, Any] = self.metrics[self.part]
        return found

    @property
    def classes(self) -> list[str]:
        """Class names in their order."""
        return [str(name) for name in self.scores["classes"]]

    def judged(self) -> Predictions | None:
        """The predictions of :attr:`part`; None where there are none, without truth, or of several models at once."""
        found = self.predictions
        if found is None or not found.has_labels or len(found.models) > 1:
            return None
        if not found.splits:
            return found
        return found.part(self.part) if self.part in found.splits else None


def read_inputs(folder: Path, part: str = "test") -> ReportInputs:
    """Read what ``folder`` holds.

    Raises:
        RunError: There is no ``metrics.json``, it has no such part, or a file cannot be read.
    """
    metrics = _read_json(folder / "metrics.json")
    if not metrics:
        raise RunError(
            f"{folder} has nothing to report: metrics.json is missing",
            remedy="name the folder of a finished run, or finish it with pulmoscope train --resume",
        )
    parts = [name for name, content in metrics.items() if isinstance(content, dict) and "classes" in content]
    if part not in parts:
        raise RunError(
            f"{folder / 'metrics.json'} has no part {part!r}",
            expected=f"one of {', '.join(parts)}" if parts else "metrics of at least one part",
            remedy="evaluate that part first, or report on one that is there",
        )
    predictions = folder / "predictions.parquet"
    cohort = folder / "cohort.parquet"
    return ReportInputs(
        folder=folder,
        part=part,
        metrics=metrics,
        predictions=read_predictions(predictions) if predictions.is_file() else None,
        cohort=Cohort.read(cohort) if cohort.is_file() else None,
        history=_read_history(folder / "history.csv"),
        recipe=_read_yaml(folder / "recipe.yaml"),
        environment=_read_json(folder / "environment.json"),
        model=_read_json(folder / "model" / "model.json"),
        models=_read_models(folder),
    )


def _read_models(folder: Path) -> tuple[ModelPredictions, ...]:
    folds = sorted((folder / "folds").glob("fold-*"), key=lambda path: (len(path.name), path.name))
    found = []
    for place in folds or [folder]:
        if not (place / "predictions.parquet").is_file():
            return ()
        raw = place / "predictions_raw.parquet"
        calibration = _read_json(place / "model" / "model.json").get("calibration")
        found.append(
            ModelPredictions(
                table=read_predictions(place / "predictions.parquet"),
                raw=read_predictions(raw) if raw.is_file() else None,
                method=str(calibration.get("method")) if isinstance(calibration, dict) else None,
            )
        )
    return tuple(found)


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text("utf-8"))
    except (ValueError, OSError) as error:
        raise RunError(f"{path} cannot be read", expected="JSON", got=str(error)) from error
    return _mapping(content, path)


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, ValueError, OSError) as error:
        raise RunError(f"{path} cannot be read", expected="YAML", got=str(error)) from error
    return _mapping(content, path)


def _mapping(content: Any, path: Path) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise RunError(f"{path} cannot be read", expected="a mapping", got=type(content).__name__)
    return content


def _read_history(path: Path) -> pd.DataFrame | None:
    if not path.is_file():
        return None
    try:
        history = pd.read_csv(path)
    except (ValueError, OSError) as error:
        raise RunError(f"{path} cannot be read", expected="CSV, a row an epoch", got=str(error)) from error
    if not {"stage", "epoch"} <= set(history.columns):
        raise RunError(
            f"{path} cannot be read", expected="columns stage and epoch", got=", ".join(history.columns)
        )
    return history if len(history) else None
