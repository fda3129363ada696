"""The curves of several models in one figure: loss and accuracy, training and validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pulmoscope.report.style import (
    FAINT,
    SMALL_SIZE,
    TEXT_SIZE,
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

_PANELS = (
    ("train_loss", "Training loss", "nats"),
    ("val_loss", "Validation loss", "nats"),
    ("train_accuracy", "Training accuracy", "share right"),
    ("val_accuracy", "Validation accuracy", "share right"),
)
_MOST_MARKERS = 12
# A loss that starts in the thousands would flatten all others.
_LOG_FROM = 30.0


def draw_curves(histories: Mapping[str, Sequence[pd.DataFrame]]) -> Figure:
    """Draw every model's history: loss above, accuracy below, training left, validation right.

    A model has one colour, line and marker in all panels. Its first history is drawn full, those of other seeds and
    folds thin. Epochs are counted over the stages; the line breaks where a stage ends.

    Args:
        histories: Model -> its histories, with the columns of ``history.csv``.

    Returns:
        A figure of four panels that share the scale along each row; that of the loss is logarithmic where it must be.
    """
    figure = new_figure(11.0, 8.2)
    panels = figure.subplots(2, 2, sharex=True, sharey="row")
    for axes, (column, title, unit) in zip(panels.flat, _PANELS, strict=True):
        dress(axes, title=title, x="epoch" if "accuracy" in column else "", y=unit, grid="both")
        for index, (name, several) in enumerate(histories.items()):
            for number, history in enumerate(several):
                _draw(axes, history, column, index, thin=number > 0, label=plain(name))
        if not axes.has_data():
            axes.text(
                0.5,
                0.5,
                "not recorded",
                transform=axes.transAxes,
                ha="center",
                fontsize=TEXT_SIZE,
                color=FAINT,
            )
    _scale([axes for axes, panel in zip(panels.flat, _PANELS, strict=True) if "loss" in panel[0]])
    entries = {
        text: handle
        for axes in panels.flat
        for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    if entries:
        figure.legend(
            list(entries.values()), list(entries), loc="outside lower center", ncols=min(4, len(entries)),
            fontsize=SMALL_SIZE + 0.5, frameon=False, handlelength=3.2,
        )  # fmt: skip
    return figure


def _scale(losses: Sequence[Axes]) -> None:
    """Whole epochs; a logarithmic loss where the largest is many times the smallest."""
    from matplotlib.ticker import MaxNLocator

    losses[0].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    drawn = [np.asarray(one.get_ydata(), float) for axes in losses for one in axes.lines]
    values = np.concatenate([np.empty(0), *drawn])
    values = values[values > 0]
    if len(values) and values.max() > _LOG_FROM * values.min():
        losses[0].set_yscale("log")
        losses[0].set_ylabel("nats, logarithmic")


def _draw(axes: Axes, history: pd.DataFrame, column: str, index: int, *, thin: bool, label: str) -> None:
    if column not in history:
        return
    values = pd.to_numeric(history[column], errors="coerce").to_numpy(float)
    if np.isnan(values).all():
        return
    epochs = np.arange(1, len(history) + 1, dtype=float)
    stage = history["stage"].astype(str).to_numpy()
    # A point that is not a number between two stages breaks the line there.
    breaks = np.flatnonzero(stage[1:] != stage[:-1]) + 1
    x, y = np.insert(epochs, breaks, np.nan), np.insert(values, breaks, np.nan)
    axes.plot(
        x, y, color=colour(index), linestyle=line(index), linewidth=0.8 if thin else 1.9,
        alpha=0.5 if thin else 1.0, marker=None if thin else marker(index), markersize=5,
        markevery=max(1, len(x) // _MOST_MARKERS), label=None if thin else label,
    )  # fmt: skip
