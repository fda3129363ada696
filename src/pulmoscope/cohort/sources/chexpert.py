"""CheXpert (Irvin et al. 2019): ``train.csv``, ``valid.csv`` and ``train/patient…/study…/view….jpg``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from pulmoscope.cohort import vocabulary
from pulmoscope.cohort.dropped import concat, dropped_rows
from pulmoscope.cohort.read_table import header_of, read_table
from pulmoscope.cohort.scan import scan
from pulmoscope.cohort.sources.base import SourceRows
from pulmoscope.errors import CohortError, TableError

_NO_FINDING, _DEVICES = "No Finding", "Support Devices"
FINDINGS = (
    *(_NO_FINDING, "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema"),
    *("Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other"),
    *("Fracture", _DEVICES),
)
_COLUMNS = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *FINDINGS)
_TABLES = {"train.csv": "train", "valid.csv": "val", "test.csv": "test"}
POLICIES = ("ignore", "positive", "negative")


class CheXpertSource:
    """Adapter for CheXpert and its samples."""

    kind = "chexpert"

    def sniff(self, path: Path) -> bool:
        """Say whether ``path`` holds a table with CheXpert's columns."""
        return any(set(_COLUMNS) <= header_of(path / table) for table in _TABLES)

    def read(
        self, name: str, path: Path, *, uncertain: str = "ignore", require_files: bool = True
    ) -> SourceRows:
        """Read the radiographs; patient ids are "chexpert:patientNNNNN", from the path.

        ``finding`` joins the positive findings by "|". What an uncertain mention (-1) becomes is the policy:

        - ``ignore``: no mention; a row where nothing else is positive is dropped (E_UNCERTAIN).
        - ``positive``: a positive finding.
        - ``negative``: an absent one. A row where no disease is then positive is "No Finding", which is how
          CheXpert itself defines that label.

        Args:
            name: The source's name.
            path: Folder with ``train.csv``; pictures are sought below it as the table names them, with or
                without the first folder of that name. ``valid.csv`` beside it gives the validation split.
            uncertain: ignore, positive or negative.
            require_files: Drop rows whose picture is not there; False reads the tables alone.
        """
        if uncertain not in POLICIES:
            raise CohortError(
                f"uncertain findings cannot be {uncertain!r}",
                expected=", ".join(POLICIES),
                got=repr(uncertain),
            )
        present = [table for table in _TABLES if set(_COLUMNS) <= header_of(path / table)]
        if not present:
            raise TableError(
                f"there is no CheXpert table in {path}", expected="train.csv with the 14 findings"
            )
        parts, notes = [], []
        for table in present:
            one, said = read_table(path / table, needed=_COLUMNS)
            # A single table is no split, whatever the folder inside its paths is called.
            parts.append(one.assign(split=_TABLES[table] if len(present) > 1 else None))
            notes += said
        table = pd.concat(parts, ignore_index=True)
        finding, doubtful = _findings(table, uncertain)
        notes.append(f"uncertain findings count as: {uncertain}; {doubtful} rows hold at least one")
        frame = _columns(name, table, finding).join(table[list(FINDINGS)])
        said_nothing = finding.isna()
        uncertain_only = said_nothing & (table[list(FINDINGS)].astype("str").apply(_is, value=-1).any(axis=1))
        dropped = [
            dropped_rows(
                name,
                frame.loc[said_nothing, "image_id"],
                frame.loc[said_nothing, "path"],
                np.where(uncertain_only[said_nothing], "E_UNCERTAIN", "E_NO_LABEL").tolist(),
                "no positive finding",
            )
        ]
        frame = frame[~said_nothing]
        frame, missing = _locate(name, path, frame, require_files=require_files)
        return SourceRows(
            frame=frame.reset_index(drop=True),
            dropped=concat([*dropped, *missing]),
            notes=notes,
            kind=self.kind,
        )


def _is(column: pd.Series, value: int) -> pd.Series:
    return pd.to_numeric(column, errors="coerce") == value


def _findings(table: pd.DataFrame, uncertain: str) -> tuple[pd.Series, int]:
    """Return the joined positive findings (null where none) and how many rows hold an uncertain one."""
    values = table[list(FINDINGS)].apply(pd.to_numeric, errors="coerce")
    unsure = (values == -1).to_numpy()
    positive = (values == 1).to_numpy(copy=True)
    if uncertain == "positive":
        positive |= unsure
    diseases = [i for i, finding in enumerate(FINDINGS) if finding not in {_NO_FINDING, _DEVICES}]
    if uncertain == "negative":
        healthy = unsure[:, diseases].any(axis=1) & ~positive[:, diseases].any(axis=1)
        positive[:, FINDINGS.index(_NO_FINDING)] |= healthy
    # A pattern of 14 flags has few distinct values: join the names once a pattern.
    code = positive @ (1 << np.arange(len(FINDINGS)))
    names = {
        int(one): "|".join(name for i, name in enumerate(FINDINGS) if int(one) >> i & 1) or None
        for one in np.unique(code)
    }
    return pd.Series(code, index=table.index).map(names).astype("str"), int(unsure.any(axis=1).sum())


def _columns(name: str, table: pd.DataFrame, finding: pd.Series) -> pd.DataFrame:
    file = table["Path"].str.strip().str.replace("\\", "/")
    lateral = table["Frontal/Lateral"].str.strip().str.casefold() == "lateral"
    position = table["AP/PA"].str.strip()
    view, view_detail = vocabulary.views(position.mask(lateral & (position == ""), "Lateral"))
    view = view.mask(lateral, "lateral")
    patient = file.str.extract(r"(?:^|/)(patient\d+)(?:/|$)")[0]
    return pd.DataFrame(
        {
            "image_id": name + "/" + file,
            "path": file,
            "label": finding,
            "finding": finding,
            "patient_id": ("chexpert:" + patient).astype("str"),
            "view": view,
            "view_detail": view_detail,
            "sex": vocabulary.sexes(table["Sex"]),
            "age": vocabulary.ages(table["Age"]),
            "split": table["split"].astype("str"),
            "licence": "Stanford University Dataset Research Use Agreement",
        }
    )


def _locate(
    name: str, path: Path, frame: pd.DataFrame, *, require_files: bool
) -> tuple[pd.DataFrame, list[pd.DataFrame]]:
    file = frame["path"]
    root = str(path.absolute())
    without_first = file.str.replace(r"^[^/]+/", "", regex=True)
    if not require_files:
        return frame.assign(path=root + "/" + file, image_id=name + "/" + file), []
    found = scan(path)
    there = set(found.pictures)
    below = file.isin(there)
    relative = file.where(below, without_first)
    missing = ~relative.isin(there)
    if missing.all():
        raise CohortError(
            f"source {name!r}: none of the {len(frame)} pictures of the CheXpert table is in {root}",
            expected=f"files such as {without_first.iloc[0]}" if len(frame) else "rows with a finding",
            got=f"{len(there)} pictures",
        )
    unused = sorted(there - set(relative))
    parts = [
        dropped_rows(name, name + "/" + file[missing], root + "/" + without_first[missing], "E_MISSING"),
        dropped_rows(
            name, [f"{name}/{one}" for one in unused], [f"{root}/{one}" for one in unused], "E_NOT_LISTED"
        ),
        found.dropped(name, but=_TABLES),
    ]
    kept = frame.assign(path=root + "/" + relative, image_id=name + "/" + relative)[~missing]
    again = kept["image_id"].duplicated()
    parts.append(dropped_rows(name, kept.loc[again, "image_id"], kept.loc[again, "path"], "E_DUPLICATE_ROW"))
    return kept[~again], parts
