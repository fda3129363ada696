"""The scorecard as figures: what the map beats, how it fades with random weights, where it lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pulmoscope.report.numbers import number, value_of
from pulmoscope.report.style import (
    COLOURS,
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
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MEASURES = {"deletion": "Deletion", "insertion": "Insertion", "road": "ROAD"}
_OPPONENTS = {
    "elsewhere": ("o", COLOURS[0], -0.16, "against the same map laid elsewhere"),
    "centred": ("s", COLOURS[1], 0.16, "against a centred blob"),
}
_SHORT = {"head": "head", "all layers": "all"}


def draw_gains(found: Mapping[str, Any]) -> Figure:
    """A row a method and a panel a measure: how much better its maps are than maps that know nothing.

    Args:
        found: The content of ``scorecard.json``.
    """
    rows = found["methods"]
    figure = new_figure(9.4, 1.9 + 0.62 * len(rows))
    panels = figure.subplots(1, len(_MEASURES), sharey=True)
    for axes, (key, title) in zip(panels, _MEASURES.items(), strict=True):
        dress(axes, title=title, x="gain in probability", grid="x")
        axes.axvline(0, color=INK, linewidth=1.4, linestyle=(0, (5, 2)))
        for place, row in enumerate(rows):
            for name, (mark, shade, shift, label) in _OPPONENTS.items():
                _interval(axes, row["gains"][name][key], place + shift, mark, shade, label)
        axes.margins(x=0.12)
    _name_rows(panels[0], rows)
    _legend(figure, panels[0])
    return figure


def draw_cascade(found: Mapping[str, Any]) -> Figure:
    """A line a method: how like its true map it still is as layers are made random from the head down."""
    rows = found["methods"]
    figure = new_figure(9.4, 4.0)
    axes = figure.add_subplot()
    dress(axes, x="what is random", y="rank correlation with the true map")
    axes.axhline(0.5, color=INK, linewidth=1.4, linestyle=(0, (5, 2)))
    names = ["nothing", *(one["name"] for one in rows[0]["randomised"])]
    axes.annotate(
        "limit with all layers random",
        (0, 0.5),
        xytext=(0, 4),
        textcoords="offset points",
        fontsize=SMALL_SIZE,
        color=INK,
    )
    for index, row in enumerate(rows):
        heights = [1.0, *(value_of(one["spearman"]) for one in row["randomised"])]
        shown = [(x, y) for x, y in enumerate(heights) if y is not None]
        axes.plot(
            [x for x, _ in shown], [y for _, y in shown], color=colour(index), marker=marker(index),
            linestyle=line(index), linewidth=1.8, markersize=7, label=plain(row["title"]),
        )  # fmt: skip
    axes.set_xticks(range(len(names)), [_level(name) for name in names])
    low = min((y for one in rows for y in map(_spearman, one["randomised"]) if y is not None), default=0.0)
    axes.set_ylim(min(-0.05, low - 0.05), 1.04)
    _legend(figure, axes)
    return figure


def draw_places(found: Mapping[str, Any]) -> Figure:
    """A panel a measure of place that is known: the maps beside what chance gives."""
    rows = found["methods"]
    panels_of = place_measures(found)
    figure = new_figure(9.4, 1.9 + 0.55 * len(rows))
    panels = figure.subplots(1, len(panels_of), sharey=True, squeeze=False)[0]
    for axes, (title, pick) in zip(panels, panels_of.items(), strict=True):
        dress(axes, title=title, x="share", grid="x")
        for place, row in enumerate(rows):
            one = pick(row)
            if one is None:
                continue
            _interval(axes, one["value"], place, "o", COLOURS[0], "map, 95% interval")
            chance = value_of(one["chance"])
            if chance is not None:
                axes.plot(
                    [chance], [place], linestyle="", marker="|", markersize=18, markeredgewidth=2.2, color=FAINT,
                    label="chance",
                )  # fmt: skip
        axes.set_xlim(-0.03, 1.03)
    _name_rows(panels[0], rows)
    _legend(figure, panels[0])
    return figure


def place_measures(found: Mapping[str, Any]) -> dict[str, Any]:
    """Title to the function that takes the measure from a method's row; those that some method has."""

    def of_lesion(key: str) -> Any:
        return lambda row: row["lesions"].get(key)

    every: dict[str, Any] = {
        "In the lungs": lambda row: row["lungs"],
        "Points at the lesion": of_lesion("pointing"),
        "In the lesion": of_lesion("inside"),
        "IoU with the lesion": of_lesion("iou"),
    }
    return {
        title: pick
        for title, pick in every.items()
        if any(
            (one := pick(row)) is not None and value_of(one["value"]) is not None for row in found["methods"]
        )
    }


def _interval(axes: Axes, mean: Mapping[str, Any], place: float, mark: str, shade: str, label: str) -> None:
    value, low, high = (number(mean[key]) for key in ("value", "low", "high"))
    if value is None:
        return
    if low is not None and high is not None:
        axes.plot([low, high], [place, place], color=shade, linewidth=1.9)
    axes.plot(
        [value], [place], linestyle="", marker=mark, markersize=7, markeredgecolor=shade,
        markerfacecolor="white" if mark == "o" else shade, markeredgewidth=1.6, label=label,
    )  # fmt: skip


def _spearman(level: Mapping[str, Any]) -> float | None:
    return value_of(level["spearman"])


def _level(name: str) -> str:
    return _SHORT.get(name, name.removeprefix("head and ").removesuffix(" of layers"))


def _name_rows(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    axes.set_yticks(range(len(rows)), [plain(row["title"]) for row in rows])
    axes.set_ylim(len(rows) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)


def _legend(figure: Figure, axes: Axes) -> None:
    entries = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    figure.legend(
        list(entries.values()),
        list(entries),
        loc="outside lower center",
        ncols=5,
        frameon=False,
        fontsize=SMALL_SIZE,
    )
