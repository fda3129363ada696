"""Means over the classes between subgroups: by hand, against Welch's test and simulations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t, ttest_ind

from pulmoscope.evaluation import one_vs_rest_auroc
from pulmoscope.evaluation.influence import Influence, auroc_influence, fewest_groups, recall_influence
from pulmoscope.evaluation.mean_gap import mean_gap


def rests(moved: object, fewest: int = 10**6) -> list[Influence]:
    return [Influence(moved=np.array(one, float), fewest=fewest) for one in np.asarray(moved)]


def everywhere(moved: np.ndarray) -> np.ndarray:
    return np.ones(np.shape(moved), bool)


def test_two_levels_by_hand() -> None:
    # Variances .0008 and .0018, of two groups each and so times 2: a standard error of .07211 for a difference of .2.
    # Contributions of kurtosis 1.148: 2 * 4 / .148 is above 3 degrees of freedom, the most that four groups have.
    here = [[1, 1, 0, 0], [0, 0, 1, 1]]
    moved = [[0.02, -0.02, 0, 0], [0, 0, 0.03, -0.03]]
    found = mean_gap([0.7, 0.9], rests(moved), here)
    assert (found.low, found.high) == pytest.approx(
        (0.2 - 3.182446 * 0.072111, 0.2 + 3.182446 * 0.072111), abs=1e-5
    )
    # A class with three patients in one of the levels leaves two.
    few = mean_gap([0.7, 0.9], rests(moved, fewest=3), here)
    assert (few.high - few.low) / 2 == pytest.approx(4.302653 * 0.072111, abs=1e-5)
    assert few.p == pytest.approx(2 * t.sf(0.2 / 0.072111, 2), abs=1e-4)


def test_the_order_of_levels_and_of_groups_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    values, moved = [0.8, 0.6, 0.7], rng.normal(size=(3, 40)) / 300
    found = mean_gap(values, rests(moved), everywhere(moved))
    assert found.low < 0.2 < found.high
    for levels in ([1, 2, 0], [2, 0, 1]):
        turned = mean_gap([values[at] for at in levels], rests(moved[levels][:, ::-1]), everywhere(moved))
        assert (turned.low, turned.high, turned.p) == pytest.approx((found.low, found.high, found.p))


def test_groups_elsewhere_change_nothing() -> None:
    moved = np.zeros((2, 8))
    moved[0, :4], moved[1, 4:] = [0.03, -0.02, 0.01, -0.02], [0.01, -0.03, 0.03, -0.01]
    there = moved != 0
    alone = mean_gap([0.7, 0.8], rests(moved), there)
    more = np.zeros((2, 900))
    found = mean_gap([0.7, 0.8], rests(np.hstack([moved, more])), np.hstack([there, more.astype(bool)]))
    assert (found.low, found.high, found.p) == pytest.approx((alone.low, alone.high, alone.p))


def test_of_many_pictures_it_is_welchs_test() -> None:
    rng = np.random.default_rng(1)
    one, other = rng.normal(0.0, 1, 900), rng.normal(0.08, 2, 1600)
    moved = np.zeros((2, 2500))
    moved[0, :900], moved[1, 900:] = (one - one.mean()) / 900, (other - other.mean()) / 1600
    expected = ttest_ind(one, other, equal_var=False).pvalue
    assert 0.001 < expected < 0.9
    found = mean_gap([one.mean(), other.mean()], rests(moved, 900), moved != 0)
    assert found.p == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("seed", range(5))
def test_a_level_of_few_patients_does_not_borrow_certainty_from_a_large_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = rng.normal(0.0, 1, 4), rng.normal(1.5, 1, 100)
    moved = np.zeros((2, 104))
    moved[0, :4], moved[1, 4:] = (one - one.mean()) / 4, (other - other.mean()) / 100
    welch = ttest_ind(one, other, equal_var=False)
    found = mean_gap([one.mean(), other.mean()], rests(moved, 4), moved != 0)
    gap = abs(other.mean() - one.mean())
    half = (found.high - found.low) / 2
    # The standard error is Welch's, and there are never more degrees of freedom than the few patients leave.
    assert half == pytest.approx(t.ppf(0.975, 3) * gap / abs(welch.statistic), rel=1e-6)
    assert found.p >= welch.pvalue * (1 - 1e-6)


@pytest.mark.parametrize(
    ("values", "moved", "there"),
    [
        ([0.5, 1.0], [[0.1, -0.1, 0, 0], [0, 0, 0.0, 0.0]], [[1, 1, 0, 0], [0, 0, 1, 1]]),
        ([0.5, 1.0], [[0.1, -0.1, 0, 0], [0, 0, 1e-17, 0.0]], [[1, 1, 0, 0], [0, 0, 1, 1]]),
        ([0.5, 0.7], [[0.1, -0.1, 0], [0, 0, 0.2]], [[1, 1, 0], [0, 0, 1]]),
        ([0.5, 0.7], [[0.1, -0.1], [0.1, -0.1]], [[1, 1], [1, 1]]),
    ],
    ids=["always-right", "rounding", "one-group", "the-same-contributions"],
)
def test_without_spread_there_is_no_test(
    values: list[float], moved: list[list[float]], there: list[list[int]]
) -> None:
    found = mean_gap(values, rests(moved), there)
    assert np.isnan([found.p, found.low, found.high]).all()


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


@pytest.mark.parametrize(
    "sizes", [[(40, 2)] * 3, [(40, 2)] * 8, [(100, 2), (8, 15)]], ids=["three", "eight", "uneven"]
)
def test_where_nothing_differs_at_most_one_in_twenty_is_found(sizes: list[tuple[int, int]]) -> None:
    """Levels of so many patients with so many pictures each, all of a patient of one class."""
    rng = np.random.default_rng(4)
    found = []
    groups = sum(patients for patients, _ in sizes)
    pictures = np.repeat([each for _, each in sizes], [patients for patients, _ in sizes])
    codes = np.repeat(np.arange(groups), pictures)
    level = np.repeat(np.arange(len(sizes)), [patients for patients, _ in sizes])[codes]
    for _ in range(400):
        truth = rng.permutation(np.arange(groups) % 2)[codes]
        if any(len(np.unique(truth[level == at])) < 2 for at in range(len(sizes))):
            continue
        # Pictures of a patient share their fate in part.
        luck = 0.6 * rng.normal(size=groups)[codes] + 0.8 * rng.normal(size=len(codes))
        said = np.where(luck < 0.8, truth, 1 - truth)
        rows = [level == at for at in range(len(sizes))]
        there = [np.bincount(codes[here], minlength=groups) > 0 for here in rows]
        scores = (truth + luck)[:, None] * [-1, 1]
        values = [
            [float(np.mean([(said[here & (truth == k)] == k).mean() for k in range(2)])) for here in rows],
            [float(one_vs_rest_auroc(truth[here], scores[here])[1]) for here in rows],
        ]
        moved = [
            [recall_influence(truth[here], said[here], codes[here], groups) for here in rows],
            [auroc_influence(truth[here], scores[here], codes[here], groups)[:, 1] for here in rows],
        ]
        few = [fewest_groups(truth[here], codes[here]) for here in rows]
        found.append([
            mean_gap(
                of, [Influence(moved=one, fewest=some) for one, some in zip(adds, few, strict=True)], there
            ).p
            for of, adds in zip(values, moved, strict=True)
        ])  # fmt: skip
    rejected = (np.array(found) < 0.05).mean(axis=0)
    assert (rejected < 0.075).all()
    assert len(sizes) == 2 or (rejected > 0.005).all()
