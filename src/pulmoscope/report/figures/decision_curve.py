"""Net benefit by threshold probability, beside treating all and treating none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from pulmoscope.evaluation.decision import DecisionCurve
from pulmoscope.evaluation.result import show_level
from pulmoscope.report.style import (
    FAINT,
    INK,
    SMALL_SIZE,
    colour,
    dress,
    line,
    marker,
    new_figure,
    plain,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_decision_curve(curves: Mapping[str, DecisionCurve], *, disease: str = "") -> Figure:
    """Draw one curve a model with its band; treating all is dashed and grey, treating none the line at 0.

    Args:
        curves: Name -> curve, at least one, all of one prevalence: treating all is drawn once, from the first.
        disease: The class that is acted on, for the axis.

    Raises:
        ValueError: No curve, or curves of different prevalences.
    """
    drawn = list(curves.values())
    if not drawn:
        raise ValueError("there is no curve to draw")
    shares = {round(one.prevalence, 9) for one in drawn}
    if len(shares) > 1:
        raise ValueError(f"the curves are of different prevalences: {sorted(shares)}")
    figure = new_figure(8.2, 5.4)
    axes = figure.add_subplot()
    first = drawn[0]
    axes.plot(first.thresholds, first.treat_all, color=FAINT, linewidth=1.8, linestyle=(0, (6, 2)),
              label="treat all")  # fmt: skip
    axes.axhline(0, color=INK, linewidth=1.4, label="treat none")
    for index, (name, curve) in enumerate(curves.items()):
        if np.isfinite(curve.low).any():
            axes.fill_between(
                curve.thresholds, curve.low, curve.high, color=colour(index), alpha=0.18, linewidth=0,
                label=f"{show_level(curve.level)} interval" if len(drawn) == 1 else None,
            )  # fmt: skip
        axes.plot(
            curve.thresholds, curve.model, color=colour(index), linestyle=line(index), linewidth=2.2,
            marker=marker(index), markevery=(0.04 + 0.03 * (index % 4), 0.14), markersize=6, label=plain(name),
        )  # fmt: skip
    act = f"act when p({plain(disease)}) is at least" if disease else "act when the probability is at least"
    dress(axes, x=f"threshold probability: {act}", y="net benefit (true positives a picture)", grid="both")
    # Treating all falls without end: its dive is not what the figure is about.
    tops = [first.prevalence, *(float(np.nanmax(one.high, initial=0.0)) for one in drawn)]
    top = max([one for one in tops if np.isfinite(one)] or [1.0]) or 1.0
    lows = [float(np.nanmin(one.model, initial=0.0)) for one in drawn]
    axes.set_ylim(max(min(lows), -0.5 * top) - 0.08 * top, 1.08 * top)
    ends = np.concatenate([one.thresholds for one in drawn])
    axes.set_xlim(
        max(0.0, float(ends.min(initial=1.0)) - 0.01), min(1.0, float(ends.max(initial=0.0)) + 0.01)
    )
    odds = axes.secondary_xaxis("top")
    ticks = [
        one
        for one in (0.1, 0.2, 1 / 3, 0.5, 2 / 3, 0.8, 0.9)
        if axes.get_xlim()[0] <= one <= axes.get_xlim()[1]
    ]
    odds.set_xticks(ticks, [_odds(one) for one in ticks])
    odds.tick_params(labelsize=SMALL_SIZE, colors=INK)
    odds.set_xlabel("misses : false alarms of equal weight", fontsize=SMALL_SIZE, color=INK)
    axes.legend(loc="best", fontsize=SMALL_SIZE, framealpha=0.9, edgecolor="none")
    return figure


def _odds(threshold: float) -> str:
    """1 : 9 at 0.1: one miss weighs as much as nine false alarms."""
    ratio = (1 - threshold) / threshold
    return f"1 : {ratio:.3g}" if ratio >= 1 else f"{1 / ratio:.3g} : 1"
