"""Which column is what: the columns that hold probabilities, and the group of each row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pulmoscope.evaluation.cells import numbers, texts

if TYPE_CHECKING:
    import pandas as pd

SUM_TOLERANCE = 1e-3
_OWN = ("image_id", "group_id", "label", "split", "model", "prediction", "patient_id")
# Columns of the cohort table that may stand beside the predictions and are never a class.
_COHORT = (
    "path", "source", "view", "view_detail", "sex", "age", "finding", "fold", "width", "height", "sha256", "phash",
    "mask_path", "licence",
)  # fmt: skip


def class_columns(table: pd.DataFrame, classes: Sequence[str] | None, labels: set[str]) -> dict[str, str]:
    """Find the probability column of each class.

    Args:
        table: The table as it came.
        classes: The classes, where they are known.
        labels: The class names that occur in ``label``.

    Returns:
        Class to column, in the order of ``classes``, else of the columns; a column named here may be missing in the
        table. Empty where there are no probabilities.
    """
    marked = {column[2:]: column for column in table.columns if column.startswith("p_") and len(column) > 2}
    if classes is not None:
        found = {
            name: marked.get(name, name if name in table.columns and name not in _OWN else "")
            for name in classes
        }
        if not any(found.values()):
            return {}
        return {name: column or f"p_{name}" for name, column in found.items()}
    if marked:
        return marked
    bare = [column for column in table.columns if _may_be_class(table, column, labels)]
    named = [column for column in bare if column in labels]
    if not named:
        return {}
    # A class that no row is labelled with still has its column; a number beside the classes spoils the sums.
    if len(named) < len(bare):
        sums = np.sum([numbers(table[column]) for column in bare], axis=0)
        if np.mean(np.abs(sums - 1) <= SUM_TOLERANCE) < 0.5:
            bare = named
    return {column: column for column in bare}


def group_names(table: pd.DataFrame, ids: Sequence[str | None]) -> list[str | None]:
    """The group of each row: ``group_id``, else ``patient_id``, else the image alone.

    Where a row needs another kind of name than the rest, it is marked (``patient:``, ``image:``), so that no two
    kinds can collide.
    """
    given = [texts(table[column]) for column in ("group_id", "patient_id") if column in table]
    used = [values for values in given if any(value is not None for value in values)]
    if not used:
        return list(ids)
    found: list[str | None] = []
    for row, image in enumerate(ids):
        if used[0][row] is not None:
            found.append(used[0][row])
        elif len(used) > 1 and used[1][row] is not None:
            found.append(f"patient:{used[1][row]}")
        else:
            found.append(f"image:{image}")
    return found


def _may_be_class(table: pd.DataFrame, column: str, labels: set[str]) -> bool:
    if not column or column in _OWN or column in _COHORT or column.startswith("Unnamed:"):
        return False
    return column in labels or not np.isnan(numbers(table[column])).any()
