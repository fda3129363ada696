"""Proportions of patients with several pictures: the effective sample size, and intervals that it makes right."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, kurtosis, t
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.proportion import proportion_confint

from pulmoscope.evaluation import (
    clopper_pearson,
    diagnostic,
    effective_size,
    evaluate,
    event_reliability,
    wilson,
)
from pulmoscope.evaluation.clustered import clustered_interval, clustered_share
from pulmoscope.evaluation.four_counts import Diagnostic
from pulmoscope.evaluation.predictions import Predictions


def drawn(
    patients: int, rate: float, alike: float, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Right pictures and pictures of each patient of 1 to 6; with chance ``alike`` all of a patient's share a fate."""
    pictures = random.integers(1, 7, patients)
    apart = random.binomial(pictures, rate)
    together = pictures * (random.random(patients) < rate)
    return np.where(random.random(patients) < alike, together, apart), pictures


def test_four_patients_by_hand() -> None:
    # p = 6/8; residuals k - p n: .5, .5, -1.5, .5, squares 3; variance 4/3 * 3 / 64 = 1/16 against .1875 / 7. Student's
    # t of 3 degrees of freedom would leave 8 / (7 / 3) * (2.365 / 3.182)^2 = 1.9; the design effect is 2 at most, so
    # what is seen of it, 7/3, is taken without.
    assert effective_size([2, 2, 0, 2], [2, 2, 2, 2]) == pytest.approx(8 / (7 / 3))
    # Patients half right each are worth more than one trial: p = .5, no residual, Student's t alone.
    t15, t3 = 2.131450, 3.182446
    assert effective_size([2] * 4, [4] * 4) == pytest.approx(16 * (t15 / t3) ** 2, rel=1e-6)
    # All right: the design effect is the largest, sum n_g^2 / n = (4 + 4 + 1) / 5.
    assert effective_size([2, 2, 1], [2, 2, 1]) == pytest.approx(25 / 9)


@pytest.mark.parametrize("right", [0, 3, 10])
def test_patients_count_once_at_worst(right: int) -> None:
    """Two patients of ten pictures that are all right are two trials, and one patient is one."""
    assert effective_size([10, 10], [10, 10]) == pytest.approx(2)
    assert effective_size([right], [10]) == pytest.approx(1)
    # One right throughout and one wrong differ more than two trials would on average, by G / (G - 1).
    assert effective_size([0, 10], [10, 10]) == pytest.approx(20 / 19)
    low, high = clustered_interval(wilson, 20, 20, effective_size([10, 10], [10, 10]))
    assert (low, high) == pytest.approx(proportion_confint(2, 2, method="wilson"))


def test_the_variance_is_statsmodels_cluster_robust_one() -> None:
    """And its degrees of freedom are Satterthwaite's of SciPy's kurtosis of what each patient adds."""
    right, pictures = drawn(50, 0.8, 0.6, np.random.default_rng(3))
    codes = np.repeat(np.arange(50), pictures)
    hits = np.concatenate([np.r_[np.ones(k), np.zeros(n - k)] for k, n in zip(right, pictures, strict=True)])
    total = len(hits)
    fit = OLS(hits, np.ones(total)).fit(
        cov_type="cluster", cov_kwds={"groups": codes, "use_correction": False}
    )
    robust = float(fit.bse[0]) ** 2 * 50 / 49
    share = hits.mean()
    deff = robust / (share * (1 - share) / (total - 1))
    assert deff > 1.5
    freedom = 2 * 50 / (kurtosis(right - share * pictures, fisher=False) - 1)
    assert 8 < freedom < 48
    wanted = total / deff * (t.ppf(0.975, total - 1) / t.ppf(0.975, freedom)) ** 2
    found = effective_size(right, pictures)
    assert found == pytest.approx(wanted, rel=1e-9)
    low, high = clustered_interval(wilson, hits.sum(), total, found)
    assert (low, high) == pytest.approx(proportion_confint(share * wanted, wanted, method="wilson"), rel=1e-9)
    low, high = clustered_interval(clopper_pearson, hits.sum(), total, found)
    k = share * wanted
    assert (low, high) == pytest.approx(
        (beta.ppf(0.025, k, wanted - k + 1), beta.ppf(0.975, k + 1, wanted - k)), rel=1e-9
    )


