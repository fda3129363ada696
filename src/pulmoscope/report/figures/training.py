"""Loss, accuracy and AUROC against the epoch, both stages, with the chosen epoch marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pulmoscope.report.numbers import show_stage
from pulmoscope.report.style import COLOURS, FAINT, INK, SMALL_SIZE, TEXT_SIZE, TITLE_SIZE, dress, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LOSS = (("train_loss", "training", 0), ("val_loss", "validation", 1))
_RATES = (
    ("train_accuracy", "training accuracy", 0),
    ("val_accuracy", "validation accuracy", 1),
    ("val_macro_auroc", "validation macro AUROC", 2),
)


def chosen_epoch(history: pd.DataFrame) -> tuple[str, int] | None:
    """The stage and epoch with the lowest validation loss of the last stage; None where no loss is known."""
    if history.empty or "val_loss" not in history:
        return None
    last = history[history["stage"] == history["stage"].iloc[-1]]
    losses = pd.to_numeric(last["val_loss"], errors="coerce")
    if losses.isna().all():
        return None
    row = last.loc[losses.idxmin()]
    return str(row["stage"]), int(row["epoch"])


def draw_training_curves(history: pd.DataFrame, chosen: Sequence[tuple[str, int]] = ()) -> Figure:
    """Draw loss (left), accuracy and AUROC (right) against the epoch.

    The stages stand one after the other, a line between them; epochs are counted within their stage. Training values
    are dashed, validation values solid. With a column ``fold`` every fold is one thin line.

    Args:
        history: A row an epoch: stage, epoch, and the columns of ``history.csv`` as far as they are there.
        chosen: Stage and epoch whose weights were kept, one a network; marked on every panel.
    """
    figure = new_figure(10.0, 4.2)
    left, right = figure.subplots(1, 2)
    stages = list(dict.fromkeys(history["stage"].astype(str)))
    lengths = [int(history.loc[history["stage"] == stage, "epoch"].max()) for stage in stages]
    starts = dict(
        zip(stages, np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(int).tolist(), strict=True)
    )
    x = history["epoch"].astype(int) + history["stage"].astype(str).map(starts).astype(int)
    marks = [starts[stage] + epoch for stage, epoch in chosen if stage in starts]

    _panel(left, history, x, _LOSS, marks)
    dress(left, title="Loss", x="epoch within its stage", y="loss")
    _panel(right, history, x, _RATES, marks)
    dress(right, title="Accuracy and AUROC", x="epoch within its stage", y="rate")
    low = right.dataLim.y0
    if np.isfinite(low):
        right.set_ylim(max(0.0, low - 0.05), 1.01)
    total = sum(lengths)
    step = max(1, round(total / 12))
    ticks = [
        (starts[s] + e, e)
        for s, n in zip(stages, lengths, strict=True)
        for e in range(1, n + 1)
        if e % step == 0 or e == 1
    ]
    for axes in (left, right):
        axes.set_title(axes.get_title(loc="left"), loc="left", fontsize=TITLE_SIZE, fontweight="bold", pad=20)
        axes.set_xticks([place for place, _ in ticks], [str(epoch) for _, epoch in ticks])
        axes.set_xlim(0.5, total + 0.5)
        for stage, length in zip(stages, lengths, strict=True):
            if starts[stage]:
                axes.axvline(starts[stage] + 0.5, color=FAINT, linewidth=1.2, linestyle=(0, (2, 2)))
            axes.annotate(
                show_stage(stage), (starts[stage] + 0.5 + length / 2, 1.0), xycoords=("data", "axes fraction"),
                xytext=(0, 4), textcoords="offset points", ha="center", va="bottom", fontsize=SMALL_SIZE, color=FAINT,
            )  # fmt: skip
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="best", fontsize=SMALL_SIZE, framealpha=0.9, edgecolor="none")
    return figure


def _panel(
    axes: Axes,
    history: pd.DataFrame,
    x: pd.Series,
    series: tuple[tuple[str, str, int], ...],
    marks: Sequence[int],
) -> None:
    """Draw the given columns; the chosen epoch gets a line and a ring on the validation values."""
    folds = list(history["fold"].unique()) if "fold" in history and history["fold"].notna().any() else [None]
    for column, name, number in series:
        if column not in history:
            continue
        for fold in folds:
            rows = history if fold is None else history[history["fold"] == fold]
            values = pd.to_numeric(rows[column], errors="coerce").to_numpy(float)
            if np.isnan(values).all():
                continue
            training = column.startswith("train")
            for piece in _stage_pieces(rows):
                axes.plot(
                    x.loc[rows.index].to_numpy()[piece], values[piece], color=COLOURS[number],
                    linestyle="--" if training else "-", linewidth=1.8 if fold is None else 0.9,
                    marker=("o", "s", "^")[number], markersize=5 if fold is None else 3,
                    markerfacecolor="white" if training else COLOURS[number],
                    label=name if fold == folds[0] and piece[0] == 0 else None,
                )  # fmt: skip
            if marks and fold is None and not training:
                kept = np.isin(x.loc[rows.index].to_numpy(), marks)
                axes.plot(
                    x.loc[rows.index].to_numpy()[kept], values[kept], linestyle="", marker="o", markersize=13,
                    markerfacecolor="none", markeredgecolor=INK, markeredgewidth=1.6,
                )  # fmt: skip
    for number, mark in enumerate(marks):
        axes.axvline(mark, color=INK, linewidth=1.2, label="chosen epoch" if not number else None, zorder=1)
    if not axes.has_data():
        axes.text(
            0.5, 0.5, "not recorded", transform=axes.transAxes, ha="center", fontsize=TEXT_SIZE, color=FAINT
        )


def _stage_pieces(rows: pd.DataFrame) -> list[NDArray[np.int64]]:
    """Positions of each stage's rows: the curve is not joined across stages."""
    stage = rows["stage"].astype(str).to_numpy()
    return [np.flatnonzero(stage == name) for name in dict.fromkeys(stage)]
