"""An evaluation as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from pulmoscope.evaluation.result import show_level

if TYPE_CHECKING:
    from pulmoscope.evaluation.result import Estimate, Evaluation

_NAMES: Mapping[str, str] = {
    "balanced_accuracy": "balanced accuracy", "macro_f1": "macro F1", "macro_auroc": "macro AUROC", "ppv": "PPV",
    "npv": "NPV", "f1": "F1", "auroc": "AUROC",
}  # fmt: skip
_METHODS = {
    "default": "Wilson for rates and F1; means over classes join the classes' intervals; AUROC by bootstrap over "
    "groups (*)",
    "exact": "Clopper-Pearson for rates and F1; means over classes join the classes' intervals; AUROC by DeLong or "
    "bootstrap over groups (*)",
    "patient-bootstrap": "bootstrap over groups",
}


def summarise(evaluation: Evaluation) -> str:
    """One line a metric, with its interval and the number of pictures it rests on; then counts and notes."""
    what = f"split {evaluation.split}" if evaluation.split else "all rows"
    if evaluation.model:
        what = f"model {evaluation.model}, {what}"
    drawn = any(
        one.method == "bootstrap" and not np.isnan(one.value) for one in evaluation.estimates().values()
    )
    head = [
        f"{what}: {evaluation.n} pictures, {evaluation.groups} group{'' if evaluation.groups == 1 else 's'}, "
        f"{len(evaluation.classes)} classes",
        f"{show_level(evaluation.level)} intervals: {_METHODS[evaluation.intervals]}"
        + (f"; {evaluation.replicates} replicates" if drawn else ""),
        "",
    ]
    shown = evaluation.estimates()
    titles = {name: _title(name) for name in shown}
    width = max(map(len, titles.values()))
    marked = evaluation.intervals != "patient-bootstrap"
    lines = []
    for name, estimate in shown.items():
        if name.startswith("sensitivity ("):
            lines.append("")
        of = " of it or called so" if name.startswith("f1") and estimate.method != "bootstrap" else ""
        lines.append(f"{titles[name]:<{width}}  {_rate(estimate, marked):<22}  n={estimate.n}{of}".rstrip())
    notes = [f"note: {note}" for note in evaluation.notes]
    dropped = {titles[name]: one.undefined_replicates for name, one in shown.items()
               if one.undefined_replicates and not np.isnan(one.value)}  # fmt: skip
    if dropped:
        listed = ", ".join(f"{name} {count}" for name, count in dropped.items())
        notes.append(f"note: replicates left out because undefined there: {listed}")
    return "\n".join([*head, *lines, "", *_counts(evaluation), *([""] if notes else []), *notes])


def _title(name: str) -> str:
    metric, _, label = name.partition(" ")
    return f"{_NAMES.get(metric, metric)} {label}".strip()


def _rate(estimate: Estimate, marked: bool) -> str:
    if np.isnan(estimate.value):
        return "undefined"
    if np.isnan(estimate.low):
        return f"{estimate.value:.3f} (undefined)"
    mark = "*" if marked and estimate.method == "bootstrap" else ""
    return f"{estimate.value:.3f} ({estimate.low:.3f}-{estimate.high:.3f}){mark}"


def _counts(evaluation: Evaluation) -> list[str]:
    names = list(evaluation.classes)
    cells = [[name, *map(str, row)] for name, row in zip(names, evaluation.confusion, strict=True)]
    rows = [["truth \\ predicted", *names], *cells]
    widths = [max(len(row[column]) for row in rows) for column in range(len(names) + 1)]
    return [
        "  ".join(cell.ljust(width) if column == 0 else cell.rjust(width)
                  for column, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]  # fmt: skip
