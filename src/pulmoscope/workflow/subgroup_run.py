"""Subgroups of a run or of anybody's predictions table: read, joined with what is known of each picture, judged."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pulmoscope.evaluation.cells import texts
from pulmoscope.evaluation.predictions import Predictions, one_model
from pulmoscope.evaluation.reading import read_table
from pulmoscope.evaluation.subgroup_levels import AGE_BANDS, rows_of, subgroup_levels
from pulmoscope.evaluation.subgroups import Subgroups, evaluate_subgroups

if TYPE_CHECKING:
    import pandas as pd


def subgroups(
    source: str | os.PathLike[str],
    *,
    by: Sequence[str] = (),
    age_bands: Sequence[int] = AGE_BANDS,
    split: str | None = None,
    cohort: str | os.PathLike[str] | None = None,
    model: str | None = None,
    intervals: str = "default",
    replicates: int = 1000,
    seed: int = 0,
) -> Subgroups:
    """Judge a run or a predictions table in every level of some columns.

    Args:
        source: The folder of a run or of an external evaluation, or a predictions table (CSV or Parquet).
        by: Columns of the predictions table or of the cohort; by default source, view, sex and age.
        age_bands: Where the bands of ``age`` begin, in years.
        split: The rows to judge; by default ``test`` where there are such rows, else all; ``all`` for all.
        cohort: A cohort's folder, or a table (CSV or Parquet) with ``image_id`` and the columns; a run has its own.
        model: Which, where the table holds several.
        intervals: As in :func:`pulmoscope.evaluation.evaluate`.
        replicates: Of the bootstrap.
        seed: Of bootstrap and permutations.

    Raises:
        TableError: A table has mistakes, no such column, or no picture in common with the cohort.
    """
    place = Path(source)
    file = place / "predictions.parquet" if place.is_dir() else place
    own = read_table(file)
    table = one_model(Predictions(own, name=str(file)), model, remedy="choose one with --model")
    part = None if split == "all" else split or ("test" if "test" in table.splits else None)
    table = table.part(part)
    if table.models:
        own = own[[text == table.models[0] for text in texts(own["model"])]]
    ids = [str(one) for one in table.frame["image_id"]]
    known = rows_of(own, ids, name=str(file))
    beside = cohort if cohort is not None else place if place.is_dir() else None
    if beside is not None:
        known = _with_cohort(known, ids, Path(beside))
    levels = subgroup_levels(known, by=by, age_bands=age_bands)
    return evaluate_subgroups(table, levels, intervals=intervals, replicates=replicates, seed=seed)


def _with_cohort(known: pd.DataFrame, ids: Sequence[str], cohort: Path) -> pd.DataFrame:
    """The cohort's columns beside the table's own, which stand where both have one."""
    file = cohort / "cohort.parquet" if cohort.is_dir() else cohort
    rows = rows_of(read_table(file), ids, name=str(file))
    return known.assign(**{name: rows[name] for name in rows if name not in known})


def write_subgroups(found: Subgroups, out: str | os.PathLike[str]) -> Path:
    """Write ``subgroups.json`` and the forest plots under ``out/figures``, each whole or not at all.

    Raises:
        StorageError: They cannot be written.
    """
    from pulmoscope.files import make_folder, write_json
    from pulmoscope.report.subgroup_section import as_section

    folder = make_folder(out)
    as_section(found).draw(folder / "figures")
    write_json(folder / "subgroups.json", found.as_dict())
    return folder
