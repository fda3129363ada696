"""Abstention of a predictions table: thresholds chosen on one split, judged on another, and the curve of the latter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pulmoscope.evaluation.delong import AurocInterval, delong_interval
from pulmoscope.evaluation.predictions import Predictions
from pulmoscope.evaluation.selective import (
    Abstention,
    Aim,
    Answered,
    Confidence,
    RiskCoverage,
    choose_abstention,
    confidence_of,
    judge_answers,
    risk_coverage,
)
from pulmoscope.evaluation.two_parts import two_parts_of
from pulmoscope.files import or_null

#: What is aimed at where nothing is said.
DEFAULT_AIMS: tuple[tuple[Aim, float], ...] = (("coverage", 0.9), ("coverage", 0.8), ("error", 0.02))


@dataclass(frozen=True, kw_only=True)
class JudgedAbstention:
    """A threshold and how it does on pictures that did not choose it."""

    chosen: Abstention
    test: Answered

    def as_dict(self) -> dict[str, Any]:
        """Its JSON form."""
        return self.chosen.as_dict() | {"test": self.test.as_dict()}


@dataclass(frozen=True, kw_only=True)
class SelectiveReport:
    """What a model gains by leaving unsure pictures unanswered.

    Attributes:
        confidence: What pictures are put in order by.
        chosen_on: The split of the thresholds.
        judged_on: The split of the curve and the rates.
        curve: Of the judging part.
        wrong: AUROC of telling wrong answers from right ones by how unsure the model was, with DeLong's interval;
            NaN where all are right or all wrong.
        mistakes: Wrong answers of the judging part.
        pictures: Of the judging part.
        points: One an aim.
        notes: What a reader of the numbers must know.
    """

    confidence: Confidence
    chosen_on: str
    judged_on: str
    curve: RiskCoverage
    wrong: AurocInterval
    mistakes: int
    pictures: int
    points: tuple[JudgedAbstention, ...]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Its JSON form; of the curve a point a tenth, not each."""
        shares = [round(0.1 * step, 1) for step in range(1, 11)]
        return {
            "confidence": self.confidence, "chosen_on": self.chosen_on, "judged_on": self.judged_on,
            "pictures": self.pictures, "mistakes": self.mistakes,
            "area": or_null(self.curve.area), "area_at_random": or_null(self.curve.at_random),
            "area_at_best": or_null(self.curve.at_best),
            "risk_at_coverage": {f"{one:g}": or_null(self.curve.risk_at(one)) for one in shares},
            "wrong_from_right": auroc_dict(self.wrong),
            "points": [one.as_dict() for one in self.points], "notes": list(self.notes),
        }  # fmt: skip


def selective_report(
    predictions: Predictions,
    *,
    aims: Sequence[tuple[Aim, float]] = DEFAULT_AIMS,
    confidence: Confidence = "top",
    chosen_on: str = "val",
    judged_on: str = "test",
) -> SelectiveReport:
    """Choose on one split from which confidence on to answer, and judge it on another.

    Args:
        predictions: One model's, with labels, probabilities and a column ``split``.
        aims: A share to answer, or a share of wrong among the answered, each with its target.
        confidence: What pictures are put in order by.
        chosen_on: The split that chooses the thresholds.
        judged_on: The split that judges.

    Raises:
        TableError: A split or the probabilities are missing, or there are several models.
        PulmoscopeError: An aim is out of range, or the splits do not serve.
    """
    parts = two_parts_of(predictions, chosen_on, judged_on)
    right, sure = parts.judging.right, confidence_of(parts.judging.probabilities, confidence)
    points = []
    for aim, target in aims:
        chosen = choose_abstention(
            parts.choosing.right, confidence_of(parts.choosing.probabilities, confidence), aim=aim,
            target=target, kind=confidence, groups=parts.choosing.groups, chosen_on=chosen_on,
        )  # fmt: skip
        test = judge_answers(right, chosen.answers(sure), parts.judging.groups)
        points.append(JudgedAbstention(chosen=chosen, test=test))
    return SelectiveReport(
        confidence=confidence, chosen_on=chosen_on, judged_on=judged_on, curve=risk_coverage(right, sure),
        wrong=delong_interval(~right, -sure), mistakes=int((~right).sum()), pictures=len(right),
        points=tuple(points), notes=parts.notes,
    )  # fmt: skip


def auroc_dict(one: AurocInterval) -> dict[str, float | None]:
    """An AUROC and its interval as plain numbers, None where undefined."""
    return {"value": or_null(one.value), "low": or_null(one.low), "high": or_null(one.high)}
