"""Paired comparisons against a second library, a slow and plain implementation, hand-worked cases and properties."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm
from scipy.stats import t as student
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score

from pulmoscope.evaluation import delong_paired, draw_weights, group_codes, holm, mcnemar, paired_bootstrap
from pulmoscope.evaluation.delong import midranks
from pulmoscope.evaluation.influence import Influence, fewest_groups, freedom, recall_influence
from pulmoscope.evaluation.intervals import difference_interval
from pulmoscope.evaluation.paired import replicated_metric

COUNTS = st.integers(0, 60)


def answers(only_first: int, only_second: int, both: int = 3) -> tuple[list[bool], list[bool]]:
    first = [True] * only_first + [False] * only_second + [True] * both + [False]
    second = [False] * only_first + [True] * only_second + [True] * both + [False]
    return first, second


@given(COUNTS, COUNTS)
def test_mcnemar_is_the_binomial_test_of_what_one_alone_has_right(first: int, second: int) -> None:
    found = mcnemar(*answers(first, second))
    total, low = first + second, min(first, second)
    assert (found.only_first, found.only_second) == (first, second)
    exact = binomtest(first, total).pvalue if total else 1.0
    assert found.exact_p == pytest.approx(exact)
    # In whole numbers: twice the smaller tail, less what was observed once.
    tail = 2 * sum(math.comb(total, k) for k in range(low + 1)) - math.comb(total, low)
    assert found.mid_p == pytest.approx(min(1.0, tail / 2**total))
    assert found.mid_p <= found.exact_p
    turned = mcnemar(*reversed(answers(first, second)))
    assert (turned.only_second, turned.exact_p, turned.mid_p) == (first, found.exact_p, found.mid_p)


def test_mcnemar_without_a_picture_that_tells_them_apart() -> None:
    found = mcnemar([True, False, True], [True, False, True])
    assert (found.exact_p, found.mid_p) == (1.0, 1.0)
    assert mcnemar([], []).exact_p == 1.0
    with pytest.raises(ValueError, match="one shape"):
        mcnemar([True], [True, False])


def test_the_best_published_ablation_against_the_plain_network(real_data: Path) -> None:
    file = real_data / "published_predictions" / "pal_paul_2021.csv"
    if not file.is_file():
        pytest.skip(f"no published predictions here: {file.name} is not in the data folder")
    frame = pd.read_csv(file)
    right = (frame["y_true"] == frame["y_pred"]).groupby(frame["model"]).agg(lambda one: one.to_numpy())
    found = mcnemar(right["50e_InceptionV3_360x360_128-32-3"], right["100e_InceptionV3_500x500_1024-1024-3"])
    assert (found.only_first, found.only_second) == (45, 48)
    assert round(found.exact_p, 2) == 0.84


def test_holm_by_hand() -> None:
    # 4 x .005, 3 x .01, 2 x .03 and never below the one before, .04.
    assert holm([0.04, 0.005, 0.03, 0.01]) == pytest.approx([0.06, 0.02, 0.06, 0.03])
    assert holm([0.5, 0.6]).tolist() == [1.0, 1.0]
    assert holm([]).shape == (0,)
    assert holm([0.01, float("nan"), 0.04]) == pytest.approx([0.02, np.nan, 0.04], nan_ok=True)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_holm_is_monotone_bounded_and_free_of_order(values: list[float], random: object) -> None:
    adjusted = holm(values)
    plain = np.array(values)
    assert (adjusted >= plain).all()
    assert (adjusted <= np.minimum(1, plain * len(plain)) + 1e-12).all()
    order = np.argsort(plain, kind="stable")
    assert (np.diff(adjusted[order]) >= 0).all()
    # The step-down procedure as Holm wrote it: reject from the smallest on until one fails.
    alpha, rejected = 0.05, 0
    for step, at in enumerate(order):
        if plain[at] > alpha / (len(plain) - step):
            break
        rejected += 1
    near = np.abs(adjusted - alpha) < 1e-12
    assert ((adjusted <= alpha) | near).sum() >= rejected >= ((adjusted <= alpha) & ~near).sum()
    shuffled = list(range(len(values)))
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert holm(plain[shuffled]) == pytest.approx(adjusted[shuffled])


def plain_delong(positive: np.ndarray, scores: list[np.ndarray]) -> tuple[float, float, float]:
    """DeLong et al. 1988 as written: every positive against every negative."""
    areas, tens, ones = [], [], []
    for one in scores:
        against = one[positive][:, None], one[~positive][None, :]
        wins = (against[0] > against[1]) + 0.5 * (against[0] == against[1])
        areas.append(wins.mean())
        tens.append(wins.mean(axis=1))
        ones.append(wins.mean(axis=0))
    covariance = np.cov(np.stack(tens)) / positive.sum() + np.cov(np.stack(ones)) / (~positive).sum()
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    return areas[0], areas[1], math.sqrt(max(variance, 0))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 25), st.integers(2, 25), st.sampled_from([3, 8, 10**9]))
def test_delong_against_the_plain_sums(seed: int, positives: int, negatives: int, levels: int) -> None:
    generator = np.random.default_rng(seed)
    positive = generator.permutation(np.r_[np.ones(positives, bool), np.zeros(negatives, bool)])
    scores = [generator.integers(0, levels, len(positive)) + positive * levels / 3 for _ in range(2)]
    found = delong_paired(positive, *scores)
    first, second, se = plain_delong(positive, scores)
    assert (found.first, found.second) == pytest.approx((first, second))
    assert found.first == pytest.approx(roc_auc_score(positive, scores[0]))
    assert found.se == pytest.approx(se, abs=1e-7)
    assert found.difference == pytest.approx(second - first)
    if se > 1e-6:
        assert found.p == pytest.approx(2 * norm.sf(abs(second - first) / se))
        assert (found.high - found.low) / 2 == pytest.approx(norm.ppf(0.975) * se)
    turned = delong_paired(positive, *reversed(scores))
    assert turned.difference == pytest.approx(-found.difference)
    # Any rising function of a score ranks alike.
    assert delong_paired(positive, np.exp(scores[0] / levels), scores[1]).se == pytest.approx(found.se)


def test_delong_where_nothing_can_be_said() -> None:
    labels, scores = [1, 1, 0, 0], [0.9, 0.4, 0.5, 0.1]
    same = delong_paired(labels, scores, scores)
    assert (same.difference, same.se, same.p) == (0.0, 0.0, 1.0)
    assert math.isnan(same.low)
    assert math.isnan(same.high)
    assert math.isnan(delong_paired([1, 1, 1], scores[:3], scores[:3]).first)
    assert math.isnan(delong_paired(labels, scores, [0.1, float("nan"), 0.3, 0.2]).p)
    lonely = delong_paired([1, 0, 0], [0.9, 0.5, 0.1], [0.1, 0.5, 0.9])
    assert (lonely.difference, math.isnan(lonely.se), math.isnan(lonely.p)) == (-1.0, True, True)
    whole = delong_paired(labels, [0.5] * 4, [0.9, 0.8, 0.2, 0.1])
    assert (whole.difference, whole.se) == (0.5, 0.0)
    assert math.isnan(whole.p)
    with pytest.raises(ValueError, match="one shape"):
        delong_paired(labels, scores, scores[:3])


def test_delong_and_the_bootstrap_agree_and_a_hundred_thousand_pictures_are_no_matter() -> None:
    generator = np.random.default_rng(1)
    truth = (np.arange(600) % 3 == 0).astype(int)
    common = generator.normal(size=600) + truth
    soft = []
    for _ in range(2):
        risk = 1 / (1 + np.exp(-(common + generator.normal(size=600))))
        soft.append(np.stack([1 - risk, risk], axis=1))
    exact = delong_paired(truth == 1, soft[0][:, 1], soft[1][:, 1])
    drawn = paired_bootstrap(
        truth, *soft, groups=np.arange(600), classes=2, metric="auroc:1", replicates=1500, seed=3
    )
    assert drawn.difference == pytest.approx(exact.difference)
    assert drawn.drawn.std() == pytest.approx(exact.se, rel=0.1)
    assert (drawn.low, drawn.high) == pytest.approx(
        (exact.low, exact.high), abs=0.15 * (exact.high - exact.low)
    )
    assert drawn.p == pytest.approx(exact.p, abs=0.08)

    many = generator.normal(size=100_000)
    labels = generator.random(100_000) < 0.1
    assert 0 < delong_paired(labels, many + labels, many + 0.9 * labels).se < 0.01


def test_midranks_share_ties() -> None:
    assert midranks([2.0, 1.0, 2.0, 2.0, 5.0]).tolist() == [3.0, 1.0, 3.0, 3.0, 5.0]


def test_the_paired_bootstrap_is_the_plain_loop() -> None:
    generator = np.random.default_rng(0)
    truth = np.arange(40) % 3
    first = np.where(generator.random(40) < 0.6, truth, generator.integers(0, 3, 40))
    second = np.where(generator.random(40) < 0.8, truth, generator.integers(0, 3, 40))
    names = np.array([f"p{index // 2:02}" for index in range(40)])
    codes, groups = group_codes(names)
    plain: dict[str, list[float]] = {"balanced_accuracy": [], "f1:1": []}
    for weights in draw_weights(groups, 50, np.random.default_rng(7)):
        rows = np.repeat(np.arange(40), weights[codes])
        said = [(truth[rows], one[rows]) for one in (first, second)]
        recall = [balanced_accuracy_score(*one) for one in said]
        plain["balanced_accuracy"].append(recall[1] - recall[0])
        scores = [f1_score(*one, labels=[1], average=None)[0] for one in said]
        plain["f1:1"].append(scores[1] - scores[0])
    for metric, values in plain.items():
        found = paired_bootstrap(
            truth, first, second, groups=names, classes=3, metric=metric, replicates=50, seed=7
        )
        assert found.drawn == pytest.approx(values)
        # Student's t around the difference, its standard error widened for 20 groups; of 19 degrees of freedom, or, for
        # balanced accuracy, of those that the patients' contributions leave.
        error = math.sqrt(20 / 19) * np.std(values, ddof=1)
        adds = [recall_influence(truth, said, codes, groups) for said in (first, second)]
        rests = Influence(moved=adds[1] - adds[0], fewest=fewest_groups(truth, codes))
        degrees = freedom(rests) if metric == "balanced_accuracy" else 19
        wanted = student(degrees, loc=found.difference, scale=error).interval(0.95)
        assert (found.low, found.high) == pytest.approx(wanted)
        assert found.p == pytest.approx(2 * student.sf(abs(found.difference) / error, degrees))
    # The order of the rows, and names in place of numbers, change nothing.
    order = generator.permutation(40)
    turned = paired_bootstrap(
        truth[order], first[order], second[order], groups=codes[order], classes=3, metric="f1:1", replicates=50,
        seed=7,
    )  # fmt: skip
    assert turned.drawn == pytest.approx(plain["f1:1"])


def test_pairing_narrows_and_patients_widen() -> None:
    generator = np.random.default_rng(5)
    truth = generator.integers(0, 2, 300)
    hard = generator.random(300) < 0.3
    first = np.where(hard, 1 - truth, truth)
    second = np.where(hard & (generator.random(300) < 0.9), 1 - truth, truth)
    options = {"classes": 2, "replicates": 800}
    paired = paired_bootstrap(truth, first, second, groups=np.arange(300), **options)
    # One picture a group: the standard error of a mean of paired differences.
    each = (second == truth).astype(int) - (first == truth).astype(int)
    assert paired.drawn.std() == pytest.approx(each.std() / math.sqrt(300), rel=0.1)
    alone = math.sqrt(2 * 0.3 * 0.7 / 300)
    assert paired.drawn.std() < alone / 2
    copies = np.repeat(np.arange(300), 4)
    fourfold = paired_bootstrap(truth[copies], first[copies], second[copies], groups=copies, **options)
    assert fourfold.drawn == pytest.approx(paired.drawn)
    careless = paired_bootstrap(
        truth[copies], first[copies], second[copies], groups=np.arange(1200), **options
    )
    assert careless.drawn.std() < 0.6 * paired.drawn.std()


def test_where_a_difference_is_undefined() -> None:
    same = paired_bootstrap([0, 1, 1], [0, 1, 0], [0, 1, 0], groups=[0, 1, 2], classes=2, replicates=20)
    assert (same.difference, same.p) == (0.0, 1.0)
    assert math.isnan(same.low)
    hard = paired_bootstrap(
        [0, 1, 1], [0, 1, 0], [0, 1, 1], groups=[0, 1, 2], classes=2, metric="macro_auroc", replicates=20
    )
    assert all(math.isnan(one) for one in (hard.difference, hard.low, hard.p))
    lonely = paired_bootstrap([0, 1], [0, 1], [1, 1], groups=["a", "a"], classes=2, replicates=20)
    assert lonely.difference == -0.5
    assert math.isnan(lonely.low)
    assert math.isnan(lonely.p)


def test_names_of_metrics() -> None:
    with pytest.raises(ValueError, match=r"no metric 'f1:covid' of classes none"):
        replicated_metric("f1:covid")
    with pytest.raises(ValueError, match="no metric 'acuracy'"):
        paired_bootstrap([0, 1], [0, 1], [0, 1], groups=[0, 1], classes=2, metric="acuracy", replicates=2)
    with pytest.raises(ValueError, match=r"shape \(N, 3\)"):
        paired_bootstrap([0, 1], np.eye(2), np.eye(2), groups=[0, 1], classes=3, replicates=2)
    known = ["accuracy", "macro_f1", "macro_auroc", "mean_ovr_accuracy", "mean_specificity"]
    known += [f"{one}:b" for one in ("sensitivity", "specificity", "ppv", "npv", "f1", "auroc")]
    truth, soft = [0, 0, 1, 1], np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.7, 0.3]])
    better = np.eye(2)[truth]
    for name in known:
        of = replicated_metric(name, ("a", "b"))
        found = paired_bootstrap(truth, soft, better, groups=range(4), classes=2, metric=of, replicates=5)
        assert found.second == 1.0, name
        assert found.first == (0.75 if "auroc" in name else 0.5), name


@given(
    st.floats(-0.5, 0.5),
    st.lists(st.floats(-1, 1), min_size=2, max_size=30),
    st.integers(2, 200),
    st.floats(0.5, 0.99),
)
def test_the_interval_leaves_zero_out_where_p_is_small(
    value: float, drawn: list[float], groups: int, level: float
) -> None:
    low, high, p, undefined = difference_interval(value, [*drawn, math.nan], groups=groups, level=level)
    assert undefined == 1
    if math.isnan(low):
        assert np.ptp(drawn) < 1e-9
        assert p == 1 if abs(value) < 1e-12 else math.isnan(p)
        return
    assert low - 1e-9 <= value <= high + 1e-9
    # On the border itself rounding may say either.
    if abs(p - (1 - level)) > 1e-9:
        assert (p < 1 - level) == (low > 0 or high < 0)
    turned = difference_interval(-value, [-one for one in drawn], groups=groups, level=level)
    assert turned[:3] == pytest.approx((-high, -low, p))


def test_a_difference_without_spread() -> None:
    # Two models that always agree: nothing speaks for a difference, and nothing bounds it.
    low, high, p, _ = difference_interval(0.0, [0.0, 0.0], groups=5)
    assert math.isnan(low)
    assert math.isnan(high)
    assert p == 1
    # Each group says the same: no spread to go by, and no certainty.
    assert np.isnan(difference_interval(0.5, [0.5, 0.5], groups=5)[:3]).all()
    assert np.isnan(difference_interval(0.5, [0.4, 0.6], groups=1)[:3]).all()
    assert np.isnan(difference_interval(0.5, [0.4, 0.6, math.nan, math.nan, math.nan], groups=9)[:3]).all()
    with pytest.raises(ValueError, match="level must lie between 0 and 1"):
        difference_interval(0.5, [0.4, 0.6], groups=9, level=1.0)
