"""Class folders: ``CLASS/``, ``GROUP/CLASS/``, with or without ``train|val|test``, or ``CLASS/images``."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from pulmoscope.cohort import vocabulary
from pulmoscope.cohort.dropped import concat, dropped_rows
from pulmoscope.cohort.scan import Scan, scan, stems
from pulmoscope.cohort.sources import cohen, nih
from pulmoscope.cohort.sources.base import SourceRows
from pulmoscope.cohort.sources.known_trees import cohen_tables_for, meanings
from pulmoscope.cohort.sources.layout import Layout, read_layout
from pulmoscope.cohort.sources.listed import attach_masks, find_folder
from pulmoscope.errors import CohortError, TableError

_SIDECAR = "metadata.csv"
_IMAGES = r"(?i)(?<=.)/images?$"
_KNOWN = ("patient_id", "view", "view_detail", "sex", "age", "licence")


class ClassFoldersSource:
    """Adapter for any tree whose folders name the classes."""

    kind = "class_folders"

    def sniff(self, path: Path) -> bool:
        """Say whether ``path`` is a folder that holds folders."""
        try:
            with os.scandir(path) as entries:
                return any(entry.is_dir() for entry in entries)
        except OSError:
            return False

    def read(
        self,
        name: str,
        path: Path,
        *,
        metadata: str | Path | Sequence[str | Path] = (),
        masks: str | Path | None = None,
        patient_pattern: str | None = None,
        others: Mapping[str, str | os.PathLike[str]] | None = None,
    ) -> SourceRows:
        r"""Read the pictures; the label is the last folder's name, the finding the nested path.

        Patients are known where a file's stem is an NIH name (``PPPPPPPP_FFF`` gives "nih:PPPPPPPP"), where a
        metadata table names the stem, or by ``patient_pattern``; else they are null. Ids carry the prefix of
        the collection they come from ("nih:", "cohen:"), so that the same patient is one in every source.

        Args:
            name: The source's name.
            path: The tree's root.
            metadata: Tables of known collections (Cohen's ``metadata.csv``, NIH's ``Data_Entry*.csv``) that
                tell patient, view, sex, age and licence by the file's stem; ``path/metadata.csv`` is
                read as one when it is one.
            masks: Folder of masks named like the pictures, besides ``CLASS/masks`` found by itself.
            patient_pattern: Regular expression with a group ``patient``, searched in the relative path, such
                as ``person(?P<patient>\d+)_``; ids then are "NAME:ID".
            others: The cohort's other sources, name -> path; where the tree is DarkCovidNet's and no ``metadata``
                is Cohen's table, that of a Cohen source among them is asked, else ``../cohen/metadata.csv``.
        """
        found = scan(path)
        folders = pd.Series([one.rpartition("/")[0] for one in found.pictures], dtype="str")
        layout = read_layout(list(folders.unique()))
        rows = pd.DataFrame({"relative": pd.Series(found.pictures, dtype="str"), "folder": folders})
        is_mask = rows["folder"].isin(layout.masks)
        finding = rows["folder"].map(layout.finding)
        homeless = ~is_mask & (finding == "")
        frame = _pictures(name, found, rows[~is_mask & ~homeless], layout)
        if frame.empty:
            raise CohortError(
                f"source {name!r}: there are no class folders with pictures in {found.root}",
                expected="CLASS/*.png, train|val|test/CLASS/*.png, CLASS/images/*.png, or a table with path,label",
                got=f"{len(found.pictures)} pictures, {int(homeless.sum())} of them outside folders"
                + (
                    f"; {len(found.skipped)} other entries, such as {_first_skipped(found)}"
                    if found.skipped
                    else ""
                ),
            )
        _refuse_empty_classes(name, found, frame)
        notes = [*layout.notes, *found.twins()]
        tables = [metadata] if isinstance(metadata, str | Path) else list(metadata)
        if (found.root / _SIDECAR).is_file():
            tables += [found.root / _SIDECAR] if cohen.is_cohen_table(found.root / _SIDECAR) else []
        notes += _fill_from_names(name, frame, patient_pattern)
        notes += _fill_from_tables(frame, [Path(table) for table in tables])
        if not any(cohen.is_cohen_table(Path(table)) for table in tables):
            notes += _fill_by_itself(frame, found.root, others or {})
        said = meanings(frame)
        notes += said
        notes += _inner_masks(found, frame, rows[is_mask], layout)
        notes += attach_masks(frame, find_folder(found.root, masks))
        unknown = int(frame["patient_id"].isna().sum())
        if unknown:
            notes.append(f"{unknown} of {len(frame)} pictures have no patient id")
        lonely = rows.loc[is_mask & ~(str(found.root) + "/" + rows["relative"]).isin(frame["mask_path"])]
        dropped = [
            _drop(name, found, rows.loc[homeless, "relative"], "E_NO_LABEL", "outside the class folders"),
            _drop(name, found, lonely["relative"], "E_MASK", ""),
            found.dropped(name, but=(_SIDECAR,) if tables else ()),
        ]
        return SourceRows(
            frame=frame,
            dropped=concat(dropped),
            notes=notes,
            caveats=[f"source {name!r}: {one}" for one in said],
            kind=self.kind,
        )


def _pictures(name: str, found: Scan, rows: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    rows = rows.reset_index(drop=True)
    return pd.DataFrame(
        {
            "image_id": name + "/" + rows["relative"],
            "path": str(found.root) + "/" + rows["relative"],
            "label": rows["folder"].map(layout.label).astype("str"),
            "finding": rows["folder"].map(layout.finding).astype("str"),
            "split": rows["folder"].map(layout.split).astype("str"),
            "folder": rows["folder"],
        }
    )


def _first_skipped(found: Scan) -> str:
    name, code, detail = found.skipped[0]
    return f"{name} ({code}: {detail})"


def _refuse_empty_classes(name: str, found: Scan, frame: pd.DataFrame) -> None:
    """Refuse a tree with an empty folder beside class folders: a class would vanish without a word."""
    homes = set(frame["folder"].str.replace(_IMAGES, "", regex=True).unique())
    parents = {home.rpartition("/")[0] for home in homes}
    labels = {label.casefold() for label in frame["label"].unique()}
    for folder in found.barren:
        parent, _, last = folder.rpartition("/")
        if parent in parents and last.casefold() not in labels and not vocabulary.split_name(last):
            raise CohortError(
                f"source {name!r}: the class folder {folder!r} holds no picture",
                code="E_EMPTY_CLASS",
                expected="pictures in every class folder",
                remedy="fill the folder or remove it",
            )


def _fill_from_names(name: str, frame: pd.DataFrame, pattern: str | None) -> list[str]:
    frame["patient_id"] = nih.patients_of_stems(stems(frame["path"]))
    notes = []
    count = int(frame["patient_id"].notna().sum())
    if count:
        notes.append(f"{count} file names are NIH names: their patient ids are taken from them")
    if pattern is not None:
        try:
            groups = re.compile(pattern).groupindex
        except re.error as error:
            raise CohortError(f"patient_pattern {pattern!r} is no regular expression: {error}") from error
        if "patient" not in groups:
            raise CohortError(f"patient_pattern {pattern!r} has no group (?P<patient>...)")
        relative = frame["image_id"].str.slice(len(name) + 1)
        said = relative.map(lambda one: (hit := re.search(pattern, one)) and hit["patient"]).astype("str")
        frame["patient_id"] = (name + ":" + said).fillna(frame["patient_id"]).astype("str")
    return notes


def _fill_from_tables(frame: pd.DataFrame, tables: list[Path]) -> list[str]:
    """Fill what known collections say about the same file stems; the file's own name wins."""
    return [f"{_fill(frame, _describe(table))} pictures are described in {table.name}" for table in tables]


