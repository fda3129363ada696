"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pulmoscope.errors import CohortError


def named_paths(items: Sequence[str]) -> dict[str, Path]:
    """Read ``NAME=PATH`` arguments.

    Raises:
        CohortError: One is not of that form, or a name stands twice.
    """
    sources: dict[str, Path] = {}
    for item in items:
        name, equals, path = item.partition("=")
        if not equals or not name or not path:
            raise CohortError(
                f"{item!r} is not a source", code="E_USAGE", expected="NAME=PATH, as in cohen=data/cohen"
            )
        if name in sources:
            raise CohortError(
                f"the source name {name!r} stands twice", code="E_USAGE", remedy="give each its own name"
            )
        sources[name] = Path(path)
    return sources
