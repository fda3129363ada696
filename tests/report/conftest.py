"""A finished run's folder with invented numbers, made by the project's own tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from pulmoscope.cohort import Cohort
from pulmoscope.evaluation import Predictions, evaluate

CLASSES = ("covid", "non-covid", "normal")
COUNTS = {"train": (90, 160, 90), "val": (20, 40, 20), "test": (40, 70, 50)}


def cohort_frame(
    paths: Sequence[str] | None = None, classes: Sequence[str] = CLASSES, *, seed: int = 0
) -> pd.DataFrame:
    """A cohort's table of :data:`COUNTS`; two sources, views and ages mixed over the classes."""
    random = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for split, counts in COUNTS.items():
        for name, count in zip(classes, counts, strict=True):
            for _ in range(count):
                number = len(rows)
                source = ("alpha", "beta")[int(random.random() < 0.3)]
                rows.append(
                    {
                        "image_id": f"{source}/{number}.png",
                        "path": paths[number % len(paths)] if paths else f"/nowhere/{number}.png",
                        "label": name,
                        "patient_id": f"{source}:P{number // 2}" if source == "alpha" else f"beta:P{number}",
                        "group_id": f"g{number}",
                        "source": source,
                        "view": ("PA", "AP")[int(random.random() < 0.4)],
                        "sex": ("F", "M")[int(random.random() < 0.5)],
                        "age": float(random.integers(20, 80)),
                        "split": split,
                        "width": int(random.integers(900, 1000)),
                        "height": int(random.integers(900, 1000)),
                        "licence": "CC BY 4.0",
                    }
                )
    return pd.DataFrame(rows)


def invented_predictions(
    frame: pd.DataFrame, classes: Sequence[str] = CLASSES, *, seed: int = 1
) -> Predictions:
    """Probabilities that are right about nine times in ten."""
    random = np.random.default_rng(seed)
    held = frame[frame["split"].isin(["val", "test"])].reset_index(drop=True)
    truth = held["label"].map({name: index for index, name in enumerate(classes)}).to_numpy()
    logits = random.normal(0, 1, (len(held), len(classes)))
    logits[np.arange(len(held)), truth] += 2.4
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Predictions.from_arrays(
        image_id=held["image_id"].tolist(),
        probabilities=probabilities,
        classes=list(classes),
        label=held["label"].tolist(),
        group_id=held["group_id"].tolist(),
        split=held["split"].tolist(),
    )


def history_frame() -> pd.DataFrame:
    """Eight epochs of the head, five of fine-tuning, the third of which validates best."""
    rows = []
    for stage, count, start in (("head", 8, 0.9), ("finetune", 5, 0.45)):
        for epoch in range(1, count + 1):
            loss = start * 0.85**epoch
            bend = 0.05 * max(0, epoch - 3) if stage == "finetune" else 0.02
            rows.append(
                {
                    "stage": stage, "epoch": epoch, "train_loss": loss, "val_loss": loss + bend,
                    "train_accuracy": 1 - loss / 2, "val_accuracy": 0.98 - loss / 2, "val_macro_auroc": 1 - loss / 5,
                    "learning_rate": 1e-3, "seconds": 4.2,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


RECIPE = {
    "name": "invented",
    "description": "Numbers made up for a test.",
    "preprocess": {"size": 160, "aspect": "pad", "intensity": "none", "normalise": "fixed"},
    "augment": {"rotate": 8.0, "zoom": [1.0, 1.0], "hflip": 0.0},
    "model": {
        "backbone": "tf_efficientnet_lite0",
        "weights": "imagenet",
        "head": {"hidden": [], "dropout": 0.2},
    },
    "train": {
        "class_weights": "balanced",
        "head": {"epochs": 60, "batch": 64},
        "finetune": {"epochs": 6, "ema": 0.98},
    },
}
ENVIRONMENT = {
    "pulmoscope": "0.1.0", "python": "3.11.2", "platform": "Linux x86_64", "torch": "2.12.0", "device": "cpu",
    "threads": 2, "packages": {"numpy": "2.4.0", "timm": "1.0.20"}, "started": "2026-01-01T10:00:00+00:00",
    "finished": "2026-01-01T10:03:05+00:00", "seconds": 185.2, "seed": 3,
    "command": "pulmoscope train default --cohort cohorts/alpha-beta --out runs/invented --seed 3",
    "chosen": {"stage": "finetune", "epoch": 3, "value": 0.2763, "metric": "val_loss"},
}  # fmt: skip
MODEL = {
    "architecture": {"backbone": "tf_efficientnet_lite0"},
    "classes": list(CLASSES),
    "preprocess": RECIPE["preprocess"],
    "weights_origin": {
        "name": "imagenet",
        "source": "a package",
        "sha256": "ab" * 32,
        "licence": "Apache-2.0",
    },
}


def write_run(
    folder: Path,
    frame: pd.DataFrame,
    *,
    classes: Sequence[str] = CLASSES,
    info: dict[str, Any] | None = None,
    metrics: dict[str, Any] | None = None,
    environment: dict[str, Any] | None = None,
) -> Path:
    """Write all files of a run into ``folder``."""
    split = {
        "kind": "patient:0.7,0.15,0.15",
        "seed": 3,
        "leaked": False,
        "leaking_groups": 0,
        "val_from_train": None,
    }
    Cohort(frame, {"classes": list(classes), "split": split} | (info or {})).write(folder)
    predictions = invented_predictions(frame, classes)
    predictions.write(folder / "predictions.parquet")
    if metrics is None:
        metrics = {
            part: evaluate(predictions, split=part, replicates=200).as_dict() for part in ("val", "test")
        }
    (folder / "metrics.json").write_text(json.dumps(metrics), "utf-8")
    (folder / "environment.json").write_text(json.dumps(ENVIRONMENT | (environment or {})), "utf-8")
    (folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPE, sort_keys=False), "utf-8")
    history_frame().to_csv(folder / "history.csv", index=False)
    (folder / "model").mkdir(exist_ok=True)
    (folder / "model" / "model.json").write_text(json.dumps(MODEL), "utf-8")
    return folder


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Paths of five small grey pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(5)
    paths = []
    for number in range(5):
        pixels = random.integers(0, 255, (64 + 8 * number, 80)).astype(np.uint8)
        path = folder / f"{number}.png"
        Image.fromarray(pixels).save(path)
        paths.append(str(path))
    return paths


@pytest.fixture
def make_run(tmp_path: Path, pictures: list[str]) -> Callable[..., Path]:
    """Function that writes a run's folder; ``change`` edits the cohort's table before it is written."""

    def make(change: Callable[[pd.DataFrame], pd.DataFrame] | None = None, **options: Any) -> Path:
        frame = cohort_frame(pictures, options.get("classes", CLASSES))
        frame = frame if change is None else change(frame)
        folder = tmp_path / "run"
        folder.mkdir(exist_ok=True)
        return write_run(folder, frame, **options)

    return make


@pytest.fixture
def make_frame() -> Callable[..., pd.DataFrame]:
    """:func:`cohort_frame`, for tests that need only the table."""
    return cohort_frame


@pytest.fixture
def history() -> pd.DataFrame:
    """:func:`history_frame`."""
    return history_frame()
