"""The forest plot: every effect with its interval, and whether it can be told apart from none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pulmoscope.report.style import COLOURS, FAINT, INK, SMALL_SIZE, dress, new_figure, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# A filled mark can be told apart, and its shape says which way: colour is not needed to read it.
_LOOKS = {
    "helps": ("^", COLOURS[0], COLOURS[0], "helps"),
    "hurts": ("v", COLOURS[1], COLOURS[1], "hurts"),
    "cannot be told apart": ("o", INK, "white", "cannot be told apart"),
}
_VALIDATION = "validation part"


@dataclass(frozen=True, kw_only=True)
class ForestRow:
    """One line of the plot, all numbers in percentage points; NaN is not drawn.

    Attributes:
        label: At the left.
        value: The effect.
        low: Of its interval.
        high: Of its interval.
        verdict: ``helps``, ``hurts`` or ``cannot be told apart``.
        text: At the right.
        validation: Value and interval on the validation part, drawn faint below; None where there is none.
        heading: Of the rows from this one on; empty where it goes on.
    """

    label: str
    value: float
    low: float
    high: float
    verdict: str
    text: str
    validation: tuple[float, float, float] | None = None
    heading: str = ""


def draw_effects(rows: Sequence[ForestRow], *, unit: str = "change of accuracy, percentage points") -> Figure:
    """Draw the effects from top to bottom with a line at no effect.

    Args:
        rows: At least one.
        unit: Of the axis.

    Returns:
        A figure whose height grows with the rows.
    """
    places, headings, at = [], [], 0.0
    for row in rows:
        if row.heading:
            headings.append((at, row.heading))
            at += 0.9
        places.append(at)
        at += 1.0
    figure = new_figure(11.0, 1.7 + 0.42 * at)
    axes = figure.subplots()
    dress(axes, x=unit, grid="x")
    axes.axvline(0, color=INK, linewidth=1.2)
    for row, place in zip(rows, places, strict=True):
        _draw(axes, row, place)
    for place, text in headings:
        axes.text(
            -0.012, place, plain(text, 60), transform=axes.get_yaxis_transform(), ha="right", va="center",
            fontsize=SMALL_SIZE + 1, fontweight="bold", color=INK,
        )  # fmt: skip
    axes.text(
        1.012, 0.0 if headings and not headings[0][0] else -0.55, "points (95% interval)   p after Holm",
        transform=axes.get_yaxis_transform(), ha="left", va="center", fontsize=SMALL_SIZE, color=FAINT,
    )  # fmt: skip
    axes.set_yticks(places, [plain(row.label, 52) for row in rows], fontsize=SMALL_SIZE)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(at - 0.35, -0.65)
    # Room on both sides of 0, so that nobody takes the edge for it.
    reach = max([abs(one) for row in rows for one in _drawn(row)] or [1.0]) or 1.0
    low = min([0.0, *(one for row in rows for one in _drawn(row))])
    high = max([0.0, *(one for row in rows for one in _drawn(row))])
    axes.set_xlim(low - 0.08 * reach, high + 0.08 * reach)
    entries = {text: handle for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    order = [*(look[3] for look in _LOOKS.values()), _VALIDATION]
    known = sorted(entries, key=order.index)
    if known:
        figure.legend(
            [entries[text] for text in known], known, loc="outside lower center", ncols=4, frameon=False,
            fontsize=SMALL_SIZE + 0.5,
        )  # fmt: skip
    return figure


def _drawn(row: ForestRow) -> list[float]:
    return [one for one in (row.value, row.low, row.high, *(row.validation or ())) if math.isfinite(one)]


def _draw(axes: Axes, row: ForestRow, place: float) -> None:
    mark, edge, face, label = _LOOKS[row.verdict]
    if math.isfinite(row.value):
        if math.isfinite(row.low) and math.isfinite(row.high):
            axes.plot([row.low, row.high], [place, place], color=edge, linewidth=1.9, solid_capstyle="butt")
        axes.plot(
            [row.value], [place], linestyle="", marker=mark, markersize=8.5, markeredgecolor=edge,
            markerfacecolor=face, markeredgewidth=1.6, label=label, zorder=3,
        )  # fmt: skip
    if row.validation is not None and math.isfinite(row.validation[0]):
        value, low, high = row.validation
        below = place + 0.3
        if math.isfinite(low) and math.isfinite(high):
            axes.plot([low, high], [below, below], color=FAINT, linewidth=1.0, linestyle=(0, (2, 1.5)))
        axes.plot([value], [below], linestyle="", marker="x", markersize=5, color=FAINT, label=_VALIDATION)
    axes.text(
        1.012, place, plain(row.text, 60), transform=axes.get_yaxis_transform(), ha="left", va="center",
        fontsize=SMALL_SIZE, color=INK,
    )  # fmt: skip
