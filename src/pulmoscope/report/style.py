"""How every figure looks: colours, markers and hatches that survive grey print and colour blindness.

Figures are built with Matplotlib's object interface, so no global state is touched and several may be drawn at once.
Matplotlib is imported when the first figure is drawn, not before.
"""

from __future__ import annotations

import os
import unicodedata
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pulmoscope.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito, "Color Universal Design" (2008); their yellow is left out: it vanishes on white paper.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (3, 3)))
HATCHES = ("", "///", "...", "xxx", "\\\\\\", "ooo", "+++")
WRONG = "#B5121B"
INK = "#1B1F24"
FAINT = "#6A737D"

DPI = 150
TITLE_SIZE = 13.0
TEXT_SIZE = 11.0
SMALL_SIZE = 9.5


def colour(index: int) -> str:
    """The colour of the class or series number ``index``; colours come round again after seven."""
    return COLOURS[index % len(COLOURS)]


def marker(index: int) -> str:
    """The marker that goes with :func:`colour`; shifted on each round, so that a pair does not repeat soon."""
    return MARKERS[(index + index // len(COLOURS)) % len(MARKERS)]


def line(index: int) -> Any:
    """The line style that goes with :func:`colour`."""
    return LINES[(index + index // len(COLOURS)) % len(LINES)]


def hatch(index: int) -> str:
    """The hatch of the source number ``index``."""
    return HATCHES[index % len(HATCHES)]


def plain(text: object, limit: int = 32) -> str:
    """``text`` as a figure may show it.

    Class and source names come from folders and tables: a ``$`` would start a formula, a leading underscore would
    hide a legend entry, and a control or direction character would tear or mirror the line.
    """
    shown = "".join(" " if unicodedata.category(char)[0] == "C" else char for char in str(text)).strip()
    if len(shown) > limit:
        shown = shown[: limit - 1] + "…"
    if shown.startswith("_"):
        shown = " " + shown
    return shown.replace("$", r"\$")


def new_figure(width: float, height: float) -> Figure:
    """An empty white figure of ``width`` by ``height`` inches that lays itself out."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def dress(axes: Axes, *, title: str = "", x: str = "", y: str = "", grid: str | None = "y") -> None:
    """Give ``axes`` the house's text sizes, two spines and a faint grid (``"x"``, ``"y"``, ``"both"`` or None)."""
    axes.set_title(title, fontsize=TITLE_SIZE, color=INK, loc="left", fontweight="bold")
    axes.set_xlabel(x, fontsize=TEXT_SIZE, color=INK)
    axes.set_ylabel(y, fontsize=TEXT_SIZE, color=INK)
    axes.tick_params(labelsize=TEXT_SIZE - 1, colors=INK)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(True, axis=grid, color="#DDE1E6", linewidth=0.8)  # type: ignore[arg-type]


def save_png(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write ``figure`` to ``path`` as a PNG of 150 dots an inch, whole or not at all.

    The file holds no date and no program version: the same figure gives the same bytes.

    Raises:
        StorageError: The disk is full or the folder cannot be written.
    """
    target = Path(path)
    with atomic_path(target) as temporary, warnings.catch_warnings():
        # A class name in a script that the built-in font lacks shows as boxes here; the page has it in full.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from", category=UserWarning)
        figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})
    return target
