"""The page's tables, as rows of text."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pulmoscope.report.figures.distribution import part_names, part_order
from pulmoscope.report.numbers import (
    UNDEFINED,
    flat_settings,
    show_count,
    show_rate,
    show_setting,
    show_share,
    value_of,
)

HEADLINES = (
    ("accuracy", "Accuracy", "share of all pictures that are right"),
    ("balanced_accuracy", "Balanced accuracy", "mean sensitivity over the classes"),
    ("macro_f1", "Macro F1", "mean over the classes of F1, which joins sensitivity and PPV"),
    (
        "macro_auroc",
        "Macro AUROC",
        "mean over the classes of how well it is ranked above the rest; 0.5 is chance",
    ),
)
RATES = (
    ("sensitivity", "Sensitivity"),
    ("specificity", "Specificity"),
    ("ppv", "PPV"),
    ("npv", "NPV"),
    ("f1", "F1"),
    ("auroc", "AUROC"),
)


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of text.

    Attributes:
        caption: What it shows.
        header: The columns' names; the first names what the rows are.
        rows: The cells; the first of a row is its name.
        total: Whether the last row is a sum or a summary, set apart.
        numeric: Whether the cells after the first are numbers, set to the right.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    total: bool = False
    numeric: bool = True


def class_table(scores: Mapping[str, Any]) -> Table:
    """Every class with its support and rates."""
    rows = [
        [name, show_count(rates.get("support")), *(show_rate(rates.get(key)) for key, _ in RATES)]
        for name, rates in scores["classes"].items()
    ]
    return Table(
        caption="Each class against the rest, with 95% intervals",
        header=["Class", "Pictures", *(title for _, title in RATES)],
        rows=rows,
    )


def comparison_table(metrics: Mapping[str, Any], parts: Sequence[str]) -> Table:
    """The headline rates and the classes' sensitivities of several parts side by side."""
    names = {"val": "Validation", "test": "Test", "train": "Training"}
    rows = [["Pictures", *(show_count(metrics[part].get("n")) for part in parts)]]
    rows += [[title, *(show_rate(metrics[part].get(key)) for part in parts)] for key, title, _ in HEADLINES]
    classes = dict.fromkeys(name for part in parts for name in metrics[part]["classes"])
    rows += [
        [
            f"Sensitivity, {name}",
            *(show_rate(metrics[part]["classes"].get(name, {}).get("sensitivity")) for part in parts),
        ]
        for name in classes
    ]
    return Table(
        caption="Validation beside test", header=["", *(names.get(part, part) for part in parts)], rows=rows
    )


def fold_table(folds: Sequence[Mapping[str, Any]], part: str = "test") -> Table:
    """A row a fold, then mean and standard deviation over the folds where the rate is defined."""
    scored = [fold for fold in folds if isinstance(fold.get(part), Mapping)]
    rows = [
        [
            f"fold {fold['fold']}",
            show_count(fold[part].get("n")),
            *(show_rate(fold[part].get(key)) for key, _, _ in HEADLINES),
        ]
        for fold in scored
    ]
    spread = []
    for key, _, _ in HEADLINES:
        values = [value for fold in scored if (value := value_of(fold[part].get(key))) is not None]
        if len(values) < 2:
            spread.append(show_rate(values[0]) if values else UNDEFINED)
        else:
            spread.append(f"{statistics.fmean(values):.3f} ± {statistics.stdev(values):.3f}")
    rows.append(["mean ± SD", "", *spread])
    return Table(
        caption="Each fold by itself, with 95% intervals",
        header=["Fold", "Pictures", *(title for _, title, _ in HEADLINES)],
        rows=rows,
        total=True,
    )


def data_tables(frame: pd.DataFrame, classes: Sequence[str]) -> list[Table]:
    """Counts by source, view and part of the split against the classes, and what is known of the patients."""
    parts = part_names(frame)
    tables = [
        _cross(frame, parts.rename("Part"), classes, "Pictures by part of the split", part_order(parts))
    ]
    for column, title in (("source", "Source"), ("view", "View")):
        if column in frame:
            keys = frame[column].astype("object").where(frame[column].notna(), "unknown").rename(title)
            order = [str(name) for name in keys.value_counts().sort_index().index]
            tables.append(_cross(frame, keys, classes, f"Pictures by {title.lower()}", order))
    rows = []
    if "patient_id" in frame:
        known = frame["patient_id"].dropna()
        rows.append(
            [
                "Patients",
                f"{known.nunique():,}, named for {show_share(len(known), len(frame))} of the pictures",
            ]
        )
    if "group_id" in frame:
        rows.append(["Groups kept together (patient, copies)", f"{frame['group_id'].nunique():,}"])
    if "age" in frame:
        age = frame["age"].dropna()
        if len(age):
            q1, q2, q3 = age.quantile([0.25, 0.5, 0.75])
            known_for = show_share(len(age), len(frame))
            text = f"median {q2:.0f} years, middle half {q1:.0f} to {q3:.0f}, known for {known_for}"
        else:
            text = "not known"
        rows.append(["Age", text])
    if "sex" in frame:
        sex = frame["sex"].dropna()
        counts = ", ".join(f"{name} {count:,}" for name, count in sex.value_counts().sort_index().items())
        rows.append(
            ["Sex", f"{counts}, known for {show_share(len(sex), len(frame))}" if len(sex) else "not known"]
        )
    if rows:
        tables.append(Table(caption="Patients", header=["", ""], rows=rows, numeric=False))
    return tables


def _cross(
    frame: pd.DataFrame, keys: pd.Series, classes: Sequence[str], caption: str, order: Sequence[str]
) -> Table:
    counts = pd.crosstab(keys, frame["label"]).reindex(index=list(order), columns=list(classes), fill_value=0)
    rows = [[str(key), *(f"{n:,}" for n in row), f"{row.sum():,}"] for key, row in counts.iterrows()]
    sums = counts.sum()
    if len(rows) > 1:
        rows.append(["all", *(f"{n:,}" for n in sums), f"{sums.sum():,}"])
    return Table(caption=caption, header=[str(keys.name), *classes, "all"], rows=rows, total=len(rows) > 1)


def dropped_table(dropped: Mapping[str, Any]) -> Table | None:
    """Rows left out, by reason; None where nothing was."""
    if not dropped:
        return None
    rows = [
        [reason, show_count(count)]
        for reason, count in sorted(dropped.items(), key=lambda item: -float(item[1]))
    ]
    return Table(caption="Rows left out, by reason", header=["Reason", "Rows"], rows=rows)


def settings_table(content: Mapping[str, Any], caption: str, skip: Sequence[str] = ()) -> Table:
    """A nested mapping, one setting a row, its place written with dots."""
    rows = [
        [name, show_setting(value)]
        for name, value in flat_settings(content).items()
        if name.split(".")[0] not in skip
    ]
    return Table(caption=caption, header=["Setting", "Value"], rows=rows, numeric=False)
