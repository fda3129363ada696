"""The Brier score and its parts: by hand, against scikit-learn, and as an identity."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss

from pulmoscope.evaluation.brier import brier_by_class, brier_decomposition, brier_score


def test_by_hand() -> None:
    # Forecast .2 four times, once true; forecast .8 four times, three times true; overall share 1/2.
    happened = [1, 0, 0, 0, 1, 1, 1, 0]
    found = brier_decomposition(happened, [0.2] * 4 + [0.8] * 4, bins=None)
    assert found.reliability == pytest.approx(0.05**2)
    assert found.resolution == pytest.approx(0.25**2)
    assert found.uncertainty == 0.25
    assert found.within == 0
    assert found.score == pytest.approx(0.0025 - 0.0625 + 0.25)
    assert found.bins == 2


def test_what_differs_within_a_bin_by_hand() -> None:
    # One bin of forecasts .2 (false) and .6 (true): mean .4, share 1/2.
    found = brier_decomposition([0, 1], [0.2, 0.6], bins=1)
    assert found.score == pytest.approx((0.04 + 0.16) / 2)
    assert (found.reliability, found.resolution) == (pytest.approx(0.01), 0)
    assert found.within == pytest.approx(0.04 - 2 * 0.1)


def test_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth, scores = rng.integers(0, 3, 200), rng.dirichlet(np.ones(3), 200)
    whole = brier_score_loss(truth, scores, labels=[0, 1, 2], scale_by_half=False)
    assert brier_score(truth, scores) == pytest.approx(whole)
    for index, one in enumerate(brier_by_class(truth, scores)):
        assert one.score == pytest.approx(brier_score_loss(truth == index, scores[:, index]))


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(1, 60),
    bins=st.one_of(st.none(), st.integers(1, 12)),
    binning=st.sampled_from(["width", "mass"]),
    digits=st.integers(1, 12),
)
def test_the_parts_sum_to_the_score(
    seed: int, rows: int, bins: int | None, binning: str, digits: int
) -> None:
    rng = np.random.default_rng(seed)
    truth, scores = rng.integers(0, 3, rows), rng.dirichlet(np.ones(3), rows).round(digits)
    found = brier_by_class(truth, scores, bins, binning)  # type: ignore[arg-type]
    for one in found:
        parts = one.reliability - one.resolution + one.uncertainty + one.within
        assert parts == pytest.approx(one.score, abs=1e-12)
        assert min(one.reliability, one.resolution, one.uncertainty) >= 0
        assert one.resolution <= one.uncertainty + 1e-12
    assert sum(one.score for one in found) == pytest.approx(brier_score(truth, scores))


def test_perfect_and_empty() -> None:
    found = brier_decomposition([0, 1, 1], [0.0, 1.0, 1.0], bins=None)
    assert (found.score, found.reliability) == (0, 0)
    assert found.resolution == pytest.approx(found.uncertainty)
    nothing = brier_decomposition([], [])
    assert math.isnan(nothing.score)
    assert nothing.as_dict()["reliability"] is None
    assert math.isnan(brier_score([], np.empty((0, 2))))
    with pytest.raises(ValueError, match="one shape"):
        brier_decomposition([0, 1], [0.5])
