"""A recipe that trains in a second and a cohort to go with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from PIL import Image

RECIPE = {
    "name": "tiny",
    "preprocess": {"size": 32, "channels": 1},
    "augment": {"rotate": 5, "contrast": 0.1},
    "model": {"backbone": "test_efficientnet", "weights": "random", "head": {"dropout": 0.1}},
    "train": {
        "head": {"epochs": 2},
        "finetune": {"epochs": 3, "batch": 16, "learning_rate": 0.01, "patience": 9, "ema": 0.5},
    },
    "evaluate": {"replicates": 100},
}


def write_recipe(folder: Path, **changes: object) -> Path:
    """The recipe as a file."""
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(RECIPE | changes))
    return path


def draw_pictures(folder: Path, *, n: int = 90, seed: int = 0) -> Path:
    """A table of n noise pictures, two a patient, whose class is the place of a bright bar."""
    generator = np.random.default_rng(seed)
    rows = []
    (folder / "images").mkdir(parents=True)
    for index in range(n):
        label = index // 2 % 3
        pixels = generator.integers(0, 120, (48, 48)).astype(np.uint8)
        pixels[:, 4 + 14 * label : 14 + 14 * label] += 100
        Image.fromarray(pixels).save(folder / "images" / f"{index:03}.png")
        view = "AP" if index % 4 < 2 else "PA"
        rows.append(
            (f"images/{index:03}.png", ["normal", "pneumonia", "covid"][label], f"{index // 2:03}", view)
        )
    table = pd.DataFrame(rows, columns=["path", "label", "patient_id", "view"])
    table.to_csv(folder / "table.csv", index=False)
    return folder / "table.csv"
