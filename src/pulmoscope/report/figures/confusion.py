"""The confusion matrix: counts and the share of each true class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pulmoscope.report.style import FAINT, INK, TITLE_SIZE, dress, new_figure, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def row_shares(counts: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Each count over its row's sum, (C, C) in [0, 1]; NaN in the row of a class without pictures."""
    table = np.asarray(counts, dtype=float)
    sums = table.sum(axis=1, keepdims=True)
    shares: npt.NDArray[np.float64] = np.divide(table, sums, out=np.full_like(table, np.nan), where=sums > 0)
    return shares


def draw_confusion(counts: npt.ArrayLike, classes: Sequence[str]) -> Figure:
    """Draw the confusion matrix; rows are true classes, columns predicted ones, shade the share of the row.

    Args:
        counts: Numbers of pictures, (C, C), true class by predicted class.
        classes: Their C names.
    """
    from matplotlib.patches import Rectangle

    table = np.asarray(counts, dtype=np.int64)
    shares = row_shares(table)
    size = len(classes)
    side = min(max(1.25 * size + 2.2, 5.0), 13.0)
    figure = new_figure(side + 0.6, side - 0.2)
    axes = figure.add_subplot()
    axes.imshow(np.nan_to_num(shares), cmap="Blues", vmin=0.0, vmax=1.0)
    big = TITLE_SIZE + 2 if size <= 6 else min(13.0, max(7.0, 110 / size))
    small = max(6.0, big * 0.72)
    for row in range(size):
        for column in range(size):
            share = shares[row, column]
            ink = "white" if share > 0.55 else INK
            text = "–" if np.isnan(share) else f"{100 * share:.1f}%"
            weight = "bold" if row == column else "normal"
            axes.text(column, row - 0.08, f"{table[row, column]:,}", ha="center", va="center", fontsize=big,
                      color=ink, fontweight=weight)  # fmt: skip
            axes.text(column, row + 0.22, text, ha="center", va="center", fontsize=small, color=ink)
            axes.add_patch(
                Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=FAINT, linewidth=0.6)
            )
        axes.add_patch(
            Rectangle((row - 0.48, row - 0.48), 0.96, 0.96, fill=False, edgecolor=INK, linewidth=1.6)
        )
    dress(axes, x="predicted class", y="true class", grid=None)
    slanted = size > 4
    axes.set_xticks(range(size), [plain(name, 22) for name in classes], rotation=35 if slanted else 0,
                    ha="right" if slanted else "center")  # fmt: skip
    sums = table.sum(axis=1)
    axes.set_yticks(
        range(size), [f"{plain(name, 22)}\nn = {n:,}" for name, n in zip(classes, sums, strict=True)]
    )
    axes.tick_params(length=0)
    for side_name in ("left", "bottom"):
        axes.spines[side_name].set_visible(False)
    return figure