def test_one_patient_s_mistakes_leave_eight_degrees_of_freedom() -> None:
    # 99 patients of two right pictures, one of two wrong: kurtosis about 98, for which 2 G / (k - 1) is 2.
    right, pictures = np.array([2] * 99 + [0]), np.full(100, 2)
    share = 0.99
    moved = right - share * pictures
    deff = (moved**2).sum() * 100 / 99 * 199 / (200**2 * share * (1 - share))
    assert 2 * 100 / (kurtosis(moved, fisher=False) - 1) < 3
    wanted = max(200 / deff * (t.ppf(0.975, 199) / t.ppf(0.975, 8)) ** 2, 200 / max(deff, 2))
    assert effective_size(right, pictures) == pytest.approx(wanted)
    # Of patients of ten pictures the worst case is far, and the eight degrees of freedom are what counts.
    right, pictures = np.array([10] * 98 + [9, 8]), np.full(100, 10)
    moved = right - 0.997 * pictures
    deff = (moved**2).sum() * 100 / 99 * 999 / (1000**2 * 0.997 * 0.003)
    wanted = 1000 / deff * (t.ppf(0.975, 999) / t.ppf(0.975, 8)) ** 2
    assert wanted > 1000 / 10
    assert effective_size(right, pictures) == pytest.approx(wanted)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_bounds_and_limits(counts: list[tuple[int, int]]) -> None:
    right = np.array([min(pair) for pair in counts])
    pictures = np.array([max(pair) for pair in counts])
    found, total = float(effective_size(right, pictures)), int(pictures.sum())
    seen = pictures > 0
    assert float(effective_size(pictures - right, pictures)) == pytest.approx(found, nan_ok=True)
    assert float(effective_size(right[seen], pictures[seen])) == pytest.approx(found, nan_ok=True)
    if not total:
        assert math.isnan(found)
        return
    assert 1 - 1e-9 <= found <= total
    if right.sum() in {0, total}:
        assert found == pytest.approx(total**2 / (pictures**2).sum())
    if (pictures[seen] == 1).all():
        assert found == total
    low, high = clustered_interval(wilson, right.sum(), total, found)
    plain = wilson(right.sum(), total)
    assert 0 <= low <= right.sum() / total + 1e-12
    assert right.sum() / total - 1e-12 <= high <= 1
    assert high - low >= plain[1] - plain[0] - 1e-12
    assert (low == 0) == (right.sum() == 0)
    assert (high == 1) == (right.sum() == total)


@pytest.mark.parametrize("interval", [wilson, clopper_pearson])
def test_one_picture_a_patient_is_the_plain_interval(interval) -> None:  # type: ignore[no-untyped-def]
    right = np.r_[np.ones(27, bool), np.zeros(3, bool)]
    found = clustered_share(interval, right, np.arange(30))
    low, high = interval(27, 30)
    assert (found.value, found.low, found.high, found.n) == (0.9, float(low), float(high), 30)


def test_coverage_with_patients_who_are_alike() -> None:
    random = np.random.default_rng(11)
    held, plain = [], []
    for _ in range(1500):
        right, pictures = drawn(80, 0.85, 0.5, random)
        low, high = clustered_interval(wilson, right.sum(), pictures.sum(), effective_size(right, pictures))
        held.append(low <= 0.85 <= high)
        low, high = wilson(right.sum(), pictures.sum())
        plain.append(low <= 0.85 <= high)
    assert 0.93 < np.mean(held) < 0.97
    assert np.mean(plain) < 0.88


def table(patients: int, random: np.random.Generator) -> Predictions:
    import pandas as pd

    names = np.repeat([f"p{at}" for at in range(patients)], random.integers(1, 4, patients))
    size = len(names)
    soft = random.dirichlet(np.ones(3), size)
    frame = pd.DataFrame({"image_id": [f"i{at}" for at in range(size)], "group_id": names, "split": "test",
                          "label": np.array(["a", "b", "c"])[random.integers(0, 3, size)]})  # fmt: skip
    for at, label in enumerate("abc"):
        frame[f"p_{label}"] = soft[:, at]
    return Predictions(frame, ("a", "b", "c"))


