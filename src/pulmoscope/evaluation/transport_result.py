"""What a comparison of an internal test with an external cohort holds, and its form in ``metrics.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pulmoscope.files import or_null


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """A number with its 95% interval; NaN where undefined."""

    value: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """-1 or 1 where the interval lies on that side of 0, else 0."""
        return 1 if self.low > 0 else -1 if self.high < 0 else 0

    def as_dict(self) -> dict[str, float | None]:
        """For JSON; undefined is null."""
        return {"value": or_null(self.value), "low": or_null(self.low), "high": or_null(self.high)}

    @classmethod
    def from_dict(cls, content: Mapping[str, float | None]) -> Bounds:
        """Read :meth:`as_dict` back."""
        return cls(**{key: _number(content[key]) for key in ("value", "low", "high")})


@dataclass(frozen=True, kw_only=True)
class MetricShift:
    """One metric on both sides.

    Attributes:
        metric: ``accuracy``, ..., ``sensitivity:CLASS``, ..., as for :func:`replicated_metric`.
        internal: On the internal test, in [0, 1].
        external: On the external cohort.
        difference: External minus internal; its interval by bootstrap over groups on each side, drawn apart. NaN bounds
            where a side's metric is the same in every replicate: there is no spread to go by.
        class_mix: The part that the other shares of the classes make.
        rest: What they do not explain; ``difference = class_mix + rest``.
    """

    metric: str
    internal: Bounds
    external: Bounds
    difference: Bounds
    class_mix: Bounds
    rest: Bounds


@dataclass(frozen=True, kw_only=True)
class CalibrationShift:
    """Calibration in the large of one class: mean probability minus share of the pictures, on both sides.

    Attributes:
        label: The class.
        internal_mean: Its mean probability on the internal test.
        internal_share: Its share there.
        internal: Mean minus share; above 0 the class is promised too often.
        external_mean: On the external cohort.
        external_share: There.
        external: Mean minus share there.
    """

    label: str
    internal_mean: float
    internal_share: float
    internal: Bounds
    external_mean: float
    external_share: float
    external: Bounds


@dataclass(frozen=True, kw_only=True)
class Transport:
    """Internal test and external cohort side by side.

    Attributes:
        compared: Classes that occur on both sides; the metrics are of their pictures alone.
        only_internal: Classes whose internal pictures were left out, as the external cohort has none.
        only_external: The other way round.
        internal_n: Pictures compared.
        external_n: Pictures compared.
        internal_shares: Share of each class compared.
        external_shares: The same there.
        metrics: One a metric that is defined on both sides.
        calibration: One a class, of all pictures of each side; empty without probabilities.
        replicates: Of the bootstrap.
        notes: What a reader must know.
    """

    compared: tuple[str, ...]
    only_internal: tuple[str, ...]
    only_external: tuple[str, ...]
    internal_n: int
    external_n: int
    internal_shares: tuple[float, ...]
    external_shares: tuple[float, ...]
    metrics: tuple[MetricShift, ...]
    calibration: tuple[CalibrationShift, ...]
    replicates: int
    notes: tuple[str, ...]

    def shown(self) -> tuple[MetricShift, ...]:
        """The metrics that a table shows: of two classes the specificity, NPV and AUROC of one say no more."""
        doubled = (
            ("specificity:", "npv:", "auroc:") if len(self.compared) == len(self.calibration) == 2 else ()
        )
        return tuple(one for one in self.metrics if not one.metric.startswith(doubled))

    def shift(self, metric: str) -> MetricShift | None:
        """One metric; None where it is not defined on both sides."""
        return next((one for one in self.metrics if one.metric == metric), None)

    def as_dict(self) -> dict[str, Any]:
        """The part ``transport`` of an external ``metrics.json``."""
        parts = ("internal", "external", "difference", "class_mix", "rest")
        return {
            "compared": list(self.compared),
            "only_internal": list(self.only_internal),
            "only_external": list(self.only_external),
            "n": {"internal": self.internal_n, "external": self.external_n},
            "shares": {
                name: {"internal": a, "external": b}
                for name, a, b in zip(self.compared, self.internal_shares, self.external_shares, strict=True)
            },
            "metrics": {one.metric: {part: getattr(one, part).as_dict() for part in parts} for one in self.metrics},
            "calibration_in_the_large": {
                one.label: {
                    "internal": {
                        "mean": one.internal_mean, "share": one.internal_share, "difference": one.internal.as_dict(),
                    },
                    "external": {
                        "mean": one.external_mean, "share": one.external_share, "difference": one.external.as_dict(),
                    },
                }
                for one in self.calibration
            },
            "intervals": {"level": 0.95, "method": "bootstrap over groups on each side", "replicates": self.replicates},
            "notes": list(self.notes),
        }  # fmt: skip

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Transport:
        """Read :meth:`as_dict` back; KeyError or TypeError where it is damaged."""
        shares = content["shares"]
        return cls(
            compared=tuple(content["compared"]),
            only_internal=tuple(content["only_internal"]),
            only_external=tuple(content["only_external"]),
            internal_n=content["n"]["internal"],
            external_n=content["n"]["external"],
            internal_shares=tuple(one["internal"] for one in shares.values()),
            external_shares=tuple(one["external"] for one in shares.values()),
            metrics=tuple(
                MetricShift(metric=name, **{part: Bounds.from_dict(bounds) for part, bounds in parts.items()})
                for name, parts in content["metrics"].items()
            ),
            calibration=tuple(
                CalibrationShift(
                    label=name, internal_mean=one["internal"]["mean"], internal_share=one["internal"]["share"],
                    internal=Bounds.from_dict(one["internal"]["difference"]), external_mean=one["external"]["mean"],
                    external_share=one["external"]["share"], external=Bounds.from_dict(one["external"]["difference"]),
                )
                for name, one in content["calibration_in_the_large"].items()
            ),
            replicates=content["intervals"]["replicates"],
            notes=tuple(content["notes"]),
        )  # fmt: skip


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
