"""Contact sheets: many small grey pictures side by side, of a picture's feature maps or of a network's filters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pulmoscope.report.style import FAINT, INK, SMALL_SIZE, TEXT_SIZE, new_figure, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TILE, _GAP, _FEW = 96, 8, 4


@dataclass(frozen=True, kw_only=True, eq=False)
class Sheet:
    """One block of tiles.

    Attributes:
        title: Above it.
        tiles: (K, h, w); all of one size.
        names: Under the tiles, K of them; empty for none.
        centred: Grey is 0, and black and white lie equally far from it: kernels. Else black is the least and white the
            most of each tile: maps and pictures.
        empty: (K,) tiles to cross out, since nothing is in them; None for none.
    """

    title: str
    tiles: NDArray[np.float32]
    names: Sequence[str] = ()
    centred: bool = False
    empty: NDArray[np.bool_] | None = None


def draw_sheets(
    sheets: Sequence[Sheet],
    *,
    columns: int = 16,
    beside: bool = False,
    title: str = "",
    picture: NDArray[np.float32] | None = None,
) -> Figure:
    """Draw blocks of tiles one under the other, or side by side to be compared tile by tile.

    Every tile is scaled on its own, so tiles tell what is where, not which is stronger.

    Args:
        sheets: The blocks.
        columns: Tiles in a row of one block; with 4 or fewer they are drawn twice as large.
        beside: Whether blocks stand side by side.
        title: Above all blocks.
        picture: (H, W) in [0, 1], drawn above all, such as the one that the maps are of.
    """
    named = any(sheet.names for sheet in sheets)
    rows = [-(-len(sheet.tiles) // columns) for sheet in sheets]
    side = 1.2 if columns <= _FEW else 0.6
    step = side * (1.2 if named else 1.0)
    widest = min(columns, max((len(sheet.tiles) for sheet in sheets), default=1))
    block = max(2.4, side * widest)
    heights = [0.45 + step * count for count in rows]
    if beside:
        figure = new_figure(block * len(sheets) + 0.6, max(heights) + (0.8 if title else 0.4))
        grid = figure.subplots(1, len(sheets), squeeze=False)[0]
    else:
        extra = [] if picture is None else [2.6]
        figure = new_figure(block + 0.4, sum(heights) + sum(extra) + 0.4)
        grid = figure.subplots(len(sheets) + len(extra), 1, squeeze=False, height_ratios=[*extra, *heights])[
            :, 0
        ]
        if picture is not None:
            _blank(grid[0])
            grid[0].imshow(picture, cmap="gray", vmin=0, vmax=1)
            grid[0].set_title("the picture, as the network gets it", fontsize=TEXT_SIZE, color=INK)
            grid = grid[1:]
    for axes, sheet in zip(grid, sheets, strict=True):
        _draw(axes, sheet, columns)
    if title:
        figure.suptitle(plain(title, 90), fontsize=TEXT_SIZE, color=INK)
    centred = any(sheet.centred for sheet in sheets)
    scale = "grey is 0, white above, black below" if centred else "from its least (black) to its most (white)"
    figure.supxlabel(f"each tile on a scale of its own: {scale}", fontsize=SMALL_SIZE, color=FAINT)
    return figure


def _draw(axes: Axes, sheet: Sheet, columns: int) -> None:
    _blank(axes)
    axes.set_title(plain(sheet.title, 110), fontsize=TEXT_SIZE, color=INK, loc="left", fontweight="bold")
    below = (12 if columns <= _FEW else 24) if sheet.names else 0
    count = len(sheet.tiles)
    wide, high = min(columns, max(count, 1)), -(-max(count, 1) // columns)
    canvas = np.ones((high * (_TILE + _GAP + below), wide * (_TILE + _GAP)), np.float32)
    for number, tile in enumerate(sheet.tiles):
        top, left = (number // columns) * (_TILE + _GAP + below), (number % columns) * (_TILE + _GAP)
        canvas[top : top + _TILE, left : left + _TILE] = _grey(tile, centred=sheet.centred)
    axes.imshow(canvas, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    for number in range(count):
        top, left = (number // columns) * (_TILE + _GAP + below), (number % columns) * (_TILE + _GAP)
        if sheet.names:
            axes.text(
                left + _TILE / 2, top + _TILE + 1, sheet.names[number], ha="center", va="top", fontsize=SMALL_SIZE - 3,
                color=INK,
            )  # fmt: skip
        if sheet.empty is not None and sheet.empty[number]:
            axes.plot([left + 16, left + _TILE - 16], [top + 16, top + _TILE - 16], color=FAINT, linewidth=1)
            axes.plot([left + 16, left + _TILE - 16], [top + _TILE - 16, top + 16], color=FAINT, linewidth=1)


def _grey(tile: NDArray[np.float32], *, centred: bool) -> NDArray[np.float32]:
    """A tile in [0, 1] at the sheet's size; one without any contrast is mid-grey, or light grey among maps."""
    import cv2

    if centred:
        reach = float(np.abs(tile).max())
        scaled = 0.5 + 0.5 * tile / reach if reach > 0 else np.full_like(tile, 0.5)
    else:
        low, high = float(tile.min()), float(tile.max())
        scaled = (tile - low) / (high - low) if high > low else np.full_like(tile, 0.85)
    # Kernels of 3 x 3 stay squares.
    how = cv2.INTER_NEAREST if max(tile.shape) < _TILE else cv2.INTER_AREA
    return np.asarray(cv2.resize(scaled.astype(np.float32), (_TILE, _TILE), interpolation=how), np.float32)


def _blank(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
