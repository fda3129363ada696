"""Sample sizes: Buderer's formula, Wilson's width by brute force, and the chance to get enough of both kinds."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from pulmoscope.errors import PulmoscopeError
from pulmoscope.evaluation import wilson
from pulmoscope.evaluation.planning import buderer_size, plan_study, wilson_size


def test_buderer_by_hand_and_by_statsmodels() -> None:
    # 1.96^2 * .9 * .1 / .05^2 = 138.3, and 139 / .2 = 695; 1.96^2 * .9 * .1 / .05^2 / .8 = 173.75.
    plan = plan_study(sensitivity=0.9, specificity=0.9, half_width=0.05, prevalence=0.2)
    assert (plan.buderer.diseased, plan.buderer.healthy, plan.buderer.total) == (139, 139, 695)
    # statsmodels 0.15, samplesize_confint_proportion: 138.29251754498853 and 383.28532266351715.
    assert buderer_size(0.9, 0.05) == 139
    assert buderer_size(0.85, 0.03, level=0.9) == 384


def test_what_the_formula_says_nothing_of() -> None:
    plan = plan_study(sensitivity=1.0, specificity=0.9, half_width=0.05, prevalence=0.2)
    assert plan.buderer.diseased is None
    assert plan.buderer.total is None
    # Of n of n Wilson's interval is n / (n + z^2) to 1, so n = z^2 (1 - 2w) / (2w) = 34.6.
    assert plan.wilson.diseased == 35
    assert "undefined" in str(plan)
    assert "no size for a rate of 0 or 1" in str(plan)
    asked = plan_study(sensitivity=0.9, specificity=0.9, half_width=0.2, prevalence=0.5, level=0.999)
    assert str(asked).startswith("99.9% intervals")
    assert "no size" not in str(plan_study(sensitivity=0.9, specificity=0.9, half_width=0.05, prevalence=0.2))
    json.dumps(plan.as_dict(), allow_nan=False)


@pytest.mark.parametrize("proportion", [0.0, 0.02, 0.31, 0.5, 0.9, 0.983, 1.0])
@pytest.mark.parametrize("width", [0.2, 0.07, 0.05, 0.031])
def test_wilsons_size_by_brute_force(proportion: float, width: float) -> None:
    sizes = np.arange(1, 4000)
    low, high = wilson(np.floor(proportion * sizes + 0.5), sizes)
    wide = (high - low) / 2 > width + 1e-12
    assert wilson_size(proportion, width) == (sizes[wide][-1] + 1 if wide.any() else 1)


def test_wilsons_size_by_scipy() -> None:
    def half(n: int) -> float:
        found = binomtest(int(np.floor(0.9 * n + 0.5)), n).proportion_ci(0.95, "wilson")
        return (found.high - found.low) / 2

    n = wilson_size(0.9, 0.05)
    assert half(n - 1) > 0.05
    assert all(half(n + more) <= 0.05 for more in range(300))


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 1), st.floats(0.005, 0.3), st.sampled_from([0.8, 0.95, 0.99]))
def test_narrower_and_surer_need_more(proportion: float, width: float, level: float) -> None:
    n = wilson_size(proportion, width, level)
    assert n >= 1
    assert wilson_size(proportion, width * 0.8, level) >= n
    assert wilson_size(proportion, width, 0.995) >= n
    # Rounding of the observed proportion may favour one side a little.
    assert abs(wilson_size(1 - proportion, width, level) - n) <= 12


def test_assurance_by_simulation() -> None:
    plan = plan_study(sensitivity=0.9, specificity=0.9, half_width=0.08, prevalence=0.2, assurance=0.9)
    assert plan.wilson.assured is not None
    assert plan.wilson.total is not None
    assert plan.wilson.assured > plan.wilson.total
    came = np.random.default_rng(0).binomial(plan.wilson.assured, 0.2, 40_000)
    enough = (came >= plan.wilson.diseased) & (plan.wilson.assured - came >= plan.wilson.healthy)
    assert enough.mean() == pytest.approx(0.905, abs=0.01)
    fewer = np.random.default_rng(1).binomial(plan.wilson.total, 0.2, 40_000)
    assert (fewer >= plan.wilson.diseased).mean() < 0.65


def test_all_mistakes_in_one_line() -> None:
    with pytest.raises(PulmoscopeError) as error:
        plan_study(sensitivity=1.2, specificity=0.9, half_width=0.0, prevalence=1.0)
    said = str(error.value)
    assert "sensitivity, half-width, prevalence out of range" in said
    assert "\n" not in said
