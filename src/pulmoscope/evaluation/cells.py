"""Cells of a table as text and numbers, the same whether they come from CSV, Parquet or a data frame."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd


def as_text(value: object) -> str | None:
    """One cell as text; None where it is empty or null, ``7`` for 7.0, bytes that are not UTF-8 escaped."""
    if isinstance(value, str):
        # Names that are not UTF-8 on the disk would break every writer.
        return value.strip().encode("utf-8", "backslashreplace").decode("utf-8") or None
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, (float, np.floating)):
        number = float(value)
        return None if np.isnan(number) else str(int(number)) if number.is_integer() else str(number)
    return str(value)


def texts(series: pd.Series) -> list[str | None]:
    """A column as text."""
    return [as_text(value) for value in series.tolist()]


def class_names(series: pd.Series) -> list[str | None]:
    """A column of class names: ``1.0``, which a number column with gaps turns into, is ``1``; ``nan`` is missing."""
    found = texts(series)
    tidy = {text: _tidy(text) for text in set(found) if text is not None}
    return [None if text is None else tidy[text] for text in found]


def numbers(series: pd.Series) -> npt.NDArray[np.float64]:
    """A column as numbers; NaN where a cell is none. A decimal comma is read: no probability has thousands to part."""
    import pandas as pd

    if not pd.api.types.is_numeric_dtype(series):
        series = series.map(lambda cell: cell.replace(",", ".") if isinstance(cell, str) else cell)
    return np.asarray(pd.to_numeric(series, errors="coerce"), dtype=np.float64)


def sorted_classes(values: Iterable[str | None]) -> tuple[str, ...]:
    """Distinct class names: numbers by size, then names by the alphabet."""
    known = {value for value in values if value is not None}
    return tuple(
        sorted(known, key=lambda text: (not text.isdecimal(), int(text) if text.isdecimal() else 0, text))
    )


def _tidy(text: str) -> str | None:
    if text.lower() == "nan":
        return None
    return re.sub(r"^(-?\d+)\.0+$", r"\1", text)
