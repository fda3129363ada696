"""A run as training leaves it, of a small network that was not trained."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from PIL import Image
from torch import Tensor

import tiny
from pulmoscope.cohort import Cohort
from pulmoscope.evaluation import Predictions
from pulmoscope.imaging import Preprocess, decode
from pulmoscope.inference import Predictor
from pulmoscope.models import Bundle, HeadSpec, ModelSpec, WeightsOrigin, build_classifier

CLASSES = ("normal", "pneumonia", "covid")
SEED = 3


def bundle_of(spec: ModelSpec, weights: dict[str, Tensor]) -> Bundle:
    """A bundle of grey pictures in the size of its network."""
    return Bundle(
        spec=spec, preprocess=Preprocess(size=spec.size, channels=1), weights=weights,
        origin=WeightsOrigin(name="random", source="seed"),
    )  # fmt: skip


def write_run_of(folder: Path, bundle: Bundle, frame: pd.DataFrame) -> None:
    """What training leaves: model, cohort, a recipe, and what the model answers for validation and test.

    Args:
        folder: Of the run; it is there.
        bundle: The model.
        frame: The cohort's rows, each with ``path``, ``label`` and ``split``.
    """
    bundle.save(folder / "model")
    Cohort(frame, info={"classes": list(bundle.classes)}).write(folder)
    judged = frame[frame["split"] != "train"]
    stored = np.stack([bundle.preprocess.to_store(decode(path).pixels) for path in judged["path"]])
    Predictions.from_arrays(
        image_id=judged["image_id"].tolist(), probabilities=Predictor(bundle, device="cpu").probabilities(stored),
        classes=bundle.classes, label=judged["label"].tolist(), split=judged["split"].tolist(),
        group_id=judged["group_id"].tolist() if "group_id" in judged else None,
    ).write(folder / "predictions.parquet")  # fmt: skip
    (folder / "recipe.yaml").write_text(yaml.safe_dump(tiny.RECIPE))


def write_small_run(folder: Path, *, batch_norm: bool = False, silent_from: int | None = None) -> Path:
    """48 pictures of 24 patients and two sources; a third each for training, validation and test.

    Args:
        folder: Of the run; its pictures go beside it.
        batch_norm: Of the residual network.
        silent_from: So many quarters of the channels of every layer are kept, and the rest set to zero.
    """
    folder.mkdir(parents=True)
    pictures = folder.parent / "pictures"
    pictures.mkdir()
    generator = np.random.default_rng(0)
    rows = []
    for index in range(48):
        patient, label = index // 2, index // 2 % 3
        pixels = generator.integers(0, 120, (60, 90)).astype(np.uint8)
        pixels[:, 10 + 20 * label : 30 + 20 * label] += 100
        source = "north" if patient % 2 else "south"
        if source == "north":
            pixels[:8, :8] = 255
        path = pictures / f"{index:02}.png"
        Image.fromarray(pixels).save(path)
        split = ("train", "val", "test")[patient // 8]
        rows.append((f"{source}/{index:02}", str(path), CLASSES[label], f"p{patient:02}", source, split))
    columns = ["image_id", "path", "label", "patient_id", "source", "split"]
    frame = pd.DataFrame(rows, columns=columns)
    frame["group_id"] = frame["patient_id"]
    spec = ModelSpec(
        backbone="residual_cnn", options={"width": 4, "batch_norm": batch_norm}, channels=1, size=64,
        head=HeadSpec(dropout=0), classes=CLASSES,
    )  # fmt: skip
    weights = build_classifier(spec, seed=SEED).state_dict()
    weights["head.1.weight"] = weights["head.1.weight"] * 3
    if silent_from is not None:
        for name, value in weights.items():
            if name.startswith("backbone") and value.ndim == 4:
                value[len(value) * silent_from // 4 :] = 0
    write_run_of(folder, bundle_of(spec, weights), frame)
    (folder / "environment.json").write_text(json.dumps({"seed": SEED}))
    return folder
