"""Pictures of each class in each part of the split, by source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pulmoscope.report.style import FAINT, INK, SMALL_SIZE, colour, dress, hatch, new_figure, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PARTS = ("train", "val", "test")
_MOST_SOURCES = 7


def part_names(frame: pd.DataFrame) -> pd.Series:
    """The part of the split that each row is in: train, val, test, ``fold K`` (as numbered), or ``no part``.

    Folds speak where the split does not: in a cross-validation every row is a test row once.
    """
    none = pd.Series(None, frame.index, dtype="object")
    parts = frame["split"].astype("object") if "split" in frame else none
    if "fold" in frame and frame["fold"].notna().any():
        folds = ("fold " + frame["fold"].astype("Int64").astype("string")).astype("object")
        parts = folds if parts.nunique() < 2 else parts.where(parts.notna(), folds)
    return parts.where(parts.notna(), "no part").astype("object")


def part_order(parts: pd.Series) -> list[str]:
    """The parts that occur: train, val, test, then the folds by number, then the rest."""
    present = {str(part) for part in parts.unique()}
    folds = sorted(
        (name for name in present if name.startswith("fold ")), key=lambda name: int(name.split()[1])
    )
    known = [name for name in _PARTS if name in present] + folds
    return known + sorted(present - set(known))


def draw_class_distribution(frame: pd.DataFrame, classes: Sequence[str] | None = None) -> Figure:
    """Draw bars of the number of pictures by part and class; the hatch of a bar's piece is its source.

    Args:
        frame: A cohort's table; columns label, and split, fold and source as far as they are there.
        classes: The classes in their order; sorted names where not given. A class without pictures keeps its place.
    """
    from matplotlib.patches import Patch

    names = list(classes) if classes is not None else sorted(frame["label"].dropna().unique())
    parts = part_names(frame)
    order = part_order(parts)
    sources = (
        frame["source"].astype("object").fillna("unknown")
        if "source" in frame
        else pd.Series("", frame.index)
    )
    ranked = [str(name) for name in sources.value_counts().sort_index().index]
    if len(ranked) > _MOST_SOURCES:
        ranked = [str(name) for name in sources.value_counts().index[: _MOST_SOURCES - 1]]
        sources = sources.where(sources.isin(ranked), "other sources")
        ranked.append("other sources")
    counts = frame.groupby([parts.rename("part"), "label", sources.rename("src")], observed=True).size()

    width = 0.82 / max(len(names), 1)
    bars = max(len(order), 1) * max(len(names), 1)
    figure = new_figure(min(max(8.0, 0.55 * bars + 2), 15.0), 4.6)
    axes = figure.add_subplot()
    crowded = bars > 24
    top = 0
    for place, part in enumerate(order):
        for number, name in enumerate(names):
            x = place + (number - (len(names) - 1) / 2) * width
            base = 0
            for rank, source in enumerate(ranked):
                height = int(counts.get((part, name, source), 0))
                if height:
                    axes.bar(
                        x, height, width * 0.92, bottom=base, color=colour(number), hatch=hatch(rank),
                        edgecolor="white", linewidth=0.6,
                    )  # fmt: skip
                base += height
            top = max(top, base)
            axes.annotate(
                f"{base:,}", (x, base), xytext=(0, 2), textcoords="offset points", ha="center", va="bottom",
                fontsize=SMALL_SIZE, color=INK if base else FAINT, rotation=90 if crowded else 0,
            )  # fmt: skip
    totals = parts.value_counts()
    axes.set_xticks(np.arange(len(order)), [f"{part}\nn = {int(totals[part]):,}" for part in order])
    axes.set_ylim(0, max(top, 1) * (1.25 if crowded else 1.12))
    dress(axes, y="pictures")
    handles = [
        Patch(facecolor=colour(i), edgecolor="white", label=plain(name)) for i, name in enumerate(names)
    ]
    if len(ranked) > 1:
        handles += [Patch(alpha=0.0, label=" "), Patch(alpha=0.0, label="source")]
        handles += [
            Patch(facecolor="#8A9099", edgecolor="white", hatch=hatch(i), label=plain(name, 24))
            for i, name in enumerate(ranked)
        ]
    figure.legend(
        handles=handles, title="class", loc="outside right upper", frameon=False, fontsize=SMALL_SIZE,
        title_fontsize=SMALL_SIZE, alignment="left", handleheight=1.2,
    )  # fmt: skip
    return figure
