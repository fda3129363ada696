"""What each group adds to an AUROC: against DeLong's error, leaving groups out, and the chi-squared distribution."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logit
from scipy.stats import kurtosis, t

from pulmoscope.evaluation import delong_interval, draw_weights, evaluate, one_vs_rest_auroc, paired_bootstrap
from pulmoscope.evaluation.influence import (
    Influence,
    auroc_influence,
    fewest_groups,
    freedom,
    influences,
    named_influence,
    recall_influence,
)
from pulmoscope.evaluation.paired import paired_freedom


def data(seed: int, rows: int = 90, apart: float = 1.5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Classes, probabilities and the groups of two or three pictures each."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.arange(rows) % 3)
    logits = rng.normal(size=(rows, 3)) + apart * np.eye(3)[truth]
    return (
        truth,
        np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True),
        np.sort(rng.permutation(rows) // 3),
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_of_single_pictures_the_squares_sum_to_delongs_variance(seed: int) -> None:
    truth, soft, _ = data(seed)
    found = auroc_influence(truth, soft, np.arange(len(truth)), len(truth))
    for index in range(3):
        # DeLong divides by n - 1 of each side.
        sides = [found[truth == index, index], found[truth != index, index]]
        variance = sum((side**2).sum() * len(side) / (len(side) - 1) for side in sides)
        assert variance == pytest.approx(delong_interval(truth == index, soft[:, index]).se ** 2)
    assert found.sum(axis=0) == pytest.approx([0, 0, 0], abs=1e-12)


def test_a_groups_influence_is_how_the_area_moves_when_the_group_weighs_more() -> None:
    truth, soft, codes = data(5)
    found = auroc_influence(truth, soft, codes, 30)
    for group in (0, 7, 29):
        few = [0.0] * 3
        for index in range(3):
            # The area of weighted pictures is a quotient of sums: its slope at equal weights, by differences.
            values = []
            for step in (-1e-5, 1e-5):
                weights = np.where(codes == group, 1 + step, 1.0)
                above = (soft[truth == index, index][:, None] > soft[truth != index, index]).astype(float)
                pairs = weights[truth == index][:, None] * weights[truth != index]
                values.append((above * pairs).sum() / pairs.sum())
            few[index] = (values[1] - values[0]) / 2e-5
        assert found[group] == pytest.approx(few, abs=1e-8)


def test_a_class_that_is_not_there_is_undefined() -> None:
    truth, soft, codes = data(1)
    found = auroc_influence(np.where(truth == 2, 0, truth), soft, codes, 30)
    assert np.isnan(found[:, 2]).all()
    assert not np.isnan(found[:, :2]).any()


def of(moved: object, fewest: int = 10**6) -> float:
    return freedom(Influence(moved=np.array(moved, float), fewest=fewest))


def test_of_normal_contributions_the_degrees_of_freedom_are_those_of_the_sample() -> None:
    rng = np.random.default_rng(0)
    assert np.mean([of(rng.normal(size=50)) for _ in range(400)]) == pytest.approx(49, rel=0.1)
    few = [0.0] * 980 + [1.0, -1.0] * 10
    assert of(few) == pytest.approx(2 * 1000 / (kurtosis(few, fisher=False) - 1))
    assert of(few) == pytest.approx(2 * 20, rel=0.03)


def test_one_picture_that_makes_all_of_the_spread_leaves_an_interval_all_the_same() -> None:
    assert of([0.0] * 99 + [1.0]) == 8.0
    # 27 of one class, of which one is ranked below most of the others.
    truth = np.repeat([0, 1], [53, 27])
    scores = np.r_[np.linspace(0.1, 0.45, 53), np.linspace(0.5, 0.9, 26), 0.15]
    table = pd.DataFrame({"image_id": range(80), "label": truth, "p_0": 1 - scores, "p_1": scores})
    found = evaluate(table.astype({"image_id": str, "label": str}), split=None).classes["1"].auroc
    assert found.value == pytest.approx(1 - 45 / (53 * 27))
    assert 0.7 < found.low < 0.9
    assert 0.99 < found.high < 1


def test_an_influence_by_name() -> None:
    random = np.random.default_rng(1)
    truth, soft, codes = random.integers(0, 2, 20), random.dirichlet([1, 1], 20), np.arange(20) // 2
    said = soft.argmax(axis=1)

    def named(metric: str, soft: np.ndarray | None = soft) -> Influence | None:
        return named_influence(metric, truth, said, soft, codes, 10, ("a", "b"))

    found = influences(truth, said, soft, codes, 10)
    for name, one in (("balanced_accuracy", 0), ("macro_auroc", 0), ("auroc:b", 1)):
        wanted, got = found[name.partition(":")[0]][one], named(name)
        assert got is not None
        assert got.fewest == wanted.fewest
        np.testing.assert_array_equal(got.moved, wanted.moved)
    for name in ("accuracy", "auroc", "balanced_accuracy:a", "macro_f1"):
        assert named(name) is None, name
    assert named("auroc:a", None) is None
    assert named("balanced_accuracy", None) is not None


def test_a_class_of_few_patients_leaves_few_degrees_of_freedom_however_many_pictures_it_has() -> None:
    rng = np.random.default_rng(0)
    assert of(rng.normal(size=84), fewest=4) == 3
    assert of(rng.normal(size=84), fewest=1) == 1
    # Four patients of ten pictures each, 80 others of one.
    truth = np.repeat([1, 0], [40, 80])
    codes = np.r_[np.repeat(np.arange(4), 10), np.arange(4, 84)]
    assert (fewest_groups(truth, codes), fewest_groups(truth, codes, 0)) == (4, 4)
    scores = 1 / (1 + np.exp(-(truth + rng.normal(size=120))))
    table = pd.DataFrame(
        {"image_id": range(120), "group_id": codes, "label": truth, "p_0": 1 - scores, "p_1": scores}
    )
    found = evaluate(
        table.astype({"image_id": str, "group_id": str, "label": str}),
        split=None,
        intervals="patient-bootstrap",
    )
    moved = auroc_influence(truth, np.stack([1 - scores, scores], axis=1), codes, 84)[:, 1]
    recall = recall_influence(truth, scores > 0.5, codes, 84)
    for one, adds in (
        (found.classes["1"].auroc, moved), (found.macro_auroc, moved), (found.balanced_accuracy, recall),
    ):  # fmt: skip
        # The logarithm of the odds is the middle, three degrees of freedom, and about the spread of the contributions.
        half = (logit(one.high) - logit(one.low)) / 2
        assert logit(one.value) == pytest.approx((logit(one.high) + logit(one.low)) / 2)
        assert half == pytest.approx(
            t.ppf(0.975, 3) * np.sqrt((adds**2).sum()) / (one.value * (1 - one.value)), rel=0.15
        )


def test_degrees_of_freedom_stay_within_their_bounds() -> None:
    assert of([0.0, 0.0, 0.0]) == 2
    assert of([1.0, -1.0, 1.0, -1.0]) == 3
    assert of([3.0, 0.0]) == 1
    assert np.isnan(of([0.1, np.nan, 0.2]))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1, 1).map(lambda one: round(one, 3)), min_size=3, max_size=40), st.floats(0.1, 10))
def test_degrees_of_freedom_have_no_unit(moved: list[float], unit: float) -> None:
    assert of(np.array(moved) * unit) == pytest.approx(of(moved))


def test_a_named_auroc_is_a_mean_of_columns() -> None:
    truth, soft, codes = data(2)
    names = ("0", "1", "2")
    whole = auroc_influence(truth, soft, codes, 30)
    for name, expected in (("macro_auroc", whole.mean(axis=1)), ("auroc:1", whole[:, 1])):
        found = named_influence(name, truth, soft.argmax(axis=1), soft, codes, 30, names)
        assert found is not None
        assert found.moved == pytest.approx(expected)
        assert named_influence(name, truth, soft.argmax(axis=1), None, codes, 30, names) is None
    assert named_influence("accuracy", truth, soft.argmax(axis=1), soft, codes, 30, names) is None
    said = soft.argmax(axis=1)
    of_recall = named_influence("balanced_accuracy", truth, said, None, codes, 30, names)
    assert of_recall is not None
    assert of_recall.moved == pytest.approx(recall_influence(truth, said, codes, 30))
    assert paired_freedom(None, of_recall) is None


def test_the_paired_bootstrap_of_an_auroc_goes_by_the_difference_of_influences() -> None:
    truth, soft, codes = data(3, apart=3)
    other = soft**0.5 + np.random.default_rng(0).uniform(0, 0.4, soft.shape)
    other /= other.sum(axis=1, keepdims=True)
    found = paired_bootstrap(
        truth, soft, other, groups=codes, classes=3, metric="macro_auroc", replicates=200
    )
    one, two = (auroc_influence(truth, each, codes, 30).mean(axis=1) for each in (soft, other))
    degrees = of(two - one, fewest_groups(truth, codes))
    spread = np.std(found.drawn, ddof=1) * np.sqrt(30 / 29)
    assert found.high - found.difference == pytest.approx(t.ppf(0.975, degrees) * spread)
    assert degrees < 29


def test_the_spread_of_replicates_is_that_of_the_influences() -> None:
    truth, soft, codes = data(6, rows=600)
    moved = auroc_influence(truth, soft, codes, 200)
    drawn = []
    for weights in draw_weights(200, 400, np.random.default_rng(0)):
        rows = np.repeat(np.arange(600), weights[codes])
        drawn.append(one_vs_rest_auroc(truth[rows], soft[rows]))
    assert np.std(drawn, axis=0) == pytest.approx(np.sqrt((moved**2).sum(axis=0)), rel=0.15)
