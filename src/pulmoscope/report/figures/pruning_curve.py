"""Accuracy, size and speed of a network against the share of its channels that was taken away."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pulmoscope.explanation.pruning_curve import PrunePoint
from pulmoscope.report.style import COLOURS, FAINT, INK, SMALL_SIZE, TEXT_SIZE, dress, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_pruning_curve(points: Sequence[PrunePoint], chosen: PrunePoint) -> Figure:
    """Three panels over one axis: validation accuracy with its interval, parameters, pictures a second.

    Args:
        points: By rising share, the whole network first.
        chosen: One of them, marked in every panel.
    """
    figure = new_figure(8.2, 8.6)
    panels = figure.subplots(3, 1, sharex=True, height_ratios=(1.6, 1, 1))
    whole = points[0]
    shares = [100 * one.share for one in points]
    top: Axes = panels[0]
    dress(top, y="validation accuracy", grid="both")
    top.axhspan(
        whole.accuracy.low, whole.accuracy.high, color=COLOURS[0], alpha=0.12, linewidth=0,
        label="the whole network's 95% interval",
    )  # fmt: skip
    values = [one.accuracy.value for one in points]
    spread = [
        [value - one.accuracy.low for value, one in zip(values, points, strict=True)],
        [one.accuracy.high - value for value, one in zip(values, points, strict=True)],
    ]
    top.errorbar(
        shares, values, yerr=spread, color=COLOURS[0], marker="o", markersize=6, linewidth=1.8, capsize=3,
        label="accuracy, 95% interval",
    )  # fmt: skip
    _panel(panels[1], shares, [one.parameters for one in points], "parameters", COLOURS[1], "s")
    _panel(panels[2], shares, [one.pictures_a_second for one in points], "pictures a second", COLOURS[2], "^")
    for axes in panels:
        axes.axvline(100 * chosen.share, color=INK, linewidth=1.2, linestyle="--", zorder=1)
    top.plot(
        [100 * chosen.share], [chosen.accuracy.value], marker="o", markersize=13, markerfacecolor="none",
        markeredgecolor=INK, markeredgewidth=1.8, linestyle="", label=f"chosen: {100 * chosen.share:g}%",
    )  # fmt: skip
    figure.legend(loc="outside upper center", ncols=3, fontsize=SMALL_SIZE, frameon=False)
    what = "removed" if whole.kind == "smaller" else "set to zero (masks: nothing gets smaller)"
    panels[2].set_xlabel(f"share of every layer's channels {what}, %", fontsize=TEXT_SIZE, color=INK)
    return figure


def _panel(
    axes: Axes, shares: Sequence[float], values: Sequence[float], name: str, colour: str, marker: str
) -> None:
    dress(axes, y=name, grid="both")
    axes.plot(shares, values, color=colour, marker=marker, markersize=6, linewidth=1.8)
    known = [one for one in values if not math.isnan(one)]
    axes.set_ylim(0, 1.18 * max(known) if known else 1)
    for share, value in zip(shares, values, strict=True):
        if value and not math.isnan(value):
            axes.annotate(
                f"{value / values[0]:.2f}x", (share, value), textcoords="offset points", xytext=(0, 7),
                ha="center", fontsize=SMALL_SIZE - 1, color=FAINT,
            )  # fmt: skip
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
