"""What a comparison of models holds, and its form in ``compare.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pulmoscope.evaluation.delong import DeLong
from pulmoscope.evaluation.paired import McNemar
from pulmoscope.evaluation.result import Evaluation
from pulmoscope.files import or_null

ALPHA = 0.05


@dataclass(frozen=True, kw_only=True)
class MetricDifference:
    """One metric of a pair, second minus first; NaN where undefined.

    Attributes:
        first: Of the first model.
        second: Of the second.
        difference: Second minus first.
        low: Lower bound of the 95% bootstrap interval over groups.
        high: Upper bound.
        p: Two-sided. Of the accuracy it is the exact sign-flip test over groups, with one picture a group McNemar's
            exact test, which is the more careful where few pictures tell the two apart; of any other metric that of the
            paired bootstrap, which agrees with the interval.
        holm_p: Corrected over all pairs of this metric.
        test: ``"sign-flip"`` or ``"bootstrap"``.
        undefined_replicates: Left out because the metric is undefined there.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    p: float
    holm_p: float
    test: str
    undefined_replicates: int

    @property
    def told_apart(self) -> bool:
        """Whether the corrected test finds a difference at 0.05; what is not found may still be there."""
        return self.holm_p < ALPHA

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, None where undefined."""
        return {
            "first": or_null(self.first), "second": or_null(self.second), "difference": or_null(self.difference),
            "low": or_null(self.low), "high": or_null(self.high), "p": or_null(self.p),
            "holm_p": or_null(self.holm_p), "test": self.test, "told_apart": self.told_apart,
            "undefined_replicates": self.undefined_replicates,
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Corrected:
    """A test's outcome and its p-value corrected by Holm over all tests of its kind.

    Attributes:
        told: What DeLong's method found.
        holm_p: Corrected over all pairs and classes.
    """

    told: DeLong
    holm_p: float

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, None where undefined."""
        named = ("first", "second", "difference", "se", "low", "high", "p")
        return {name: or_null(getattr(self.told, name)) for name in named} | {"holm_p": or_null(self.holm_p)}


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two models on the same pictures.

    Attributes:
        first: Name of the first model.
        second: Name of the second.
        mcnemar: Pictures as if independent.
        exact_holm: McNemar's exact p corrected over all pairs.
        mid_holm: The mid-p corrected over all pairs.
        differences: Metric to its difference, in the order asked for.
        delong: Class to its AUROC against the rest; of two classes only the second, whose AUROC is the first's. Empty
            where a model has no probabilities.
    """

    first: str
    second: str
    mcnemar: McNemar
    exact_holm: float
    mid_holm: float
    differences: Mapping[str, MetricDifference]
    delong: Mapping[str, Corrected]

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, None where undefined."""
        told = self.mcnemar
        return {
            "first": self.first,
            "second": self.second,
            "mcnemar": {
                "only_first": told.only_first, "only_second": told.only_second, "exact_p": told.exact_p,
                "exact_holm_p": self.exact_holm, "mid_p": told.mid_p, "mid_holm_p": self.mid_holm,
            },
            "differences": {name: one.as_dict() for name, one in self.differences.items()},
            "delong": {name: one.as_dict() for name, one in self.delong.items()},
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A model's place by the first metric.

    Attributes:
        name: The model.
        value: Of the first metric; NaN where undefined.
        low: Of its interval.
        high: Of its interval.
        rank: One more than the models that are better after Holm, so models that cannot be told apart share a place;
            None where the metric is undefined.
        like_best: Whether it cannot be told apart from the one with the highest value.
        to_best: The difference to that one, this minus best; None for the best itself and where undefined.
    """

    name: str
    value: float
    low: float
    high: float
    rank: int | None
    like_best: bool
    to_best: MetricDifference | None

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, None where undefined."""
        return {
            "model": self.name, "value": or_null(self.value), "low": or_null(self.low), "high": or_null(self.high),
            "rank": self.rank, "like_best": self.like_best,
            "to_best": None if self.to_best is None else self.to_best.as_dict(),
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class NonInferiority:
    """Whether a model is worse than another by less than the margin.

    Attributes:
        candidate: The model in question.
        reference: The one it is held against.
        metric: Of which.
        difference: Candidate minus reference.
        bound: Lower end of the one-sided 97.5% interval of the difference; NaN where undefined.
        holds: Whether ``bound`` lies above minus the margin; None where it is undefined.
        method: ``"score"`` (Tango's, of the accuracy of independent pictures) or ``"bootstrap"``.
    """

    candidate: str
    reference: str
    metric: str
    difference: float
    bound: float
    holds: bool | None
    method: str

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, None where undefined."""
        return {
            "candidate": self.candidate, "reference": self.reference, "metric": self.metric,
            "difference": or_null(self.difference), "bound": or_null(self.bound), "holds": self.holds,
            "method": self.method,
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """Models on the same pictures.

    Attributes:
        split: The part; None for all rows.
        classes: Their names in order.
        pictures: N.
        groups: Groups (patients) they come from.
        metrics: Those that pairs are compared by; the first decides the leaderboard.
        models: Name to every metric with its interval, in the order given.
        pairs: Every pair, in the order given.
        leaderboard: From the highest value of the first metric down.
        margin: In [0, 1]; None where non-inferiority was not asked for.
        non_inferiority: Both ways of every pair and metric; empty without a margin.
        level: Of every interval.
        replicates: Of the bootstrap of differences.
        seed: Of the bootstrap.
        notes: What a reader of the numbers must know.
    """

    split: str | None
    classes: tuple[str, ...]
    pictures: int
    groups: int
    metrics: tuple[str, ...]
    models: Mapping[str, Evaluation]
    pairs: tuple[Pair, ...]
    leaderboard: tuple[Standing, ...]
    margin: float | None
    non_inferiority: tuple[NonInferiority, ...]
    level: float
    replicates: int
    seed: int
    notes: tuple[str, ...]

    def pair(self, first: str, second: str) -> Pair:
        """The pair of two names, in the order in which it was compared.

        Raises:
            KeyError: There is no such pair.
        """
        for one in self.pairs:
            if {one.first, one.second} == {first, second}:
                return one
        raise KeyError(f"no pair of {first!r} and {second!r}")

    def as_dict(self) -> dict[str, Any]:
        """The content of ``compare.json``: plain numbers, lists and None where undefined."""
        return {
            "use": "Research use only. Not a medical device.",
            "split": self.split,
            "classes": list(self.classes),
            "pictures": self.pictures,
            "groups": self.groups,
            "metrics": list(self.metrics),
            "margin": self.margin,
            "alpha": ALPHA,
            "bootstrap": {"level": self.level, "replicates": self.replicates, "seed": self.seed},
            "leaderboard": [one.as_dict() for one in self.leaderboard],
            "pairs": [one.as_dict() for one in self.pairs],
            "non_inferiority": [one.as_dict() for one in self.non_inferiority],
            "models": {name: one.as_dict() for name, one in self.models.items()},
            "notes": list(self.notes),
        }
