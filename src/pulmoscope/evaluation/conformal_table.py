"""Conformal sets of a predictions table: fitted on one split, judged on another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from pulmoscope.errors import PulmoscopeError
from pulmoscope.evaluation.clustered import clustered_share
from pulmoscope.evaluation.conformal import ConformalSets, Kind, coverage_range, fit_conformal
from pulmoscope.evaluation.intervals import clopper_pearson
from pulmoscope.evaluation.predictions import Predictions
from pulmoscope.evaluation.result import Estimate
from pulmoscope.evaluation.two_parts import two_parts_of
from pulmoscope.files import or_null


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How often sets hold the true class.

    Attributes:
        seen: The share, with its exact interval; NaN without pictures.
        range_low: Shares between which 95 in 100 such tests fall where the promise holds and pictures are independent;
            NaN where no promise is made (a class under one threshold for all) or nothing was judged.
        range_high: The upper one.
        mean_size: Classes in a set, in the mean; NaN without pictures.
    """

    seen: Estimate
    range_low: float
    range_high: float
    mean_size: float

    @property
    def promised(self) -> bool:
        """Whether the rule promises its level for these pictures."""
        return not np.isnan(self.range_low)

    @property
    def as_promised(self) -> bool | None:
        """Whether what is seen lies in the range; None where nothing is promised."""
        return self.range_low <= self.seen.value <= self.range_high if self.promised else None

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, None where undefined."""
        return self.seen.as_dict() | {
            "n": self.seen.n, "range_low": or_null(self.range_low), "range_high": or_null(self.range_high),
            "as_promised": self.as_promised, "mean_size": or_null(self.mean_size),
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class JudgedSets:
    """A rule and how it does on pictures that did not set it.

    Attributes:
        rule: As fixed on validation.
        overall: Of all pictures.
        by_class: Of each true class, in order.
        empty: Share of sets that hold no class: none fits.
        single: Share of sets that hold one class.
        single_right: Share of those whose class is the true one; NaN where there is none.
    """

    rule: ConformalSets
    overall: Coverage
    by_class: Mapping[str, Coverage]
    empty: Estimate
    single: Estimate
    single_right: Estimate

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, None where undefined."""
        return {
            "rule": self.rule.as_dict(),
            "overall": self.overall.as_dict(),
            "by_class": {name: one.as_dict() for name, one in self.by_class.items()},
            "empty": self.empty.as_dict() | {"n": self.empty.n},
            "single": self.single.as_dict() | {"n": self.single.n},
            "single_right": self.single_right.as_dict() | {"n": self.single_right.n},
        }


@dataclass(frozen=True, kw_only=True)
class ConformalReport:
    """Both kinds of sets of one table.

    Attributes:
        level: Wanted coverage.
        chosen_on: The split of the thresholds.
        judged_on: The split of the shares.
        kinds: ``"marginal"`` and ``"by-class"``.
        notes: What a reader of the numbers must know.
    """

    level: float
    chosen_on: str
    judged_on: str
    kinds: Mapping[Kind, JudgedSets]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Its JSON form."""
        return {
            "level": self.level, "chosen_on": self.chosen_on, "judged_on": self.judged_on,
            "kinds": {name: one.as_dict() for name, one in self.kinds.items()}, "notes": list(self.notes),
        }  # fmt: skip


def conformal_report(
    predictions: Predictions, *, level: float = 0.9, chosen_on: str = "val", judged_on: str = "test"
) -> ConformalReport:
    """Fit both kinds of sets on one split of a table and judge them on another.

    Args:
        predictions: One model's, with labels, probabilities and a column ``split``.
        level: Wanted coverage, in (0, 1).
        chosen_on: The split that sets the thresholds.
        judged_on: The split that judges.

    Raises:
        TableError: A split or the probabilities are missing, or there are several models.
        PulmoscopeError: The level is out of range, or the splits do not serve.
    """
    if not 0 < level < 1:
        raise PulmoscopeError(
            "a level of coverage is a share",
            code="E_OPTION",
            expected="a number between 0 and 1",
            got=str(level),
        )
    parts = two_parts_of(predictions, chosen_on, judged_on)
    kinds: dict[Kind, JudgedSets] = {}
    for kind in get_args(Kind):
        rule = fit_conformal(
            parts.choosing.labels, parts.choosing.probabilities, predictions.classes, level=level, kind=kind,
            fitted_on=chosen_on,
        )  # fmt: skip
        kinds[kind] = judge_sets(
            rule, parts.judging.labels, parts.judging.probabilities, parts.judging.groups
        )
    return ConformalReport(
        level=level,
        chosen_on=chosen_on,
        judged_on=judged_on,
        kinds=kinds,
        notes=(*parts.notes, *_range_note(parts.judging.groups, parts.choosing.groups)),
    )


def judge_sets(
    rule: ConformalSets,
    truth: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    groups: npt.ArrayLike | None = None,
) -> JudgedSets:
    """How often a fixed rule's sets hold the true class, and how large they are.

    Args:
        rule: The thresholds.
        truth: True classes, (N,) integers in [0, C).
        probabilities: (N, C) in [0, 1].
        groups: Group (patient) of each picture, (N,) names or numbers; each picture for itself if left out.

    Raises:
        ValueError: The shapes do not fit.
    """
    labels, sets = np.asarray(truth, np.int64), rule.sets(probabilities)
    if labels.shape != sets.shape[:1]:
        raise ValueError(f"expected one true class a row, got {labels.shape} and {sets.shape}")
    held, sizes = sets[np.arange(len(labels)), labels], sets.sum(axis=1)
    names = np.arange(len(labels)) if groups is None else np.asarray(groups)
    by_class = {}
    for index, name in enumerate(rule.classes):
        own = labels == index
        fitted = rule.counts[index] if rule.kind == "by-class" else None
        by_class[name] = _coverage(held[own], sizes[own], names[own], fitted, rule.level)
    fitted = rule.counts[0] if rule.kind == "marginal" else None
    single = sizes == 1
    return JudgedSets(
        rule=rule, overall=_coverage(held, sizes, names, fitted, rule.level), by_class=by_class,
        empty=clustered_share(clopper_pearson, sizes == 0, names),
        single=clustered_share(clopper_pearson, single, names),
        single_right=clustered_share(clopper_pearson, held[single], names[single]),
    )  # fmt: skip


def _coverage(
    held: npt.NDArray[np.bool_],
    sizes: npt.NDArray[np.integer],
    groups: npt.NDArray[Any],
    fitted: int | None,
    level: float,
) -> Coverage:
    low = high = float("nan")
    if fitted is not None:
        low, high = coverage_range(fitted, len(held), level)
    return Coverage(
        seen=clustered_share(clopper_pearson, held, groups), range_low=low, range_high=high,
        mean_size=float(sizes.mean()) if len(sizes) else float("nan"),
    )  # fmt: skip


def _range_note(*parts: npt.NDArray[np.object_]) -> tuple[str, ...]:
    if all(len(set(part)) == len(part) for part in parts):
        return ()
    return ("the range expected of a coverage takes pictures as independent and is then too narrow",)
