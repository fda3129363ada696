"""One AUROC's interval by DeLong against its definition, hand-worked cases and properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import brunnermunzel, norm, t
from sklearn.metrics import roc_auc_score

from pulmoscope.evaluation import auroc, delong_paired
from pulmoscope.evaluation.delong import delong_interval


def data(seed: int, rows: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    positive = rng.random(rows) < 0.4
    positive[:4] = [True, True, False, False]
    return positive, (rng.random(rows) + 0.4 * positive).round(1)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_equals_the_definition_pair_by_pair(seed: int) -> None:
    positive, scores = data(seed)
    wins = (scores[positive][:, None] > scores[~positive]) + 0.5 * (
        scores[positive][:, None] == scores[~positive]
    )
    se = math.sqrt(
        wins.mean(axis=1).var(ddof=1) / wins.shape[0] + wins.mean(axis=0).var(ddof=1) / wins.shape[1]
    )
    found = delong_interval(positive, scores, level=0.9, scale="plain")
    assert found.value == pytest.approx(roc_auc_score(positive, scores))
    assert found.value == pytest.approx(auroc(positive, scores))
    assert found.se == pytest.approx(se)
    half = norm.ppf(0.95) * se
    assert (found.low, found.high) == (
        pytest.approx(max(0, wins.mean() - half)),
        pytest.approx(min(1, wins.mean() + half)),
    )
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_by_hand() -> None:
    # Positives .9 and .8 beat all three negatives, .3 beats two: shares 1, 1, 2/3; the negatives' 2/3, 1, 1.
    found = delong_interval([1, 1, 1, 0, 0, 0], [0.9, 0.8, 0.3, 0.4, 0.2, 0.1], scale="plain")
    assert found.value == pytest.approx(8 / 9)
    assert found.se == pytest.approx(math.sqrt(2 * (1 / 27) / 3))
    assert found.high == 1.0
    # The log-odds of 8/9 are log 8; their error is se / (8/9 * 1/9). Two equal variances of three: 2 + 2 degrees.
    odds = [8 * math.exp(sign * t.ppf(0.975, 4) * found.se * 81 / 8) for sign in (-1, 1)]
    on_logits = delong_interval([1, 1, 1, 0, 0, 0], [0.9, 0.8, 0.3, 0.4, 0.2, 0.1])
    assert (on_logits.low, on_logits.high) == pytest.approx([one / (1 + one) for one in odds])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_the_interval_mirrors_and_stays_inside(seed: int) -> None:
    positive, scores = data(seed)
    found, turned = delong_interval(positive, scores), delong_interval(~positive, scores)
    assert 0 < found.low < found.value < found.high < 1
    assert (turned.low, turned.high) == pytest.approx((1 - found.high, 1 - found.low))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_students_t_is_that_of_brunner_and_munzels_test(seed: int) -> None:
    positive, scores = data(seed)
    found = delong_interval(positive, scores)
    reach = (math.log(found.high / (1 - found.high)) - math.log(found.value / (1 - found.value))) / (
        found.se / (found.value * (1 - found.value))
    )
    # The degrees of freedom that the interval was made with.
    degrees = brentq(lambda one: t.ppf(0.975, one) - reach, 1, 1e4)
    other = brunnermunzel(scores[~positive], scores[positive])
    assert 2 * t.sf(abs(found.value - 0.5) / found.se, degrees) == pytest.approx(other.pvalue, rel=1e-6)


def test_against_a_constant_score_the_paired_form_has_the_same_error() -> None:
    positive, scores = data(3)
    paired = delong_paired(positive, np.zeros(len(scores)), scores)
    assert delong_interval(positive, scores).se == pytest.approx(paired.se)


@pytest.mark.parametrize(
    ("positive", "scores", "value"),
    [
        ([1, 1, 1], [0.1, 0.2, 0.3], math.nan),
        ([], [], math.nan),
        ([1, 0, 1, 0], [0.1, 0.2, math.nan, 0.4], math.nan),
        ([1, 0, 0], [0.5, 0.2, 0.7], 0.5),
        ([1, 1, 0, 0], [0.9, 0.8, 0.2, 0.1], 1.0),
        ([1, 1, 0, 0], [0.5] * 4, 0.5),
    ],
    ids=["one-side", "empty", "nan", "one-positive", "all-parted", "constant"],
)
def test_bounds_without_spread_are_undefined(positive: list[int], scores: list[float], value: float) -> None:
    found = delong_interval(positive, scores)
    assert found.value == pytest.approx(value, nan_ok=True)
    assert np.isnan([found.low, found.high]).all()


def test_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="one shape"):
        delong_interval([1, 0], [0.5])
    with pytest.raises(ValueError, match="level"):
        delong_interval([1, 0], [0.5, 0.4], level=1.0)
    with pytest.raises(ValueError, match="scale must be one of logit, plain"):
        delong_interval([1, 0], [0.5, 0.4], scale="probit")  # type: ignore[arg-type]
