"""Pictures as points: one row a method, coloured by class, by source and by right or wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pulmoscope.report.style import (
    COLOURS,
    FAINT,
    INK,
    SMALL_SIZE,
    TEXT_SIZE,
    WRONG,
    colour,
    marker,
    new_figure,
    plain,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CAPTION = (
    "Each point is a picture. In t-SNE and UMAP only near neighbours mean something: the distance between clusters, "
    "their sizes and\ntheir shapes mean little, and clusters can appear where there are none. PCA keeps distances, as "
    "far as two axes hold them."
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Embedded:
    """One method's points.

    Attributes:
        method: ``pca``, ``tsne`` or ``umap``.
        note: What the axes are.
        points: (N, 2).
    """

    method: str
    note: str
    points: NDArray[np.float64]


def draw_embedding(
    rows: Sequence[Embedded], *, classes: Sequence[str], sources: Sequence[str], wrong: NDArray[np.bool_]
) -> Figure:
    """Draw every method three times; points in an order drawn once, so that no group lies on top.

    Args:
        rows: One a method.
        classes: (N,) true class of each picture.
        sources: (N,) where each came from.
        wrong: (N,) whether the model was wrong.
    """
    figure = new_figure(12.6, 4.0 * len(rows) + 1.0)
    grid = figure.subplots(len(rows), 3, squeeze=False)
    for row, one in enumerate(rows):
        _by_name(grid[row, 0], one.points, classes, "by true class", 0)
        _by_name(grid[row, 1], one.points, sources, "by source", 3)
        _by_right(grid[row, 2], one.points, wrong)
        grid[row, 0].set_ylabel(one.note, fontsize=SMALL_SIZE, color=INK)
    figure.supxlabel(CAPTION, fontsize=SMALL_SIZE, color=FAINT)
    return figure


def _by_name(axes: Axes, points: NDArray[np.float64], names: Sequence[str], title: str, first: int) -> None:
    known = sorted(set(names), key=lambda name: (-list(names).count(name), name))
    shown = np.asarray(names)
    _frame(axes, f"{title} ({len(known)})" if len(known) > 1 else f"{title}: only one, {plain(known[0])}")
    # The commonest first, so that the rare ones are not hidden under it.
    for index, name in enumerate(known):
        here = points[shown == name]
        axes.scatter(
            here[:, 0], here[:, 1], s=16, marker=marker(index + first), facecolor=colour(index + first), alpha=0.65,
            linewidths=0.3, edgecolors="white", label=f"{plain(name, 24)} ({len(here)})",
        )  # fmt: skip
    axes.legend(fontsize=SMALL_SIZE - 1, frameon=True, framealpha=0.85, loc="best", markerscale=1.4)


def _by_right(axes: Axes, points: NDArray[np.float64], wrong: NDArray[np.bool_]) -> None:
    _frame(axes, "by right and wrong")
    right = points[~wrong]
    axes.scatter(
        right[:, 0], right[:, 1], s=14, facecolor="none", edgecolors=COLOURS[5], linewidths=0.8,
        label=f"right ({len(right)})",
    )  # fmt: skip
    axes.scatter(
        points[wrong, 0], points[wrong, 1], s=30, marker="x", color=WRONG, linewidths=1.3,
        label=f"wrong ({int(wrong.sum())})",
    )  # fmt: skip
    axes.legend(fontsize=SMALL_SIZE - 1, frameon=True, framealpha=0.85, loc="best")


def _frame(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=TEXT_SIZE, color=INK, loc="left", fontweight="bold")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(FAINT)
