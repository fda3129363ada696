"""Any table with ``path,label``: CSV, TSV or XLSX, plus what else of the cohort's columns it knows."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from pulmoscope.cohort import vocabulary
from pulmoscope.cohort.dropped import concat, dropped_rows
from pulmoscope.cohort.read_table import TABLE_ENDINGS, header_of, read_table
from pulmoscope.cohort.sources.base import SourceRows
from pulmoscope.cohort.sources.listed import extra_columns
from pulmoscope.cohort.table import COLUMNS, SPLITS
from pulmoscope.errors import CohortError, TableError

_NEEDED = ("path", "label")
_OPTIONAL = ("patient_id", "view", "sex", "age", "split", "mask_path", "finding", "licence")
_TABLES = ("table.csv", "table.tsv", "table.xlsx", "labels.csv", "cohort.csv")


class AnyTableSource:
    """Adapter for a table of one's own."""

    kind = "table"

    def sniff(self, path: Path) -> bool:
        """Say whether ``path`` is a table file, or a folder with ``table.csv`` or the like."""
        return _table(path) is not None

    def read(self, name: str, path: Path, *, root: str | Path | None = None) -> SourceRows:
        """Read the rows; ids stay text ("007"), label text such as "NA" or "None" is a label.

        Columns: ``path`` and ``label``; of use are patient_id, view, sex, age, split, mask_path, finding,
        licence; further ones may serve in filters. Patient ids become "NAME:ID".

        Args:
            name: The source's name.
            path: The table, or a folder with ``table.csv``.
            root: Folder that relative paths start from; default: the table's own.
        """
        file = _table(path) or path
        table, notes = read_table(file, needed=_NEEDED)
        table = table.rename(columns=_spelling(table))
        base = Path(os.path.abspath(file.parent if root is None else root))
        frame = _columns(name, table, notes)
        relative = _plain_paths(table["path"])
        frame.insert(0, "image_id", name + "/" + relative.str.lstrip("/"))
        frame.insert(1, "path", _absolute(relative, base))
        if "mask_path" in table:
            frame["mask_path"], lost = _masks(table["mask_path"], base)
            notes += [f"{lost} rows name a mask that is not there"] if lost else []
        parts, left = [], pd.Series(True, index=frame.index)
        for code, fault in (
            ("E_NO_LABEL", (relative == "") | frame["label"].isna()),
            ("E_PATH_ESCAPE", relative.str.contains(r"(?:^|/)\.\.(?:/|$)", regex=True)),
            ("E_FILENAME", _is_no_name(relative)),
            ("E_LABEL_CONFLICT", frame.groupby("image_id")["label"].transform("nunique") > 1),
            ("E_DUPLICATE_ROW", None),
        ):
            # Of two rows for one picture the first that can be used stays.
            hit = left & (frame["image_id"].where(left).duplicated() if fault is None else fault)
            rows = frame[hit]
            detail = "row " + (rows.index + 1).astype("str") + f" of {file.name}"
            parts.append(dropped_rows(name, rows["image_id"], rows["path"], code, list(detail)))
            left &= ~hit
        if not left.any():
            raise CohortError(
                f"source {name!r}: none of the {len(frame)} rows of {file} can be used",
                expected="relative paths below the table's folder, and labels",
                got="; ".join(sorted({reason for part in parts for reason in part["reason"]})) or "no rows",
            )
        kept = frame[left].join(extra_columns(table, {*COLUMNS})).reset_index(drop=True)
        return SourceRows(frame=kept, dropped=concat(parts), notes=notes, kind=self.kind)


def _table(path: Path) -> Path | None:
    if path.is_file():
        return path if path.suffix.lower() in TABLE_ENDINGS else None
    for name in _TABLES:
        file = path / name
        if file.is_file() and (file.suffix == ".xlsx" or set(_NEEDED) <= header_of(file)):
            return file
    return None


def _spelling(table: pd.DataFrame) -> dict[str, str]:
    known = {name: name for name in _OPTIONAL} | {"license": "licence"}
    return {
        column: known[column.casefold()]
        for column in table.columns
        if column.casefold() in known and known[column.casefold()] not in table.columns
    }


def _columns(name: str, table: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    label = vocabulary.blank_to_null(table["label"])
    columns = {"label": label, "finding": label}
    if "finding" in table:
        columns["finding"] = vocabulary.blank_to_null(table["finding"]).fillna(label)
    if "patient_id" in table:
        columns["patient_id"] = vocabulary.patient_ids(name, table["patient_id"])
        unknown = int(columns["patient_id"].isna().sum())
        notes += [f"{unknown} of {len(table)} rows have no patient id"] if unknown else []
    else:
        notes.append("no patient ids: there is no column patient_id")
    if "view" in table:
        columns["view"], columns["view_detail"] = vocabulary.views(table["view"])
    if "sex" in table:
        columns["sex"] = vocabulary.sexes(table["sex"])
    if "age" in table:
        columns["age"] = vocabulary.ages(table["age"])
    if "licence" in table:
        columns["licence"] = vocabulary.blank_to_null(table["licence"])
    if "split" in table:
        columns["split"] = vocabulary.splits(table["split"])
        said = vocabulary.blank_to_null(table["split"])
        strange = sorted(said[columns["split"].isna()].dropna().unique())
        if strange:
            raise TableError(
                f"source {name!r}: the column split holds other values than parts of a split",
                expected=", ".join(SPLITS),
                got=", ".join(map(repr, strange[:5])),
            )
    return pd.DataFrame(columns)


def _plain_paths(texts: pd.Series) -> pd.Series:
    """Return paths with "/", without "./" and without a Windows drive letter."""
    path = texts.str.strip().str.replace("\\", "/")
    path = path.str.replace(r"^[A-Za-z]:(?=/)", "", regex=True)
    return path.str.replace(r"/(?:\./)+|(?<!^)/{2,}", "/", regex=True).str.replace(
        r"^(?:\./)+", "", regex=True
    )


def _is_no_name(relative: pd.Series) -> pd.Series:
    """Mark what no file can be called: control characters, or a name over 255 or a path over 3,000 bytes."""
    return (
        relative.str.contains(r"[\x00-\x1f\x7f]", regex=True)
        | relative.str.contains(r"[^/]{256}", regex=True)
        | (relative.str.len() > 3000)
    )


def _absolute(relative: pd.Series, base: Path) -> pd.Series:
    return relative.where(relative.str.startswith("/"), f"{base}/" + relative).astype("str")


def _masks(texts: pd.Series, base: Path) -> tuple[pd.Series, int]:
    given = vocabulary.blank_to_null(texts)
    relative = _plain_paths(given)
    path = _absolute(relative, base).where(
        given.notna() & ~relative.str.contains(r"(?:^|/)\.\.(?:/|$)", na=False)
    )
    there = path.map(os.path.isfile, na_action="ignore")
    kept = path.where(there.fillna(False).astype(bool)).astype("str")
    return kept, int((given.notna() & kept.isna()).sum())
