"""Wald's test of means over the classes between subgroups: by hand, against Student's t and a simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import chi2

from pulmoscope.evaluation.influence import freedom
from pulmoscope.evaluation.mean_gap import level_influence, mean_gap, recall_influence


def test_two_levels_by_hand() -> None:
    # Variances .0008 and .0018, times 4 / 3: a standard error of .05888 for a difference of .2. Contributions of
    # kurtosis 4 * (2 * .02^4 + 2 * .03^4) / .0026^2 = 1.148: 2 * 4 / .148 is above 3 degrees of freedom.
    found = mean_gap([0.7, 0.9], [[0.02, -0.02, 0, 0], [0, 0, 0.03, -0.03]], 4)
    assert (found.low, found.high) == pytest.approx(
        (0.2 - 3.182446 * 0.058878, 0.2 + 3.182446 * 0.058878), abs=1e-5
    )
    assert found.p == pytest.approx(0.0424, abs=1e-3)


def test_the_order_of_levels_and_of_groups_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    values, moved = [0.8, 0.6, 0.7], rng.normal(size=(3, 40)) / 300
    found = mean_gap(values, moved, 40)
    for levels in ([1, 2, 0], [2, 0, 1]):
        turned = mean_gap([values[at] for at in levels], moved[levels][:, ::-1], 40)
        assert (turned.low, turned.high, turned.p) == pytest.approx((found.low, found.high, found.p))


def test_of_many_groups_it_is_the_chi_squared_test_of_independent_values() -> None:
    rng = np.random.default_rng(1)
    moved = np.zeros((3, 6000))
    for at in range(3):
        moved[at, 2000 * at : 2000 * (at + 1)] = rng.normal(size=2000) * (1 + at) / 4000
    values = [0.80, 0.82, 0.85]
    weights = 1 / (moved**2).sum(axis=1)
    common = weights @ values / weights.sum()
    expected = chi2.sf((weights * (np.array(values) - common) ** 2).sum(), 2)
    assert 0.001 < expected < 0.9
    assert mean_gap(values, moved, 6000).p == pytest.approx(expected, rel=0.02)


def test_without_spread_there_is_no_test() -> None:
    for values, moved, groups in (
        ([0.5, 1.0], [[0.1, -0.1], [0.0, 0.0]], 2),
        ([0.5, 0.7], [[0.1, -0.1], [np.nan, 0.1]], 2),
        ([0.5, 0.7], [[0.1], [0.2]], 1),
    ):
        assert math.isnan(mean_gap(values, moved, groups).p)


def test_what_a_group_adds_to_the_balanced_accuracy_is_its_slope() -> None:
    rng = np.random.default_rng(3)
    truth, said, codes = rng.integers(0, 3, 60), rng.integers(0, 3, 60), rng.integers(0, 20, 60)
    found = recall_influence(truth, said, codes, 20)

    def balanced(weights: np.ndarray) -> float:
        rows = weights[codes]
        return float(np.mean([np.average(said[truth == k] == k, weights=rows[truth == k]) for k in range(3)]))

    for group in (0, 5, 19):
        step = np.zeros(20)
        step[group] = 1e-5
        assert found[group] == pytest.approx((balanced(1 + step) - balanced(1 - step)) / 2e-5, abs=1e-8)
    assert np.isnan(level_influence("macro_auroc", truth, said, None, codes, 20, np.ones(60, bool))).all()


def test_where_nothing_differs_one_in_twenty_is_found() -> None:
    rng = np.random.default_rng(4)
    found = []
    for _ in range(600):
        truth, level = rng.integers(0, 2, 240), rng.integers(0, 3, 240)
        codes = np.sort(rng.integers(0, 120, 240))
        # Pictures of a patient share their fate in part.
        luck = 0.6 * rng.normal(size=120)[codes] + 0.8 * rng.normal(size=240)
        said = np.where(luck < 0.8, truth, 1 - truth)
        rows = [level == at for at in range(3)]
        values = [
            float(np.mean([(said[here & (truth == k)] == k).mean() for k in range(2)])) for here in rows
        ]
        moved = [level_influence("balanced_accuracy", truth, said, None, codes, 120, here) for here in rows]
        found.append(mean_gap(values, moved, len(np.unique(codes))).p)
    assert np.mean(np.array(found) < 0.05) == pytest.approx(0.05, abs=0.025)
    assert freedom(np.zeros(5)) == 4
