"""Operating points of a predictions table: chosen on one split, judged on another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pulmoscope.errors import PulmoscopeError
from pulmoscope.evaluation.four_counts import Diagnostic, PerThousand, diagnostic, per_thousand
from pulmoscope.evaluation.operating import OperatingPoint, Rule, choose_threshold
from pulmoscope.evaluation.predictions import Predictions
from pulmoscope.evaluation.result import Estimate
from pulmoscope.evaluation.two_parts import check_parts, group_notes

#: What is asked for where nothing is.
DEFAULT_RULES = (
    Rule(kind="sensitivity", target=0.95),
    Rule(kind="specificity", target=0.95),
    Rule(kind="youden"),
)


@dataclass(frozen=True, kw_only=True)
class JudgedPoint:
    """An operating point and how it does on pictures that did not choose it.

    Attributes:
        point: The threshold, as fixed on validation.
        test: How it does on the other part; None where the threshold is undefined.
        patients: What that means for a thousand patients; None where no prevalence was stated.
    """

    point: OperatingPoint
    test: Diagnostic | None
    patients: PerThousand | None

    def as_dict(self) -> dict[str, Any]:
        """Its JSON form."""
        return self.point.as_dict() | {
            "test": None if self.test is None else self.test.as_dict(),
            "per_thousand": None if self.patients is None else self.patients.as_dict(),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> JudgedPoint:
        """Read :meth:`as_dict` back, but for the counts a thousand, which follow from the rest.

        Raises:
            PulmoscopeError: It is not one, or damaged.
        """
        point = OperatingPoint.from_dict(content)
        try:
            test = None if content["test"] is None else Diagnostic.from_dict(content["test"])
        except (KeyError, TypeError, ValueError) as error:
            raise PulmoscopeError(
                "this is no judged operating point",
                code="E_OPERATING",
                got=f"{type(error).__name__}: {error}"[:200],
            ) from error
        return cls(point=point, test=test, patients=None)


@dataclass(frozen=True, kw_only=True)
class OperatingReport:
    """The operating points of a table. Printed, it is a readable table.

    Attributes:
        chosen_on: The split of the thresholds.
        judged_on: The split of the rates.
        points: One a class and rule; None where the table has no probabilities.
        notes: What a reader of the numbers must know.
    """

    chosen_on: str
    judged_on: str
    points: tuple[JudgedPoint, ...] | None
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Its JSON form."""
        return {
            "chosen_on": self.chosen_on, "judged_on": self.judged_on,
            "points": None if self.points is None else [one.as_dict() for one in self.points],
            "notes": list(self.notes),
        }  # fmt: skip

    def __str__(self) -> str:
        """The points as text."""
        head = [
            f"thresholds chosen on {self.chosen_on} and then fixed; rates on {self.judged_on}, 95% intervals"
        ]
        blocks = [points_text(self.points, self.judged_on)] if self.points else []
        notes = "\n".join(f"note: {note}" for note in self.notes)
        return "\n\n".join([*head, *blocks, *([notes] if notes else [])])


def operating_report(
    predictions: Predictions,
    *,
    positive: str | None = None,
    rules: Sequence[Rule] = DEFAULT_RULES,
    prevalence: float | None = None,
    chosen_on: str = "val",
    judged_on: str = "test",
) -> OperatingReport:
    """Choose thresholds on one split of a table and judge them on another.

    Args:
        predictions: One model's, with true labels and a column ``split``.
        positive: The class that is called; each against the rest if left out.
        rules: How thresholds are chosen.
        prevalence: Share of diseased among the thousand patients, in (0, 1); None for no such counts.
        chosen_on: The split that chooses.
        judged_on: The split that judges.

    Raises:
        TableError: A split is missing, or there are several models.
        PulmoscopeError: No such class, the two splits are one, or the prevalence is out of range.
    """
    check_parts(predictions, chosen_on, judged_on)
    _check(predictions, positive, prevalence)
    choosing, judging = predictions.part(chosen_on), predictions.part(judged_on)
    before, after = choosing.probabilities, judging.probabilities
    if before is None or after is None:
        said = "the table has no probabilities: there is no threshold to choose"
        return OperatingReport(chosen_on=chosen_on, judged_on=judged_on, points=None, notes=(said,))
    chosen = choose_points(choosing, rules, chosen_on=chosen_on)
    wanted = [point for point in chosen if positive in (None, point.positive)]
    return OperatingReport(
        chosen_on=chosen_on, judged_on=judged_on, points=judge_points(wanted, judging, prevalence=prevalence),
        notes=group_notes(choosing, judging),
    )  # fmt: skip


