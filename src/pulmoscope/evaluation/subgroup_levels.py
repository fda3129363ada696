"""Columns of a table as subgroups: every picture gets the name of its level, and unknown is a level."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pulmoscope.errors import PulmoscopeError, TableError, did_you_mean, near_names
from pulmoscope.evaluation.cells import as_text, numbers, texts

if TYPE_CHECKING:
    import pandas as pd

UNKNOWN = "unknown"
#: The columns that are looked at where none is named.
USUAL_COLUMNS = ("source", "view", "sex", "age")
#: Ages in years at which a new band begins.
AGE_BANDS = (18, 40, 65)
# A column with more values is an identifier or a measure; tests between its levels would say nothing.
MOST_LEVELS = 20


@dataclass(frozen=True, kw_only=True)
class SubgroupLevels:
    """Which level each picture is of.

    Attributes:
        columns: Column to the level of each picture, N names.
        order: Column to its levels in the order they are shown, unknown last.
        notes: Columns that were left out, and why.
    """

    columns: Mapping[str, tuple[str, ...]]
    order: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...]


def subgroup_levels(
    frame: pd.DataFrame, *, by: Sequence[str] = (), age_bands: Sequence[int] = AGE_BANDS
) -> SubgroupLevels:
    """The levels of the columns of a table.

    Args:
        frame: N rows, one a picture.
        by: Its columns; by default those of :data:`USUAL_COLUMNS` that it has.
        age_bands: Where the bands of the column ``age`` begin, in years, rising.

    Returns:
        The columns that have at least two levels, a missing value being of the level ``unknown``. A column with one
        level has nothing to compare: it is left out and named in the notes.

    Raises:
        TableError: A named column is not there, has more than 20 levels, or ``age`` holds what is no number.
        PulmoscopeError: The bands are no rising whole numbers above 0.
    """
    absent = [name for name in by if name not in frame]
    if absent:
        close = map(repr, near_names(absent[0], frame.columns))
        raise TableError(
            f"no column {', '.join(map(repr, absent))} to group by",
            expected=f"among {', '.join(map(str, frame.columns))}",
            remedy=did_you_mean(close) or "name columns of the table, or give --cohort",
        )
    found: dict[str, tuple[str, ...]] = {}
    order: dict[str, tuple[str, ...]] = {}
    notes = []
    for name in dict.fromkeys(by or [one for one in USUAL_COLUMNS if one in frame]):
        if name == "age":
            levels, known = _bands(frame[name], age_bands)
        else:
            cells = texts(frame[name])
            known = sorted({one for one in cells if one is not None and one != UNKNOWN})
            levels = [UNKNOWN if one is None else one for one in cells]
        there = set(levels)
        if len(there) > MOST_LEVELS:
            raise TableError(
                f"column {name!r} has {len(there)} levels", expected=f"at most {MOST_LEVELS}",
                remedy="group its values into a column of their own",
            )  # fmt: skip
        if len(there) < 2:
            only = f"is {levels[0]} for every picture" if levels else "is empty"
            notes.append(f"{name} {only}: there is nothing to compare")
            continue
        found[name] = tuple(levels)
        order[name] = tuple(one for one in (*known, UNKNOWN) if one in there)
    return SubgroupLevels(columns=found, order=order, notes=tuple(notes))


def rows_of(frame: pd.DataFrame, ids: Sequence[str], *, name: str = "the cohort") -> pd.DataFrame:
    """The rows of a table in the order of some pictures; all null for a picture that it does not hold.

    Args:
        frame: With ``image_id``, each once.
        ids: N image ids.
        name: What error messages call the table.

    Raises:
        TableError: The table has no ``image_id``, has one twice, or holds none of the pictures.
    """
    if "image_id" not in frame:
        raise TableError(f"{name} has no column 'image_id'", expected="one row an image")
    keyed = frame.set_index(frame["image_id"].map(as_text))
    twice = keyed.index[keyed.index.duplicated()]
    if len(twice):
        raise TableError(
            f"{name} has an image_id more than once", got=repr(twice[0]), expected="one row an image"
        )
    wanted = [str(one) for one in ids]
    if not keyed.index.isin(wanted).any():
        raise TableError(
            f"{name} holds none of the {len(wanted)} pictures that are judged",
            expected=f"image_id such as {wanted[0]!r}" if wanted else "pictures",
            got=repr(keyed.index[0]) if len(keyed) else "no rows",
        )
    return keyed.reindex(wanted).reset_index(drop=True)


def band_names(bounds: Sequence[int]) -> tuple[str, ...]:
    """The names of age bands.

    Raises:
        PulmoscopeError: The bounds are no rising whole numbers above 0.

    >>> band_names((18, 40, 65))
    ('0-17', '18-39', '40-64', '65+')
    """
    ends = list(bounds)
    if not ends or ends[0] <= 0 or any(b <= a for a, b in itertools.pairwise(ends)):
        raise PulmoscopeError(
            "these are no age bands", code="E_OPTION", expected="years at which a band begins, rising, as in 18,40,65",
            got=",".join(map(str, ends)) or "none",
        )  # fmt: skip
    starts = [0, *ends]
    return (*(f"{a}-{b - 1}" for a, b in zip(starts, ends, strict=False)), f"{ends[-1]}+")


def _bands(column: pd.Series, bounds: Sequence[int]) -> tuple[list[str], list[str]]:
    names = band_names(bounds)
    years = numbers(column)
    said = np.array(
        [one is not None and one.casefold() not in ("nan", UNKNOWN) for one in texts(column)], bool
    )
    strange = said & ~(years >= 0)
    if strange.any():
        raise TableError(
            f"column 'age' holds no age in {int(strange.sum())} rows", expected="years, or an empty cell",
            got=repr(column.iloc[int(np.flatnonzero(strange)[0])]),
        )  # fmt: skip
    places: npt.NDArray[np.int64] = np.searchsorted(np.asarray(bounds), np.nan_to_num(years), side="right")
    return [names[place] if known else UNKNOWN for place, known in zip(places, said, strict=True)], list(
        names
    )
