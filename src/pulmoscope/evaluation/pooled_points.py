"""Operating points of one model or of one a fold: each chooses on its own validation part, all are judged together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pulmoscope.evaluation.four_counts import Diagnostic, diagnostic
from pulmoscope.evaluation.operating import OperatingPoint, Rule
from pulmoscope.evaluation.operating_table import DEFAULT_RULES, operating_report
from pulmoscope.evaluation.predictions import Predictions


@dataclass(frozen=True, kw_only=True)
class PooledPoint:
    """One class and rule.

    Attributes:
        positive: The class that is called.
        rule: How each threshold was chosen.
        thresholds: One a model, NaN where its validation part could give none.
        validation: The calls on the validation parts together; of several folds a picture may count in more than one.
        judged: The calls on the judged parts together; None where a model has no threshold, as its pictures could not
            be called.
        notes: What a reader must know, each once.
    """

    positive: str
    rule: Rule
    thresholds: tuple[float, ...]
    validation: Diagnostic
    judged: Diagnostic | None
    notes: tuple[str, ...]


def pooled_points(
    tables: Sequence[Predictions],
    *,
    rules: Sequence[Rule] = DEFAULT_RULES,
    chosen_on: str = "val",
    judged_on: str = "test",
) -> tuple[PooledPoint, ...]:
    """Choose thresholds for each table on one of its splits, and count the calls on the other over all tables.

    Args:
        tables: One model's predictions each, all of the same classes, at least one; each picture is judged in one only.
        rules: How thresholds are chosen.
        chosen_on: The split that chooses.
        judged_on: The split that judges.

    Returns:
        A point a class and rule; none where there are no probabilities.

    Raises:
        TableError: A table lacks a split, or holds several models.
        ValueError: No table, or tables of other classes.
    """
    if not tables or len({table.classes for table in tables}) > 1:
        raise ValueError("expected one table or more, all of the same classes")
    reports = [
        operating_report(table, rules=rules, chosen_on=chosen_on, judged_on=judged_on) for table in tables
    ]
    if any(report.points is None for report in reports):
        return ()
    found = []
    for several in zip(*(report.points or () for report in reports), strict=True):
        first, points = several[0].point, [one.point for one in several]
        found.append(
            PooledPoint(
                positive=first.positive, rule=first.rule,
                thresholds=tuple(one.threshold for one in points),
                validation=_together(points, [table.part(chosen_on) for table in tables]),
                judged=(
                    _together(points, [table.part(judged_on) for table in tables])
                    if all(one.test is not None for one in several)
                    else None
                ),
                notes=tuple(dict.fromkeys(note for one in points for note in one.notes)),
            )
        )  # fmt: skip
    return tuple(found)


def _together(points: Sequence[OperatingPoint], parts: Sequence[Predictions]) -> Diagnostic:
    """The calls of each model on its own part, counted together; a patient of several parts is one group."""
    called, truth = [], []
    for point, part in zip(points, parts, strict=True):
        scores = part.probabilities
        at = part.classes.index(point.positive)
        if scores is None or np.isnan(point.threshold):
            # A model without a threshold calls nobody, as its operating point says.
            called.append(np.zeros(len(part), bool))
        else:
            called.append(point.call(scores[:, at]))
        truth.append(part.labels == at)
    groups = np.concatenate([part.groups for part in parts])
    return diagnostic(np.concatenate(called), np.concatenate(truth), groups)