def choose_points(
    part: Predictions, rules: Sequence[Rule] = DEFAULT_RULES, *, chosen_on: str = "val"
) -> tuple[OperatingPoint, ...]:
    """Operating points of every class against the rest, by each rule; none where there are no probabilities.

    Args:
        part: The rows that choose, with true labels.
        rules: How thresholds are chosen.
        chosen_on: What the rows are called.
    """
    probabilities = part.probabilities
    if probabilities is None:
        return ()
    return tuple(
        choose_threshold(
            part.labels == index,
            probabilities[:, index],
            rule,
            groups=part.groups,
            name=name,
            chosen_on=chosen_on,
        )
        for index, name in enumerate(part.classes)
        for rule in rules
    )


def judge_points(
    points: Sequence[OperatingPoint], part: Predictions, *, prevalence: float | None = None
) -> tuple[JudgedPoint, ...]:
    """How fixed thresholds do on pictures that did not choose them.

    Args:
        points: Of classes that the table has.
        part: The rows that judge, with labels.
        prevalence: As for :func:`operating_report`.

    Returns:
        One a point; none where there are no probabilities.
    """
    probabilities = part.probabilities
    if probabilities is None:
        return ()
    found = []
    for point in points:
        test = patients = None
        if not np.isnan(point.threshold):
            index = part.classes.index(point.positive)
            test = diagnostic(point.call(probabilities[:, index]), part.labels == index, part.groups)
            patients = None if prevalence is None else per_thousand(test, prevalence)
        found.append(JudgedPoint(point=point, test=test, patients=patients))
    return tuple(found)


def points_text(points: Sequence[JudgedPoint], part: str) -> str:
    """The points as text: the thresholds, and the rates on ``part``."""
    return "\n\n".join("\n".join(_lines(one, part)) for one in points)


def _check(table: Predictions, positive: str | None, prevalence: float | None) -> None:
    if positive is not None and positive not in table.classes:
        raise PulmoscopeError(
            f"{table.name} has no class {positive!r}", code="E_OPTION", expected=" or ".join(table.classes)
        )
    if prevalence is not None and not 0 < prevalence < 1:
        raise PulmoscopeError(
            "a prevalence is a share",
            code="E_OPTION",
            expected="a number between 0 and 1",
            got=str(prevalence),
        )


def _lines(judged: JudgedPoint, part: str) -> list[str]:
    point, test = judged.point, judged.test
    lines = [f"{point.positive}: {point.rule}"]
    if test is not None:
        lines.append(f"  call when p >= {point.threshold:.4g}")
        chosen = point.validation
        lines.append(
            f"  {point.chosen_on}: sensitivity {_show(chosen.sensitivity)}, specificity {_show(chosen.specificity)}"
        )
        titles = {
            "sensitivity": "sensitivity", "specificity": "specificity", "ppv": "PPV", "npv": "NPV",
            "lr_positive": "LR+", "lr_negative": "LR-",
        }  # fmt: skip
        for name, title in titles.items():
            one: Estimate = getattr(test, name)
            digits = 2 if name.startswith("lr_") else 3
            lines.append(f"  {part} {title:<12} {_show(one, digits):<22} n={one.n}")
    if judged.patients is not None:
        of = judged.patients
        lines.append(
            f"  of 1,000 patients at a prevalence of {of.prevalence:g}: found {_show(of.found, 0)}, "
            f"missed {_show(of.missed, 0)}, false alarms {_show(of.false_alarms, 0)}, "
            f"cleared {_show(of.cleared, 0)}; PPV {_show(of.ppv)}, NPV {_show(of.npv)}"
        )
    return lines + [f"  note: {note}" for note in point.notes]


def _show(one: Estimate, digits: int = 3) -> str:
    if np.isnan(one.value):
        return "undefined"
    if np.isnan(one.low):
        return f"{one.value:.{digits}f} (undefined)"
    return f"{one.value:.{digits}f} ({one.low:.{digits}f}-{one.high:.{digits}f})"
