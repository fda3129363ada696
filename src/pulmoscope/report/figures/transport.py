"""Internal test and external cohort side by side, and the difference split into class mix and the rest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pulmoscope.evaluation.compare_words import metric_title
from pulmoscope.evaluation.transport_result import Bounds, MetricShift
from pulmoscope.report.style import COLOURS, INK, SMALL_SIZE, dress, new_figure, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Place above or below the row, mark, colour, filled, line: shapes and filling are enough without colour.
_SIDES = {
    "internal": ("internal test", -0.14, "o", COLOURS[0], True),
    "external": ("external cohort", 0.14, "s", COLOURS[1], False),
}
_PARTS = {
    "difference": ("difference, external minus internal", -0.24, "D", INK, True),
    "class_mix": ("of it class mix", 0.0, "^", COLOURS[2], False),
    "rest": ("of it the rest", 0.24, "v", COLOURS[1], False),
}


def draw_transport(shifts: Sequence[MetricShift]) -> Figure:
    """Draw one row a metric: both values at the left, the parts of their difference at the right.

    Args:
        shifts: At least one, from top to bottom. An interval that is undefined is not drawn.

    Returns:
        A figure whose height grows with the metrics.
    """
    figure = new_figure(11.5, 1.5 + 0.52 * len(shifts))
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, title, looks in ((left, "value", _SIDES), (right, "difference", _PARTS)):
        dress(axes, x=f"{title} (95% interval)", grid="x")
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0, pad=8)
        for place, one in enumerate(shifts):
            if place % 2:
                axes.axhspan(place - 0.5, place + 0.5, color="#F3F4F6", zorder=0, linewidth=0)
            for part, (label, shift, mark, colour, filled) in looks.items():
                _draw(axes, getattr(one, part), place + shift, mark, colour, filled=filled, label=label)
        axes.locator_params(axis="x", nbins=7)
    right.axvline(0, color=INK, linewidth=1.0)
    left.set_yticks(
        range(len(shifts)), [plain(metric_title(one.metric), 44) for one in shifts], fontsize=SMALL_SIZE + 0.5
    )
    left.set_ylim(len(shifts) - 0.45, -0.55)
    entries = {
        text: handle
        for axes in (left, right)
        for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        list(entries.values()),
        list(entries),
        loc="outside lower center",
        ncols=5,
        frameon=False,
        fontsize=SMALL_SIZE,
    )
    return figure


def _draw(axes: Axes, one: Bounds, place: float, mark: str, colour: str, *, filled: bool, label: str) -> None:
    if not math.isfinite(one.value):
        return
    if math.isfinite(one.low) and math.isfinite(one.high):
        axes.plot([one.low, one.high], [place, place], color=colour, linewidth=1.7, solid_capstyle="butt")
    axes.plot(
        [one.value], [place], linestyle="", marker=mark, markersize=6.0, markeredgecolor=colour, markeredgewidth=1.5,
        markerfacecolor=colour if filled else "white", label=label, zorder=3,
    )  # fmt: skip
