"""A part of the report's page that another module makes: tables, sentences and figures that are drawn when asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pulmoscope.report.style import save_png
from pulmoscope.report.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True, eq=False)
class Section:
    """What one section of the page shows.

    Attributes:
        tables: In their order.
        sentences: What the numbers say, each a whole sentence.
        captions: Figure to its caption and its alternative text, in the order of the page.
        figures: Figure to the function that draws it; the names are those of ``captions``.
    """

    tables: tuple[Table, ...]
    sentences: tuple[str, ...]
    captions: Mapping[str, tuple[str, str]]
    figures: Mapping[str, Callable[[], Figure]]

    def draw(self, folder: Path) -> dict[str, Path]:
        """Draw every figure as ``folder/NAME.png``, each whole or not at all.

        Returns:
            Figure to its file, in the order of ``captions``.

        Raises:
            StorageError: The disk is full or the folder cannot be written.
        """
        return {name: save_png(self.figures[name](), folder / f"{name}.png") for name in self.captions}
