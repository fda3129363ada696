"""Forest plots of subgroups: a panel a metric, a line a level, and the value of all pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pulmoscope.report.style import COLOURS, FAINT, SMALL_SIZE, dress, new_figure, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ENOUGH = "value (95% interval)"
_FEW = "small: too few pictures to judge by"
_BEYOND = "small and beyond the axis: see the table"
_NONE = "×  undefined: no picture of a class that it needs"
_OVERALL = "all pictures"


@dataclass(frozen=True, kw_only=True)
class ForestLine:
    """One level in one panel.

    Attributes:
        value: In [0, 1]; NaN where undefined.
        low: Lower bound; NaN where undefined.
        high: Upper bound.
        small: Whether it rests on too few pictures: drawn hollow.
    """

    value: float
    low: float
    high: float
    small: bool


@dataclass(frozen=True, kw_only=True)
class ForestPanel:
    """One metric.

    Attributes:
        title: Of the metric.
        overall: Of all pictures, drawn as a line through the panel; NaN for none.
        lines: One a level, in the order of the rows.
    """

    title: str
    overall: float
    lines: Sequence[ForestLine]


def draw_subgroups(rows: Sequence[tuple[str, str]], panels: Sequence[ForestPanel]) -> Figure:
    """Draw panels side by side, three in a row of panels, with the levels of all columns from top to bottom.

    Args:
        rows: Column and name of each level; a column's levels stand together.
        panels: At least one, each with a line a row.
    """
    across = min(3, len(panels))
    down = math.ceil(len(panels) / across)
    places, heads, height = _places(rows)
    figure = new_figure(2.6 + 2.8 * across, down * (1.0 + 0.3 * height) + 0.5)
    grid = figure.subplots(down, across, sharey=True, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, panel in zip(grid.flat, panels, strict=False):
        dress(axes, title=plain(panel.title, 40), grid="x")
        axes.title.set_fontsize(SMALL_SIZE + 1.5)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        _room(axes, panel)
        if math.isfinite(panel.overall):
            axes.axvline(panel.overall, color=FAINT, linewidth=1.4, linestyle=(0, (4, 2)), label=_OVERALL)
        for place, one in zip(places, panel.lines, strict=True):
            _draw(axes, one, place)
    for axes in grid[:, 0]:
        axes.set_yticks(
            [*heads.values(), *places], [*(plain(name) for name in heads), *(plain(one) for _, one in rows)]
        )
        for text, is_head in zip(
            axes.get_yticklabels(), [True] * len(heads) + [False] * len(rows), strict=True
        ):
            text.set_fontsize(SMALL_SIZE)
            text.set_fontweight("bold" if is_head else "normal")
        axes.set_ylim(height - 0.3, -0.7)
    _legend(figure, [axes for axes in grid.flat if axes.get_visible()])
    return figure


def _places(rows: Sequence[tuple[str, str]]) -> tuple[list[float], dict[str, float], int]:
    """Where each level stands, where each column's name stands above its levels, and how many lines that takes."""
    places: list[float] = []
    heads: dict[str, float] = {}
    at = 0
    for column, _ in rows:
        if column not in heads:
            heads[column] = at
            at += 1
        places.append(at)
        at += 1
    return places, heads, at


def _room(axes: Axes, panel: ForestPanel) -> None:
    """Limits by the levels that are not small; a small one beyond is an arrow at the edge."""
    firm = [one for one in panel.lines if not one.small] or list(panel.lines)
    drawn = [end for one in firm for end in (one.value, one.low, one.high)]
    ends = [end for end in (*drawn, panel.overall) if math.isfinite(end)]
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    reach = max(high - low, 0.1)
    axes.set_xlim(max(-0.02, low - 0.08 * reach), min(1.02, high + 0.08 * reach))
    axes.locator_params(axis="x", nbins=5)


def _draw(axes: Axes, one: ForestLine, place: float) -> None:
    if not math.isfinite(one.value):
        axes.text(
            0.02, place, "×", transform=axes.get_yaxis_transform(), ha="left", va="center", color=FAINT,
            fontsize=SMALL_SIZE + 1,
        )  # fmt: skip
        return
    colour = FAINT if one.small else COLOURS[0]
    left, right = axes.get_xlim()
    mark = "<" if one.value < left else ">" if one.value > right else "o"
    if math.isfinite(one.low) and math.isfinite(one.high):
        axes.plot([one.low, one.high], [place, place], color=colour, linewidth=1.1 if one.small else 2.0,
                  solid_capstyle="butt")  # fmt: skip
    label = _BEYOND if mark != "o" else _FEW if one.small else _ENOUGH
    axes.plot(
        [min(max(one.value, left), right)], [place], linestyle="", marker=mark, markersize=6.5, markeredgecolor=colour,
        markeredgewidth=1.5, markerfacecolor="white" if one.small else colour, label=label, zorder=3, clip_on=False,
    )  # fmt: skip


def _legend(figure: Figure, panels: Sequence[Axes]) -> None:
    entries = {
        text: handle for axes in panels
        for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)
    }  # fmt: skip
    shown = [text for text in (_ENOUGH, _FEW, _BEYOND, _OVERALL) if text in entries]
    crossed = any(text.get_text() == "×" for axes in panels for text in axes.texts)
    if crossed:
        from matplotlib.lines import Line2D

        entries[_NONE] = Line2D([], [], linestyle="")
        shown.append(_NONE)
    if shown:
        figure.legend([entries[text] for text in shown], shown, loc="outside lower center", ncols=3, frameon=False,
                      fontsize=SMALL_SIZE)  # fmt: skip
