"""What more pictures would bring: an inverse power law through the errors of trainings on subsets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
# Between these exponents a curve can be told from a straight line in log n, and from a single step.
_LEAST, _MOST = 0.01, 10.0


@dataclass(frozen=True, kw_only=True)
class LearningCurve:
    """``error = floor + scale * n ** -rate``; all NaN where undefined, and ``reason`` then says why.

    Attributes:
        floor: The error that no number of pictures mends, in [0, 1].
        scale: Above 0.
        rate: How fast the error falls, above 0; 1/2 halves what can be mended with four times the pictures.
        points: Pairs that it was fitted to.
        largest: The largest n among them: beyond lies extrapolation.
        residual: Root of the residual variance, with the degrees of freedom left.
        level: Of the intervals.
        reason: Why it is undefined; empty where it is defined.
    """

    floor: float
    scale: float
    rate: float
    points: int
    largest: float
    residual: float
    level: float
    reason: str
    _covariance: tuple[tuple[float, ...], ...] = ()

    def error_at(self, size: float) -> tuple[float, float, float]:
        """Expected error of a training on ``size`` pictures, and its interval, all in [0, 1].

        The interval is of the mean over trainings (delta method, Student's t); a single training scatters more.

        Returns:
            Value, lower and upper bound; NaN where the curve is undefined.

        Raises:
            ValueError: ``size`` is not above 0.
        """
        if not size > 0:
            raise ValueError(f"size must be above 0, got {size}")
        if self.reason:
            return math.nan, math.nan, math.nan
        from scipy.stats import t

        power = float(size**-self.rate)
        value = self.floor + self.scale * power
        slope = np.array([1.0, power, -self.scale * power * math.log(size)])
        covariance = np.array(self._covariance)
        # A floor that lies at its bound is not estimated; nothing is spread along it.
        free = 3 if covariance[0, 0] > 0 else 2
        half = float(t.ppf(0.5 + self.level / 2, self.points - free)) * math.sqrt(
            max(float(slope @ covariance @ slope), 0.0)
        )
        return min(value, 1.0), min(max(value - half, 0.0), 1.0), min(value + half, 1.0)

    def size_for(self, error: float) -> float:
        """Pictures for an expected error; NaN where the curve is undefined or never comes so low."""
        if self.reason or error <= self.floor:
            return math.nan
        return float((self.scale / (error - self.floor)) ** (1 / self.rate))

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, None where undefined."""
        names = ("floor", "scale", "rate", "residual", "largest")
        values = {name: float(getattr(self, name)) for name in names}
        return {name: None if math.isnan(value) else value for name, value in values.items()} | {
            "points": self.points, "level": self.level, "reason": self.reason or None
        }  # fmt: skip


def fit_learning_curve(sizes: npt.ArrayLike, errors: npt.ArrayLike, *, level: float = 0.95) -> LearningCurve:
    """Fit an inverse power law by least squares (Mukherjee et al. 2003, J Comput Biol 10:119; Figueroa et al. 2012).

    For each exponent the best floor and scale are those of a straight line, so only the exponent is searched
    (variable projection, Golub and Pereyra 1973): no starting values, and no second-best fit.

    Args:
        sizes: Training pictures of each training, (M,) above 0; several trainings may share one.
        errors: The error of each on the same held-out pictures, (M,) in [0, 1].
        level: Of the intervals, in (0, 1).

    Returns:
        The curve. It is undefined, and says so, with fewer than 5 pairs or 4 different sizes, where the error does not
        fall, and where the pairs leave the exponent open (they lie on a line in log n, or on a single step).

    Raises:
        ValueError: The shapes differ, or a number is out of range.

    >>> curve = fit_learning_curve([100, 200, 400, 800, 1600], [0.30, 0.2268, 0.175, 0.1384, 0.1125])
    >>> f"{curve.floor:.2f} {curve.scale:.1f} {curve.rate:.2f}"
    '0.05 2.5 0.50'
    """
    n, e = np.asarray(sizes, np.float64), np.asarray(errors, np.float64)
    if n.ndim != 1 or n.shape != e.shape:
        raise ValueError(f"expected sizes and errors of one shape (M,), got {n.shape} and {e.shape}")
    if not ((n > 0) & np.isfinite(n)).all() or not ((e >= 0) & (e <= 1)).all() or not 0 < level < 1:
        raise ValueError("sizes must be above 0, errors in [0, 1] and the level between 0 and 1")
    points, largest = len(n), float(n.max()) if len(n) else math.nan
    reason = ""
    if points < 5 or len(np.unique(n)) < 4:
        reason = (
            f"{points} pairs at {len(np.unique(n))} sizes: at least 5 pairs at 4 different sizes are needed"
        )
    rate, scale, floor = (math.nan,) * 3 if reason else _search(n, e)
    if not reason and not scale > 1e-12:
        reason = "the error does not fall as the pictures become more"
    elif not reason and not _LEAST * 1.01 < rate < _MOST / 1.01:
        reason = "the pairs leave open how the curve bends: more sizes, further apart, are needed"
    covariance, residual = ((), math.nan) if reason else _spread(n, e, floor, scale, rate)
    if not reason and not covariance:
        reason = "the pairs leave open how the curve bends: more sizes, further apart, are needed"
    if reason:
        floor = scale = rate = residual = math.nan
    return LearningCurve(
        floor=floor, scale=scale, rate=rate, points=points, largest=largest, residual=residual, level=level,
        reason=reason, _covariance=covariance,
    )  # fmt: skip


def _search(n: FloatArray, e: FloatArray) -> tuple[float, float, float]:
    """Exponent, scale and floor with the least sum of squares, scale and floor of at least 0."""
    from scipy.optimize import minimize_scalar

    def loss(log_rate: float) -> float:
        return _line(n, e, math.exp(log_rate))[0]

    grid = np.linspace(math.log(_LEAST), math.log(_MOST), 200)
    best = int(np.argmin([loss(one) for one in grid]))
    around = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found = minimize_scalar(loss, bounds=around, method="bounded", options={"xatol": 1e-10})
    rate = math.exp(float(found.x))
    _, scale, floor = _line(n, e, rate)
    return rate, scale, floor


def _line(n: FloatArray, e: FloatArray, rate: float) -> tuple[float, float, float]:
    """Sum of squares, scale and floor of the best line in ``n ** -rate`` without negative parts."""
    smallest = float(n.min())
    x = (n / smallest) ** -rate
    middle, mean = float(x.mean()), float(e.mean())
    scale = max(float(((x - middle) * (e - mean)).sum()) / max(float(((x - middle) ** 2).sum()), 1e-300), 0.0)
    floor = mean - scale * middle
    if floor < 0:
        floor, scale = 0.0, max(float((x * e).sum()) / float((x * x).sum()), 0.0)
    return float(((e - floor - scale * x) ** 2).sum()), scale * smallest**rate, floor


def _spread(
    n: FloatArray, e: FloatArray, floor: float, scale: float, rate: float
) -> tuple[tuple[tuple[float, ...], ...], float]:
    """Covariance of floor, scale and rate, and the residual's deviation; empty where a direction is not measured."""
    power = n**-rate
    jacobian = np.column_stack([np.ones(len(n)), power, -scale * power * np.log(n)])
    free = np.array([floor > 0, True, True])
    left = len(n) - int(free.sum())
    variance = float(((e - floor - scale * power) ** 2).sum()) / left
    units = np.linalg.norm(jacobian[:, free], axis=0)
    normal = (jacobian[:, free] / units).T @ (jacobian[:, free] / units)
    if np.linalg.cond(normal) > 1e13:
        return (), math.nan
    covariance = np.zeros((3, 3))
    covariance[np.ix_(free, free)] = variance * np.linalg.inv(normal) / np.outer(units, units)
    return tuple(tuple(row) for row in covariance.tolist()), math.sqrt(variance)
