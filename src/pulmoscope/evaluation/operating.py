"""Operating points: a threshold is chosen on the validation part by a stated rule, and then fixed.

A picture is called when its score is at least the threshold. The thresholds among which a rule chooses lie midway
between neighbouring scores, so pictures of one score are called together, and a score that another machine computes a
little differently falls on the same side.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from pulmoscope.errors import PulmoscopeError
from pulmoscope.evaluation.curves import roc_curve
from pulmoscope.evaluation.four_counts import Diagnostic, diagnostic

FloatArray = npt.NDArray[np.float64]
RuleKind = Literal["sensitivity", "specificity", "youden", "cost"]
#: Rates that differ by less differ by rounding only.
_SAME = 1e-12


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How a threshold is chosen.

    Attributes:
        kind: ``"sensitivity"``: the highest threshold whose sensitivity is at least ``target``, so the best specificity
            with it; ``"specificity"``: the lowest one whose specificity is; ``"youden"``: the largest sensitivity +
            specificity (Youden 1950, Cancer 3:32); ``"cost"``: the least expected cost. Of equals the lowest, which
            misses fewest.
        target: In (0, 1], for the first two kinds; else None.
        costs: For ``"cost"``: of a miss and of a false alarm, relative to a right answer; neither below 0.
        prevalence: For ``"cost"``: share of diseased where the test will be used, in (0, 1).
    """

    kind: RuleKind
    target: float | None = None
    costs: tuple[float, float] | None = None
    prevalence: float | None = None

    def __post_init__(self) -> None:
        aimed, priced = self.kind in ("sensitivity", "specificity"), self.kind == "cost"
        mistakes = []
        if self.kind not in get_args(RuleKind):
            mistakes.append(f"kind {self.kind!r} is none of {', '.join(get_args(RuleKind))}")
        if aimed and not (self.target is not None and 0 < self.target <= 1):
            mistakes.append(f"a target must lie in (0, 1], got {self.target}")
        if priced and not (
            self.costs
            and len(self.costs) == 2
            and all(0 <= one < math.inf for one in self.costs)
            and sum(self.costs)
        ):
            mistakes.append(f"costs must be two numbers of at least 0, not both 0, got {self.costs}")
        if priced and not (self.prevalence is not None and 0 < self.prevalence < 1):
            got = "none (--prevalence)" if self.prevalence is None else self.prevalence
            mistakes.append(f"costs need a prevalence between 0 and 1, got {got}")
        if mistakes:
            raise PulmoscopeError(
                "a rule for an operating point is wrong: " + "; ".join(mistakes), code="E_OPTION"
            )

    def __str__(self) -> str:
        """In words."""
        if self.kind in ("sensitivity", "specificity"):
            return f"{self.kind} of at least {self.target:g}"
        if self.costs is None:
            return "largest sensitivity + specificity (Youden)"
        return (
            f"least cost, {self.costs[0]:g} a miss and {self.costs[1]:g} a false alarm "
            f"at a prevalence of {self.prevalence:g}"
        )

    @property
    def code(self) -> str:
        """As it is typed: ``sensitivity>=0.95``, ``specificity>=0.95``, ``youden`` or ``cost``."""
        return self.kind if self.target is None else f"{self.kind}>={self.target:g}"

    def as_dict(self) -> dict[str, Any]:
        """Its JSON form."""
        costs = None if self.costs is None else {"miss": self.costs[0], "false_alarm": self.costs[1]}
        return {"kind": self.kind, "target": self.target, "costs": costs, "prevalence": self.prevalence}


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """A threshold, the rule that chose it and how it did where it was chosen.

    Attributes:
        positive: The class that is called.
        rule: How it was chosen.
        threshold: A picture is called when the probability of the class is at least this; infinite to call nobody, 0 or
            less to call everybody; NaN where the rule is undefined: validation pictures of one side only.
        chosen_on: The split it was chosen on.
        validation: How it did there, which flatters: it was chosen to.
        notes: What who uses it must know.
    """

    positive: str
    rule: Rule
    threshold: float
    chosen_on: str
    validation: Diagnostic
    notes: tuple[str, ...] = ()

    def call(self, scores: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Whether each picture is called, (N,) booleans, from the probability of the class, (N,).

        Raises:
            ValueError: The threshold is undefined.
        """
        if math.isnan(self.threshold):
            raise ValueError("the threshold is undefined, so nothing can be called")
        return np.asarray(np.asarray(scores, np.float64) >= self.threshold)

    def as_dict(self) -> dict[str, Any]:
        """Its JSON form; the threshold is null where undefined and ``"inf"`` where nobody is called."""
        threshold: float | str | None = self.threshold
        if math.isnan(self.threshold):
            threshold = None
        elif math.isinf(self.threshold):
            threshold = "inf"
        return {
            "positive": self.positive, "rule": self.rule.as_dict(), "threshold": threshold,
            "chosen_on": self.chosen_on, "validation": self.validation.as_dict(), "notes": list(self.notes),
        }  # fmt: skip

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> OperatingPoint:
        """Read :meth:`as_dict` back, at the same threshold to the last bit.

        Raises:
            PulmoscopeError: It is not one, or damaged.
        """
        try:
            rule = content["rule"]
            costs = rule["costs"] and (float(rule["costs"]["miss"]), float(rule["costs"]["false_alarm"]))
            threshold = content["threshold"]
            return cls(
                positive=str(content["positive"]),
                rule=Rule(
                    kind=rule["kind"], target=rule["target"], costs=costs or None, prevalence=rule["prevalence"]
                ),
                threshold=math.nan if threshold is None else float(threshold),
                chosen_on=str(content["chosen_on"]),
                validation=Diagnostic.from_dict(content["validation"]),
                notes=tuple(map(str, content["notes"])),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise PulmoscopeError(
                "this is no stored operating point", code="E_OPERATING",
                got=f"{type(error).__name__}: {error}"[:200], remedy="choose it again on the validation part",
            ) from error  # fmt: skip


def choose_threshold(
    positive: npt.ArrayLike,
    scores: npt.ArrayLike,
    rule: Rule,
    *,
    groups: npt.ArrayLike | None = None,
    name: str = "positive",
    chosen_on: str = "val",
) -> OperatingPoint:
    """Choose a threshold on validation pictures.

    Args:
        positive: Whether each picture is of the class, (N,) booleans.
        scores: Its probability, (N,) in [0, 1].
        rule: How.
        groups: Group (patient) of each picture, (N,), for the intervals of how it does there; each picture for itself
            if left out.
        name: Of the class.
        chosen_on: Of the split that the pictures are from.

    Raises:
        ValueError: The shapes differ, or a score is NaN.

    >>> point = choose_threshold([1, 1, 0, 0], [0.9, 0.4, 0.6, 0.1], Rule(kind="sensitivity", target=0.95))
    >>> point.threshold, point.validation.specificity.value
    (0.25, 0.5)
    """
    labels, values = np.asarray(positive).astype(bool), np.asarray(scores, np.float64)
    curve = roc_curve(labels, values)
    if np.isnan(values).any():
        raise ValueError("a score is NaN")
    if labels.all() or not labels.any():
        lacking = "is" if not labels.any() else "is not"
        said = f"no picture of the {chosen_on} part {lacking} of class {name}: no threshold can be chosen"
        return OperatingPoint(
            positive=name, rule=rule, threshold=math.nan, chosen_on=chosen_on, notes=(said,),
            validation=diagnostic(np.zeros(len(labels), bool), labels, groups),
        )  # fmt: skip
    sensitivity, specificity = curve.sensitivity, 1 - curve.false_positive_rate
    at, ties = _choose(rule, sensitivity, specificity)
    threshold = _midway(curve.thresholds, at)
    found = diagnostic(values >= threshold, labels, groups)
    return OperatingPoint(
        positive=name, rule=rule, threshold=threshold, chosen_on=chosen_on, validation=found,
        notes=_notes(rule, ties, curve.thresholds, at, values, chosen_on),
    )  # fmt: skip


def _choose(rule: Rule, sensitivity: FloatArray, specificity: FloatArray) -> tuple[int, int]:
    """Place on the curve (which starts at calling nobody) and how many thresholds are as good.

    Sensitivity rises and specificity falls along the curve, so the last of equals has the lowest threshold.
    """
    if rule.kind == "sensitivity":
        return int(np.argmax(sensitivity >= (rule.target or 0) - _SAME)), 1
    if rule.kind == "specificity":
        return int(np.flatnonzero(specificity >= (rule.target or 0) - _SAME)[-1]), 1
    if rule.kind == "youden":
        gain = sensitivity + specificity
    else:
        (miss, alarm), share = rule.costs or (0.0, 0.0), rule.prevalence or 0.0
        # In units of the total cost, so that equals are told the same way whatever the currency.
        gain = -(miss * share * (1 - sensitivity) + alarm * (1 - share) * (1 - specificity)) / (miss + alarm)
    best = np.flatnonzero(gain >= gain.max() - _SAME)
    return int(best[-1]), len(best)


def _midway(thresholds: FloatArray, at: int) -> float:
    """Between the score at which the curve stands and the next lower one; below the lowest, everybody is called."""
    if at == 0:
        return math.inf
    if at == len(thresholds) - 1:
        return 0.0 if thresholds[at] >= 0 else -math.inf
    middle = float((thresholds[at] + thresholds[at + 1]) / 2)
    # Two neighbouring floats have nothing between them.
    return middle if middle > thresholds[at + 1] else float(thresholds[at])


def _notes(
    rule: Rule,
    ties: int,
    thresholds: FloatArray,
    at: int,
    scores: FloatArray,
    part: str,
) -> tuple[str, ...]:
    notes = []
    trivial = {0: "nobody", len(thresholds) - 1: "everybody"}.get(at)
    if trivial:
        if rule.target is None:
            said = (
                f"the rule is met best by calling {trivial}: the score is of no use to it on the {part} part"
            )
        else:
            said = f"no threshold reaches {rule} on the {part} part short of calling {trivial}"
        notes.append(said)
    elif rule.kind in ("sensitivity", "specificity"):
        shared = int((scores == thresholds[at]).sum())
        if shared > 1:
            notes.append(f"{shared} pictures share the score at the threshold and are called together")
    if ties > 1:
        notes.append(f"{ties} thresholds are equally good; the lowest was taken, which misses fewest")
    return tuple(notes)
