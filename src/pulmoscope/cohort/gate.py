"""The split gate: a split, whoever made it, may not cut a patient or a set of copies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pulmoscope.errors import SplitLeakError

_NAMED_GROUPS = 5
_NAMED_IMAGES = 3
_PRECEDENCE = {"test": 0, "val": 1, "train": 2}


@dataclass(frozen=True, kw_only=True)
class LeakReport:
    """What the gate found.

    Attributes:
        leaked: The split still cuts groups: later results are marked.
        groups: Groups that stood on both sides.
        rows: Rows of these groups.
        dropped: Rows that were left out to mend it.
        sentence: One line for people; empty where nothing leaked.
    """

    leaked: bool
    groups: int
    rows: int
    dropped: int
    sentence: str


def leaking_groups(frame: pd.DataFrame) -> pd.DataFrame:
    """Groups that stand in more than one part or fold; rows without either are left aside.

    Args:
        frame: Columns image_id, group_id and split or fold.

    Returns:
        A row a group, sorted by it: group_id, pictures (its rows that have a part) and parts, a text such as
        ``test: a.png; train: b.png, c.png``. Empty where nothing leaks.
    """
    rows = _leaking_rows(frame)
    parts = [_where(group) for _, group in rows.groupby("group_id", sort=True)]
    counts = rows.groupby("group_id", sort=True)["image_id"].nunique()
    return pd.DataFrame({"group_id": counts.index, "pictures": counts.to_numpy(), "parts": parts})


def check_split(
    frame: pd.DataFrame, *, allow_leak: bool = False, drop_leaks: bool = False
) -> tuple[NDArray[np.bool_], LeakReport]:
    """Pass a split, refuse it, mend it or mark it.

    Args:
        frame: Columns image_id, group_id and split or fold.
        allow_leak: Go on with a split that cuts groups; the report says so.
        drop_leaks: Mend it: of a group that stands in test, the train and val rows are left out; of one in val and
            train, the train rows. The test set stays as published. Of a group cut by folds the fold with most of its
            rows (the lowest of equals) keeps it.

    Returns:
        Which rows to keep, (N,) bool, and what was found.

    Raises:
        SplitLeakError: E_SPLIT_LEAK, naming groups and pictures, where the split leaks and neither option is set.
    """
    keep = np.ones(len(frame), bool)
    leaking = leaking_groups(frame)
    groups = len(leaking)
    if not groups:
        return keep, LeakReport(leaked=False, groups=0, rows=0, dropped=0, sentence="")
    rows = int(leaking["pictures"].sum())
    found = f"{groups} groups (patients or copies), {rows} pictures, stand on both sides of the split"
    if drop_leaks:
        keep = _mended(frame)
        dropped = int((~keep).sum())
        return keep, LeakReport(
            leaked=False,
            groups=groups,
            rows=rows,
            dropped=dropped,
            sentence=f"{found}; {dropped} were left out",
        )
    if allow_leak:
        return keep, LeakReport(
            leaked=True, groups=groups, rows=rows, dropped=0, sentence=f"{found}; allowed"
        )
    raise SplitLeakError(
        found,
        expected="each patient and each set of copies in one part",
        got=", ".join(f"{row.group_id} [{row.parts}]" for row in leaking.head(_NAMED_GROUPS).itertuples())
        + (f" and {groups - _NAMED_GROUPS} more groups" if groups > _NAMED_GROUPS else ""),
        remedy="leave the training copies out with --drop-leaks, split anew with --split patient:0.7,0.15,0.15, "
        "or go on with --allow-leak and every result is marked as leaked",
    )


def _mended(frame: pd.DataFrame) -> NDArray[np.bool_]:
    keep = np.ones(len(frame), bool)
    group = frame["group_id"].to_numpy(dtype=object)
    if "split" in frame:
        rank = frame["split"].map(_PRECEDENCE).astype("Float64")
        best = rank.groupby(group).transform("min")
        keep &= ~(rank > best).fillna(False).to_numpy(bool)
    if "fold" in frame and frame["fold"].notna().any():
        counts = (
            pd.DataFrame({"group": group, "fold": frame["fold"].to_numpy()})
            .value_counts()
            .rename("rows")
            .reset_index()
            .sort_values(["rows", "fold"], ascending=[False, True])
            .drop_duplicates("group")
            .set_index("group")["fold"]
        )
        fold = frame["fold"].astype("Int64").reset_index(drop=True)
        keeper = pd.Series(group).map(counts).astype("Int64")
        keep &= ~(fold != keeper).fillna(False).to_numpy(bool)
    return keep


def _leaking_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """group_id, part and image_id of the rows of cut groups, sorted."""
    found = []
    for column in ("split", "fold"):
        if column not in frame:
            continue
        rows = frame.loc[frame[column].notna(), ["group_id", column, "image_id"]]
        # A group is cut where its smallest and its largest part differ: cheaper over a million rows than counting.
        codes = pd.Series(pd.factorize(rows[column])[0], index=rows.index).groupby(rows["group_id"])
        leaking = rows[codes.transform("min") != codes.transform("max")].rename(columns={column: "part"})
        prefix = "fold " if column == "fold" else ""
        found.append(leaking.assign(part=prefix + leaking["part"].astype("str")))
    if not found:
        return pd.DataFrame({"group_id": [], "part": [], "image_id": []}, dtype="str")
    return pd.concat(found).sort_values(["group_id", "part", "image_id"], ignore_index=True)


def _where(rows: pd.DataFrame) -> str:
    parts = []
    for part, images in rows.groupby("part", sort=True)["image_id"]:
        more = f" and {len(images) - _NAMED_IMAGES} more" if len(images) > _NAMED_IMAGES else ""
        parts.append(f"{part}: {', '.join(images.head(_NAMED_IMAGES))}{more}")
    return "; ".join(parts)
