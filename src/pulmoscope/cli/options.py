"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from pulmoscope.errors import CohortError

SOME_LEFT_OUT = 3
"""Exit status where there is a result that lacks something: files that could not be read, variants not trained."""


class EngineName(StrEnum):
    """Where the work runs."""

    LOCAL = "local"
    RAY = "ray"


class BudgetName(StrEnum):
    """How much of the report's setting is trained."""

    FULL = "full"
    QUICK = "quick"


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


def source_options(items: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Read ``NAME:KEY=VALUE`` arguments; ``true`` and ``false`` become booleans.

    Raises:
        CohortError: One is not of that form.
    """
    options: dict[str, dict[str, Any]] = {}
    for item in items:
        place, equals, value = item.partition("=")
        name, colon, key = place.partition(":")
        if not (name and colon and key and equals and value):
            raise CohortError(
                f"{item!r} is not an option of a source", code="E_USAGE", expected="NAME:KEY=VALUE"
            )
        options.setdefault(name, {})[key.replace("-", "_")] = {"true": True, "false": False}.get(value, value)
    return options