@pytest.mark.parametrize(("method", "interval"), [("default", wilson), ("exact", clopper_pearson)])
def test_an_evaluation_uses_them_for_every_rate(method: str, interval) -> None:  # type: ignore[no-untyped-def]
    predictions = table(40, np.random.default_rng(5))
    found = evaluate(predictions, intervals=method, replicates=20)
    truth, said, groups = predictions.labels, predictions.predicted, predictions.groups
    rates = {"accuracy": (np.ones(len(truth), bool), truth == said)}
    for at, label in enumerate("abc"):
        rates |= {
            f"sensitivity ({label})": (truth == at, said == at), f"specificity ({label})": (truth != at, said != at),
            f"ppv ({label})": (said == at, truth == at), f"npv ({label})": (said != at, truth != at),
        }  # fmt: skip
        # Of the pictures that are of a class or called so, those that are both: F1 is 2 J / (1 + J) of that share.
        both = clustered_share(interval, ((truth == at) & (said == at))[(truth == at) | (said == at)],
                               groups[(truth == at) | (said == at)])  # fmt: skip
        one = found.estimates()[f"f1 ({label})"]
        assert (one.value, one.low, one.high) == pytest.approx(
            tuple(2 * share / (1 + share) for share in (both.value, both.low, both.high))
        )
        assert (one.n, one.method) == (both.n, both.method)
    for name, (of, right) in rates.items():
        one, wanted = found.estimates()[name], clustered_share(interval, right[of], groups[of])
        assert (one.value, one.low, one.high) == pytest.approx((wanted.value, wanted.low, wanted.high)), name
        assert one.n == wanted.n == of.sum()
        assert one.method == wanted.method
    assert any("effective sample size" in note for note in found.notes)


def test_an_operating_point_uses_them_and_is_read_back() -> None:
    random = np.random.default_rng(9)
    groups = np.repeat(np.arange(60), random.integers(1, 5, 60))
    truth = (random.random(60) < 0.5)[groups]
    called = np.where(
        random.random(60)[groups] < 0.5, (random.random(60) < 0.8)[groups], random.random(len(groups)) < 0.8
    )
    called = called == truth
    found, plain = diagnostic(called, truth, groups), diagnostic(called, truth)
    for name, of, right in (
        ("sensitivity", truth, called), ("specificity", ~truth, ~called), ("ppv", called, truth),
        ("npv", ~called, ~truth),
    ):  # fmt: skip
        wanted = clustered_share(wilson, right[of], groups[of])
        assert getattr(found, name).low == pytest.approx(wanted.low), name
        assert getattr(found, name).high == pytest.approx(wanted.high), name
    # Simel's variance of log LR+, each side that of its effective size.
    one, two = found.sensitivity.value, 1 - found.specificity.value
    se = math.sqrt((1 - one) / one / found.effective.diseased + (1 - two) / two / found.effective.others)
    assert math.log(found.lr_positive.high / found.lr_positive.value) == pytest.approx(
        1.959964 * se, rel=1e-6
    )
    assert found.lr_positive.high > plain.lr_positive.high
    assert diagnostic(called, truth, np.arange(len(truth))) == plain
    assert Diagnostic.from_dict(found.as_dict()) == found
    with pytest.raises(ValueError, match="groups of shape"):
        diagnostic(called, truth, groups[1:])


def test_the_bins_of_a_reliability_diagram_use_them() -> None:
    random = np.random.default_rng(4)
    groups = np.repeat(np.arange(40), 3)
    forecasts = random.random(40)[groups] * 0.98 + 0.01 * random.random(120)
    events = np.where(
        random.random(40)[groups] < 0.6, (random.random(40) < 0.5)[groups], random.random(120) < 0.5
    )
    found = event_reliability(events, forecasts, bins=4, groups=groups)
    where = np.ceil(forecasts * 4).astype(int) - 1
    for at in range(4):
        wanted = clustered_share(wilson, events[where == at], groups[where == at])
        assert (found.low[at], found.high[at]) == pytest.approx((wanted.low, wanted.high))
    assert np.all(
        found.high - found.low > np.subtract(*reversed(wilson(found.accuracy * found.counts, found.counts)))
    )
