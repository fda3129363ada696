"""Filters on the cohort's columns: ``view=AP``, ``view=AP,PA``, ``sex!=F``, ``age>=18``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from pulmoscope.errors import CohortError, did_you_mean, near_names

_SHAPE = re.compile(r"\s*(?P<column>[^=!<>]+?)\s*(?P<operator>!=|>=|<=|==|=|>|<)\s*(?P<value>.*?)\s*")
_ORDER: Mapping[str, Callable[[pd.Series, float], pd.Series]] = {
    ">=": lambda numbers, bound: numbers >= bound,
    "<=": lambda numbers, bound: numbers <= bound,
    ">": lambda numbers, bound: numbers > bound,
    "<": lambda numbers, bound: numbers < bound,
}


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One filter.

    Args:
        text: As the user wrote it.
        column: Column of the cohort, or of a source's own table.
        operator: One of =, !=, >=, <=, >, <.
        value: What to compare with; a comma parts several for = and !=; empty means unknown.
    """

    text: str
    column: str
    operator: str
    value: str

    def holds(self, frame: pd.DataFrame) -> pd.Series:
        """Return which rows (N,) satisfy the condition.

        An unknown value never satisfies =, <, <=, > or >=, and always !=. ``age=`` keeps the rows
        without an age and ``age!=`` those with one.

        Raises:
            CohortError: The column does not exist, is not numeric where an order is asked, or never has
                the value (a misspelling would otherwise empty the cohort).
        """
        column = self._column(frame)
        if self.operator in _ORDER:
            return self._in_order(column)
        if not self.value:
            return column.isna() if self.operator == "=" else column.notna()
        values = [self.value]
        # A finding may itself hold a comma ("COVID-19, ARDS"): the whole text is tried first.
        if not (column.astype("str") == self.value).any():
            values = [part.strip() for part in self.value.split(",") if part.strip()]
        equal = self._equal_any(column, values)
        if not equal.any():
            self._explain_absence(column, values)
        return equal if self.operator == "=" else ~equal

    def _column(self, frame: pd.DataFrame) -> pd.Series:
        if self.column in frame.columns:
            return frame[self.column]
        folded = {str(name).casefold(): name for name in frame.columns}
        if self.column.casefold() in folded:
            return frame[folded[self.column.casefold()]]
        close = near_names(self.column, frame.columns, cutoff=0.5, fold_case=True)
        raise CohortError(
            f"filter {self.text!r}: there is no column {self.column!r}",
            code="E_WHERE",
            expected=f"one of {', '.join(map(str, frame.columns))}",
            remedy=did_you_mean(map(repr, close)),
        )

    def _in_order(self, column: pd.Series) -> pd.Series:
        try:
            bound = float(self.value)
        except ValueError:
            raise self._fault("a number after the sign", repr(self.value)) from None
        numbers = pd.to_numeric(column, errors="coerce").astype("Float64")
        if column.notna().any() and not numbers.notna().any():
            raise self._fault("a column of numbers", f"texts such as {column.dropna().iloc[0]!r}")
        return _ORDER[self.operator](numbers, bound).fillna(False).astype(bool)

    def _equal_any(self, column: pd.Series, values: Sequence[str]) -> pd.Series:
        if not pd.api.types.is_numeric_dtype(column):
            return column.isin(values)
        try:
            numbers = [float(value) for value in values]
        except ValueError:
            raise self._fault("numbers", ", ".join(map(repr, values))) from None
        return column.astype("Float64").isin(numbers).fillna(False).astype(bool)

    def _explain_absence(self, column: pd.Series, values: Sequence[str]) -> None:
        counts = column.value_counts()
        there = [str(value) for value in counts.index[:12]]
        close = near_names(values[0], counts.index[:1000], cutoff=0.5, fold_case=True) if values else []
        if self.operator == "!=" and not close:
            return
        raise self._fault(
            f"one of {', '.join(there)}" if there else "a column with values",
            ", ".join(map(repr, values)) or "nothing",
            did_you_mean(map(repr, close)),
        )

    def _fault(self, expected: str, got: str, remedy: str | None = None) -> CohortError:
        return CohortError(
            f"filter {self.text!r} does not fit the column {self.column!r}",
            code="E_WHERE",
            expected=expected,
            got=got,
            remedy=remedy,
        )


def parse_where(text: str) -> Condition:
    """Read one filter, such as ``view=AP`` or ``age>=18``.

    Raises:
        CohortError: It is not of the form COLUMN SIGN VALUE.
    """
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise CohortError(
            f"cannot read the filter {text!r}",
            code="E_WHERE",
            expected="COLUMN=VALUE, COLUMN=VALUE,VALUE, COLUMN!=VALUE, or COLUMN>=NUMBER",
        )
    operator = "=" if match["operator"] == "==" else match["operator"]
    return Condition(text=text.strip(), column=match["column"], operator=operator, value=match["value"])
