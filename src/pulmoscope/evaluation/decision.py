"""Decision curves: is acting on a model better than acting on everybody, or on nobody?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pulmoscope.evaluation.bootstrap import draw_weights, group_codes
from pulmoscope.evaluation.intervals import tail_share

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class DecisionCurve:
    """Net benefit by threshold probability, in true positives a picture; treating nobody is 0 everywhere.

    Attributes:
        thresholds: (T,) in [0, 1): the risk at which one would act; its odds are what a false alarm costs in misses.
        model: Acting where the model's probability is at least the threshold, (T,); NaN without pictures.
        low: Lower end of the model's bootstrap band, (T,), at each threshold by itself; NaN without a band.
        high: Its upper end.
        treat_all: Acting on everybody, (T,).
        n: Pictures.
        groups: Groups (patients) that were drawn.
        prevalence: Share of diseased that the benefits are for.
        level: Of the band.
        replicates: Of the bootstrap; 0 for no band.
    """

    thresholds: FloatArray
    model: FloatArray
    low: FloatArray
    high: FloatArray
    treat_all: FloatArray
    n: int
    groups: int
    prevalence: float
    level: float
    replicates: int

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, None where undefined."""
        rows = {
            name: [None if np.isnan(one) else float(one) for one in getattr(self, name)]
            for name in ("thresholds", "model", "low", "high", "treat_all")
        }
        share = None if np.isnan(self.prevalence) else self.prevalence
        return rows | {
            "treat_none": [0.0] * len(self.thresholds), "n": self.n, "groups": self.groups, "prevalence": share,
            "level": self.level, "replicates": self.replicates,
        }  # fmt: skip


def net_benefit(
    positive: npt.ArrayLike,
    scores: npt.ArrayLike,
    thresholds: npt.ArrayLike,
    *,
    prevalence: float | None = None,
) -> FloatArray:
    """Net benefit ``TP / n - FP / n * pt / (1 - pt)`` (Vickers and Elkin 2006, Med Decis Making 26:565, p. 567).

    Args:
        positive: Whether each picture is of the class, (N,) booleans.
        scores: Its probability, (N,) in [0, 1]; a picture is acted on when it is at least the threshold.
        thresholds: pt, (T,) in [0, 1).
        prevalence: Share of diseased to judge for, in [0, 1], sensitivity and specificity being those of the pictures;
            by default that of the pictures. The scores should then be right at that share
            (:class:`~pulmoscope.evaluation.PrevalenceShift`).

    Returns:
        (T,): at most the prevalence; NaN without pictures, or where ``prevalence`` is given and a side is empty.

    Raises:
        ValueError: Shapes differ, a score is NaN, or a threshold or the prevalence is out of range.

    >>> net_benefit([1, 1, 0, 0, 0], [0.9, 0.4, 0.6, 0.1, 0.1], [0.2, 0.5]).round(3).tolist()
    [0.35, 0.0]
    """
    labels, called, cuts = _prepared(positive, scores, thresholds)
    if prevalence is not None and not 0 <= prevalence <= 1:
        raise ValueError(f"prevalence must lie in [0, 1], got {prevalence}")
    return _benefit(labels, called, np.ones(len(labels)), cuts, prevalence)


