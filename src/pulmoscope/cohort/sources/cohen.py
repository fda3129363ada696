"""The COVID-19 Image Data Collection of Cohen et al. (2020): ``metadata.csv`` and ``images/``."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pulmoscope.cohort import vocabulary
from pulmoscope.cohort.read_table import header_of, read_table
from pulmoscope.cohort.scan import scan
from pulmoscope.cohort.sources.base import SourceRows
from pulmoscope.cohort.sources.listed import attach_files, attach_masks, extra_columns, find_folder
from pulmoscope.cohort.table import COLUMNS

_COLUMNS = ("patientid", "finding", "view", "modality", "filename")
_CT_VIEWS = ("axial", "coronal", "sagittal")


def is_cohen_table(path: Path) -> bool:
    """Say whether ``path`` is a table with Cohen's columns."""
    return set(_COLUMNS) <= header_of(path)


def describe(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """Read ``metadata.csv`` into cohort columns plus ``file`` and ``unfit``; patient ids are "cohen:ID".

    Two patient ids that name the same file are one patient: the later id becomes the earlier one.
    """
    # The collection's own table holds stray Windows bytes in its clinical notes.
    table, notes = read_table(path, needed=_COLUMNS, stray_bytes=True)
    view, view_detail = vocabulary.views(table["view"])
    modality = table["modality"].str.strip()
    ct = (modality != "X-ray") | table["view"].str.strip().str.casefold().isin(_CT_VIEWS)
    patient = vocabulary.patient_ids("cohen", table["patientid"])
    empty = pd.Series("", index=table.index, dtype="str")
    frame = pd.DataFrame(
        {
            "file": table["filename"],
            "unfit": ("modality " + modality + ", view " + table["view"]).where(ct).astype("str"),
            "label": vocabulary.blank_to_null(table["finding"]),
            "finding": vocabulary.blank_to_null(table["finding"]),
            "patient_id": _one_id(patient, table["filename"]),
            "view": view,
            "view_detail": view_detail,
            "sex": vocabulary.sexes(table.get("sex", empty)),
            "age": vocabulary.ages(table.get("age", empty)),
            "licence": vocabulary.blank_to_null(table.get("license", empty)),
        }
    )
    taken = {*COLUMNS, *_COLUMNS, "license"} - {"modality"}
    return frame.join(extra_columns(table, taken)), notes


def _one_id(patient: pd.Series, file: pd.Series) -> pd.Series:
    first = patient.groupby(file).transform("first")
    differs = patient.notna() & (patient != first)
    renamed = dict(zip(patient[differs], first[differs], strict=True))
    return patient.map(lambda one: renamed.get(one, one)).astype("str")


class CohenSource:
    """Adapter for Cohen's collection."""

    kind = "cohen"

    def sniff(self, path: Path) -> bool:
        """Say whether ``path`` holds Cohen's table and its pictures' folder."""
        return (path / "images").is_dir() and is_cohen_table(path / "metadata.csv")

    def read(self, name: str, path: Path, *, masks: str | Path | None = None) -> SourceRows:
        """Read the radiographs; CT and missing files are dropped with their reason.

        Args:
            name: The source's name.
            path: Folder with ``metadata.csv`` and ``images/``.
            masks: Folder of lung masks named like the pictures; default ``masks`` or ``lung_masks`` in
                ``path``, or ``lung_masks`` beside it.
        """
        described, notes = describe(path / "metadata.csv")
        pictures = scan(path).without("masks", "lung_masks")
        mask_folder = find_folder(path, masks, "masks", "lung_masks", "../lung_masks")
        frame, dropped = attach_files(
            name,
            pictures,
            described,
            own_files=("metadata.csv", "SCHEMA.md", "README.md"),
            table="metadata.csv",
        )
        notes += pictures.twins() + attach_masks(frame, mask_folder)
        return SourceRows(frame=frame, dropped=dropped, notes=notes, kind=self.kind)
