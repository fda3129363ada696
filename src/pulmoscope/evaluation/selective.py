"""Answering only where the model is sure: what is left to answer, and how often that is wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from pulmoscope.errors import PulmoscopeError
from pulmoscope.evaluation.clustered import clustered_share
from pulmoscope.evaluation.intervals import wilson
from pulmoscope.evaluation.result import Estimate
from pulmoscope.evaluation.uncertainty import entropy
from pulmoscope.files import or_null

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
#: The top probability, or minus the entropy.
Confidence = Literal["top", "entropy"]
#: A share to answer, or a share of wrong among the answered.
Aim = Literal["coverage", "error"]
#: Shares that differ by less differ by rounding only.
_SAME = 1e-12


@dataclass(frozen=True, kw_only=True, eq=False)
class RiskCoverage:
    """Error among the answered as more and more is answered, the surest pictures first.

    Attributes:
        thresholds: Confidence from which is answered, falling, (K,): each that occurs once.
        coverage: Share answered, rising to 1, (K,).
        risk: Share of wrong among the answered, (K,) in [0, 1].
        area: Mean risk over all N shares 1/N ... 1 (AURC); of equally sure pictures the order is drawn by lot, and
            this is the mean over it. NaN without pictures.
        at_random: The area where confidence says nothing: the error of answering all.
        at_best: The area where every wrong picture is less sure than every right one.
    """

    thresholds: FloatArray
    coverage: FloatArray
    risk: FloatArray
    area: float
    at_random: float
    at_best: float

    def risk_at(self, coverage: float) -> float:
        """The error at the smallest share of the curve that is at least ``coverage``; NaN without pictures."""
        if not len(self.coverage):
            return float("nan")
        return float(self.risk[np.searchsorted(self.coverage, coverage - _SAME)])


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What a threshold of confidence does to a set of pictures.

    Attributes:
        coverage: Share answered, with its Wilson interval, as the next two; of the effective sample size.
        accuracy: Share of right among the answered; NaN where none is.
        left_accuracy: Share that would have been right among those left unanswered; NaN where none is.
    """

    coverage: Estimate
    accuracy: Estimate
    left_accuracy: Estimate

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, None where undefined."""
        return {
            name: one.as_dict() | {"n": one.n}
            for name, one in (
                ("coverage", self.coverage), ("accuracy", self.accuracy), ("left_accuracy", self.left_accuracy),
            )
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Abstention:
    """A threshold of confidence, what it was chosen for and how it did where it was chosen.

    Attributes:
        aim: ``"coverage"``: the highest threshold that answers at least ``target``; ``"error"``: the one that answers
            most with a share of wrong of at most ``target``.
        target: In (0, 1] and [0, 1).
        confidence: What the threshold is of.
        threshold: A picture is answered when its confidence is at least this; infinite where none can be.
        chosen_on: The split.
        validation: How it did there, which flatters.
        notes: What who uses it must know.
    """

    aim: Aim
    target: float
    confidence: Confidence
    threshold: float
    chosen_on: str
    validation: Answered
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """In words."""
        if self.aim == "coverage":
            return f"answer at least {self.target:g}"
        return f"at most {self.target:g} wrong among the answered"

    def answers(self, confidence: npt.ArrayLike) -> BoolArray:
        """Whether each picture is answered, (N,) booleans."""
        return np.asarray(np.asarray(confidence, np.float64) >= self.threshold)

    def as_dict(self) -> dict[str, Any]:
        """Its JSON form; a threshold is ``"inf"`` or ``"-inf"`` where none or all are answered."""
        return {
            "aim": self.aim, "target": self.target, "confidence": self.confidence,
            "threshold": str(self.threshold) if math.isinf(self.threshold) else or_null(self.threshold),
            "chosen_on": self.chosen_on, "validation": self.validation.as_dict(), "notes": list(self.notes),
        }  # fmt: skip


def confidence_of(probabilities: npt.ArrayLike, kind: Confidence = "top") -> FloatArray:
    """How sure a model is of each picture, (N,), from probabilities (N, C): more is surer.

    Raises:
        ValueError: No such kind.
    """
    values = np.asarray(probabilities, np.float64)
    if kind not in get_args(Confidence):
        raise ValueError(f"confidence must be one of {', '.join(get_args(Confidence))}, got {kind!r}")
    return np.asarray(values.max(axis=1) if kind == "top" else -entropy(values), np.float64)


def risk_coverage(right: npt.ArrayLike, confidence: npt.ArrayLike) -> RiskCoverage:
    """The curve of error against share answered (Geifman and El-Yaniv 2017, NeurIPS, section 2).

    Args:
        right: Whether each answer is right, (N,) booleans.
        confidence: (N,) numbers; pictures of one confidence are answered together.

    Raises:
        ValueError: The shapes differ, or a confidence is NaN.

    >>> curve = risk_coverage([True, False, True, True], [0.9, 0.6, 0.8, 0.7])
    >>> curve.coverage.tolist(), curve.risk.tolist(), curve.area
    ([0.25, 0.5, 0.75, 1.0], [0.0, 0.0, 0.0, 0.25], 0.0625)
    """
    hits, values = _checked(right, confidence)
    total = len(hits)
    if not total:
        none, empty = float("nan"), np.empty(0)
        return RiskCoverage(
            thresholds=empty, coverage=empty, risk=empty, area=none, at_random=none, at_best=none
        )
    levels, where = np.unique(-values, return_inverse=True)
    sizes = np.bincount(where, minlength=len(levels))
    errors = np.bincount(where, ~hits, len(levels))
    answered, wrong = np.cumsum(sizes), np.cumsum(errors)
    # One by one; within pictures of one confidence the expected number of wrong grows evenly.
    step = np.arange(1, total + 1)
    expected = np.interp(step, np.concatenate([[0], answered]), np.concatenate([[0.0], wrong]))
    mistakes = int((~hits).sum())
    return RiskCoverage(
        thresholds=-levels,
        coverage=answered / total,
        risk=wrong / answered,
        area=float((expected / step).mean()),
        at_random=mistakes / total,
        at_best=float((np.maximum(0, step - (total - mistakes)) / step).mean()),
    )


def choose_abstention(
    right: npt.ArrayLike,
    confidence: npt.ArrayLike,
    *,
    aim: Aim,
    target: float,
    kind: Confidence = "top",
    groups: npt.ArrayLike | None = None,
    chosen_on: str = "val",
) -> Abstention:
    """Choose from which confidence on to answer, on validation pictures.

    Args:
        right: Whether each answer is right, (N,) booleans; N of at least 1.
        confidence: (N,) numbers.
        aim: What is wanted.
        target: A share: of answered, in (0, 1], or of wrong among them, in [0, 1).
        kind: What ``confidence`` is.
        groups: As for :func:`judge_answers`.
        chosen_on: The split that the pictures are of.

    Raises:
        PulmoscopeError: The target is out of range.
        ValueError: The shapes differ, there are no pictures, or a confidence is NaN.
    """
    hits, values = _checked(right, confidence)
    if not len(hits):
        raise ValueError("there are no pictures to choose on")
    if aim not in get_args(Aim) or not (0 < target <= 1 if aim == "coverage" else 0 <= target < 1):
        raise PulmoscopeError(
            "the aim of abstaining is out of range", code="E_OPTION",
            expected="a coverage in (0, 1], or an error in [0, 1)", got=f"{aim} {target}",
        )  # fmt: skip
    curve = risk_coverage(hits, values)
    notes: tuple[str, ...] = ()
    if aim == "coverage":
        at = int(np.searchsorted(curve.coverage, target - _SAME))
    else:
        within = np.flatnonzero(curve.risk <= target + _SAME)
        at = int(within[-1]) if len(within) else -1
        if at < 0:
            notes = (
                f"no threshold has an error of at most {target:g} on the {chosen_on} part: none is answered",
            )
    threshold = _midway(curve.thresholds, at)
    return Abstention(
        aim=aim, target=target, confidence=kind, threshold=threshold, chosen_on=chosen_on,
        validation=judge_answers(hits, values >= threshold, groups), notes=notes,
    )  # fmt: skip


def judge_answers(
    right: npt.ArrayLike, answered: npt.ArrayLike, groups: npt.ArrayLike | None = None
) -> Answered:
    """How much is answered, and how well, with Wilson intervals.

    Args:
        right: Whether each answer is right, (N,) booleans.
        answered: Whether it is given, (N,) booleans.
        groups: Group (patient) of each picture, (N,) names or numbers; each picture for itself if left out.

    Raises:
        ValueError: The shapes differ.
    """
    hits, given = np.asarray(right).astype(bool), np.asarray(answered).astype(bool)
    names = np.arange(len(hits)) if groups is None else np.asarray(groups)
    if hits.ndim != 1 or hits.shape != given.shape:
        raise ValueError(f"expected two arrays of one shape (N,), got {hits.shape} and {given.shape}")
    return Answered(
        coverage=clustered_share(wilson, given, names),
        accuracy=clustered_share(wilson, hits[given], names[given]),
        left_accuracy=clustered_share(wilson, hits[~given], names[~given]),
    )


def _checked(right: npt.ArrayLike, confidence: npt.ArrayLike) -> tuple[BoolArray, FloatArray]:
    hits, values = np.asarray(right).astype(bool), np.asarray(confidence, np.float64)
    if hits.ndim != 1 or hits.shape != values.shape:
        raise ValueError(f"expected two arrays of one shape (N,), got {hits.shape} and {values.shape}")
    if np.isnan(values).any():
        raise ValueError("a confidence is NaN")
    return hits, values


def _midway(thresholds: FloatArray, at: int) -> float:
    """Between the level at which the curve stands and the next lower one; below the lowest all are answered."""
    if at < 0:
        return math.inf
    if at == len(thresholds) - 1:
        return -math.inf
    middle = float((thresholds[at] + thresholds[at + 1]) / 2)
    return middle if middle > thresholds[at + 1] else float(thresholds[at])
