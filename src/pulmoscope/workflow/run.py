"""A run's folder as an object."""

from __future__ import annotations

import json
import os
from functools import cached_property
from pathlib import Path
from typing import Any

from pulmoscope.cohort import Cohort
from pulmoscope.errors import RunError
from pulmoscope.evaluation import Evaluation, IntervalMethod, Predictions, evaluate, read_predictions
from pulmoscope.models import Bundle, load_bundle
from pulmoscope.training import Recipe, load_recipe


class Run:
    """What training left in a folder.

    Args:
        folder: As given to ``pulmoscope train --out``.

    Raises:
        RunError: The folder holds no run.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        if not (self.folder / "recipe.yaml").is_file():
            raise RunError(
                f"{self.folder} holds no run: recipe.yaml is missing",
                remedy="name the folder given to train --out",
            )

    @cached_property
    def recipe(self) -> Recipe:
        """The resolved recipe."""
        return load_recipe(self.folder / "recipe.yaml")

    @cached_property
    def cohort(self) -> Cohort:
        """The radiographs with the split that was used."""
        return Cohort.read(self.folder / "cohort.parquet")

    @cached_property
    def model(self) -> Bundle:
        """The trained model."""
        if not (self.folder / "model").is_dir() and (self.folder / "folds").is_dir():
            raise RunError(
                f"{self.folder} is a cross-validation: it holds one model a fold",
                remedy=f"name one of them, as in {self.folder / 'folds' / 'fold-0'}",
            )
        return load_bundle(self.folder / "model")

    @cached_property
    def predictions(self) -> Predictions:
        """Probabilities of the validation and test pictures."""
        path = self.folder / "predictions.parquet"
        if not path.is_file():
            raise RunError(
                f"{self.folder} holds no predictions: the training has not ended",
                remedy="train again with --resume",
            )
        return read_predictions(path)

    @property
    def raw_predictions(self) -> Predictions:
        """:attr:`predictions` before any calibration: what the network gives.

        Raises:
            RunError: The model is calibrated, and the raw ones have gone.
        """
        path = self.folder / "predictions_raw.parquet"
        if path.is_file():
            return read_predictions(path)
        if (self.folder / "model").is_dir() and self.model.calibration is not None:
            raise RunError(
                f"{self.folder} is calibrated, and {path.name} with its raw probabilities is missing",
                remedy="copy the run again, with all its files",
            )
        return self.predictions

    @property
    def metrics(self) -> dict[str, Any]:
        """The content of ``metrics.json``."""
        path = self.folder / "metrics.json"
        if not path.is_file():
            raise RunError(
                f"{path} is missing: the training has not ended", remedy="train again with --resume"
            )
        return read_json(path)

    @property
    def environment(self) -> dict[str, Any]:
        """The content of ``environment.json``."""
        return read_json(self.folder / "environment.json")

    def predict(self, split: str = "test") -> Predictions:
        """Probabilities of one part, ``val`` or ``test``.

        Raises:
            RunError: The part is empty.
        """
        there = self.predictions.splits
        if split not in there:
            raise RunError(f"{self.folder} has no predictions for {split!r}", expected=" or ".join(there))
        return self.predictions.part(split)

    def evaluate(self, split: str = "test", *, intervals: IntervalMethod = "default") -> Evaluation:
        """Metrics of one part with their intervals."""
        return evaluate(
            self.predictions, split=split, intervals=intervals, replicates=self.recipe.evaluate.replicates
        )

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file of a run.

    Raises:
        RunError: It is missing or torn.
    """
    try:
        content: dict[str, Any] = dict(json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        raise RunError(f"{path} is missing", remedy="train again into another folder with --out") from None
    except (OSError, ValueError, TypeError) as error:
        raise RunError(
            f"{path} is torn: {error}", remedy="copy the run again, or train into another folder with --out"
        ) from error
    return content
