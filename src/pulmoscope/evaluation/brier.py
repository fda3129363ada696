"""The Brier score, and what it is made of: calibration, discrimination and how hard the question is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulmoscope.evaluation.calibration import Binning, bin_codes, bin_edges
from pulmoscope.evaluation.confusion import ratio

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Brier:
    """A Brier score in parts: ``score = reliability - resolution + uncertainty + within``; all NaN without pictures.

    Attributes:
        score: Mean squared distance between forecast and outcome, in [0, 1] for one event; smaller is better.
        reliability: How far the bins' forecasts lie from their shares, squared: 0 for perfect calibration.
        resolution: How far the bins' shares lie from the overall share, squared: larger is better.
        uncertainty: Variance of the outcome, ``share (1 - share)``: a property of the data, not of the model.
        within: What forecasts that differ within a bin add (Stephenson, Coelho and Jolliffe 2008, Weather and
            Forecasting 23:752); 0 where each bin holds one value.
        bins: Bins that hold a picture.
    """

    score: float
    reliability: float
    resolution: float
    uncertainty: float
    within: float
    bins: int

    def as_dict(self) -> dict[str, float | int | None]:
        """Plain numbers, None where undefined."""
        named = ("score", "reliability", "resolution", "uncertainty", "within")
        values = {name: float(getattr(self, name)) for name in named}
        return {name: None if np.isnan(value) else value for name, value in values.items()} | {
            "bins": self.bins
        }


def brier_score(truth: npt.ArrayLike, probabilities: npt.ArrayLike) -> float:
    """Brier's score over all classes (Brier 1950, Monthly Weather Review 78:1, equation 2).

    Args:
        truth: True classes, (N,) integers in [0, K).
        probabilities: (N, K) in [0, 1].

    Returns:
        The mean over pictures of the sum over classes of (probability - outcome) squared, in [0, 2]: for two classes
        twice the score of one event, as :func:`brier_decomposition` has it. NaN without pictures.

    >>> round(brier_score([0, 1], [[0.8, 0.2], [0.4, 0.6]]), 3)
    0.2
    """
    labels, scores = _checked(truth, probabilities)
    outcomes = np.eye(scores.shape[1])[labels]
    return float(((scores - outcomes) ** 2).sum() / len(labels)) if len(labels) else float("nan")


def brier_decomposition(
    happened: npt.ArrayLike, forecasts: npt.ArrayLike, bins: int | None = 10, binning: Binning = "mass"
) -> Brier:
    """Murphy's parts of the Brier score of one event (Murphy 1973, J Applied Meteorology 12:595).

    Murphy's identity holds where equal forecasts are pooled. A model's probabilities hardly ever repeat, so they are
    binned, and ``within`` keeps the sum exact. With few pictures in a bin reliability and resolution both come out too
    large, by about the same.

    Args:
        happened: Whether it came true, (N,) booleans.
        forecasts: Its probability, (N,) in [0, 1].
        bins: Number of bins; None pools equal forecasts only.
        binning: ``"width"`` or ``"mass"``.

    Raises:
        ValueError: The shapes differ, or there is no such binning.

    >>> found = brier_decomposition([0, 1, 1, 1], [0.25, 0.25, 0.75, 0.75], bins=None)
    >>> found.score, found.reliability, found.resolution, found.uncertainty, found.within
    (0.1875, 0.0625, 0.0625, 0.1875, 0.0)
    """
    events, values = np.asarray(happened).astype(np.float64), np.asarray(forecasts, np.float64)
    if events.ndim != 1 or events.shape != values.shape:
        raise ValueError(f"expected two arrays of one shape (N,), got {events.shape} and {values.shape}")
    if not len(values):
        nan = float("nan")
        return Brier(score=nan, reliability=nan, resolution=nan, uncertainty=nan, within=nan, bins=0)
    if bins is None:
        codes = np.unique(values, return_inverse=True)[1].ravel()
    else:
        codes = bin_codes(values, bin_edges(values, bins, binning))
    counts = np.bincount(codes).astype(np.float64)
    forecast, share = ratio(np.bincount(codes, values), counts), ratio(np.bincount(codes, events), counts)
    overall, weights = float(events.mean()), counts / len(values)
    used = counts > 0
    spread = values - forecast[codes]
    within = 0.0 if bins is None else float((spread**2).mean() - 2 * (spread * events).mean())
    return Brier(
        score=float(((values - events) ** 2).mean()),
        reliability=float((weights * (forecast - share) ** 2)[used].sum()),
        resolution=float((weights * (share - overall) ** 2)[used].sum()),
        uncertainty=overall * (1 - overall),
        within=within,
        bins=int(used.sum()),
    )


def brier_by_class(
    truth: npt.ArrayLike, probabilities: npt.ArrayLike, bins: int | None = 10, binning: Binning = "mass"
) -> tuple[Brier, ...]:
    """:func:`brier_decomposition` of each class against the rest, K of them; their scores sum to the Brier score.

    Args:
        truth: True classes, (N,) integers in [0, K).
        probabilities: (N, K) in [0, 1].
        bins: Number of bins; None pools equal forecasts only.
        binning: ``"width"`` or ``"mass"``.
    """
    labels, scores = _checked(truth, probabilities)
    return tuple(
        brier_decomposition(labels == index, scores[:, index], bins, binning)
        for index in range(scores.shape[1])
    )


def _checked(truth: npt.ArrayLike, probabilities: npt.ArrayLike) -> tuple[npt.NDArray[np.int64], FloatArray]:
    labels, scores = np.asarray(truth, np.int64), np.asarray(probabilities, np.float64)
    if scores.ndim != 2 or labels.shape != scores.shape[:1]:
        raise ValueError(
            f"expected truth (N,) and probabilities (N, K), got {labels.shape} and {scores.shape}"
        )
    return labels, scores
