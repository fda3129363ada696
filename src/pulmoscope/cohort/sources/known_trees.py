"""Published class-folder trees that are known by their folders: what their classes mean, where their patients stand."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from pulmoscope.cohort.sources.cohen import is_cohen_table

_KERMANY = frozenset({"normal", "infected/covid", "infected/non-covid"})
_DARKCOVIDNET = (frozenset({"covid-19", "no findings", "pneumonia"}), frozenset({"covid-19", "no findings"}))
_TABLE = "metadata.csv"


def meanings(frame: pd.DataFrame) -> list[str]:
    """What classes of a tree may mean other than their names say, one sentence each.

    Args:
        frame: Column finding, the nested path of the class folder.
    """
    if _folders(frame) != _KERMANY:
        return []
    return [
        "'covid' may not be COVID-19: in the public release with this layout, 'covid' is viral pneumonia in children "
        "from before 2020 (Kermany et al. 2018)"
    ]


def cohen_tables_for(
    frame: pd.DataFrame, root: Path, others: Mapping[str, str | os.PathLike[str]]
) -> Iterator[tuple[Path, str]]:
    """Tables of Cohen's collection that tell the patients of DarkCovidNet (Ozturk et al. 2020), best first.

    Its Covid-19 pictures come from that collection under the same names. Other trees get none: a stem such as
    "1" would match by chance.

    Args:
        frame: Column finding.
        root: The tree's root.
        others: The cohort's other sources, name -> path.

    Yields:
        The table, and in words where it was found.
    """
    if _folders(frame) not in _DARKCOVIDNET:
        return
    for name, path in others.items():
        table = Path(path) / _TABLE
        if is_cohen_table(table):
            yield table, f"the {_TABLE} of this cohort's source {name!r}"
    beside = root.parent / "cohen" / _TABLE
    if is_cohen_table(beside):
        yield beside, f"../cohen/{_TABLE}, which was found beside the folder and not given"


def _folders(frame: pd.DataFrame) -> frozenset[str]:
    return frozenset(frame["finding"].str.casefold().str.replace("_", " ").unique())
