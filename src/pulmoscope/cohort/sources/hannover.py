"""COVID-19 radiographs of Hannover Medical School (Winther et al. 2020): ``data.csv`` and ``images/``."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pulmoscope.cohort import vocabulary
from pulmoscope.cohort.read_table import header_of, read_table
from pulmoscope.cohort.scan import scan
from pulmoscope.cohort.sources.base import SourceRows
from pulmoscope.cohort.sources.listed import attach_files, attach_masks, extra_columns, find_folder
from pulmoscope.cohort.table import COLUMNS

_COLUMNS = ("patient_id", "image_id", "sex", "age", "projection")
_TABLES = ("data.csv", "metadata.csv")


def _table(path: Path) -> Path | None:
    return next((path / name for name in _TABLES if set(_COLUMNS) <= header_of(path / name)), None)


class HannoverSource:
    """Adapter for the Hannover collection: every picture is of a patient with COVID-19."""

    kind = "hannover"

    def sniff(self, path: Path) -> bool:
        """Say whether ``path`` holds Hannover's table."""
        return _table(path) is not None

    def read(self, name: str, path: Path, *, masks: str | Path | None = None) -> SourceRows:
        """Read the radiographs; patient ids are "hannover:ID".

        Args:
            name: The source's name.
            path: Folder with ``data.csv`` and the pictures below it.
            masks: Folder of masks named like the pictures; default ``masks`` in ``path``.
        """
        file = _table(path) or path / _TABLES[0]
        table, notes = read_table(file, needed=_COLUMNS)
        view, view_detail = vocabulary.views(table["projection"])
        described = pd.DataFrame(
            {
                "file": table["image_id"],
                "label": "COVID-19",
                "finding": "COVID-19",
                "patient_id": vocabulary.patient_ids("hannover", table["patient_id"]),
                "view": view,
                "view_detail": view_detail,
                "sex": vocabulary.sexes(table["sex"]),
                "age": vocabulary.ages(table["age"]),
                "licence": "CC BY 3.0",
            }
        ).join(extra_columns(table, {*COLUMNS, *_COLUMNS}))
        pictures = scan(path).without("masks")
        frame, dropped = attach_files(
            name, pictures, described, own_files=(*_TABLES, "README.md"), table=file.name
        )
        notes += ["all pictures are of patients with COVID-19"]
        notes += pictures.twins() + attach_masks(frame, find_folder(path, masks, "masks"))
        return SourceRows(frame=frame, dropped=dropped, notes=notes, kind=self.kind)
