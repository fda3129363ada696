"""The cohort in a few plain lines for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from pulmoscope.cohort.table import SPLITS, VIEWS, Cohort


def summarise(cohort: Cohort) -> str:
    """Return counts by source, label, view and split, what was dropped, and the caveats, as plain text."""
    frame = cohort.frame
    groups = frame["group_id"].nunique()
    patients = frame["patient_id"].nunique()
    people = f"{patients} known patients, " if patients else "no known patients, "
    blocks = [f"{len(frame)} radiographs, {people}{groups} groups that no split may cut"]
    blocks.append(_counts(frame, "source", list(cohort.info["sources"]) or None, cohort.classes))
    known_views = frame["view"].notna().any()
    blocks.append(_counts(frame, "view", VIEWS, cohort.classes) if known_views else "view: unknown")
    if frame["split"].notna().any():
        blocks.append(_counts(frame, "split", SPLITS, cohort.classes))
    if frame["fold"].notna().any():
        blocks.append(_counts(frame, "fold", None, cohort.classes))
    if cohort.info["dropped"]:
        total = sum(cohort.info["dropped"].values())
        lines = [f"  {count:>7}  {reason}" for reason, count in cohort.info["dropped"].items()]
        blocks.append("\n".join([f"left out ({total}, each in dropped.csv):", *lines]))
    notes = [
        f"  {name}: {note}" for name, said in cohort.info["sources"].items() for note in said.get("notes", [])
    ]
    if notes:
        blocks.append("\n".join(["notes:", *notes]))
    copies = cohort.info.get("copies", {})
    if copies.get("exact_pairs") or copies.get("near_pairs"):
        lines = [
            f"{copies['exact_pairs']} links between exact copies, {copies['near_pairs']} between near copies"
        ]
        blocks.append("\n  ".join(["copies:", *lines, *copies["notes"]]))
    if cohort.info["caveats"]:
        blocks.append("\n".join(["caveats:", *(f"  - {text}" for text in cohort.info["caveats"])]))
    return "\n\n".join(blocks)


def _counts(frame: pd.DataFrame, by: str, order: Sequence[str] | None, classes: Sequence[str]) -> str:
    table = pd.crosstab(frame[by].astype("str").fillna("unknown"), frame["label"])
    table = table.reindex(columns=list(classes), fill_value=0)
    if order is not None:
        rows = [row for row in (*order, "unknown") if row in table.index]
        table = table.reindex(rows + [row for row in table.index if row not in rows])
    table["all"] = table.sum(axis=1)
    if len(table) > 1:
        table.loc["all"] = table.sum()
    first = max(len(by), *(len(str(row)) for row in table.index))
    widths = [max(len(str(name)), 7) for name in table.columns]
    cells = zip(table.columns, widths, strict=True)
    header = by.ljust(first) + "".join(f"  {name:>{width}}" for name, width in cells)
    lines = [
        str(row).ljust(first)
        + "".join(f"  {int(value):>{width}}" for value, width in zip(values, widths, strict=True))
        for row, values in zip(table.index, table.to_numpy(), strict=True)
    ]
    return "\n".join([header, *lines])
