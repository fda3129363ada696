"""Reliability before and after recalibration, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pulmoscope.evaluation.brier import brier_score
from pulmoscope.evaluation.calibration import Reliability, expected_calibration_error, reliability
from pulmoscope.report.numbers import show_number
from pulmoscope.report.style import (
    COLOURS,
    FAINT,
    INK,
    MARKERS,
    SMALL_SIZE,
    TEXT_SIZE,
    dress,
    new_figure,
    plain,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_calibration_pair(
    labels: npt.ArrayLike,
    before: npt.ArrayLike,
    after: npt.ArrayLike,
    *,
    bins: int = 10,
    groups: npt.ArrayLike | None = None,
    titles: tuple[str, str] = ("Before", "After"),
) -> Figure:
    """Draw both reliability diagrams in bins of equal mass, with the confidences' histograms below.

    Args:
        labels: True classes of pictures that the recalibration was not fitted on, (N,) integers.
        before: The model's probabilities, (N, C) in [0, 1].
        after: The recalibrated ones, (N, C).
        bins: Number of bins, as many pictures in each as ties allow.
        groups: Group (patient) of each picture, (N,), for the intervals; each picture for itself if left out.
        titles: Of the two sides.
    """
    figure = new_figure(10.4, 6.2)
    panels = figure.subplots(2, 2, sharex=True, sharey="row", height_ratios=[3.4, 1])
    pairs = [np.asarray(one, np.float64) for one in (before, after)]
    found = [reliability(labels, one, bins, "mass", groups) for one in pairs]
    tops = [one.max(axis=1) for one in pairs]
    # Confidences of C classes are at least 1 / C: what lies below is empty paper.
    left = min([1.0, *(float(top.min(initial=1.0)) for top in tops)])
    left = max(0.0, np.floor(20 * left) / 20 - 0.05)
    for side in range(2):
        upper, lower = panels[0, side], panels[1, side]
        numbers = [expected_calibration_error(labels, pairs[side], bins, kind) for kind in ("mass", "width")]
        _diagram(upper, found[side], side)
        text = "\n".join(
            f"{name} {show_number(value)}"
            for name, value in zip(
                ("ECE, equal mass", "ECE, equal width", "Brier score"),
                [*numbers, brier_score(labels, pairs[side])],
                strict=True,
            )
        )
        upper.text(
            0.975, 0.035, text, transform=upper.transAxes, fontsize=TEXT_SIZE, ha="right", va="bottom", color=INK,
            bbox={"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 2},
        )  # fmt: skip
        dress(upper, title=plain(titles[side], 48), y="" if side else "share that is right", grid="both")
        upper.set_ylim(-0.02, 1.02)
        lower.hist(
            tops[side], bins=np.linspace(left, 1.0, 26), color="#B9C2CC", edgecolor=FAINT, linewidth=0.6
        )
        dress(lower, x="probability of the predicted class", y="" if side else "pictures")
        lower.set_xlim(left, 1.005)
    panels[0, 0].legend(loc="upper left", fontsize=SMALL_SIZE, framealpha=0.9, edgecolor="none")
    return figure


def _diagram(axes: Axes, found: Reliability, side: int) -> None:
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1.3, linestyle=(0, (4, 3)), label="perfect calibration")
    kept = found.counts > 0
    below = np.maximum(found.accuracy - found.low, 0)[kept]
    above = np.maximum(found.high - found.accuracy, 0)[kept]
    axes.errorbar(
        found.confidence[kept], found.accuracy[kept], yerr=[below, above], color=COLOURS[side], marker=MARKERS[side],
        markersize=7, markerfacecolor="white" if side else COLOURS[side], markeredgewidth=1.6, linewidth=1.6,
        elinewidth=1.2, capsize=4, label="observed, 95% interval",
    )  # fmt: skip
