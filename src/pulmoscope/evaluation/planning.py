"""How many pictures a study needs before its sensitivity and specificity are known well enough."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from pulmoscope.errors import PulmoscopeError
from pulmoscope.evaluation.intervals import wilson
from pulmoscope.evaluation.result import show_level

# A million and a half pictures: narrower than this nobody asks, and the search would not end soon.
NARROWEST = 0.0008


@dataclass(frozen=True, kw_only=True)
class SampleSize:
    """Pictures that are needed; None where the formula gives no number.

    Attributes:
        diseased: For the sensitivity.
        healthy: For the specificity.
        total: Pictures to collect so that both are to be expected, at the prevalence.
        assured: Pictures to collect so that both are reached with the plan's assurance: how many of those that come are
            diseased is chance.
    """

    diseased: int | None
    healthy: int | None
    total: int | None
    assured: int | None

    def as_dict(self) -> dict[str, int | None]:
        """Plain numbers."""
        return {
            "diseased": self.diseased,
            "healthy": self.healthy,
            "total": self.total,
            "assured": self.assured,
        }


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A study's size by two methods, and what was asked.

    Attributes:
        sensitivity: Expected.
        specificity: Expected.
        half_width: Wanted of both intervals.
        prevalence: Share of diseased among the pictures that will come.
        level: Of the intervals.
        assurance: Wanted chance to get enough of both kinds.
        buderer: By the normal approximation, as most papers plan.
        wilson: By Wilson's interval, which is what evaluations here report.
    """

    sensitivity: float
    specificity: float
    half_width: float
    prevalence: float
    level: float
    assurance: float
    buderer: SampleSize
    wilson: SampleSize

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers."""
        asked = ("sensitivity", "specificity", "half_width", "prevalence", "level", "assurance")
        return {name: getattr(self, name) for name in asked} | {
            "buderer": self.buderer.as_dict(), "wilson": self.wilson.as_dict()
        }  # fmt: skip

    def __str__(self) -> str:
        """The plan as text."""
        lines = [
            f"{show_level(self.level)} intervals of half-width {self.half_width:g} for a sensitivity of "
            f"{self.sensitivity:g} and a specificity of {self.specificity:g}, at a prevalence of {self.prevalence:g}",
            "",
            f"{'':<22}{'diseased':>10}{'healthy':>10}{'pictures':>10}{f'with {self.assurance:.0%} assurance':>24}",
        ]
        for title, one in (("Wilson's interval", self.wilson), ("Buderer 1996", self.buderer)):
            cells = [
                "undefined" if n is None else f"{n:,}"
                for n in (one.diseased, one.healthy, one.total, one.assured)
            ]
            lines.append(f"{title:<22}{cells[0]:>10}{cells[1]:>10}{cells[2]:>10}{cells[3]:>24}")
        if None in (self.buderer.diseased, self.buderer.healthy):
            lines.append("Buderer's formula has no size for a rate of 0 or 1; Wilson's interval has")
        lines += [
            "",
            "pictures: to collect so that enough of both kinds are to be expected; with assurance: so that they come",
            "count patients: several pictures of one patient are worth less than as many patients",
        ]
        return "\n".join(lines)


def plan_study(
    *,
    sensitivity: float,
    specificity: float,
    half_width: float,
    prevalence: float,
    level: float = 0.95,
    assurance: float = 0.9,
) -> Plan:
    """Size a study that is to measure sensitivity and specificity.

    Args:
        sensitivity: Expected, in [0, 1].
        specificity: Expected, in [0, 1].
        half_width: Half the wanted width of both intervals, in [0.0008, 0.5).
        prevalence: Share of diseased among the pictures that will come, in (0, 1).
        level: Of the intervals, in (0, 1).
        assurance: Chance to get enough of both kinds, in (0, 1).

    Raises:
        PulmoscopeError: A number is out of range.

    >>> plan = plan_study(sensitivity=0.9, specificity=0.9, half_width=0.05, prevalence=0.2)
    >>> plan.buderer.diseased, plan.buderer.total, plan.wilson.diseased
    (139, 695, 141)
    """
    bounds = {
        "sensitivity": (sensitivity, 0 <= sensitivity <= 1, "in [0, 1]"),
        "specificity": (specificity, 0 <= specificity <= 1, "in [0, 1]"),
        "half-width": (half_width, NARROWEST <= half_width < 0.5, f"in [{NARROWEST}, 0.5)"),
        "prevalence": (prevalence, 0 < prevalence < 1, "between 0 and 1"),
        "level": (level, 0 < level < 1, "between 0 and 1"),
        "assurance": (assurance, 0 < assurance < 1, "between 0 and 1"),
    }
    wrong = {name: (value, wanted) for name, (value, right, wanted) in bounds.items() if not right}
    if wrong:
        raise PulmoscopeError(
            f"the plan cannot be made: {', '.join(wrong)} out of range", code="E_OPTION",
            expected=", ".join(f"{name} {wanted}" for name, (_, wanted) in wrong.items()),
            got=", ".join(f"{value:g}" for value, _ in wrong.values()),
        )  # fmt: skip
    sizes = [
        _both(
            need(sensitivity, half_width, level), need(specificity, half_width, level), prevalence, assurance
        )
        for need in (buderer_size, wilson_size)
    ]
    return Plan(
        sensitivity=sensitivity, specificity=specificity, half_width=half_width, prevalence=prevalence, level=level,
        assurance=assurance, buderer=sizes[0], wilson=sizes[1],
    )  # fmt: skip


def buderer_size(proportion: float, half_width: float, level: float = 0.95) -> int | None:
    """``z^2 p (1 - p) / w^2`` rounded up (Buderer 1996, Acad Emerg Med 3:895, steps 3 and 5).

    Returns:
        The number; None for a proportion of 0 or 1, for which the formula says that no picture is needed.

    >>> buderer_size(0.9, 0.05)
    139
    """
    if proportion in (0, 1):
        return None
    z = NormalDist().inv_cdf(0.5 + level / 2)
    # What is whole but for rounding is not to be rounded up.
    return math.ceil(round(z * z * proportion * (1 - proportion) / half_width**2, 9))


def wilson_size(proportion: float, half_width: float, level: float = 0.95) -> int:
    """The least n from which on Wilson's interval is never wider than wanted, by search.

    The interval is that of the whole number of successes nearest to ``proportion * n``. Its width jumps a little as
    that number does, so it is not enough that one n fits: all larger ones must.

    Args:
        proportion: Expected, in [0, 1].
        half_width: Half the wanted width, in [0.0008, 0.5).
        level: Of the interval, in (0, 1).

    >>> wilson_size(1.0, 0.05), wilson_size(0.5, 0.05)
    (35, 381)
    """
    # Rounding moves the observed proportion by half a picture at most; the width rises towards 1/2.
    low = _first(lambda n: _half(_away(proportion, 0.5 / n), n, level) <= half_width)
    high = _first(lambda n: _half(_towards(proportion, 0.5 / n), n, level) <= half_width)
    sizes = np.arange(low, high + 1)
    successes = np.clip(np.floor(proportion * sizes + 0.5), 0, sizes)
    lower, upper = wilson(successes, sizes, level)
    wide = np.flatnonzero((upper - lower) / 2 > half_width + 1e-12)
    return int(sizes[wide[-1]]) + 1 if len(wide) else low


def _both(diseased: int | None, healthy: int | None, prevalence: float, assurance: float) -> SampleSize:
    if diseased is None or healthy is None:
        return SampleSize(diseased=diseased, healthy=healthy, total=None, assured=None)
    total = max(
        math.ceil(round(diseased / prevalence, 6)), math.ceil(round(healthy / (1 - prevalence), 6)), 1
    )
    return SampleSize(
        diseased=diseased, healthy=healthy, total=total,
        assured=_assured(diseased, healthy, prevalence, assurance),
    )  # fmt: skip


def _assured(diseased: int, healthy: int, prevalence: float, assurance: float) -> int:
    """The least n with P(diseased <= Binomial(n, prevalence) <= n - healthy) of at least ``assurance``."""
    from scipy.stats import binom

    def chance(n: int) -> float:
        return float(binom.cdf(n - healthy, n, prevalence) - binom.cdf(diseased - 1, n, prevalence))

    # One more picture never makes either kind fewer, so the chance rises with n.
    return _first(lambda n: chance(n) >= assurance, max(diseased + healthy, 1))


def _first(enough: Any, start: int = 1) -> int:
    """The least n of at least ``start`` that is enough, where every larger one is too."""
    if enough(start):
        return start
    low, high = start, 2 * start
    while not enough(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _half(proportion: float, n: int, level: float) -> float:
    lower, upper = wilson(proportion * n, n, level)
    return float(upper - lower) / 2


def _towards(proportion: float, by: float) -> float:
    """The proportion moved towards 1/2, not beyond."""
    return min(proportion + by, 0.5) if proportion < 0.5 else max(proportion - by, 0.5)


def _away(proportion: float, by: float) -> float:
    """The proportion moved away from 1/2, inside [0, 1]."""
    return max(proportion - by, 0.0) if proportion < 0.5 else min(proportion + by, 1.0)