def _fill(frame: pd.DataFrame, described: pd.DataFrame) -> int:
    """Fill what is still unknown by the files' stems; return how many pictures the table describes."""
    keys = stems(frame["path"])
    known = described.set_index(stems(described["file"]))
    known = known[[column for column in _KNOWN if column in known]]
    known = known[~known.index.duplicated()]
    for column in known.columns:
        said = keys.map(known[column])
        before = frame[column] if column in frame else pd.Series(None, index=frame.index, dtype=said.dtype)
        frame[column] = before.fillna(said)
    return int(keys.isin(known.index).sum())


def _fill_by_itself(
    frame: pd.DataFrame, root: Path, others: Mapping[str, str | os.PathLike[str]]
) -> list[str]:
    """Ask a table that nobody gave for this source, and say so: a wrong neighbour must be seen."""
    notes = []
    for table, where in cohen_tables_for(frame, root, others):
        unknown = frame["patient_id"].isna()
        try:
            described, _ = cohen.describe(table)
        except TableError as error:
            notes.append(f"{where} was not asked for patient ids: {error}")
            continue
        _fill(frame, described)
        count = int((unknown & frame["patient_id"].notna()).sum())
        notes.append(
            f"the patient ids of {count} pictures are taken from {where}, by the files' stems; "
            f"{int(unknown.sum()) - count} stay without"
        )
        break
    return notes


def _describe(table: Path) -> pd.DataFrame:
    if cohen.is_cohen_table(table):
        return cohen.describe(table)[0]
    if nih.is_nih_table(table):
        return nih.describe(table)[0]
    raise TableError(
        f"{table} tells nothing about class folders",
        expected="Cohen's metadata.csv or NIH's Data_Entry*.csv" if table.exists() else "a file",
        remedy="for a table of your own with path,label,patient_id give the table itself as the source",
    )


def _inner_masks(found: Scan, frame: pd.DataFrame, masks: pd.DataFrame, layout: Layout) -> list[str]:
    """Give pictures the masks that stand beside them (CLASS/masks), or below the root by a unique stem."""
    frame["mask_path"] = pd.Series(None, index=frame.index, dtype="str")
    if masks.empty:
        return []
    owner = masks["folder"].map(layout.masks).astype("str")
    path = (str(found.root) + "/" + masks["relative"]).to_numpy(dtype=object)
    stem = stems(masks["relative"])
    beside = pd.Series(path, index=owner + "/" + stem, dtype="str")
    folder = frame["folder"].str.replace(_IMAGES, "", regex=True)
    key = stems(frame["path"])
    frame["mask_path"] = (folder + "/" + key).map(beside[~beside.index.duplicated()]).astype("str")
    top = (owner == "").to_numpy(dtype=bool)
    if top.any():
        below_root = pd.Series(path[top], index=stem[top], dtype="str")
        unique = key.where(~key.duplicated(keep=False))
        by_stem = unique.map(below_root[~below_root.index.duplicated()]).astype("str")
        frame["mask_path"] = frame["mask_path"].fillna(by_stem)
    return [f"{int(frame['mask_path'].notna().sum())} of {len(frame)} pictures have a mask"]


def _drop(name: str, found: Scan, relative: pd.Series, code: str, detail: str) -> pd.DataFrame:
    return dropped_rows(name, name + "/" + relative, str(found.root) + "/" + relative, code, detail)
