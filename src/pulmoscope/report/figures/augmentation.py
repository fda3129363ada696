"""A contact sheet: pictures as they are stored, and beside each what a recipe's augmentation makes of it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pulmoscope.imaging import Augment, augment, mix
from pulmoscope.report.style import FAINT, INK, SMALL_SIZE, TEXT_SIZE, TITLE_SIZE, new_figure, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CELL = 1.45
_LABEL_WIDTH = 0.5
_CHARACTERS_AN_INCH = 13


def choose_rows(frame: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """Rows for the sheet: of the training part where there is one, drawn evenly over the classes, sorted by class.

    Args:
        frame: A cohort's table.
        count: At most so many.
        seed: Of the draw, which does not depend on the order of the rows.
    """
    training = frame[frame["split"] == "train"]
    table = (training if len(training) else frame).sort_values("image_id").sample(frac=1.0, random_state=seed)
    turn = table.groupby("label").cumcount()
    order = table.assign(turn=turn).sort_values(["turn", "label"], kind="stable").head(count)
    return order.sort_values("label", kind="stable").drop(columns="turn")


def augmented_views(
    pictures: NDArray[np.uint8], recipe: Augment, views: int, seed: int
) -> NDArray[np.float32]:
    """What the network sees before normalisation; the pictures are one batch, and are mixed where the recipe mixes.

    Args:
        pictures: (N, S, S) as stored.
        recipe: The augmentation.
        views: How many times V the batch is changed.
        seed: Of every draw.

    Returns:
        (V, N, S, S, 1 or 3) float32 in [0, 1].
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    batch = torch.from_numpy(pictures)[:, None].float().div_(255)
    unused = torch.zeros(len(batch), 1)
    changed = [
        mix(augment(batch, recipe, generator), unused, recipe, generator)[0].permute(0, 2, 3, 1).numpy()
        for _ in range(views)
    ]
    return np.stack(changed).astype(np.float32)


def draw_augmentation_sheet(
    pictures: NDArray[np.uint8],
    views: NDArray[np.float32],
    labels: Sequence[str],
    *,
    title: str,
    caption: str,
) -> Figure:
    """A row a picture: its class, the plain picture, its augmented views.

    Args:
        pictures: (N, S, S) as stored.
        views: (V, N, S, S, 1 or 3), as :func:`augmented_views` gives them.
        labels: The N true classes; image ids are not drawn, since a file's name may hold a patient's.
        title: Above the sheet.
        caption: Below it.
    """
    rows, columns = len(pictures), len(views) + 1
    width = _CELL * columns + _LABEL_WIDTH
    lines = _wrapped(caption, max(30, int(width * _CHARACTERS_AN_INCH)))
    figure = new_figure(width, _CELL * rows + 0.75 + 0.19 * len(lines))
    figure.suptitle(plain(title, 100), fontsize=TITLE_SIZE, color=INK, fontweight="bold", x=0.01, ha="left")
    shown_lines = "\n".join(plain(text, 400) for text in lines)
    figure.supxlabel(shown_lines, fontsize=SMALL_SIZE, color=INK, x=0.01, ha="left")
    grid = figure.subplots(rows, columns, squeeze=False)
    for row in range(rows):
        shown = [pictures[row] / np.float32(255), *(view[row] for view in views)]
        for column, pixels in enumerate(shown):
            axes = grid[row, column]
            axes.imshow(np.squeeze(pixels), cmap="gray", vmin=0.0, vmax=1.0, interpolation="antialiased")
            axes.set_xticks([])
            axes.set_yticks([])
            for spine in axes.spines.values():
                spine.set_color(INK if column == 0 else FAINT)
                spine.set_linewidth(1.8 if column == 0 else 0.6)
            if row == 0:
                name = "plain" if column == 0 else f"view {column}"
                axes.set_title(name, fontsize=TEXT_SIZE - 1, color=INK, pad=4)
        grid[row, 0].set_ylabel(plain(labels[row], 20), fontsize=TEXT_SIZE - 1, color=INK)
    return figure


def describe_augmentation(recipe: Augment) -> str:
    """The fields that are not at their defaults, in words: ``rotate 5, crop scale 0.7 to 1``."""
    changed = recipe.model_dump(exclude_defaults=True)
    return ", ".join(f"{name.replace('_', ' ')} {_show(name, value)}" for name, value in changed.items())


def _show(name: str, value: Any) -> str:
    if not isinstance(value, tuple):
        return f"{value:g}" if isinstance(value, float) else str(value)
    return (" / " if name == "hsv_shift" else " to ").join(f"{item:g}" for item in value)


def _wrapped(caption: str, width: int) -> list[str]:
    """Lines that break after commas, where there is one."""
    pieces = ", ".join(piece.replace(" ", "\N{NO-BREAK SPACE}") for piece in caption.split(", "))
    return textwrap.wrap(pieces, width)
