"""Rows of cells as lines of text whose columns stand below each other."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """A line a row, each column as wide as its widest cell.

    Args:
        rows: All of one length; the first may be the header.

    >>> aligned([["", "value"], ["accuracy", "0.9"]])
    ['          value', 'accuracy  0.9']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
