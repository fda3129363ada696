"""Does the model know where a picture came from? How often a simple regression guesses the source, and from what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pulmoscope.evaluation import Estimate
from pulmoscope.evaluation.subgroup_words import show_estimate
from pulmoscope.report.style import COLOURS, FAINT, INK, SMALL_SIZE, TEXT_SIZE, dress, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class Guess:
    """How often the source was guessed.

    Attributes:
        label: From what.
        accuracy: Share of pictures.
        balanced: Mean share of each source's pictures.
    """

    label: str
    accuracy: Estimate
    balanced: Estimate


def draw_source_guess(guesses: Sequence[Guess], *, commonest: float, sources: int, caption: str) -> Figure:
    """Points with 95% intervals in two panels, with what guessing blindly gives as a line.

    Args:
        guesses: The first is drawn at the top.
        commonest: Share of the commonest source: the accuracy of always naming it.
        sources: How many there are; naming one blindly has a balanced accuracy of one in so many.
        caption: Under the panels.
    """
    figure = new_figure(10.4, 1.3 + 0.75 * len(guesses) + 0.7)
    panels = figure.subplots(1, 2, sharey=True)
    places = list(range(len(guesses)))[::-1]
    for axes, name, title, chance in (
        (panels[0], "accuracy", "accuracy: share of pictures", commonest),
        (panels[1], "balanced", "balanced accuracy: mean over sources", 1 / sources),
    ):
        dress(axes, title=title, x="source guessed right", grid="x")
        axes.axvline(chance, color=FAINT, linestyle="--", linewidth=1.6)
        axes.annotate(
            f"blind guess {chance:.2f}", (chance, 1.0), xycoords=("data", "axes fraction"), textcoords="offset points",
            xytext=(3, -9), fontsize=SMALL_SIZE - 1, color=FAINT,
        )  # fmt: skip
        for index, (place, one) in enumerate(zip(places, guesses, strict=True)):
            rate: Estimate = getattr(one, name)
            axes.plot([rate.low, rate.high], [place, place], color=COLOURS[index], linewidth=2.4)
            axes.plot([rate.value], [place], marker="os^D"[index % 4], color=COLOURS[index], markersize=9)
            axes.annotate(
                show_estimate(rate), (rate.value, place),
                ha="right" if rate.value > 0.6 else "left", textcoords="offset points", xytext=(0, 9),
                fontsize=SMALL_SIZE, color=INK,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
            )  # fmt: skip
        axes.set_xlim(0, 1.02)
        axes.set_ylim(-0.6, len(guesses) - 0.25)
    panels[0].set_yticks(places, [one.label for one in guesses], fontsize=TEXT_SIZE)
    figure.supxlabel(caption, fontsize=SMALL_SIZE, color=FAINT)
    return figure
