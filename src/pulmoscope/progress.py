"""Progress of long work, on standard error, and only where somebody looks."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def track(
    items: Sequence[Item] | Iterable[Item], what: str, *, enabled: bool, total: int | None = None
) -> Iterator[Item]:
    """Yield ``items`` under a progress bar named ``what``; without one where ``enabled`` is false or nobody looks."""
    if not enabled or not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track as rich_track

    count = total if total is not None else (len(items) if isinstance(items, Sequence) else None)
    yield from rich_track(items, description=what, total=count, console=Console(stderr=True), transient=True)
