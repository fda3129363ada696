"""Receiver operating characteristic, one class against the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pulmoscope.evaluation import roc_curve
from pulmoscope.report.numbers import show_rate, value_of
from pulmoscope.report.style import FAINT, SMALL_SIZE, colour, dress, line, marker, new_figure, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_POINTS = 1500


def draw_roc(
    labels: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    classes: Sequence[str],
    rates: Mapping[str, Mapping[str, Any]] | None = None,
) -> Figure:
    """Draw one ROC curve a class, its AUROC with interval in the legend, and the chance diagonal.

    Args:
        labels: True classes, (N,) integers.
        probabilities: (N, C) in [0, 1].
        classes: The C names.
        rates: ``metrics.json``'s ``classes`` of the same part: the legend shows its ``auroc``. Without it the area
            under the drawn points, without interval.
    """
    truth, scores = np.asarray(labels), np.asarray(probabilities, dtype=float)
    figure = new_figure(6.4, 6.4)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1.3, linestyle=(0, (4, 3)), label="chance (AUROC 0.5)")
    for number, name in enumerate(classes):
        curve = roc_curve(truth == number, scores[:, number])
        points = np.column_stack([curve.false_positive_rate, curve.sensitivity])
        points = points if np.isfinite(points).all() else points[:0]
        area: object = (rates or {}).get(name, {}).get("auroc")
        if area is None and rates is None and len(points):
            area = float(np.trapezoid(points[:, 1], points[:, 0]))
        if not len(points) or value_of(area) is None:
            axes.plot([], [], linestyle="", label=f"{plain(name)}: undefined")
            if not len(points):
                continue
        if len(points) > _MOST_POINTS:
            points = points[np.unique(np.linspace(0, len(points) - 1, _MOST_POINTS).astype(int))]
        axes.plot(
            points[:, 0], points[:, 1], color=colour(number), linestyle=line(number), linewidth=2.2,
            marker=marker(number), markevery=(0.04 + 0.02 * (number % 5), 0.18), markersize=6.5,
            label=f"{plain(name)}: {show_rate(area)}" if value_of(area) is not None else None,
        )  # fmt: skip
    dress(axes, x="1 − specificity (false-positive rate)", y="sensitivity", grid="both")
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    axes.set_aspect("equal")
    look: dict[str, Any] = {
        "title": "AUROC (95% interval), one against the rest",
        "fontsize": SMALL_SIZE,
        "title_fontsize": SMALL_SIZE,
        "framealpha": 0.92,
        "edgecolor": "#DDE1E6",
        "alignment": "left",
    }
    if len(classes) <= 6:
        axes.legend(loc="lower right", **look)
    else:
        figure.set_size_inches(10.4, 6.4)
        figure.legend(loc="outside right upper", **look)
    return figure
