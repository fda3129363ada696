"""How often conformal sets hold the true class, beside what they promise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pulmoscope.evaluation.conformal import Kind
from pulmoscope.evaluation.conformal_table import ConformalReport, Coverage
from pulmoscope.report.style import COLOURS, INK, SMALL_SIZE, dress, new_figure, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LOOKS: dict[Kind, tuple[str, str, str, float, str]] = {
    "marginal": ("o", COLOURS[0], "white", -0.17, "one threshold for all"),
    "by-class": ("s", COLOURS[1], COLOURS[1], 0.17, "a threshold a class"),
}


def draw_coverage(report: ConformalReport) -> Figure:
    """Draw a row for all pictures and one a class: both kinds with exact intervals, the target, the expected range.

    The grey bar is where the share of 95 in 100 such tests lies if validation and test pictures are alike; only shares
    that the rule promises have one.
    """
    names = [*next(iter(report.kinds.values())).by_class]
    figure = new_figure(9.4, 2.4 + 0.62 * (1 + len(names)))
    axes = figure.add_subplot()
    dress(axes, x=f"share of {report.judged_on} pictures whose set holds the true class", grid="x")
    axes.axvline(
        report.level, color=INK, linewidth=1.5, linestyle=(0, (5, 2)), label=f"target {report.level:g}"
    )
    for kind, judged in report.kinds.items():
        rows: list[Coverage] = [judged.overall, *(judged.by_class[name] for name in names)]
        for place, one in enumerate(rows):
            _draw(axes, one, place, kind)
    pictures = [one.seen.n for one in (judged.overall, *judged.by_class.values())]
    shown = [f"{plain(name)} ({n:,})" for name, n in zip(["all", *names], pictures, strict=True)]
    axes.set_yticks(range(len(shown)), shown)
    axes.set_ylim(len(shown) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlim(min(axes.get_xlim()[0], report.level - 0.1), 1.01)
    entries = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    figure.legend(
        list(entries.values()), list(entries), loc="outside lower center", ncols=2, frameon=False,
        fontsize=SMALL_SIZE,
    )  # fmt: skip
    return figure


def _draw(axes: Axes, one: Coverage, place: int, kind: Kind) -> None:
    mark, edge, face, shift, label = _LOOKS[kind]
    if math.isnan(one.seen.value):
        return
    row = place + shift
    if one.promised:
        axes.plot(
            [one.range_low, one.range_high], [row, row], color="#C9CED6", linewidth=9, solid_capstyle="butt",
            label="where 95 in 100 tests lie if validation and test are alike", zorder=1,
        )  # fmt: skip
    axes.plot([one.seen.low, one.seen.high], [row, row], color=edge, linewidth=1.9, zorder=2)
    axes.plot(
        [one.seen.value], [row], linestyle="", marker=mark, markersize=7.5, markeredgecolor=edge,
        markerfacecolor=face, markeredgewidth=1.6, label=f"{label}, 95% interval", zorder=3,
    )  # fmt: skip
