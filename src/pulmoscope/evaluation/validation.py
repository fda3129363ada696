"""Any table into the predictions table, with every mistake in it named at once."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pulmoscope.errors import TableError, did_you_mean, near_names
from pulmoscope.evaluation.cells import class_names, numbers, sorted_classes, texts
from pulmoscope.evaluation.columns import SUM_TOLERANCE, class_columns, group_names

if TYPE_CHECKING:
    import pandas as pd

# A label column with more values than this holds something else than classes; a confusion matrix of it fills memory.
MOST_CLASSES = 100
_FORM = "image_id, label, and one column a class (p_<class> or the class's name) or only prediction"

Texts = list[str | None]


def normalise(
    frame: pd.DataFrame, classes: Sequence[str] | None, name: str
) -> tuple[pd.DataFrame, tuple[str, ...], bool]:
    """Check a table and bring it into the form of :class:`pulmoscope.evaluation.Predictions`.

    Args:
        frame: Any table of predictions; its rows are numbered from 1 in messages.
        classes: The classes in order, or None to take them from the table.
        name: What messages call the table.

    Returns:
        The table, the classes in order and whether there are probabilities.

    Raises:
        TableError: With all mistakes in one message.
    """
    import pandas as pd

    table = _tidy_header(frame, name)
    cells = _Cells.of(table)
    columns = class_columns(table, classes, {label for label in cells.labels or [] if label is not None})
    if columns:
        names = tuple(columns)
    else:
        names = (
            tuple(classes)
            if classes is not None
            else sorted_classes([*(cells.labels or []), *(cells.hard or [])])
        )
    rows = _Rows(cells.ids)
    probabilities, wrong_numbers = _probabilities(table, columns, rows)
    wrong_form = _form_mistakes(table, cells, columns)
    wrong_cells = _cell_mistakes(cells, rows)
    # Without class columns and without hard labels nothing says what the classes are.
    wrong_classes = _class_mistakes(cells, names, rows, columns) if columns or cells.hard is not None else []
    _raise(
        name,
        [*wrong_form, *wrong_cells, *wrong_classes, *wrong_numbers],
        expected=_FORM if wrong_form else None,
    )

    parts: dict[str, Any] = {
        "image_id": cells.ids,
        "group_id": group_names(table, cells.ids),
        "label": cells.labels,
        "split": texts(table["split"]) if "split" in table else [None] * len(table),
        "model": cells.models,
        "prediction": cells.hard,
    }
    text = pd.DataFrame(
        {key: pd.Series(values, dtype="str") for key, values in parts.items() if values is not None}
    )
    scores = pd.DataFrame(probabilities, columns=[f"p_{name}" for name in columns])
    return pd.concat([text, scores], axis=1), names, bool(columns)


@dataclass(frozen=True, kw_only=True)
class _Cells:
    """The text columns, each as long as the table; None where the table has no such column."""

    ids: Texts
    has_ids: bool
    labels: Texts | None
    hard: Texts | None
    models: Texts | None

    @classmethod
    def of(cls, table: pd.DataFrame) -> _Cells:
        return cls(
            ids=texts(table["image_id"]) if "image_id" in table else [None] * len(table),
            has_ids="image_id" in table,
            labels=class_names(table["label"]) if "label" in table else None,
            hard=class_names(table["prediction"]) if "prediction" in table else None,
            models=texts(table["model"]) if "model" in table else None,
        )


class _Rows:
    """Names rows in messages: how many, and the first three."""

    def __init__(self, ids: Sequence[str | None]) -> None:
        self._ids = ids

    def named(self, where: npt.ArrayLike, values: Sequence[object] | None = None) -> str:
        """``row 3 ('a.png')`` or ``4 rows: row 3 ('a.png'), ...``; with ``values``, what stands there."""
        found = np.flatnonzero(np.asarray(where, np.bool_))
        shown = []
        for row in found[:3]:
            known = f" ({self._ids[row]!r})" if self._ids[row] is not None else ""
            shown.append(f"row {row + 1}{known}" + (f" {values[row]}" if values is not None else ""))
        more = ", ..." if len(found) > 3 else ""
        return (f"{len(found)} rows: " if len(found) > 1 else "") + ", ".join(shown) + more


def _tidy_header(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    table = frame.rename(columns=lambda column: str(column).strip())
    twins = sorted(set(table.columns[table.columns.duplicated()]))
    if twins:
        raise TableError(
            f"{name} has more than one column named {', '.join(map(repr, twins))}",
            expected="each column once",
        )
    if not len(table):
        raise TableError(f"{name} has no rows", expected="one row an image")
    return table


def _raise(name: str, mistakes: Sequence[str], *, expected: str | None) -> None:
    if len(mistakes) == 1:
        raise TableError(f"{name}: {mistakes[0]}", expected=expected)
    if mistakes:
        numbered = "; ".join(f"({number}) {text}" for number, text in enumerate(mistakes, 1))
        raise TableError(f"{name}: {len(mistakes)} mistakes: {numbered}", expected=expected)


def _form_mistakes(table: pd.DataFrame, cells: _Cells, columns: dict[str, str]) -> list[str]:
    mistakes = []
    if "image_id" not in table:
        mistakes.append(f"no column 'image_id'{_did_you_mean('image_id', table.columns)}")
    if not columns and cells.hard is None:
        hints = (
            _did_you_mean(word, table.columns)
            for word in (*sorted_classes(cells.labels or [])[:20], "prediction")
        )
        hint = next((hint for hint in hints if hint), "")
        mistakes.append(
            f"no column of probabilities (p_<class> or the class's name) and no column 'prediction'{hint}"
        )
    for column in columns.values():
        if column not in table:
            mistakes.append(f"no column '{column}'{_did_you_mean(column, table.columns)}")
    if len(columns) == 1:
        mistakes.append(f"only one class column ({', '.join(columns.values())}); every class needs one")
    return mistakes


def _cell_mistakes(cells: _Cells, rows: _Rows) -> list[str]:
    import pandas as pd

    mistakes = []
    named = {"image_id": cells.ids if cells.has_ids else None, "label": cells.labels, "prediction": cells.hard,
             "model": cells.models}  # fmt: skip
    for column, values in named.items():
        missing = [value is None for value in values or []]
        if any(missing):
            mistakes.append(f"no {column} in {rows.named(missing)}")
    if cells.has_ids:
        keys = pd.DataFrame({"image_id": cells.ids, "model": cells.models or ""}, dtype=object)
        twins = (keys.duplicated(keep=False) & keys["image_id"].notna()).to_numpy()
        if twins.any():
            within = " within one model" if cells.models is not None else ""
            mistakes.append(f"the same image_id more than once{within} in {rows.named(twins)}")
    return mistakes


def _class_mistakes(cells: _Cells, names: tuple[str, ...], rows: _Rows, columns: dict[str, str]) -> list[str]:
    if len(names) > MOST_CLASSES:
        return [f"{len(names)} different classes, more than {MOST_CLASSES}; does 'label' hold class names?"]
    mistakes = []
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(unicodedata.normalize("NFKC", name).casefold(), name)
        if other != name:
            mistakes.append(f"the classes {other!r} and {name!r} differ only in spelling; use one of them")
    known = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    for what, values in (("label", cells.labels), ("prediction", cells.hard)):
        strange = sorted_classes(value for value in set(values or []) if value not in names)
        for value in strange[:5]:
            where = rows.named([found == value for found in values or []])
            hint = _did_you_mean(value, names)
            if not hint and any(column.startswith("p_") for column in columns.values()):
                hint = f" (and there is no column 'p_{value}')"
            mistakes.append(f"{what} {value!r} is none of the classes {known}{hint} in {where}")
        if len(strange) > 5:
            mistakes.append(f"{len(strange) - 5} more values of {what} are none of the classes")
    return mistakes


def _probabilities(
    table: pd.DataFrame, columns: dict[str, str], rows: _Rows
) -> tuple[npt.NDArray[np.float64], list[str]]:
    mistakes = []
    found = [column for column in columns.values() if column in table]
    values = (
        np.column_stack([numbers(table[column]) for column in found]) if found else np.empty((len(table), 0))
    )
    for index, column in enumerate(found):
        bad = ~np.isfinite(values[:, index])
        if bad.any():
            cells = [repr(cell) for cell in table[column].tolist()]
            mistakes.append(f"'{column}' is no finite number in {rows.named(bad, cells)}")
    whole = np.isfinite(values).all(axis=1)
    outside = whole & ((values < 0) | (values > 1)).any(axis=1)
    if outside.any():
        mistakes.append(f"probabilities outside [0, 1] in {rows.named(outside)}{_scale_hint(values[whole])}")
    if len(found) == len(columns) > 1:
        sums = values.sum(axis=1)
        off = whole & ~outside & (np.abs(sums - 1) > SUM_TOLERANCE)
        if off.any():
            shown = [f"sums to {value:.4g}" for value in sums]
            mistakes.append(
                f"probabilities do not sum to 1 (within {SUM_TOLERANCE:g}) in {rows.named(off, shown)}"
            )
    return values, mistakes


def _scale_hint(values: npt.NDArray[np.float64]) -> str:
    if (values < 0).any():
        return " (they look like logits: apply the softmax first)"
    if np.allclose(values.sum(axis=1), 100, atol=1):
        return " (they look like per cent: divide by 100)"
    return ""


def _did_you_mean(name: str, options: Iterable[str]) -> str:
    close = near_names(name, options, cutoff=0.7, fold_case=True)
    return f" ({did_you_mean(map(repr, close))})" if close else ""
