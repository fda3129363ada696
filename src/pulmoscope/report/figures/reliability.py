"""Reliability: is a probability of 0.8 right eight times in ten?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pulmoscope.evaluation import reliability
from pulmoscope.report.style import COLOURS, FAINT, INK, SMALL_SIZE, TEXT_SIZE, dress, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_reliability(
    labels: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    bins: int = 10,
    groups: npt.ArrayLike | None = None,
) -> Figure:
    """Draw accuracy against the predicted class's probability, with 95% intervals, and the counts below.

    Args:
        labels: True classes, (N,) integers.
        probabilities: (N, C) in [0, 1].
        bins: Number of bins of equal width.
        groups: Group (patient) of each picture, (N,), for the intervals; each picture for itself if left out.
    """
    found = reliability(labels, probabilities, bins, groups=groups)
    figure = new_figure(6.4, 6.4)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    upper.plot([0, 1], [0, 1], color=FAINT, linewidth=1.3, linestyle=(0, (4, 3)), label="perfect calibration")
    kept = found.counts > 0
    below = np.maximum(found.accuracy - found.low, 0)[kept]
    above = np.maximum(found.high - found.accuracy, 0)[kept]
    upper.errorbar(
        found.confidence[kept], found.accuracy[kept], yerr=[below, above], color=COLOURS[0], marker="o", markersize=7,
        linewidth=1.8, elinewidth=1.3, capsize=4, label="observed, 95% interval",
    )  # fmt: skip
    shown = "undefined" if np.isnan(found.ece) else f"{found.ece:.3f}"
    upper.text(0.98, 0.04, f"ECE {shown}", transform=upper.transAxes, fontsize=TEXT_SIZE + 2, ha="right",
               fontweight="bold", color=INK)  # fmt: skip
    upper.legend(loc="upper left", fontsize=SMALL_SIZE, framealpha=0.9, edgecolor="none")
    dress(upper, y="share that is right", grid="both")
    upper.set_ylim(-0.02, 1.02)
    centres = (found.edges[:-1] + found.edges[1:]) / 2
    lower.bar(centres, found.counts, width=0.9 / bins, color="#B9C2CC", edgecolor=FAINT, linewidth=0.6)
    for centre, count in zip(centres, found.counts, strict=True):
        lower.annotate(f"{count:,}", (centre, count), xytext=(0, 2), textcoords="offset points", ha="center",
                       fontsize=SMALL_SIZE, color=INK if count else FAINT)  # fmt: skip
    dress(lower, x="probability of the predicted class", y="pictures")
    lower.set_xlim(0, 1.01)
    lower.set_ylim(0, max(int(found.counts.max(initial=0)), 1) * 1.25)
    return figure
