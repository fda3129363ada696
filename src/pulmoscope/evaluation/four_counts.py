"""The numbers of a diagnostic test from its four counts, with intervals, and what they mean for a thousand patients."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from pulmoscope.evaluation.intervals import wilson
from pulmoscope.evaluation.result import Estimate

RATES = ("sensitivity", "specificity", "ppv", "npv", "lr_positive", "lr_negative")


@dataclass(frozen=True, kw_only=True)
class Diagnostic:
    """A test against the truth. Likelihood ratios lie in [0, infinity), the rest in [0, 1].

    Attributes:
        true_positives: Diseased and called.
        false_negatives: Diseased and not called.
        false_positives: Not diseased and called.
        true_negatives: Neither.
        sensitivity: TP / (TP + FN), Wilson's interval, as the next three; NaN where a denominator is 0.
        specificity: TN / (TN + FP).
        ppv: TP / (TP + FP) at the prevalence of these very pictures.
        npv: TN / (TN + FN) likewise.
        lr_positive: sensitivity / (1 - specificity): how much a call raises the odds of disease; NaN where no picture
            is falsely called. Simel's log interval, as the next; it is NaN where one of its counts is 0.
        lr_negative: (1 - sensitivity) / specificity: how much no call lowers them; NaN where there is no true negative.
    """

    true_positives: int
    false_negatives: int
    false_positives: int
    true_negatives: int
    sensitivity: Estimate
    specificity: Estimate
    ppv: Estimate
    npv: Estimate
    lr_positive: Estimate
    lr_negative: Estimate

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, None where undefined."""
        counts = {
            "true_positives": self.true_positives, "false_negatives": self.false_negatives,
            "false_positives": self.false_positives, "true_negatives": self.true_negatives,
        }  # fmt: skip
        return {"counts": counts} | {name: getattr(self, name).as_dict() for name in RATES}


def diagnostic(called: npt.ArrayLike, positive: npt.ArrayLike, level: float = 0.95) -> Diagnostic:
    """Judge calls against the truth.

    Pictures are taken as independent: of several of one patient they are not.

    Args:
        called: Whether each picture is called diseased, (N,) booleans.
        positive: Whether it is, (N,) booleans.
        level: Of the intervals, in (0, 1).

    Raises:
        ValueError: The shapes differ, or ``level`` is outside (0, 1).
    """
    said, true = np.asarray(called).astype(bool), np.asarray(positive).astype(bool)
    if said.ndim != 1 or said.shape != true.shape:
        raise ValueError(f"expected two arrays of one shape (N,), got {said.shape} and {true.shape}")
    return diagnostic_counts(
        int((said & true).sum()), int((~said & true).sum()), int((said & ~true).sum()),
        int((~said & ~true).sum()), level,
    )  # fmt: skip


