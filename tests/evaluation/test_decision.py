"""Decision curves: the reference formula to 1e-9, against dcurves, and what must hold of any."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from scipy.stats import t as student

from pulmoscope.evaluation.decision import decision_curve, net_benefit

CUTS = np.array([0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9])


def pictures() -> tuple[np.ndarray, np.ndarray]:
    """60 pictures, as the golden values below have them."""
    rng = np.random.default_rng(11)
    truth = rng.random(60) < 0.3
    return truth, np.round(np.clip(rng.normal(0.3 + 0.3 * truth, 0.2), 0.01, 0.99), 3)


def test_by_hand() -> None:
    # 3 diseased of 10; at .2 two of them and one healthy are called: 2/10 - 1/10 * .2/.8.
    truth = [1, 1, 1] + [0] * 7
    scores = [0.9, 0.2, 0.1, 0.5] + [0.1] * 6
    assert net_benefit(truth, scores, [0.2])[0] == pytest.approx(0.2 - 0.1 * 0.25, abs=1e-15)
    curve = decision_curve(truth, scores, thresholds=[0.2], replicates=0)
    assert curve.treat_all[0] == pytest.approx(0.3 - 0.7 * 0.25, abs=1e-15)
    assert np.isnan(curve.low).all()


def test_agrees_with_dcurves() -> None:
    """dcurves 1.1.7, ``dca(data, outcome="y", modelnames=["m"], thresholds=CUTS)``."""
    truth, scores = pictures()
    found = decision_curve(truth, scores, thresholds=CUTS, replicates=0)
    assert found.model == pytest.approx(
        [0.357018, 0.32963, 0.275, 0.238095, 0.166667, 0.038889, 0.033333], abs=6e-7
    )
    assert found.treat_all == pytest.approx(
        [0.350877, 0.314815, 0.229167, 0.119048, -0.233333, -1.055556, -5.166667], abs=6e-7
    )


def test_another_prevalence_agrees_with_dcurves() -> None:
    """The same with ``prevalence=0.1``."""
    truth, scores = pictures()
    found = decision_curve(truth, scores, thresholds=CUTS, replicates=0, prevalence=0.1)
    assert found.model == pytest.approx([
        0.06159317211948791, 0.021621621621621623, -0.058108108108108125, -0.0919926137317442, -0.11633372502937721,
        -0.08307873090481785, 0.008695652173913044,
    ], abs=1e-9)  # fmt: skip
    assert found.treat_all == pytest.approx(
        [0.052631578947368425, 0.0, -0.125, -0.2857142857142857, -0.8, -2, -8], abs=1e-9
    )


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10**6), rows=st.integers(1, 60), digits=st.integers(1, 6))
def test_equals_the_reference_formula(seed: int, rows: int, digits: int) -> None:
    rng = np.random.default_rng(seed)
    truth, scores = rng.random(rows) < 0.4, rng.random(rows).round(digits)
    cuts = rng.permutation(np.concatenate([rng.random(7).round(digits) * 0.99, scores[:2] * 0.99, [0.0]]))
    found = net_benefit(truth, scores, cuts)
    for cut, value in zip(cuts, found, strict=True):
        called = scores >= cut
        true, false = int((called & truth).sum()), int((called & ~truth).sum())
        assert abs(value - (true / rows - false / rows * cut / (1 - cut))) < 1e-9
        assert value <= truth.mean() + 1e-12
    own = decision_curve(truth, scores, thresholds=cuts, prevalence=float(truth.mean()), replicates=0)
    if 0 < truth.mean() < 1:
        assert own.model == pytest.approx(found, abs=1e-9)


def test_at_threshold_0_all_are_treated_and_a_perfect_model_gains_the_prevalence() -> None:
    truth, scores = pictures()
    curve = decision_curve(truth, scores, thresholds=[0.0], replicates=0)
    assert curve.model[0] == curve.treat_all[0] == truth.mean()
    assert net_benefit(truth, truth.astype(float), CUTS) == pytest.approx(np.full(7, truth.mean()))


def test_the_band_covers_as_a_loop_over_patients_does() -> None:
    truth, scores = pictures()
    groups = np.arange(60) // 3
    found = decision_curve(truth, scores, thresholds=CUTS, groups=groups, replicates=300, seed=4)
    rng, drawn = np.random.default_rng(4), []
    for _ in range(300):
        rows = np.concatenate([np.flatnonzero(groups == one) for one in rng.integers(0, 20, 20)])
        drawn.append(net_benefit(truth[rows], scores[rows], CUTS))
    tail = norm.cdf(-np.sqrt(20 / 19) * student.ppf(0.975, 19))
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
    assert found.low == pytest.approx(low)
    assert found.high == pytest.approx(high)
    assert found.groups == 20
    order = rng.permutation(60)
    again = decision_curve(
        truth[order], scores[order], thresholds=CUTS, groups=groups[order], replicates=300, seed=4
    )
    assert again.low == pytest.approx(found.low)


@pytest.mark.slow
def test_simulated_coverage_of_the_band() -> None:
    rng = np.random.default_rng(0)
    big = rng.random(400_000)
    true = net_benefit(rng.random(400_000) < big, big, [0.2, 0.5])
    inside = []
    for seed in range(400):
        scores = rng.random(300)
        found = decision_curve(
            rng.random(300) < scores, scores, thresholds=[0.2, 0.5], replicates=400, seed=seed
        )
        inside.append((found.low <= true) & (true <= found.high))
    assert np.mean(inside) == pytest.approx(0.95, abs=0.02)


def test_nothing_is_undefined_not_0() -> None:
    nothing = decision_curve([], [], thresholds=CUTS)
    assert np.isnan(nothing.model).all()
    assert nothing.as_dict()["model"] == [None] * 7
    json.dumps(nothing.as_dict(), allow_nan=False)
    assert np.isnan(decision_curve([True], [0.5], thresholds=CUTS).low).all()
    assert np.isnan(net_benefit([True, True], [0.5, 0.6], CUTS, prevalence=0.1)).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"thresholds": [1.0]}, "thresholds"),
        ({"thresholds": [-0.1]}, "thresholds"),
        ({"thresholds": [0.1], "prevalence": 2.0}, "prevalence"),
        ({"level": 1.0}, "level"),
        ({"groups": [1]}, "groups"),
    ],
)
def test_refuses_what_is_out_of_range(options: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        decision_curve([True, False], [0.5, 0.2], **options)
