"""Is a probability of 0.8 right eight times in ten?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from pulmoscope.evaluation.bootstrap import group_codes
from pulmoscope.evaluation.clustered import clustered_interval, effective_size
from pulmoscope.evaluation.confusion import ratio
from pulmoscope.evaluation.intervals import wilson

FloatArray = npt.NDArray[np.float64]
#: How bins are laid: of equal width on [0, 1], or of equal mass (as many pictures in each, as far as ties allow).
Binning = Literal["width", "mass"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Reliability:
    """Forecasts in bins, and how often each bin's came true.

    Attributes:
        edges: Borders of the bins, (B + 1,) in [0, 1]; a bin holds its upper border, not its lower one, but the first
            holds 0.
        counts: Pictures in each bin, (B,).
        confidence: Mean forecast, (B,): for :func:`reliability` the probability of the most probable class; NaN in an
            empty bin.
        accuracy: Share that came true, (B,): for :func:`reliability` the share whose most probable class is right; NaN
            in an empty bin.
        low: Lower end of the accuracy's 95% Wilson interval, (B,), at the effective sample size where there are groups;
            NaN in an empty bin, and in one of several pictures of one group.
        high: Its upper end, (B,).
        ece: Expected calibration error: mean of ``|accuracy - confidence|`` weighted by count; NaN without pictures.
    """

    edges: FloatArray
    counts: npt.NDArray[np.int64]
    confidence: FloatArray
    accuracy: FloatArray
    low: FloatArray
    high: FloatArray
    ece: float


def reliability(
    truth: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    bins: int = 10,
    binning: Binning = "width",
    groups: npt.ArrayLike | None = None,
) -> Reliability:
    """Bin predictions by the probability of the most probable class (Guo et al. 2017, ICML, equations 1 to 3).

    Args:
        truth: True classes, (N,) integers in [0, K).
        probabilities: (N, K) in [0, 1].
        bins: Number of bins, at least 1; with equal mass ties may leave fewer.
        binning: ``"width"`` or ``"mass"``.
        groups: Group (patient) of each picture, (N,) names or numbers; each picture for itself if left out.

    >>> reliability([0, 1], [[0.75, 0.25], [0.5, 0.5]]).ece
    0.375
    """
    labels, scores = np.asarray(truth, np.int64), np.asarray(probabilities, np.float64)
    if scores.ndim != 2 or labels.shape != scores.shape[:1]:
        raise ValueError(
            f"expected truth (N,) and probabilities (N, K), got {labels.shape} and {scores.shape}"
        )
    return event_reliability(scores.argmax(axis=1) == labels, scores.max(axis=1), bins, binning, groups)


def event_reliability(
    happened: npt.ArrayLike,
    forecasts: npt.ArrayLike,
    bins: int = 10,
    binning: Binning = "width",
    groups: npt.ArrayLike | None = None,
) -> Reliability:
    """Bin forecasts of one event, such as that a picture is of one class.

    Args:
        happened: Whether it came true, (N,) booleans.
        forecasts: Its probability, (N,) in [0, 1].
        bins: Number of bins, at least 1; with equal mass ties may leave fewer.
        binning: ``"width"`` or ``"mass"``.
        groups: As for :func:`reliability`.

    Raises:
        ValueError: The shapes differ, there is no such binning, or too few bins.

    >>> event_reliability([False, True, True], [0.2, 0.2, 0.8], bins=2, binning="mass").edges.tolist()
    [0.0, 0.2, 1.0]
    """
    events, values = np.asarray(happened).astype(bool), np.asarray(forecasts, np.float64)
    if events.ndim != 1 or events.shape != values.shape:
        raise ValueError(f"expected two arrays of one shape (N,), got {events.shape} and {values.shape}")
    edges = bin_edges(values, bins, binning)
    where, count = bin_codes(values, edges), len(edges) - 1
    counts = np.bincount(where, minlength=count).astype(np.int64)
    hits = np.bincount(where, events.astype(np.float64), count)
    sums = np.bincount(where, values, count)
    codes, size = group_codes(np.arange(len(events)) if groups is None else groups)
    cells = codes * count + where
    right, of = (
        np.bincount(cells, each, size * count).reshape(size, count)
        for each in (events.astype(np.float64), np.ones(len(events)))
    )
    low, high = clustered_interval(wilson, hits, counts, effective_size(right, of))
    gap = float(np.abs(hits - sums).sum())
    return Reliability(
        edges=edges,
        counts=counts,
        confidence=ratio(sums, counts),
        accuracy=ratio(hits, counts),
        low=low,
        high=high,
        ece=gap / len(values) if len(values) else float("nan"),
    )


def bin_edges(forecasts: npt.ArrayLike, bins: int, binning: Binning = "width") -> FloatArray:
    """Borders of the bins, rising from 0 to 1, (B + 1,).

    Bins of equal mass end at every N/B-th forecast in order (Nguyen and O'Connor 2015, EMNLP). Equal forecasts are
    never parted, so a value that many share swallows a border, and B may be less than asked for.

    Args:
        forecasts: (N,) in [0, 1].
        bins: Wanted number of bins, at least 1.
        binning: ``"width"`` or ``"mass"``.

    Raises:
        ValueError: There is no such binning, or too few bins.
    """
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    if binning not in get_args(Binning):
        raise ValueError(f"binning must be one of {', '.join(get_args(Binning))}, got {binning!r}")
    if binning == "width":
        return np.linspace(0.0, 1.0, bins + 1)
    ordered = np.sort(np.asarray(forecasts, np.float64))
    if not len(ordered):
        return np.array([0.0, 1.0])
    # The largest forecast closes the last bin, which reaches to 1; a border at 0 would leave a bin for 0 alone.
    last = -(-np.arange(1, bins) * len(ordered) // bins) - 1
    borders = ordered[last[last >= 0]]
    borders = borders[(borders > 0) & (borders < ordered[-1])]
    return np.unique(np.concatenate([[0.0], borders, [1.0]]))


def bin_codes(forecasts: npt.ArrayLike, edges: FloatArray) -> npt.NDArray[np.int64]:
    """The bin of each forecast, (N,) in [0, B): the upper border belongs to the bin, the lower one does not."""
    codes = np.searchsorted(edges, np.asarray(forecasts, np.float64), side="left") - 1
    return np.clip(codes, 0, len(edges) - 2).astype(np.int64)


def expected_calibration_error(
    truth: npt.ArrayLike, probabilities: npt.ArrayLike, bins: int = 10, binning: Binning = "width"
) -> float:
    """The ECE of :func:`reliability`, in [0, 1]; NaN without pictures."""
    return reliability(truth, probabilities, bins, binning).ece
