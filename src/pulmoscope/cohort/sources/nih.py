"""NIH ChestX-ray14 (Wang et al. 2017): ``Data_Entry*.csv`` and pictures in one or more folders."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pulmoscope.cohort import vocabulary
from pulmoscope.cohort.read_table import header_of, read_table
from pulmoscope.cohort.scan import scan
from pulmoscope.cohort.sources.base import SourceRows
from pulmoscope.cohort.sources.listed import attach_files, attach_masks, extra_columns, find_folder
from pulmoscope.cohort.table import COLUMNS
from pulmoscope.errors import TableError

_COLUMNS = ("Image Index", "Finding Labels", "Patient ID", "Patient Age", "Patient Gender", "View Position")
_OFFICIAL = {"train_val_list.txt": "train", "test_list.txt": "test"}
#: Stem of an NIH picture: eight digits of the patient and three of the picture.
STEM = r"^(\d{8})_\d{3}$"


def is_nih_table(path: Path) -> bool:
    """Say whether ``path`` is a table with NIH's columns."""
    return set(_COLUMNS) <= header_of(path)


def patients_of_stems(stem: pd.Series) -> pd.Series:
    """Return "nih:PPPPPPPP" for stems that are NIH picture names, null for others."""
    return ("nih:" + stem.str.extract(STEM)[0]).astype("str")


def describe(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """Read ``Data_Entry*.csv`` into cohort columns plus ``file``; patient ids are "nih:PPPPPPPP"."""
    table, notes = read_table(path, needed=_COLUMNS)
    view, view_detail = vocabulary.views(table["View Position"])
    age = vocabulary.ages(table["Patient Age"])
    beyond = int((age.isna() & (table["Patient Age"].str.strip() != "")).sum())
    if beyond:
        notes.append(f"{beyond} ages cannot be believed (over {vocabulary.OLDEST:.0f} years) and are unknown")
    frame = pd.DataFrame(
        {
            "file": table["Image Index"],
            "label": vocabulary.blank_to_null(table["Finding Labels"]),
            "finding": vocabulary.blank_to_null(table["Finding Labels"]),
            # The same form as in the pictures' names, so that other collections of them agree.
            "patient_id": vocabulary.patient_ids("nih", table["Patient ID"].str.strip().str.zfill(8)),
            "view": view,
            "view_detail": view_detail,
            "sex": vocabulary.sexes(table["Patient Gender"]),
            "age": age,
            "licence": "NIH Clinical Center: free with attribution",
        }
    )
    return frame.join(extra_columns(table, {*COLUMNS, *_COLUMNS})), notes


class NihSource:
    """Adapter for NIH ChestX-ray14 and its samples."""

    kind = "nih"

    def sniff(self, path: Path) -> bool:
        """Say whether ``path`` holds NIH's table."""
        return path.is_dir() and any(is_nih_table(table) for table in _tables(path))

    def read(self, name: str, path: Path, *, masks: str | Path | None = None) -> SourceRows:
        """Read the radiographs; findings joined by "|" as in the table.

        The official ``train_val_list.txt`` and ``test_list.txt``, where both are there, give the split.

        Args:
            name: The source's name.
            path: Folder with ``Data_Entry*.csv`` and the pictures below it.
            masks: Folder of masks named like the pictures; default ``masks`` in ``path``.
        """
        tables = [table for table in _tables(path) if is_nih_table(table)]
        if not tables:
            raise TableError(f"there is no Data_Entry*.csv in {path}", expected=", ".join(_COLUMNS))
        described, notes = describe(tables[-1])
        if len(tables) > 1:
            notes.append(f"of {len(tables)} tables the last by name was read: {tables[-1].name}")
        if all((path / listing).is_file() for listing in _OFFICIAL):
            described["split"] = _official_split(path, described["file"])
            notes.append("the split is the official one (train_val_list.txt, test_list.txt)")
        pictures = scan(path).without("masks")
        own = {table.name for table in _tables(path)} | set(_OFFICIAL) | {"BBox_List_2017.csv"}
        frame, dropped = attach_files(name, pictures, described, own_files=own, table=tables[-1].name)
        notes += pictures.twins() + attach_masks(frame, find_folder(path, masks, "masks"))
        return SourceRows(frame=frame, dropped=dropped, notes=notes, kind=self.kind)


def _tables(path: Path) -> list[Path]:
    return sorted(path.glob("Data_Entry*.csv"))


def _official_split(path: Path, names: pd.Series) -> pd.Series:
    parts = {
        line.strip(): part
        for listing, part in _OFFICIAL.items()
        for line in (path / listing).read_text(encoding="utf-8-sig", errors="replace").splitlines()
        if line.strip()
    }
    return names.map(parts).astype("str")