def decision_curve(
    positive: npt.ArrayLike,
    scores: npt.ArrayLike,
    *,
    thresholds: npt.ArrayLike | None = None,
    groups: npt.ArrayLike | None = None,
    prevalence: float | None = None,
    replicates: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> DecisionCurve:
    """:func:`net_benefit` of a model beside treating all, with an expanded percentile band over groups (patients).

    Args:
        positive: Whether each picture is of the class, (N,) booleans.
        scores: Its probability, (N,) in [0, 1].
        thresholds: (T,) in [0, 1); 0.01 to 0.99 if left out.
        groups: Group of each picture, (N,) names or numbers; each picture for itself if left out.
        prevalence: As for :func:`net_benefit`.
        replicates: Of the bootstrap; 0 for no band.
        seed: Of the bootstrap; the same seed gives the same band whatever the order of the rows.
        level: Of the band, in (0, 1), at each threshold by itself.

    Returns:
        The curve; its band is NaN with fewer than two groups, or where more than half of the replicates are undefined.

    Raises:
        ValueError: As for :func:`net_benefit`, or ``level`` or ``replicates`` are out of range.
    """
    if not 0 < level < 1 or replicates < 0:
        raise ValueError(
            f"expected a level between 0 and 1 and 0 replicates or more, got {level}, {replicates}"
        )
    cuts = np.linspace(0.01, 0.99, 99) if thresholds is None else np.asarray(thresholds, np.float64)
    model = net_benefit(positive, scores, cuts, prevalence=prevalence)
    labels, called, cuts = _prepared(positive, scores, cuts)
    size = len(labels)
    codes, count = group_codes(np.arange(size) if groups is None else groups)
    if len(codes) != size:
        raise ValueError(f"expected groups of shape ({size},), got ({len(codes)},)")
    low = high = np.full(len(cuts), np.nan)
    if replicates and count > 1:
        drawn = np.array([
            _benefit(labels, called, weights[codes].astype(np.float64), cuts, prevalence)
            for weights in draw_weights(count, replicates, np.random.default_rng(seed))
        ])  # fmt: skip
        known = ~np.isnan(drawn[:, 0]) if len(cuts) else np.zeros(replicates, bool)
        if known.sum() >= replicates / 2:
            tail = tail_share(level, count)
            low, high = np.quantile(drawn[known], [tail, 1 - tail], axis=0)
    share = (float(labels.mean()) if size else float("nan")) if prevalence is None else prevalence
    return DecisionCurve(
        thresholds=cuts, model=model, low=low, high=high, treat_all=share - (1 - share) * cuts / (1 - cuts),
        n=size, groups=count, prevalence=share, level=level, replicates=replicates,
    )  # fmt: skip


def _prepared(
    positive: npt.ArrayLike, scores: npt.ArrayLike, thresholds: npt.ArrayLike
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64], FloatArray]:
    """Truth, how many of the sorted thresholds each score reaches, (N,), and the thresholds."""
    labels, values = np.asarray(positive).astype(bool), np.asarray(scores, np.float64)
    cuts = np.asarray(thresholds, np.float64)
    if labels.ndim != 1 or labels.shape != values.shape or cuts.ndim != 1:
        raise ValueError(
            f"expected truth and scores of one shape (N,) and thresholds (T,), "
            f"got {labels.shape}, {values.shape}, {cuts.shape}"
        )
    if np.isnan(values).any():
        raise ValueError("a score is NaN")
    if not ((cuts >= 0) & (cuts < 1)).all():
        raise ValueError("thresholds must lie in [0, 1)")
    return labels, np.searchsorted(np.sort(cuts), values, side="right").astype(np.int64), cuts


def _benefit(
    labels: npt.NDArray[np.bool_],
    reached: npt.NDArray[np.int64],
    weights: FloatArray,
    thresholds: FloatArray,
    prevalence: float | None,
) -> FloatArray:
    """Net benefit at each threshold when picture i counts ``weights[i]`` times, (T,)."""
    size = len(thresholds)
    # Pictures that reach more than j of the sorted thresholds are called at the j-th.
    diseased = np.bincount(reached[labels], weights[labels], size + 1)
    others = np.bincount(reached[~labels], weights[~labels], size + 1)
    true = np.cumsum(diseased[::-1])[::-1][1:]
    false = np.cumsum(others[::-1])[::-1][1:]
    positives, negatives = float(diseased.sum()), float(others.sum())
    order = np.empty(size, np.int64)
    order[np.argsort(thresholds, kind="stable")] = np.arange(size)
    true, false = true[order], false[order]
    odds = thresholds / (1 - thresholds)
    if prevalence is None:
        total = positives + negatives
        return (true - false * odds) / total if total else np.full(size, np.nan)
    if not positives or not negatives:
        return np.full(size, np.nan)
    return np.asarray(true / positives * prevalence - false / negatives * (1 - prevalence) * odds, np.float64)
