"""Pictures in memory and a recipe that trains on them in a moment."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from pulmoscope.training import Examples, Recipe, parse_recipe
from pulmoscope.training.recipe import merged

CLASSES = ("normal", "pneumonia", "covid")
RECIPE: dict[str, Any] = {
    "name": "small",
    "preprocess": {"size": 24, "channels": 1},
    "augment": {"rotate": 5, "noise": 0.01},
    "model": {
        "backbone": "plain_cnn",
        "options": {"blocks": 2, "width": 4},
        "weights": "random",
        "head": {"dropout": 0.1},
    },
    "train": {
        "device": "cpu",
        "head": {"epochs": 2},
        "finetune": {"epochs": 3, "batch": 8, "learning_rate": 0.01, "patience": 9, "ema": 0.5},
    },
}


def small_recipe(recipe: dict[str, Any] | None = None, **train: Any) -> Recipe:
    """The recipe with changes to its ``train`` part, and with other parts in place of its own."""
    content = {**RECIPE, **(recipe or {}), "train": merged(RECIPE["train"], train)}
    return parse_recipe(content, "the test's recipe").resolved()


def examples(counts: tuple[int, ...], *, seed: int = 0, size: int = 24) -> Examples:
    """Noise pictures, so many of each class, whose class is the place of a bright bar."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts).astype(np.int64)
    pixels = generator.integers(0, 120, (len(labels), size, size)).astype(np.uint8)
    width = size // len(counts)
    for picture, label in zip(pixels, labels, strict=True):
        picture[:, label * width : (label + 1) * width] += 100
    store: Any = SimpleNamespace(pixels=pixels, folder=Path(f"memory-{seed}-{size}-{counts}"))
    return Examples(store=store, rows=np.arange(len(labels)), labels=labels)


def train_and_val(
    train: tuple[int, ...] = (14, 8, 5), val: tuple[int, ...] = (4, 4, 4)
) -> tuple[Examples, Examples]:
    """Two parts of one store."""
    whole = examples(tuple(a + b for a, b in zip(train, val, strict=True)))
    in_val = np.concatenate(
        [np.flatnonzero(whole.labels == index)[:count] for index, count in enumerate(val)]
    )
    in_train = np.setdiff1d(np.arange(len(whole)), in_val)
    return whole.part(in_train), whole.part(in_val)
