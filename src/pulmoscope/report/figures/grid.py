"""A grid of pictures with their predictions, the wrong ones marked by frame and cross, not by colour alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from pulmoscope.report.style import FAINT, INK, SMALL_SIZE, TEXT_SIZE, WRONG, new_figure, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class GridCell:
    """One picture of the grid.

    Attributes:
        image_id: Which picture; not drawn, since a file's name may hold a patient's.
        label: True class.
        predicted: Predicted class.
        probability: Of the predicted class, [0, 1].
        pixels: (H, W) in [0, 1]; None where the picture cannot be read (any more).
    """

    image_id: str
    label: str
    predicted: str
    probability: float
    pixels: npt.NDArray[np.float32] | None = None

    @property
    def wrong(self) -> bool:
        """Whether the prediction is not the true class."""
        return self.label != self.predicted


def select_cells(
    image_ids: Sequence[str],
    labels: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    classes: Sequence[str],
    *,
    predicted: npt.ArrayLike | None = None,
    count: int = 25,
    seed: int = 0,
) -> list[GridCell]:
    """Choose pictures for the grid: as even over the true classes as there are pictures, wrong ones included.

    Up to 40% of the places go to wrong predictions, drawn at random and evenly over the true classes; the others are
    drawn in the same way from the right ones (from the wrong ones if those are too few). The choice depends on the
    set of rows and the seed, not on the rows' order. Right ones come first, by class.

    Args:
        image_ids: (N,) unique.
        labels: True classes, (N,) integers.
        probabilities: (N, C).
        classes: The C names.
        predicted: Predicted classes, (N,) integers; the most probable ones where not given.
        count: Number of places.
        seed: Of the draw.
    """
    scores, truth = np.asarray(probabilities, dtype=float), np.asarray(labels)
    if not len(truth):
        return []
    top = scores.argmax(axis=1) if predicted is None else np.asarray(predicted)
    given = scores[np.arange(len(top)), top]
    table = pd.DataFrame({"id": list(image_ids), "label": truth, "top": top, "p": given})
    table = table.sort_values("id").sample(frac=1.0, random_state=seed)
    table["wrong"] = table["label"] != table["top"]
    # The place in its own class and kind: the first of every class come before the second of any.
    table["turn"] = table.groupby(["wrong", "label"]).cumcount()
    table = table.sort_values(["turn", "label"], kind="stable")
    wrong, right = table[table["wrong"]], table[~table["wrong"]]
    places = min(len(wrong), max(round(0.4 * count), count - len(right)))
    picked = pd.concat([right.head(count - places), wrong.head(places)])
    picked = picked.sort_values(["wrong", "label"], kind="stable")
    return [
        GridCell(
            image_id=str(row.id),
            label=classes[row.label],
            predicted=classes[row.top],
            probability=float(row.p),
        )
        for row in picked.itertuples()
    ]


def explain_choice(cells: Sequence[GridCell], errors: int, total: int, seed: int = 0) -> str:
    """One sentence on how the pictures were chosen, so that nobody reads the grid as the error rate."""
    wrong = sum(cell.wrong for cell in cells)
    return (
        f"{len(cells)} of {total:,} pictures, drawn at random (seed {seed}) evenly over the true classes, "
        f"{wrong} of them from the {errors:,} wrong predictions: wrong ones are shown more often than they occur."
    )


def draw_prediction_grid(cells: Sequence[GridCell], *, columns: int = 5) -> Figure:
    """Draw the cells row by row; a wrong prediction has a thick frame and a cross.

    Args:
        cells: The pictures; one without pixels is drawn as an empty field that says so.
        columns: Pictures in a row.
    """
    rows = max(1, -(-len(cells) // columns))
    figure = new_figure(2.3 * columns, 2.66 * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    for number, axes in enumerate(grid.flat):
        axes.set_xticks([])
        axes.set_yticks([])
        if number >= len(cells):
            axes.set_visible(False)
            continue
        _draw_cell(axes, cells[number], number + 1)
    return figure


def _draw_cell(axes: Axes, cell: GridCell, number: int) -> None:
    if cell.pixels is None:
        axes.imshow(np.ones((8, 8)), cmap="gray", vmin=0, vmax=1)
        axes.text(0.5, 0.5, "picture not readable", transform=axes.transAxes, ha="center", va="center",
                  fontsize=SMALL_SIZE, color=FAINT)  # fmt: skip
    else:
        axes.imshow(_square(cell.pixels), cmap="gray", vmin=0.0, vmax=1.0, interpolation="antialiased")
    for spine in axes.spines.values():
        spine.set_color(WRONG if cell.wrong else FAINT)
        spine.set_linewidth(5.0 if cell.wrong else 0.8)
    if cell.wrong:
        axes.text(
            0.94, 0.94, "✗", transform=axes.transAxes, ha="right", va="top", fontsize=19, fontweight="bold",
            color="white", bbox={"facecolor": WRONG, "edgecolor": "white", "boxstyle": "round,pad=0.15"},
        )  # fmt: skip
    axes.text(
        0.03, 0.03, str(number), transform=axes.transAxes, ha="left", va="bottom", fontsize=SMALL_SIZE, color="white",
        bbox={"facecolor": "black", "edgecolor": "none", "alpha": 0.6, "pad": 1.5},
    )  # fmt: skip
    true, guess = plain(cell.label, 20), plain(cell.predicted, 20)
    title = f"{true}\n→ {guess} ({cell.probability:.2f})"
    weight = "bold" if cell.wrong else "normal"
    axes.set_title(
        title, fontsize=TEXT_SIZE - 1, color=WRONG if cell.wrong else INK, pad=5, fontweight=weight
    )


def _square(pixels: npt.NDArray[np.float32], side: int = 224) -> npt.NDArray[np.float32]:
    """The picture in a black square of ``side``, its proportions kept."""
    import cv2

    height, width = pixels.shape
    scale = side / max(height, width)
    small = cv2.resize(
        pixels.astype(np.float32), (max(1, round(width * scale)), max(1, round(height * scale))),
        interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC,
    )  # fmt: skip
    square = np.zeros((side, side), np.float32)
    top, left = (side - small.shape[0]) // 2, (side - small.shape[1]) // 2
    square[top : top + small.shape[0], left : left + small.shape[1]] = np.clip(small, 0.0, 1.0)
    return square
