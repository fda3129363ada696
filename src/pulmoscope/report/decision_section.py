"""The report's section on decision curves: is acting on the model better than acting on everybody, or on nobody?"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from pulmoscope.evaluation.decision import DecisionCurve, decision_curve
from pulmoscope.evaluation.predictions import Predictions
from pulmoscope.report.called_classes import called_classes
from pulmoscope.report.figures.decision_curve import draw_decision_curve
from pulmoscope.report.section import Section
from pulmoscope.report.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_REPLICATES = 500
# Risks at which one might act, for the table: the figure has all.
_THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.5)
# Each class has a figure of its own; a page of more is no longer read.
_MOST = 4


def decision_section(judged: Predictions) -> Section | None:
    """Net benefit of calling each class, beside acting on everybody and on nobody.

    Args:
        judged: What is reported on, with labels.

    Returns:
        None where there are no probabilities, or no class has pictures on both sides.
    """
    probabilities, labels = judged.probabilities, judged.labels
    if probabilities is None:
        return None
    curves: dict[str, DecisionCurve] = {}
    for name in called_classes(judged.classes)[:_MOST]:
        index = judged.classes.index(name)
        positive = labels == index
        if positive.any() and not positive.all():
            curves[name] = decision_curve(
                positive, probabilities[:, index], groups=judged.groups, replicates=_REPLICATES
            )
    if not curves:
        return None
    captions, figures, sentences = {}, {}, []
    for number, (name, curve) in enumerate(curves.items()):
        better = _better(curve)
        key = f"decision_curve_{number}"
        captions[key] = (
            f"Net benefit of acting where the model gives {name} at least the threshold probability; "
            f"{curve.prevalence:.1%} of the pictures are of it. The band is the 95% interval over groups. {better}",
            f"Decision curve of {name}. {better}",
        )
        figures[key] = _drawing(name, curve)
        sentences.append(f"{name}: {better[:1].lower()}{better[1:]}")
    sentences.append(
        "The threshold is the risk from which one would act: at 0.1 a missed case weighs as much as nine false alarms. "
        "Net benefit is in true positives a picture at this data's mix of classes, and takes the probabilities at "
        "their word."
    )
    return Section(tables=(_table(curves),), sentences=tuple(sentences), captions=captions, figures=figures)


def _drawing(name: str, curve: DecisionCurve) -> Callable[[], Figure]:
    return partial(draw_decision_curve, {"the model": curve}, disease=name)


def _better(curve: DecisionCurve) -> str:
    """Where the whole band lies above both alternatives, in words."""
    other = np.maximum(curve.treat_all, 0)
    inside = np.isfinite(curve.low) & (curve.low > other)
    if not inside.any():
        return "At no threshold does the whole band lie above the lines of acting on everybody and on nobody."
    at = curve.thresholds[inside]
    edges = np.flatnonzero(np.diff(np.flatnonzero(inside)) > 1)
    starts, ends = np.r_[at[0], at[edges + 1]], np.r_[at[edges], at[-1]]
    widest = int(np.argmax(ends - starts))
    more = ", and in parts beyond" if len(starts) > 1 else ""
    return (
        "The whole band lies above the lines of both acting on everybody and acting on nobody for thresholds from "
        f"{starts[widest]:.2f} to {ends[widest]:.2f}{more}; those lines are of the same pictures, and have no band."
    )


def _table(curves: dict[str, DecisionCurve]) -> Table:
    rows = []
    for name, curve in curves.items():
        for wanted in _THRESHOLDS:
            at = int(np.argmin(np.abs(curve.thresholds - wanted)))
            shown = f"{curve.model[at]:.3f}"
            if np.isfinite(curve.low[at]):
                shown += f" ({curve.low[at]:.3f} to {curve.high[at]:.3f})"
            rows.append([f"{name}, {curve.thresholds[at]:.2f}", shown, f"{curve.treat_all[at]:.3f}", "0.000"])
    return Table(
        caption="Net benefit at some thresholds, with 95% intervals",
        header=["Class, threshold", "The model", "Acting on everybody", "Acting on nobody"],
        rows=rows,
    )
