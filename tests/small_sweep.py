"""A recipe and a space for sweeps that take seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

import tiny


def write_recipe(folder: Path, *, head: int, finetune: int = 0) -> Path:
    """The tiny recipe with so many epochs of each stage, choosing by accuracy."""
    train = tiny.RECIPE["train"]
    assert isinstance(train, dict)
    changed = {"head": {"epochs": head}, "finetune": train["finetune"] | {"epochs": finetune}}
    return tiny.write_recipe(folder, train={"select": "val_accuracy", **changed})


def write_space(folder: Path, content: dict[str, Any]) -> Path:
    """A space as a file."""
    path = folder / "space.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path
