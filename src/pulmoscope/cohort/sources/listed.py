"""Collections whose table names its pictures (Cohen, NIH, Hannover): bring the two together."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path

import pandas as pd

from pulmoscope.cohort.dropped import concat, dropped_rows
from pulmoscope.cohort.scan import Scan, match_files, scan, stems
from pulmoscope.errors import CohortError


def attach_files(
    name: str, found: Scan, described: pd.DataFrame, *, own_files: Container[str], table: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give each described row its file, and account for every row and file that is left over.

    Args:
        name: The source's name.
        found: The source's folder.
        described: Rows with ``file`` (the name in the table) and, where a row must not be used, a text in
            ``unfit``; both columns are consumed. Other columns pass through.
        own_files: Files of the source that are no pictures and need no mention.
        table: The table's name, for messages.

    Returns:
        Rows with ``image_id`` and ``path`` first, and the dropped ones.

    Raises:
        CohortError: None of the rows has a usable file.
    """
    files, unused = match_files(described["file"], found.pictures)
    named = described["file"]
    unfit = described["unfit"] if "unfit" in described else pd.Series(None, index=named.index, dtype="str")
    missing = unfit.isna() & files.isna()
    usable = unfit.isna() & files.notna()
    again = usable & files.where(usable).duplicated()
    root = str(found.root)
    parts = [
        _drop(name, root, named[unfit.notna()], "E_NOT_XRAY", unfit[unfit.notna()]),
        _drop(name, root, named[missing], "E_MISSING", f"named by {table}"),
        _drop(name, root, named[again], "E_DUPLICATE_ROW", f"in {table}"),
        _drop(name, root, pd.Series(unused, dtype="str"), "E_NOT_LISTED", f"not in {table}"),
        found.dropped(name, but=own_files),
    ]
    keep = usable & ~again
    if not keep.any():
        raise CohortError(
            f"source {name!r}: none of the {len(described)} rows of {table} has a usable picture in {root}",
            expected=f"files such as {named.iloc[0]}" if len(named) else "rows",
            got=f"{len(found.pictures)} pictures, {int(unfit.notna().sum())} rows that are not radiographs",
        )
    rows = described[keep].drop(columns=["file", "unfit"], errors="ignore").reset_index(drop=True)
    relative = files[keep].reset_index(drop=True)
    rows.insert(0, "image_id", name + "/" + relative)
    rows.insert(1, "path", root + "/" + relative)
    return rows, concat(parts)


def attach_masks(frame: pd.DataFrame, folder: Path | None) -> list[str]:
    """Fill ``mask_path`` from a folder of masks named like the pictures; return a note on how many were found.

    A stem that several pictures share names none of them.
    """
    if folder is None:
        return []
    found = scan(folder)
    masks = pd.Series(found.pictures, dtype="str")
    by_stem = pd.Series((str(found.root) + "/" + masks).to_numpy(), index=stems(masks), dtype="str")
    keys = stems(frame["path"])
    matched = keys.where(~keys.duplicated(keep=False)).map(by_stem[~by_stem.index.duplicated(keep=False)])
    before = frame["mask_path"] if "mask_path" in frame else pd.Series(None, index=frame.index, dtype="str")
    frame["mask_path"] = before.fillna(matched).astype("str")
    return [f"{int(matched.notna().sum())} pictures have a mask in {folder.name} ({len(masks)} masks)"]


def find_folder(path: Path, option: str | Path | None, *names: str) -> Path | None:
    """Return the folder that an option names, else the first of ``names`` that exists below ``path``.

    Raises:
        CohortError: The option names no folder.
    """
    if option is not None:
        folder = Path(option)
        if not folder.is_dir():
            raise CohortError(f"there is no folder at {folder}", expected="a folder of masks")
        return folder
    return next((path / name for name in names if (path / name).is_dir()), None)


def extra_columns(table: pd.DataFrame, taken: Container[str]) -> pd.DataFrame:
    """Return the columns of a source's own table whose names ours do not take, for filters."""
    return table[[name for name in table.columns if name and name not in taken]]


def _drop(name: str, root: str, named: pd.Series, code: str, detail: str | pd.Series) -> pd.DataFrame:
    return dropped_rows(name, name + "/" + named, root + "/" + named, code, detail)
