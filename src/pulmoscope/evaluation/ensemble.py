"""An ensemble of predictions tables: fitted on validation rows, applied to the others.

A combination flatters the pictures that it was fitted on. So the ensemble's own validation rows come from combinations
fitted without them, in five folds that cut no group: what is chosen on them later, such as a threshold or a
temperature, is then chosen on pictures as the ensemble will meet them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pulmoscope.errors import TableError
from pulmoscope.evaluation.align import Aligned, align
from pulmoscope.evaluation.combine import Combination, EnsembleMethod, fit_combination
from pulmoscope.evaluation.predictions import Predictions

FloatArray = npt.NDArray[np.float64]
FOLDS = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class Ensemble:
    """Members, how they are combined, and the ensemble's table.

    Attributes:
        members: Name to its rows of the judged part, all of the same pictures in the same order.
        combination: As fitted on all validation rows.
        predictions: The ensemble's: rows of ``fitted_on``, where every member has them, then those of ``judged_on``.
        fitted_on: The split of the weights; None where nothing was fitted.
        judged_on: The split of the other rows; None where the tables name no split.
        notes: What a reader of the numbers must know.
    """

    members: Mapping[str, Predictions]
    combination: Combination
    predictions: Predictions
    fitted_on: str | None
    judged_on: str | None
    notes: tuple[str, ...]

    @property
    def judged(self) -> Predictions:
        """The ensemble's rows of the judged part."""
        return self.predictions.part(self.judged_on)

    def as_dict(self) -> dict[str, Any]:
        """How it is made, as plain numbers and text."""
        return {
            "members": list(self.members), "classes": list(self.predictions.classes),
            "combination": self.combination.as_dict(), "fitted_on": self.fitted_on,
            "judged_on": self.judged_on, "notes": list(self.notes),
        }  # fmt: skip


def build_ensemble(
    tables: Mapping[str, Predictions],
    *,
    method: EnsembleMethod | str = "mean",
    fitted_on: str = "val",
    judged_on: str = "test",
) -> Ensemble:
    """Combine models that judged the same pictures.

    Args:
        tables: Name to a table of one model with probabilities; at least two.
        method: ``"mean"``, ``"weighted"`` or ``"stacked"``; the last two are fitted on ``fitted_on``.
        fitted_on: The split of the weights; ``test`` is refused.
        judged_on: The split that judges. Tables that name no split are taken whole, for the mean only.

    Raises:
        TableError: The tables are not of the same pictures, classes and labels, one has no probabilities, or there are
            no validation rows to fit on.
        PulmoscopeError: No such method.
    """
    splits = {split for table in tables.values() for split in table.splits}
    judged = align(tables, split=judged_on)
    held = all(fitted_on in table.splits for table in tables.values())
    if method != "mean" and (not held or fitted_on in ("test", judged_on)):
        raise TableError(
            f"the weights of a {method} ensemble have no pictures to be fitted on",
            expected=f"a validation part in every table, other than {judged_on}",
            got=", ".join(sorted(splits)) or "no split at all",
            remedy="use --method mean, which fits nothing",
        )
    after = _stack(judged)
    if not held:
        combination = fit_combination(judged.first.labels, after, method)
        predictions = _table(judged, combination.apply(after), judged.split)
        lacking = (f"not every table has rows of {fitted_on}: no threshold can be chosen for the ensemble",)
        return _ensemble(judged, combination, predictions, None, (*judged.notes, *lacking))
    fitting = align(tables, split=fitted_on)
    before, labels = _stack(fitting), fitting.first.labels
    combination = fit_combination(labels, before, method)
    combined = combination.apply(before)
    notes: tuple[str, ...] = ()
    if method != "mean":
        combined, notes = _held_out(labels, before, fitting.first.groups, method, combined, fitted_on)
    predictions = _join(
        _table(fitting, combined, fitted_on), _table(judged, combination.apply(after), judged.split)
    )
    return _ensemble(
        judged, combination, predictions, None if method == "mean" else fitted_on, (*judged.notes, *notes)
    )


def _ensemble(
    judged: Aligned,
    combination: Combination,
    predictions: Predictions,
    fitted_on: str | None,
    notes: tuple[str, ...],
) -> Ensemble:
    return Ensemble(
        members=judged.tables, combination=combination, predictions=predictions, fitted_on=fitted_on,
        judged_on=judged.split, notes=tuple(dict.fromkeys(notes)),
    )  # fmt: skip


def _stack(aligned: Aligned) -> FloatArray:
    """Members (T, N, C), the classes in one order."""
    members = []
    for name, table in aligned.tables.items():
        probabilities = table.probabilities
        if probabilities is None:
            raise TableError(
                f"{name} has no probabilities", expected="one column p_CLASS a class",
                remedy="leave it out: hard labels cannot be averaged",
            )  # fmt: skip
        members.append(probabilities)
    return np.stack(members)


def _held_out(
    labels: npt.NDArray[np.int64],
    members: FloatArray,
    groups: npt.NDArray[np.object_],
    method: EnsembleMethod | str,
    fitted: FloatArray,
    part: str,
) -> tuple[FloatArray, tuple[str, ...]]:
    """Validation rows (N, C) from combinations fitted without their fold, where the groups allow it."""
    present = set(labels)
    fewest = min(len(set(groups[labels == index])) for index in present)
    folds = []
    if fewest >= FOLDS:
        from sklearn.model_selection import StratifiedGroupKFold

        folds = list(StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0).split(labels, labels, groups))
    if not folds or any(set(labels[others]) != present for others, _ in folds):
        said = f"a class has too few groups in {part} for {FOLDS} folds: the ensemble's {part} rows were fitted on "
        return fitted, (f"{said}themselves, and what is chosen on them flatters",)
    combined = np.empty_like(fitted)
    for others, own in folds:
        combined[own] = fit_combination(labels[others], members[:, others], method).apply(members[:, own])
    return combined, (
        f"the ensemble's {part} rows come from weights fitted without them, in {FOLDS} folds of groups",
    )


def _table(aligned: Aligned, combined: FloatArray, split: str | None) -> Predictions:
    first = aligned.first
    frame = first.frame
    return Predictions.from_arrays(
        image_id=frame["image_id"].tolist(), probabilities=combined / combined.sum(axis=1, keepdims=True),
        classes=first.classes, label=frame["label"].tolist(), group_id=frame["group_id"].tolist(), split=split,
    )  # fmt: skip


def _join(first: Predictions, second: Predictions) -> Predictions:
    import pandas as pd

    return Predictions(
        pd.concat([first.frame, second.frame], ignore_index=True), first.classes, name="the ensemble"
    )
