"""The page of a replay: published numbers beside ours, in one HTML file that needs nothing but itself."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pulmoscope.files import write_text
from pulmoscope.report.page import template
from pulmoscope.report.tables import Table


@dataclass(frozen=True, kw_only=True)
class ReplayPage:
    """What the page says, as text.

    Attributes:
        title: The recipe's name.
        subtitle: Budget, seeds, version.
        quick: Whether the setting is reduced; the page says so above everything.
        leaked: A warning, where patients stand on both sides of the split.
        descriptions: Variant and what it is.
        explanation: How to read the first table.
        caveats: Of the cohort.
        published: The first table; its first column is the model, its last the verdict.
        sources: What the numbers in square brackets stand for.
        models: The second table; a row named ``published`` belongs to the one above it. None where nothing was trained.
        failures: What was not trained and why.
        facts: Cohort, machine, command.
    """

    title: str
    subtitle: str
    quick: bool
    leaked: str
    descriptions: Sequence[tuple[str, str]]
    explanation: Sequence[str]
    caveats: Sequence[str]
    published: Table
    sources: Sequence[str]
    models: Table | None
    failures: Sequence[tuple[str, str]]
    facts: Sequence[tuple[str, str]]


def write_replay_page(path: str | os.PathLike[str], page: ReplayPage, *, curves: Path | None = None) -> Path:
    """Write the page to ``path``, whole or not at all; ``curves`` is a PNG to embed.

    Text is escaped; the page has no scripts, and its content policy forbids them and any network.

    Raises:
        StorageError: It cannot be written.
    """
    target = Path(path)
    drawn = "" if curves is None else base64.b64encode(curves.read_bytes()).decode("ascii")
    write_text(target, template("replay.html.j2").render(page=page, curves=drawn))
    return target
