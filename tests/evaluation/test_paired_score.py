"""Tango's score interval against a generic optimiser, its closed form where there is one, and its coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import norm

from pulmoscope.evaluation.paired_score import paired_score_interval

Z = norm.ppf(0.975)


def statistic(only_first: int, only_second: int, n: int, d: float) -> float:
    """From the likelihood itself: the constrained maximum by a generic optimiser, then the score."""

    def minus_likelihood(q: float) -> float:
        chances, counts = (q, q + d, 1 - 2 * q - d), (only_first, only_second, n - only_first - only_second)
        return -sum(k * math.log(max(p, 1e-300)) for p, k in zip(chances, counts, strict=True) if k)

    least, most = max(0.0, -d), (1 - d) / 2
    q = minimize_scalar(minus_likelihood, bounds=(least, most), method="bounded", options={"xatol": 1e-12}).x
    return (only_second - only_first - n * d) / math.sqrt(n * (2 * q + d * (1 - d)))


@pytest.mark.parametrize(
    ("first", "second", "n"), [(2, 12, 54), (45, 48, 3432), (5, 1, 20), (10, 10, 40), (30, 3, 40)]
)
def test_inverts_the_score_test(first: int, second: int, n: int) -> None:
    low, high = paired_score_interval(first, second, n)
    observed = (second - first) / n
    assert high == pytest.approx(
        brentq(lambda d: statistic(first, second, n, d) + Z, observed, 0.9999), abs=1e-5
    )
    assert low == pytest.approx(
        brentq(lambda d: statistic(first, second, n, d) - Z, -0.9999, observed), abs=1e-5
    )


def test_by_hand() -> None:
    # Without any difference in n pictures the interval reaches to z^2 / (n + z^2).
    edge = Z**2 / (20 + Z**2)
    assert paired_score_interval(0, 0, 20) == (pytest.approx(-edge), pytest.approx(edge))
    assert np.isnan(paired_score_interval(0, 0, 0)).all()
    assert paired_score_interval(0, 7, 7)[1] == 1.0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 200))
def test_holds_the_difference_and_mirrors(first: int, second: int, rest: int) -> None:
    n = first + second + rest
    if not n:
        return
    low, high = paired_score_interval(first, second, n)
    assert -1 <= low <= (second - first) / n + 1e-9
    assert (second - first) / n - 1e-9 <= high <= 1
    assert paired_score_interval(second, first, n) == (pytest.approx(-high), pytest.approx(-low))
    wide = paired_score_interval(first, second, n, level=0.99)
    assert wide[0] <= low <= high <= wide[1]


def test_coverage_of_small_samples() -> None:
    # All outcomes of 40 pictures, weighed by their chance: no simulation. The bootstrap of no difference has none.
    n, chances = 40, (0.05, 0.12)
    held = total = 0.0
    for b in range(n + 1):
        for c in range(n + 1 - b):
            weight = math.exp(
                math.lgamma(n + 1) - math.lgamma(b + 1) - math.lgamma(c + 1) - math.lgamma(n - b - c + 1)
                + c * math.log(chances[0]) + b * math.log(chances[1])
                + (n - b - c) * math.log(1 - sum(chances))
            )  # fmt: skip
            if weight < 1e-7:
                continue
            low, high = paired_score_interval(c, b, n)
            total += weight
            held += weight * (low <= chances[1] - chances[0] <= high)
    assert total > 0.9999
    assert 0.93 <= held <= 0.97


@pytest.mark.parametrize(
    ("first", "second", "n", "level"), [(-1, 0, 5, 0.95), (3, 3, 5, 0.95), (1, 1, 5, 1.0)]
)
def test_refuses_what_does_not_fit(first: int, second: int, n: int, level: float) -> None:
    with pytest.raises(ValueError, match="must"):
        paired_score_interval(first, second, n, level=level)
