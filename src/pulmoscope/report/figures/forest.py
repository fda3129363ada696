"""The forest plot of a comparison: each model with its interval, and how far it lies from the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pulmoscope.report.style import COLOURS, FAINT, INK, SMALL_SIZE, dress, new_figure, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Interval = tuple[float, float, float]

# A filled mark stands for the best and those like it, a hollow one for the rest: colour is not needed to read it.
_LOOKS = {
    "best": ("D", COLOURS[0], COLOURS[0], "highest"),
    "like": ("o", COLOURS[0], COLOURS[0], "cannot be told apart from the highest"),
    "worse": ("v", COLOURS[1], "white", "told apart from the highest"),
}
_MARGIN = "margin of non-inferiority"
_BEYOND = "far below: see its numbers"


@dataclass(frozen=True, kw_only=True)
class ForestModel:
    """One line of the plot; NaN is not drawn.

    Attributes:
        label: At the left.
        value: The metric with its interval: value, low, high.
        to_best: The difference to the best with its interval; None for the best itself.
        kind: ``best``, ``like`` or ``worse``.
        text: Between the panels.
        difference: At the right.
    """

    label: str
    value: Interval
    to_best: Interval | None
    kind: str
    text: str
    difference: str


def draw_forest(models: Sequence[ForestModel], *, metric: str, margin: float | None = None) -> Figure:
    """Draw the models from top to bottom: the metric at the left, the difference to the best at the right.

    Args:
        models: At least one, the best first.
        metric: Of the axes.
        margin: Drawn as a line below no difference; None for none.

    Returns:
        A figure whose height grows with the models.
    """
    figure = new_figure(13.0, 1.9 + 0.4 * len(models))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1, 1])
    dress(left, x=metric, grid="x")
    dress(right, x=f"difference of {metric} to the highest", grid="x")
    for axes in (left, right):
        axes.tick_params(axis="y", length=0, pad=9)
        axes.spines["left"].set_visible(False)
    right.axvline(0, color=INK, linewidth=1.2)
    if margin is not None:
        right.axvline(-margin, color=FAINT, linewidth=1.4, linestyle=(0, (4, 2)), label=_MARGIN)
    least = _least(models)
    near = [one for one in models if one.value[0] >= least]
    differences = [one.to_best for one in near if one.to_best is not None]
    _room(left, [one.value for one in near], [])
    _room(right, differences, [0.0] if margin is None else [0.0, -margin])
    for place, model in enumerate(models):
        far = model.value[0] < least
        _draw(left, model.value, place, model.kind, far)
        if model.to_best is not None:
            _draw(right, model.to_best, place, model.kind, far)
        for axes, text in ((left, model.text), (right, model.difference)):
            axes.text(
                1.02, place, plain(text, 60), transform=axes.get_yaxis_transform(), ha="left", va="center",
                fontsize=SMALL_SIZE, color=INK,
            )  # fmt: skip
    for axes, text in ((left, "value (95% interval)"), (right, "difference (95% interval), p after Holm")):
        axes.text(
            1.02, -0.8, text, transform=axes.get_yaxis_transform(), ha="left", va="center", fontsize=SMALL_SIZE,
            color=FAINT,
        )  # fmt: skip
    left.set_yticks(range(len(models)), [plain(one.label, 56) for one in models], fontsize=SMALL_SIZE)
    left.set_ylim(len(models) - 0.4, -1.1)
    entries = {
        text: handle
        for axes in (left, right)
        for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    known = [text for text in (*(look[3] for look in _LOOKS.values()), _BEYOND, _MARGIN) if text in entries]
    if known:
        figure.legend(
            [entries[text] for text in known], known, loc="outside lower center", ncols=5, frameon=False,
            fontsize=SMALL_SIZE + 0.5,
        )  # fmt: skip
    return figure


def _least(models: Sequence[ForestModel]) -> float:
    """The value below which a model is left outside: with many, one that failed would squash all others."""
    values = sorted((one.value[0] for one in models if math.isfinite(one.value[0])), reverse=True)
    if len(values) < 8:
        return -math.inf
    kept = values[: math.ceil(0.75 * len(values))]
    return kept[-1] - 1.5 * (kept[0] - kept[-1])


def _room(axes: Axes, drawn: Sequence[Interval], marks: Sequence[float]) -> None:
    """Limits with room on both sides, so that nobody takes the edge for a bound."""
    ends = [one for interval in drawn for one in interval if math.isfinite(one)] + list(marks)
    if ends:
        reach = (max(ends) - min(ends)) or 0.1
        axes.set_xlim(min(ends) - 0.06 * reach, max(ends) + 0.06 * reach)
    axes.locator_params(axis="x", nbins=6)


def _draw(axes: Axes, interval: Interval, place: int, kind: str, far: bool) -> None:
    value, low, high = interval
    mark, edge, face, label = _LOOKS[kind]
    if not math.isfinite(value):
        return
    if far:
        axes.plot(
            [axes.get_xlim()[0]], [place], linestyle="", marker="<", markersize=8.5, color=INK, label=_BEYOND,
            zorder=3, clip_on=False,
        )  # fmt: skip
        return
    if math.isfinite(low) and math.isfinite(high):
        axes.plot([low, high], [place, place], color=edge, linewidth=1.9, solid_capstyle="butt")
    axes.plot(
        [value], [place], linestyle="", marker=mark, markersize=7.5, markeredgecolor=edge, markerfacecolor=face,
        markeredgewidth=1.6, label=label, zorder=3,
    )  # fmt: skip
