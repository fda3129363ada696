"""What a source adapter is and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pandas as pd


@dataclass(kw_only=True)
class SourceRows:
    """Radiographs of one source, before label scheme, fingerprints and split.

    Args:
        frame: The columns of the cohort table that the source knows (image_id, path and finding always) and,
            as text, other columns of its own table, which filters may use. ``finding`` is the source's own
            wording; ``label``, where given, is the class name used without a label scheme.
        dropped: Rows left out; see :mod:`pulmoscope.cohort.dropped`.
        notes: What a reader of the results must know about this source.
        caveats: Whole sentences naming the source that bear on every result, for the cohort's caveats.
        kind: The adapter's kind.
    """

    frame: pd.DataFrame
    dropped: pd.DataFrame
    notes: list[str] = field(default_factory=list)
    caveats: list[str] = field(default_factory=list)
    kind: str


class Source(Protocol):
    """An adapter for one layout of collection.

    ``sniff`` must be quick and must not raise; ``read`` may take keyword options.
    """

    kind: str

    def sniff(self, path: Path) -> bool:
        """Say whether ``path`` looks like this layout."""
        ...

    @property
    def read(self) -> Callable[..., SourceRows]:
        """``read(name, path, **options)``: read the collection; its rows get image ids "NAME/...".

        Raises:
            TableError: Its table cannot be read.
            CohortError: The folder does not hold what this layout needs.
        """
        ...
