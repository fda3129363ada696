"""The part of a table that chooses and the part that judges, checked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulmoscope.errors import PulmoscopeError, TableError
from pulmoscope.evaluation.predictions import Predictions, one_model


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """One split's pictures.

    Attributes:
        labels: True classes, (N,) in [0, C).
        probabilities: (N, C) in [0, 1].
        groups: Group (patient) of each picture, (N,).
        right: Whether the predicted class is the true one, (N,) booleans.
    """

    labels: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float64]
    groups: npt.NDArray[np.object_]
    right: npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class TwoParts:
    """The split that chooses, the split that judges, and what a reader of the numbers must know."""

    choosing: Rows
    judging: Rows
    notes: tuple[str, ...]


def two_parts_of(table: Predictions, chosen_on: str, judged_on: str) -> TwoParts:
    """The rows of two splits of one model's table with probabilities.

    Raises:
        TableError: A split is missing, there are no probabilities or no labels, or several models.
        PulmoscopeError: The two splits are one, or the test part would choose.
    """
    check_parts(table, chosen_on, judged_on)
    choosing, judging = table.part(chosen_on), table.part(judged_on)
    before, after = choosing.probabilities, judging.probabilities
    if before is None or after is None:
        raise TableError(
            f"{table.name} has no probabilities", expected="one column p_CLASS a class",
            remedy="hard labels do not say how sure the model was",
        )  # fmt: skip
    return TwoParts(
        choosing=_rows(choosing, before),
        judging=_rows(judging, after),
        notes=group_notes(choosing, judging),
    )


def check_parts(table: Predictions, chosen_on: str, judged_on: str) -> None:
    """One split chooses, another judges, and the table holds both of one model.

    Raises:
        TableError: A split is missing, or there are several models.
        PulmoscopeError: The two splits are one, or the test part would choose.
    """
    one_model(table)
    if chosen_on == "test":
        raise PulmoscopeError(
            "nothing is chosen on the test part", code="E_OPTION", expected="a validation part", got="test"
        )
    if chosen_on == judged_on:
        raise PulmoscopeError(
            "the thresholds would be judged on the pictures that chose them", code="E_OPTION",
            expected="two different splits", got=f"{chosen_on} twice",
        )  # fmt: skip
    lacking = [part for part in (chosen_on, judged_on) if part not in table.splits]
    if lacking:
        raise TableError(
            f"{table.name} has no row of split {' or '.join(lacking)}",
            expected=f"a column 'split' with {chosen_on} and {judged_on}",
            got=", ".join(table.splits) or "no split at all",
            remedy="thresholds are chosen on validation and judged on test; of a cross-validation name one fold",
        )


def _rows(part: Predictions, probabilities: npt.NDArray[np.float64]) -> Rows:
    return Rows(
        labels=part.labels,
        probabilities=probabilities,
        groups=part.groups,
        right=part.predicted == part.labels,
    )


def group_notes(choosing: Predictions, judging: Predictions) -> tuple[str, ...]:
    """What a reader must know where patients have several pictures, or are in both parts."""
    notes = []
    groups = set(judging.groups)
    if len(groups) < len(judging):
        notes.append(
            f"{len(judging)} pictures come from {len(groups)} {_groups(len(groups))}: intervals of proportions are "
            "those of the effective sample size"
        )
    shared = len(groups & set(choosing.groups))
    if shared:
        notes.append(
            f"{shared} {_groups(shared)} {'is' if shared == 1 else 'are'} in both parts: the numbers flatter, as the "
            "thresholds have seen them"
        )
    return tuple(notes)


def _groups(count: int) -> str:
    return "group (patient)" if count == 1 else "groups (patients)"