def diagnostic_counts(
    true_positives: int, false_negatives: int, false_positives: int, true_negatives: int, level: float = 0.95
) -> Diagnostic:
    """:func:`diagnostic` from the four counts.

    Raises:
        ValueError: A count below 0, or ``level`` outside (0, 1).

    >>> found = diagnostic_counts(90, 10, 30, 170)
    >>> f"{found.lr_positive.value:.2f} ({found.lr_positive.low:.2f}-{found.lr_positive.high:.2f})"
    '6.00 (4.29-8.40)'
    """
    tp, fn, fp, tn = true_positives, false_negatives, false_positives, true_negatives
    if min(tp, fn, fp, tn) < 0:
        raise ValueError(f"counts must not be negative, got {tp}, {fn}, {fp}, {tn}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    return Diagnostic(
        true_positives=tp, false_negatives=fn, false_positives=fp, true_negatives=tn,
        sensitivity=_share(tp, tp + fn, level), specificity=_share(tn, tn + fp, level),
        ppv=_share(tp, tp + fp, level), npv=_share(tn, tn + fn, level),
        lr_positive=_likelihood_ratio(tp, tp + fn, fp, fp + tn, level),
        lr_negative=_likelihood_ratio(fn, tp + fn, tn, fp + tn, level),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PerThousand:
    """What is to be expected of a thousand patients; a count and its bounds lie in [0, 1000].

    Attributes:
        prevalence: Share of them that is diseased, in (0, 1).
        found: Diseased and called; the bounds are those of the sensitivity, as in the next.
        missed: Diseased and not called.
        false_alarms: Not diseased and called; the bounds are those of the specificity, as in the next.
        cleared: Neither.
        ppv: Share of the called that is diseased, by Bayes' rule; its bounds come of those of LR+ (which is the logit
            method of Mercaldo, Lau and Zhou 2007, Stat Med 26:2170) and are NaN where those are.
        npv: Share of the not called that is not, from LR- likewise.
    """

    prevalence: float
    found: Estimate
    missed: Estimate
    false_alarms: Estimate
    cleared: Estimate
    ppv: Estimate
    npv: Estimate

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, None where undefined."""
        named = ("found", "missed", "false_alarms", "cleared", "ppv", "npv")
        return {"prevalence": self.prevalence} | {name: getattr(self, name).as_dict() for name in named}


def per_thousand(judged: Diagnostic, prevalence: float) -> PerThousand:
    """Carry sensitivity and specificity over to a thousand patients at another prevalence.

    It takes for granted that the diseased and the others there look like those that were judged.

    Args:
        judged: The test.
        prevalence: Share of diseased among the patients, in (0, 1).

    Raises:
        ValueError: The prevalence is outside (0, 1).

    >>> found = per_thousand(diagnostic_counts(90, 10, 30, 170), 0.1)
    >>> round(found.found.value), round(found.missed.value), round(found.false_alarms.value), round(found.ppv.value, 3)
    (90, 10, 135, 0.4)
    """
    if not 0 < prevalence < 1:
        raise ValueError(f"prevalence must lie between 0 and 1, got {prevalence}")
    diseased, others = 1000 * prevalence, 1000 * (1 - prevalence)
    sensitivity, specificity = judged.sensitivity, judged.specificity
    caught, alarms = sensitivity.value * diseased, (1 - specificity.value) * others
    missed, cleared = (1 - sensitivity.value) * diseased, specificity.value * others
    odds = prevalence / (1 - prevalence)
    # A call that nobody healthy gets is right at any prevalence, and the reverse; only the interval is then unknown.
    return PerThousand(
        prevalence=prevalence,
        found=_scaled(sensitivity, diseased), missed=_scaled(_complement(sensitivity), diseased),
        false_alarms=_scaled(_complement(specificity), others), cleared=_scaled(specificity, others),
        ppv=Estimate(
            value=_ratio(caught, caught + alarms), low=_chance(odds * judged.lr_positive.low),
            high=_chance(odds * judged.lr_positive.high), n=judged.ppv.n, method="bayes",
        ),
        npv=Estimate(
            value=_ratio(cleared, cleared + missed), low=1 - _chance(odds * judged.lr_negative.high),
            high=1 - _chance(odds * judged.lr_negative.low), n=judged.npv.n, method="bayes",
        ),
    )  # fmt: skip


def _share(successes: int, trials: int, level: float) -> Estimate:
    low, high = wilson(successes, trials, level)
    return Estimate(
        value=_ratio(successes, trials), low=float(low), high=float(high), n=trials, method="wilson"
    )


def _likelihood_ratio(diseased: int, of_diseased: int, others: int, of_others: int, level: float) -> Estimate:
    """(diseased / of_diseased) / (others / of_others), log method (Simel et al. 1991, J Clin Epidemiol 44:763)."""
    value = _ratio(_ratio(diseased, of_diseased), _ratio(others, of_others))
    low = high = math.nan
    if diseased and others:
        se = math.sqrt(1 / diseased - 1 / of_diseased + 1 / others - 1 / of_others)
        factor = math.exp(NormalDist().inv_cdf(0.5 + level / 2) * se)
        low, high = value / factor, value * factor
    return Estimate(value=value, low=low, high=high, n=of_diseased + of_others, method="simel")


def _ratio(above: float, below: float) -> float:
    return above / below if below > 0 else math.nan


def _chance(odds: float) -> float:
    return odds / (1 + odds)


def _scaled(rate: Estimate, size: float) -> Estimate:
    return Estimate(
        value=size * rate.value, low=size * rate.low, high=size * rate.high, n=rate.n, method=rate.method
    )


def _complement(rate: Estimate) -> Estimate:
    return Estimate(value=1 - rate.value, low=1 - rate.high, high=1 - rate.low, n=rate.n, method=rate.method)
