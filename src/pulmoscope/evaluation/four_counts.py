"""The numbers of a diagnostic test from its four counts, with intervals, and what they mean for a thousand patients."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from pulmoscope.evaluation.bootstrap import group_codes
from pulmoscope.evaluation.clustered import clustered_interval, effective_size
from pulmoscope.evaluation.confusion import confusion_by_group
from pulmoscope.evaluation.intervals import wilson
from pulmoscope.evaluation.result import Estimate
from pulmoscope.files import or_null

RATES = ("sensitivity", "specificity", "ppv", "npv", "lr_positive", "lr_negative")
_COUNTS = ("true_positives", "false_negatives", "false_positives", "true_negatives")


@dataclass(frozen=True, kw_only=True)
class EffectiveSizes:
    """How many independent pictures each rate is worth (:func:`~pulmoscope.evaluation.effective_size`).

    Attributes:
        diseased: The sensitivity; NaN where undefined, as the others.
        others: The specificity.
        called: The PPV.
        cleared: The NPV.
    """

    diseased: float
    others: float
    called: float
    cleared: float


@dataclass(frozen=True, kw_only=True)
class Diagnostic:
    """A test against the truth. Likelihood ratios lie in [0, infinity), the rest in [0, 1].

    Attributes:
        true_positives: Diseased and called.
        false_negatives: Diseased and not called.
        false_positives: Not diseased and called.
        true_negatives: Neither.
        effective: Effective sample sizes of the rates, which their intervals are of; those of the counts where every
            picture is of another patient.
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
    effective: EffectiveSizes
    sensitivity: Estimate
    specificity: Estimate
    ppv: Estimate
    npv: Estimate
    lr_positive: Estimate
    lr_negative: Estimate

    @property
    def total(self) -> int:
        """Pictures that were judged."""
        return self.true_positives + self.false_negatives + self.false_positives + self.true_negatives

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, None where undefined."""
        sizes = {name: or_null(size) for name, size in asdict(self.effective).items()}
        return {
            "counts": {name: getattr(self, name) for name in _COUNTS}, "effective_sizes": sizes,
            **{name: getattr(self, name).as_dict() for name in RATES},
        }  # fmt: skip

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Diagnostic:
        """Read :meth:`as_dict` back, with 95% intervals; without effective sizes, pictures are taken as independent.

        Raises:
            KeyError, TypeError or ValueError: It is not one.
        """
        tp, fn, fp, tn = (content["counts"][name] for name in _COUNTS)
        stored = content.get("effective_sizes")
        if stored is None:
            return diagnostic_counts(tp, fn, fp, tn)
        sizes = {name: math.nan if one is None else float(one) for name, one in stored.items()}
        return diagnostic_counts(tp, fn, fp, tn, effective=EffectiveSizes(**sizes))


def diagnostic(
    called: npt.ArrayLike, positive: npt.ArrayLike, groups: npt.ArrayLike | None = None, level: float = 0.95
) -> Diagnostic:
    """Judge calls against the truth.

    Args:
        called: Whether each picture is called diseased, (N,) booleans.
        positive: Whether it is, (N,) booleans.
        groups: Group (patient) of each picture, (N,) names or numbers; each picture for itself if left out.
        level: Of the intervals, in (0, 1).

    Raises:
        ValueError: The shapes differ, or ``level`` is outside (0, 1).
    """
    said, true = np.asarray(called).astype(bool), np.asarray(positive).astype(bool)
    if said.ndim != 1 or said.shape != true.shape:
        raise ValueError(f"expected two arrays of one shape (N,), got {said.shape} and {true.shape}")
    counts = (
        int((said & true).sum()), int((~said & true).sum()), int((said & ~true).sum()), int((~said & ~true).sum()),
    )  # fmt: skip
    if groups is None:
        return diagnostic_counts(*counts, level)
    codes, count = group_codes(groups)
    if codes.shape != true.shape:
        raise ValueError(f"expected groups of shape {true.shape}, got {codes.shape}")
    by_group = confusion_by_group(true, said, codes, classes=2, groups=count)
    right = np.stack([by_group[:, 1, 1], by_group[:, 0, 0]] * 2, axis=1)
    of = np.concatenate([by_group.sum(axis=2)[:, ::-1], by_group.sum(axis=1)[:, ::-1]], axis=1)
    names = ("diseased", "others", "called", "cleared")
    sizes = dict(zip(names, effective_size(right, of, level).tolist(), strict=True))
    return diagnostic_counts(*counts, level, EffectiveSizes(**sizes))


def diagnostic_counts(
    true_positives: int,
    false_negatives: int,
    false_positives: int,
    true_negatives: int,
    level: float = 0.95,
    effective: EffectiveSizes | None = None,
) -> Diagnostic:
    """:func:`diagnostic` from the four counts.

    Args:
        true_positives: Diseased and called.
        false_negatives: Diseased and not called.
        false_positives: Not diseased and called.
        true_negatives: Neither.
        level: Of the intervals, in (0, 1).
        effective: Sample sizes that the intervals are of; those of the counts if left out, which takes the pictures as
            independent.

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
    sizes = effective or EffectiveSizes(
        diseased=float(tp + fn), others=float(tn + fp), called=float(tp + fp), cleared=float(tn + fn)
    )
    return Diagnostic(
        true_positives=tp, false_negatives=fn, false_positives=fp, true_negatives=tn, effective=sizes,
        sensitivity=_share(tp, tp + fn, sizes.diseased, level),
        specificity=_share(tn, tn + fp, sizes.others, level),
        ppv=_share(tp, tp + fp, sizes.called, level), npv=_share(tn, tn + fn, sizes.cleared, level),
        lr_positive=_likelihood_ratio(tp, tp + fn, fp, fp + tn, sizes, level),
        lr_negative=_likelihood_ratio(fn, tp + fn, tn, fp + tn, sizes, level),
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


def _share(successes: int, trials: int, effective: float, level: float) -> Estimate:
    low, high = clustered_interval(wilson, successes, trials, effective, level)
    return Estimate(
        value=_ratio(successes, trials), low=float(low), high=float(high), n=trials, method="wilson"
    )


def _likelihood_ratio(
    diseased: int, of_diseased: int, others: int, of_others: int, sizes: EffectiveSizes, level: float
) -> Estimate:
    """(diseased / of_diseased) / (others / of_others), log method (Simel et al. 1991, J Clin Epidemiol 44:763).

    The variance of each side is that of its effective size; the sides are taken as independent.
    """
    value = _ratio(_ratio(diseased, of_diseased), _ratio(others, of_others))
    low = high = math.nan
    if diseased and others:
        # (1 - p) / (p n*) is 1 / k - 1 / n where n* is n.
        se = math.sqrt(
            (of_diseased / diseased - 1) / sizes.diseased + (of_others / others - 1) / sizes.others
        )
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
