"""Intervals and tests against statsmodels, SciPy and scikit-learn as they run."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import bootstrap
from sklearn.naive_bayes import GaussianNB
from statsmodels.genmod.families import Binomial
from statsmodels.genmod.generalized_linear_model import GLM
from statsmodels.stats._delta_method import NonlinearDeltaCov
from statsmodels.stats.contingency_tables import Table2x2
from statsmodels.stats.contingency_tables import mcnemar as other_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint, samplesize_confint_proportion

from pulmoscope.evaluation import (
    PrevalenceShift,
    brier_decomposition,
    buderer_size,
    clopper_pearson,
    diagnostic_counts,
    fit_platt,
    holm,
    mcnemar,
    per_thousand,
    percentile_interval,
    wilson,
)

PAIRS = np.array([(k, n) for n in (1, 2, 9, 60, 3432) for k in sorted({0, 1, n // 3, n - 1, n})])


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
@pytest.mark.parametrize(("ours", "theirs"), [(wilson, "wilson"), (clopper_pearson, "beta")])
def test_proportions(level: float, ours: object, theirs: str) -> None:
    found = ours(*PAIRS.T, level)  # type: ignore[operator]
    for at, (k, n) in enumerate(PAIRS):
        other = proportion_confint(k, n, alpha=1 - level, method=theirs)
        assert [one[at] for one in found] == pytest.approx(other, abs=1e-9)


def test_newcombes_worked_case() -> None:
    """81 of 263, Newcombe 1998 (Statistics in Medicine 17:857): by hand, and here by both libraries."""
    assert proportion_confint(81, 263, method="wilson") == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert [float(one) for one in wilson(81, 263)] == pytest.approx([0.2553, 0.3662], abs=5e-5)


@pytest.mark.parametrize(("first", "second"), [(1, 7), (45, 48), (0, 5), (12, 2), (30, 31)])
def test_mcnemar(first: int, second: int) -> None:
    right = np.repeat([True, False], [first, second])
    found = mcnemar(right, ~right)
    assert found.exact_p == pytest.approx(other_mcnemar([[9, first], [second, 4]], exact=True).pvalue)


def test_fagerlands_worked_case() -> None:
    """Bentur et al.'s 1 : 7 in Fagerland, Lydersen and Laake 2013 (BMC Med Res Methodol 13:91): .070 and .039."""
    found = mcnemar([True] + [False] * 7, [False] + [True] * 7)
    assert (round(found.exact_p, 3), round(found.mid_p, 3)) == (0.07, 0.039)


@pytest.mark.parametrize("seed", range(5))
def test_holm(seed: int) -> None:
    p = np.random.default_rng(seed).beta(0.3, 3, 12)
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_percentiles_are_scipys() -> None:
    values = np.random.default_rng(3).gamma(2, size=40)
    other = bootstrap((values,), np.mean, method="percentile", n_resamples=500)
    low, high, _ = percentile_interval(other.bootstrap_distribution)
    assert (low, high) == pytest.approx(tuple(other.confidence_interval))


@pytest.mark.parametrize("counts", [(90, 10, 30, 170), (45, 5, 3, 47), (8, 2, 4, 16)])
def test_likelihood_ratios(counts: tuple[int, int, int, int]) -> None:
    tp, fn, fp, tn = counts
    found = diagnostic_counts(*counts)
    for one, table in ((found.lr_positive, [[tp, fn], [fp, tn]]), (found.lr_negative, [[fn, tp], [tn, fp]])):
        other = Table2x2(np.array(table))
        assert one.value == pytest.approx(other.riskratio)
        assert (one.low, one.high) == pytest.approx(other.riskratio_confint())


@pytest.mark.parametrize("prevalence", [0.01, 0.1, 0.5])
def test_predictive_values_at_a_prevalence(prevalence: float) -> None:
    """The delta method on the logit, its derivatives by differences."""
    found = per_thousand(diagnostic_counts(90, 10, 30, 170), prevalence)
    rates = np.array([0.9, 0.85])
    covariance = np.diag([0.9 * 0.1 / 100, 0.85 * 0.15 / 200])

    def logits(at: np.ndarray) -> np.ndarray:
        ill, well = prevalence, 1 - prevalence
        return np.log([at[0] * ill / ((1 - at[1]) * well), at[1] * well / ((1 - at[0]) * ill)])

    bounds = NonlinearDeltaCov(logits, rates, covariance).conf_int(alpha=0.05)
    for one, logit, (low, high) in zip((found.ppv, found.npv), logits(rates), bounds, strict=True):
        expected = [1 / (1 + np.exp(-each)) for each in (logit, low, high)]
        assert [one.value, one.low, one.high] == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(("rate", "width", "level"), [(0.9, 0.05, 0.95), (0.85, 0.03, 0.9), (0.5, 0.1, 0.99)])
def test_sample_sizes(rate: float, width: float, level: float) -> None:
    other = samplesize_confint_proportion(rate, width, alpha=1 - level, method="normal")
    assert buderer_size(rate, width, level) == int(np.ceil(other))


def test_platts_curve_is_a_glm_of_his_targets() -> None:
    random = np.random.default_rng(4)
    truth = random.random(300) < 0.4
    score = np.clip(random.normal(0.4 + 0.2 * truth, 0.2), 0.01, 0.99)
    found = fit_platt(truth.astype(int), np.column_stack([1 - score, score]))
    targets = np.where(truth, (truth.sum() + 1) / (truth.sum() + 2), 1 / ((~truth).sum() + 2))
    design = np.column_stack([np.ones(300), np.log(score / (1 - score))])
    other = GLM(targets, design, family=Binomial()).fit(tol=1e-12)
    assert [*found.intercepts, *found.slopes] == pytest.approx(list(other.params), abs=1e-7)


def test_another_prevalence_is_naive_bayes_with_other_priors() -> None:
    random = np.random.default_rng(5)
    truth = random.integers(0, 3, 200)
    x = random.normal(size=(200, 2)) + truth[:, None]
    old, new = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.1, 0.8])
    model = GaussianNB(priors=old).fit(x, truth)
    before = model.predict_proba(x)
    model.class_prior_ = new
    shifted = PrevalenceShift(old=tuple(old), new=tuple(new)).apply(before)
    assert shifted == pytest.approx(model.predict_proba(x))


def test_murphys_parts_are_those_of_a_grouped_frame() -> None:
    random = np.random.default_rng(6)
    frame = pd.DataFrame({"forecast": random.integers(0, 11, 500) / 10})
    frame["happened"] = random.random(500) < frame["forecast"] ** 1.5
    by = frame.groupby("forecast")["happened"].agg(["mean", "size"])
    share = frame["happened"].mean()
    found = brier_decomposition(frame["happened"], frame["forecast"], bins=None)
    assert found.reliability == pytest.approx(np.average((by.index - by["mean"]) ** 2, weights=by["size"]))
    assert found.resolution == pytest.approx(np.average((by["mean"] - share) ** 2, weights=by["size"]))
    assert found.uncertainty == pytest.approx(frame["happened"].var(ddof=0))
