"""Fixed variations of a picture whose answers are averaged: always the same ones, so prediction stays a function."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch.nn import functional


class View(NamedTuple):
    """One variation.

    Attributes:
        zoom: Magnification about the centre.
        right: Shift of the content, as a fraction of the side.
        down: Shift of the content, as a fraction of the side.
        gamma: Natural logarithm of the exponent on grey levels in [0, 1].
    """

    zoom: float = 1.0
    right: float = 0.0
    down: float = 0.0
    gamma: float = 0.0


# Framing and exposure vary between hospitals; left and right do not, so nothing is mirrored. Pairs are opposite, so
# that any odd count is balanced about the picture itself.
VIEWS = (
    View(),
    View(zoom=1.1),
    View(zoom=0.92),
    View(gamma=0.25),
    View(gamma=-0.25),
    View(zoom=1.05, right=0.04),
    View(zoom=1.05, right=-0.04),
    View(zoom=1.05, down=0.04),
    View(zoom=1.05, down=-0.04),
    View(zoom=1.18, gamma=0.15),
    View(zoom=0.88, gamma=-0.15),
    View(gamma=0.45),
    View(gamma=-0.45),
    View(zoom=1.1, right=0.04, down=0.04),
    View(zoom=1.1, right=-0.04, down=-0.04),
    View(zoom=1.25),
)


def apply_view(pictures: torch.Tensor, view: View) -> torch.Tensor:
    """The variation of a batch.

    Args:
        pictures: (N, 1, S, S) float in [0, 1].
        view: Which variation; the plain one returns ``pictures`` itself.

    Returns:
        (N, 1, S, S) float in [0, 1]; what the shift or the smaller zoom uncovers repeats the border.
    """
    if view.zoom != 1 or view.right or view.down:
        # affine_grid maps output to input, in coordinates from -1 to 1.
        matrix = torch.tensor(
            [[1 / view.zoom, 0, -2 * view.right / view.zoom], [0, 1 / view.zoom, -2 * view.down / view.zoom]],
            dtype=pictures.dtype,
            device=pictures.device,
        )
        grid = functional.affine_grid(
            matrix.expand(len(pictures), 2, 3), list(pictures.shape), align_corners=False
        )
        pictures = functional.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    return pictures.clamp(0, 1).pow(math.exp(view.gamma)) if view.gamma else pictures
