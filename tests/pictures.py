"""Small pictures for tests of readers and cohorts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 48


def write_picture(path: Path, seed: int = 0) -> Path:
    """A picture of its own: blurred noise, drawn from ``seed``; the same seed gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8)
    Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(path)
    return path


def write_tree(root: Path, names: list[str]) -> Path:
    """Pictures at ``names`` below ``root``, no two alike."""
    for seed, name in enumerate(names):
        write_picture(root / name, seed)
    return root
