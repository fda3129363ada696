"""Error among the answered as more pictures are answered, the surest first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pulmoscope.evaluation.intervals import wilson
from pulmoscope.evaluation.selective import RiskCoverage
from pulmoscope.report.style import COLOURS, FAINT, INK, SMALL_SIZE, dress, marker, new_figure, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """A threshold fixed on validation, where it came to lie on the judged pictures; shares in [0, 1]."""

    label: str
    coverage: float
    risk: float


def draw_risk_coverage(curve: RiskCoverage, *, pictures: int, points: Sequence[CurvePoint] = ()) -> Figure:
    """Draw the curve with its band, the error of answering all, and the best curve that this many errors allow.

    Args:
        curve: Of the judged pictures.
        pictures: How many they are: the band is Wilson's 95% interval of the error among the answered.
        points: Thresholds to mark; those that answer nothing are left out.
    """
    figure = new_figure(8.2, 5.8)
    axes = figure.add_subplot()
    dress(axes, x="share of pictures answered, the surest first", y="error among the answered", grid="both")
    axes.set_xlim(0, 1.0)
    if not len(curve.coverage):
        axes.text(0.5, 0.5, "undefined: no pictures", transform=axes.transAxes, ha="center", color=FAINT)
        return figure
    answered = np.round(curve.coverage * pictures)
    low, high = wilson(np.round(curve.risk * answered), answered)
    axes.fill_between(
        curve.coverage, low, high, color=COLOURS[0], alpha=0.16, linewidth=0, label="95% interval"
    )
    axes.axhline(
        curve.at_random, color=FAINT, linewidth=1.6, linestyle=(0, (6, 2)),
        label=f"answering at random ({curve.at_random:.3f})",
    )  # fmt: skip
    shares = np.linspace(0, 1, 201)[1:]
    axes.plot(
        shares, np.maximum(0, shares - (1 - curve.at_random)) / shares, color=INK, linewidth=1.3,
        linestyle=(0, (1, 2)), label=f"all errors among the least sure (area {curve.at_best:.3f})",
    )  # fmt: skip
    axes.plot(
        curve.coverage,
        curve.risk,
        color=COLOURS[0],
        linewidth=2.2,
        label=f"this model (area {curve.area:.3f})",
    )
    for index, point in enumerate(one for one in points if not math.isnan(one.risk)):
        axes.plot(
            [point.coverage], [point.risk], linestyle="", marker=marker(index), markersize=9,
            markerfacecolor="white", markeredgecolor=COLOURS[1], markeredgewidth=2, label=plain(point.label, 48),
            zorder=4,
        )  # fmt: skip
    # A few pictures alone make the band fill the picture; what matters lies below twice the overall error.
    top = max(1.6 * curve.at_random, 1.25 * float(curve.risk[curve.coverage >= 0.1].max(initial=0.0)), 0.02)
    axes.set_ylim(-0.02 * top, min(1.0, top))
    # Beside the axes: the curve starts anywhere at the left.
    figure.legend(loc="outside lower center", ncols=2, fontsize=SMALL_SIZE, frameon=False)
    return figure
