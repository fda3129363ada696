"""The learning curve: known parameters come back, SciPy agrees, intervals cover, and what is undefined is said."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy.optimize import curve_fit
from scipy.stats import t

from pulmoscope.evaluation.learning_curve import fit_learning_curve

SIZES = np.array([50, 100, 200, 400, 800, 1600, 3200], float)


def law(n: np.ndarray, floor: float, scale: float, rate: float) -> np.ndarray:
    return floor + scale * n**-rate


def test_exact_points_by_hand() -> None:
    # .1 + 4 / n: .14 at 100, .10004 at 100,000, and .12 at 200.
    found = fit_learning_curve(SIZES, 0.1 + 4 / SIZES)
    assert (found.floor, found.scale, found.rate) == pytest.approx((0.1, 4, 1), rel=1e-4)
    assert found.error_at(200)[0] == pytest.approx(0.12)
    assert (found.points, found.largest) == (7, 3200)
    assert found.size_for(0.12) == pytest.approx(200, rel=1e-3)
    assert math.isnan(found.size_for(0.1 - 1e-3))


def test_agrees_with_scipy() -> None:
    rng = np.random.default_rng(3)
    n = np.repeat(SIZES, 3)
    e = law(n, 0.06, 1.5, 0.45) + rng.normal(0, 0.004, len(n))
    found = fit_learning_curve(n, e)
    values, covariance = curve_fit(law, n, e, p0=(0.05, 1, 0.5), maxfev=20_000, ftol=1e-14, xtol=1e-14)
    assert (found.floor, found.scale, found.rate) == pytest.approx(values, rel=1e-4)
    value, low, high = found.error_at(10_000)
    slope = np.array([1, 1e4 ** -values[2], -values[1] * 1e4 ** -values[2] * math.log(1e4)])
    half = t.ppf(0.975, len(n) - 3) * math.sqrt(slope @ covariance @ slope)
    assert (value - low, high - value) == pytest.approx((half, half), rel=1e-3)


def test_order_and_repetition_change_no_curve() -> None:
    rng = np.random.default_rng(5)
    e = law(SIZES, 0.1, 2, 0.6) + rng.normal(0, 0.003, 7)
    first, order = fit_learning_curve(SIZES, e), rng.permutation(7)
    second = fit_learning_curve(SIZES[order], e[order])
    assert second.error_at(5000) == pytest.approx(first.error_at(5000), rel=1e-6)
    doubled = fit_learning_curve(np.tile(SIZES, 2), np.tile(e, 2))
    assert doubled.error_at(5000)[0] == pytest.approx(first.error_at(5000)[0], rel=1e-6)


def test_intervals_cover() -> None:
    rng = np.random.default_rng(7)
    n = np.repeat(SIZES, 4)
    true, inside, defined = float(law(np.array([6400.0]), 0.08, 2, 0.5)[0]), 0, 0
    for _ in range(150):
        found = fit_learning_curve(n, np.clip(law(n, 0.08, 2, 0.5) + rng.normal(0, 0.01, len(n)), 0, 1))
        defined += not found.reason
        _, low, high = found.error_at(6400)
        inside += low <= true <= high
    assert defined >= 145
    assert 0.88 <= inside / defined <= 0.99


def test_a_floor_of_0_is_kept_at_its_bound() -> None:
    rng = np.random.default_rng(0)
    found = fit_learning_curve(SIZES, np.maximum(2 * SIZES**-0.5 - 0.02 + rng.normal(0, 1e-4, 7), 0))
    assert found.floor == 0
    value, low, high = found.error_at(6400)
    assert 0 <= low <= value <= high <= 1


@pytest.mark.parametrize(
    ("sizes", "errors", "said"),
    [
        ([], [], "0 pairs at 0 sizes"),
        ([10, 20, 40, 80], [0.4, 0.3, 0.2, 0.15], "at least 5 pairs"),
        ([10, 10, 20, 20, 40, 40], [0.4, 0.4, 0.3, 0.3, 0.2, 0.2], "4 different sizes"),
        (SIZES, np.linspace(0.1, 0.4, 7), "does not fall"),
        (SIZES, np.full(7, 0.2), "does not fall"),
        (SIZES, 0.5 * SIZES**-0.005, "leave open"),
        (SIZES, [0.5, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1], "leave open"),
    ],
)
def test_where_there_is_no_curve_it_says_why(sizes: object, errors: object, said: str) -> None:
    found = fit_learning_curve(sizes, errors)  # type: ignore[arg-type]
    assert said in found.reason
    assert math.isnan(found.rate)
    assert all(math.isnan(one) for one in found.error_at(1000))
    assert math.isnan(found.size_for(0.05))
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["rate"] is None


def test_refuses_what_is_no_error() -> None:
    with pytest.raises(ValueError, match="errors in"):
        fit_learning_curve([1, 2], [0.1, 1.5])
    with pytest.raises(ValueError, match="one shape"):
        fit_learning_curve([1, 2], [0.1])
    with pytest.raises(ValueError, match="above 0"):
        fit_learning_curve(SIZES, 0.1 + 4 / SIZES).error_at(0)
