"""Figures of a sweep: the objective by parameter, the parameters' importance, all trials as parallel coordinates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pulmoscope.report.style import (
    COLOURS,
    FAINT,
    INK,
    SMALL_SIZE,
    TEXT_SIZE,
    WRONG,
    dress,
    new_figure,
    plain,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_VALUES = 12
_COLUMNS = 3


def draw_boxes(frame: pd.DataFrame, axes: Sequence[str], *, label: str) -> Figure:
    """Box plots of the objective by each value of each parameter, with a point a trial, mean and deviation.

    Args:
        frame: A row a trial: ``state``, ``objective`` and a column a parameter.
        axes: The parameters' columns; one with more than 12 numbers is drawn as points over its range.
        label: What the objective is called.
    """
    done = frame[frame["state"] == "complete"]
    rows = -(-len(axes) // _COLUMNS)
    columns = min(_COLUMNS, len(axes))
    figure = new_figure(4.2 * columns + 0.6, 3.6 * rows + 0.2)
    panels = np.atleast_1d(figure.subplots(rows, columns, sharey=True, squeeze=False)).ravel()
    for panel, name in zip(panels, axes, strict=False):
        left = panel.get_subplotspec().is_first_col()
        dress(panel, title=plain(name), y=label if left else "")
        shown = done[done[name].notna()]
        values = shown["objective"].to_numpy(float)
        levels = sorted(shown[name].unique(), key=_order)
        if len(levels) > _MOST_VALUES and pd.api.types.is_numeric_dtype(shown[name]):
            numbers = shown[name].to_numpy(float)
            panel.plot(numbers, values, "o", color=COLOURS[0], markersize=4, alpha=0.7)
            _maybe_log(panel, numbers)
            continue
        for place, level in enumerate(levels):
            _box(panel, place, values[(shown[name] == level).to_numpy(bool)])
        turned = len(levels) > 4 or any(len(_text(level)) > 9 for level in levels)
        panel.set_xticks(
            range(len(levels)), [plain(_text(level), 18) for level in levels], rotation=30 if turned else 0,
            ha="right" if turned else "center",
        )  # fmt: skip
        panel.set_xlim(-0.6, max(len(levels), 1) - 0.4)
    for panel in panels[len(axes) :]:
        panel.set_visible(False)
    return figure


def draw_importance(importance: Mapping[str, float]) -> Figure:
    """Bars of each parameter's share, the largest on top.

    Args:
        importance: Parameter -> share in [0, 1].
    """
    ranked = sorted(importance.items(), key=lambda item: item[1])
    figure = new_figure(8.0, 0.55 * len(ranked) + 1.1)
    axes = figure.subplots()
    dress(axes, x="share of the objective's variance", grid="x")
    for place, (_, share) in enumerate(ranked):
        axes.barh(place, share, color=COLOURS[0], height=0.62)
        axes.text(share + 0.008, place, f"{share:.2f}", va="center", fontsize=TEXT_SIZE, color=INK)
    axes.set_yticks(range(len(ranked)), [plain(name) for name, _ in ranked])
    axes.set_xlim(0, min(1.1, max([share for _, share in ranked], default=1.0) * 1.15 + 0.03))
    return figure


def draw_parallel(frame: pd.DataFrame, axes: Sequence[str], *, label: str, maximise: bool) -> Figure:
    """All completed trials as lines over their parameters, the last axis the objective.

    Args:
        frame: A row a trial: ``state``, ``objective``, ``rank`` and a column a parameter.
        axes: The parameters' columns.
        label: What the objective is called.
        maximise: Whether larger is better; the better end of the last axis is on top.
    """
    done = frame[frame["state"] == "complete"].sort_values("rank", ascending=False)
    names = [*axes, "objective"]
    figure = new_figure(max(7.0, 1.9 * len(names)), 4.8)
    panel = figure.subplots()
    panel.set_axis_off()
    panel.set_xlim(-0.4, len(names) - 0.3)
    panel.set_ylim(-0.16, 1.12)
    heights = []
    for place, name in enumerate(names):
        column, ticks = _scale(done[name])
        if name == "objective" and not maximise:
            column, ticks = 1 - column, [(1 - height, text) for height, text in ticks]
        heights.append(column)
        panel.plot([place, place], [0, 1], color=FAINT, linewidth=1.0, zorder=3)
        for height, text in ticks:
            panel.text(
                place + 0.03, height, plain(text, 16), fontsize=SMALL_SIZE, color=INK, va="center", zorder=5,
                bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8},
            )  # fmt: skip
        title = label if name == "objective" else name
        panel.text(
            place, 1.07, plain(title, 22), ha="center", fontsize=TEXT_SIZE, color=INK, fontweight="bold"
        )
    lines = np.array(heights).T
    count = len(lines)
    spread = np.random.default_rng(0).uniform(-0.018, 0.018, (count, len(axes)))
    for index, line in enumerate(lines):
        from_top = count - 1 - index
        y = line.copy()
        # Trials of a grid share their values: a little apart, each line can be followed.
        y[:-1] += spread[index]
        best, near = from_top == 0, from_top < max(1, count // 10)
        panel.plot(
            np.arange(len(names)), y, zorder=4 if best else 3 if near else 2,
            color=WRONG if best else COLOURS[0] if near else "#B4BBC4",
            linewidth=2.6 if best else 1.5 if near else 0.7, alpha=1.0 if best else 0.85 if near else 0.55,
        )  # fmt: skip
    handles = [
        panel.plot([], [], color=WRONG, linewidth=2.6, label="the best")[0],
        panel.plot([], [], color=COLOURS[0], linewidth=1.5, label="the best tenth")[0],
        panel.plot([], [], color="#B4BBC4", linewidth=0.9, label="the others")[0],
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=SMALL_SIZE)
    return figure


def _box(panel: Axes, place: int, values: np.ndarray[Any, Any]) -> None:
    if not len(values):
        return
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    spread = np.random.default_rng(place).uniform(-0.13, 0.13, len(values))
    panel.plot(
        place - 0.12 + spread,
        values,
        "o",
        color="#5B6570",
        markersize=3.2,
        alpha=0.55,
        markeredgewidth=0,
        zorder=2,
    )
    panel.bar(
        place - 0.12,
        high - low,
        0.42,
        bottom=low,
        facecolor="none",
        edgecolor=COLOURS[0],
        linewidth=1.6,
        zorder=3,
    )
    panel.plot([place - 0.33, place + 0.09], [middle, middle], color=COLOURS[0], linewidth=2.4, zorder=4)
    deviation = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    panel.errorbar(
        place + 0.25, values.mean(), yerr=deviation, fmt="D", color=COLOURS[1], markersize=5.5, capsize=3,
        linewidth=1.5, zorder=5,
    )  # fmt: skip


def _scale(column: pd.Series) -> tuple[np.ndarray[Any, Any], list[tuple[float, str]]]:
    """Heights in [0, 1] of a column's values and the ticks of its axis; what is not there stands below it."""
    there = column.notna().to_numpy(bool)
    heights = np.full(len(column), -0.1)
    levels = sorted(column[there].unique(), key=_order)
    ticks: list[tuple[float, str]] = [] if there.all() else [(-0.1, "–")]
    if len(levels) > _MOST_VALUES or column.name == "objective":
        numbers = column[there].to_numpy(float)
        low, high = float(numbers.min()), float(numbers.max())
        logarithmic = column.name != "objective" and low > 0 and high / low > 30
        moved = np.log(numbers) if logarithmic else numbers
        width = float(moved.max() - moved.min())
        heights[there] = (moved - moved.min()) / width if width else 0.5
        ends = [low, high] if width else [low]
        return heights, ticks + [
            (at, f"{value:.3g}") for at, value in zip([0.0, 1.0] if width else [0.5], ends, strict=True)
        ]
    step = 1 / (len(levels) - 1) if len(levels) > 1 else 0.0
    at = {_text(level): index * step if step else 0.5 for index, level in enumerate(levels)}
    heights[there] = [at[_text(value)] for value in column[there]]
    return heights, ticks + [(height, text) for text, height in at.items()]


def _maybe_log(panel: Axes, numbers: np.ndarray[Any, Any]) -> None:
    if len(numbers) and numbers.min() > 0 and numbers.max() / numbers.min() > 30:
        panel.set_xscale("log")


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, (float, np.floating)) else str(value)


def _order(value: Any) -> tuple[int, Any]:
    return (1, str(value)) if isinstance(value, str) else (0, value)
