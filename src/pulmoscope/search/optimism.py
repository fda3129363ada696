"""How much picking the best of several trials on one validation part flatters it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulmoscope.evaluation.intervals import percentile_interval

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Optimism:
    """What :func:`picking_optimism` found.

    Attributes:
        apparent: The best trial's objective on the pictures that chose it.
        honest: What a trial picked so reaches on pictures that did not choose it.
        flatters: By how much the first is better than the second, positive where it is, whatever the metric.
        low: Lower 95% bound of ``honest``.
        high: Upper bound.
        again: In which share of the replicates the best trial is the best again, or one of equals.
        replicates: That both parts are defined in.
    """

    apparent: float
    honest: float
    flatters: float
    low: float
    high: float
    again: float
    replicates: int


def picking_optimism(
    apparent: npt.ArrayLike, inside: npt.ArrayLike, outside: npt.ArrayLike, *, maximise: bool
) -> Optimism:
    """Pick the best trial in each bootstrap replicate of the validation groups and judge it on the groups left out.

    The groups that a replicate did not draw had no say in its choice, so the mean over replicates of the picked trial's
    value on them is free of the choice's optimism (Tsamardinos, Greasidou and Borboudakis 2018, Machine Learning
    107:1895, "bootstrap bias corrected cross-validation"). It is of a choice among about 63% of the groups, so it leans
    a little to the careful side. It counts the choice among the trials alone: that each trial chose its own epoch on
    the same pictures comes on top.

    Args:
        apparent: The objective of each trial on the whole part, (T,).
        inside: On each replicate, (T, B); NaN where undefined.
        outside: On the groups that the replicate left out, (T, B).
        maximise: Whether larger is better.

    Returns:
        NaN where no replicate has both parts defined; with one trial the optimism is what chance leaves, about 0.
    """
    sign = 1.0 if maximise else -1.0
    whole = sign * np.asarray(apparent, np.float64)
    # These are as large as memory allows: one copy, and no more.
    drawn = sign * np.asarray(inside, np.float64)
    drawn[np.isnan(drawn)] = -np.inf
    best = drawn.argmax(axis=0)
    each = np.arange(drawn.shape[1])
    reached = sign * np.asarray(outside, np.float64)[best, each]
    usable = (drawn[best, each] > -np.inf) & ~np.isnan(reached)
    first = int(np.nanargmax(whole))
    top = float(whole[first])
    nothing = float("nan")
    if not usable.any():
        return Optimism(
            apparent=sign * top, honest=nothing, flatters=nothing, low=nothing, high=nothing, again=nothing,
            replicates=0,
        )  # fmt: skip
    honest = float(reached[usable].mean())
    low, high, _ = percentile_interval(sign * reached[usable])
    again = float((drawn[first] == drawn[best, each])[usable].mean())
    return Optimism(
        apparent=sign * top, honest=sign * honest, flatters=top - honest, low=low, high=high, again=again,
        replicates=int(usable.sum()),
    )  # fmt: skip
