"""Conformal sets: by hand, by MAPIE, and the coverage that they promise."""

from __future__ import annotations

import json
import math
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mapie.classification import SplitConformalClassifier
from scipy.stats import beta
from sklearn.base import BaseEstimator, ClassifierMixin

from pulmoscope.errors import PulmoscopeError, TableError
from pulmoscope.evaluation import Predictions, clopper_pearson
from pulmoscope.evaluation.conformal import ConformalSets, coverage_range, fewest_pictures, fit_conformal
from pulmoscope.evaluation.conformal_table import conformal_report, judge_sets


class Given(ClassifierMixin, BaseEstimator):
    """A classifier whose features are its probabilities, for MAPIE."""

    def __init__(self, classes: int = 3) -> None:
        self.classes = classes
        self.classes_ = np.arange(classes)
        self.is_fitted_ = True

    def fit(self, features: np.ndarray, truth: np.ndarray) -> Given:
        del features, truth
        return self

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        return features

    def predict(self, features: np.ndarray) -> np.ndarray:
        return features.argmax(axis=1)


def drawn(rows: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, and true classes drawn from them."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(classes, 0.7), rows)
    picked = (probabilities.cumsum(axis=1) < rng.random((rows, 1))).sum(axis=1)
    return np.minimum(picked, classes - 1), probabilities


def test_the_threshold_by_hand() -> None:
    # Scores 0.1, 0.2, ..., 0.9 of nine pictures: at 0.8 the ceil(10 x 0.8) = 8th smallest, 0.8.
    right = 1 - np.arange(1, 10) / 10
    probabilities = np.column_stack([right, 1 - right])
    rule = fit_conformal(np.zeros(9, int), probabilities, ["a", "b"], level=0.8)
    assert rule.thresholds == pytest.approx((0.8, 0.8))
    # At 0.85 the ceil(10 x 0.85) = 9th; the plain quantile of nine would be the 8th.
    assert fit_conformal(np.zeros(9, int), probabilities, "ab", level=0.85).thresholds[0] == pytest.approx(
        0.9
    )
    assert rule.sets([[0.75, 0.25], [0.9, 0.1], [0.15, 0.85]]).tolist() == [
        [True, True],
        [True, False],
        [False, True],
    ]


def test_by_class_each_class_has_its_own_threshold() -> None:
    truth = np.array([0] * 9 + [1] * 4)
    right = np.concatenate([1 - np.arange(1, 10) / 10, [0.9, 0.8, 0.7, 0.6]])
    probabilities = np.where(truth[:, None] == [[0, 1]], right[:, None], 1 - right[:, None])
    rule = fit_conformal(truth, probabilities, ["a", "b"], level=0.8, kind="by-class")
    assert rule.thresholds == pytest.approx((0.8, 0.4))
    assert rule.counts == (9, 4)
    assert rule.notes == ()


def test_too_few_pictures_of_a_class_put_it_in_every_set_and_it_is_said() -> None:
    truth = np.array([0] * 8 + [1] * 9)
    probabilities = np.full((17, 2), 0.5)
    rule = fit_conformal(truth, probabilities, ["rare", "usual"], level=0.9, kind="by-class")
    assert rule.thresholds == (math.inf, 0.5)
    assert rule.sets([[0.0, 1.0]]).tolist() == [[True, True]]
    assert rule.notes == (
        "class rare: 8 pictures of the val part are too few for a level of 0.9 (it needs 9): every set holds the class",
    )
    assert [fewest_pictures(level) for level in (0.8, 0.9, 0.95, 0.99)] == [4, 9, 19, 99]


@pytest.mark.parametrize("level", [0.7, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("classes", [2, 4])
def test_agrees_with_mapie(level: float, classes: int) -> None:
    truth, probabilities = drawn(233, classes, seed=3)
    _, others = drawn(150, classes, seed=4)
    other = SplitConformalClassifier(
        Given(classes), confidence_level=level, conformity_score="lac", prefit=True
    ).conformalize(probabilities, truth)
    rule = fit_conformal(truth, probabilities, [str(one) for one in range(classes)], level=level)
    assert np.array_equal(rule.sets(others), other.predict_set(others)[1][:, :, 0])
    # By class: the column of a class in the sets that MAPIE makes of this class's pictures alone.
    own = fit_conformal(
        truth, probabilities, [str(one) for one in range(classes)], level=level, kind="by-class"
    )
    for index in range(classes):
        mine = truth == index
        alone = SplitConformalClassifier(
            Given(classes), confidence_level=level, conformity_score="lac", prefit=True
        )
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", message="WARNING: your conformalization dataset has less labels"
            )
            alone.conformalize(probabilities[mine], truth[mine])
        assert np.array_equal(own.sets(others)[:, index], alone.predict_set(others)[1][:, index, 0])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.floats(0.5, 0.97), st.integers(0, 10_000))
def test_the_promise_holds_picture_by_picture(count: int, level: float, seed: int) -> None:
    # Exchangeability, exactly: leave each of n + 1 pictures out in turn; at least a share `level` is held.
    truth, probabilities = drawn(count + 1, 3, seed)
    held = 0
    for one in range(count + 1):
        rest = np.arange(count + 1) != one
        rule = fit_conformal(truth[rest], probabilities[rest], ["a", "b", "c"], level=level)
        held += bool(rule.sets(probabilities[[one]])[0, truth[one]])
    assert held >= level * (count + 1) - 1e-9


def test_coverage_over_many_draws_is_as_promised_to_every_class() -> None:
    covered: list[list[float]] = []
    outside = 0
    for draw in range(120):
        truth, probabilities = drawn(600, 3, seed=1000 + draw)
        rule = fit_conformal(truth[:300], probabilities[:300], ["a", "b", "c"], level=0.9, kind="by-class")
        found = judge_sets(rule, truth[300:], probabilities[300:])
        covered.append([one.seen.value for one in found.by_class.values()])
        outside += sum(not one.as_promised for one in found.by_class.values())
    # About 100 pictures a class: the level plus at most 1/101.
    assert np.mean(covered, axis=0) == pytest.approx(np.full(3, 0.905), abs=0.011)
    # The stated range holds 95 in 100, or a little more: counts are whole.
    assert 0.01 < outside / 360 < 0.085


def test_coverage_range_is_that_of_simulated_tests() -> None:
    rng = np.random.default_rng(1)
    fitted, judged, level = 60, 80, 0.9
    rank = math.ceil(61 * 0.9)
    seen = rng.binomial(judged, beta.rvs(rank, fitted + 1 - rank, size=200_000, random_state=rng)) / judged
    low, high = coverage_range(fitted, judged, level)
    assert 0.945 < ((seen >= low) & (seen <= high)).mean() < 0.985
    assert ((seen > low) & (seen < high)).mean() < 0.96
    assert coverage_range(8, 20, 0.9) == (1.0, 1.0)
    assert math.isnan(coverage_range(60, 0, 0.9)[0])


def test_judged_by_hand() -> None:
    rule = ConformalSets(
        kind="by-class",
        level=0.5,
        classes=("a", "b"),
        thresholds=(0.2, 0.5),
        counts=(10, 10),
        fitted_on="val",
    )
    probabilities = [[0.9, 0.1], [0.7, 0.3], [0.5, 0.5], [0.8, 0.2]]
    found = judge_sets(rule, [0, 0, 1, 1], probabilities)  # sets: a; none; b; a
    assert found.overall.seen.value == 0.5
    assert [one.seen.value for one in found.by_class.values()] == [0.5, 0.5]
    assert (found.empty.value, found.single.value) == (0.25, 0.75)
    assert found.single_right.value == pytest.approx(2 / 3)
    assert found.overall.mean_size == 0.75
    low, high = clopper_pearson(2, 4)
    assert (found.overall.seen.low, found.overall.seen.high) == (float(low), float(high))
    assert not found.overall.promised
    assert found.by_class["a"].promised


def test_stored_and_read_back_to_the_last_bit() -> None:
    truth, probabilities = drawn(40, 3, seed=5)
    for kind in ("marginal", "by-class"):
        rule = fit_conformal(truth, probabilities, ["a", "b", "c"], level=0.95, kind=kind)  # type: ignore[arg-type]
        assert ConformalSets.from_dict(json.loads(json.dumps(rule.as_dict(), allow_nan=False))) == rule
    assert "inf" in rule.as_dict()["thresholds"]
    for damage in ({"kind": "odd"}, {"thresholds": [0.1]}, {"level": 2}, {"thresholds": ["nan"] * 3}):
        with pytest.raises(PulmoscopeError, match="E_CONFORMAL"):
            ConformalSets.from_dict(rule.as_dict() | damage)


def table(split: list[str], seed: int = 0) -> Predictions:
    truth, probabilities = drawn(len(split), 3, seed)
    return Predictions.from_arrays(
        image_id=[f"i{row}" for row in range(len(split))], probabilities=probabilities, classes=["a", "b", "c"],
        label=["abc"[one] for one in truth], split=split,
    )  # fmt: skip


def test_a_table_is_fitted_on_validation_alone() -> None:
    split = ["val"] * 300 + ["test"] * 200
    whole = conformal_report(table(split))
    other = table(split).frame
    other.loc[300:, ["p_a", "p_b", "p_c"]] = [0.2, 0.3, 0.5]
    changed = conformal_report(Predictions(other))
    for kind, judged in whole.kinds.items():
        assert changed.kinds[kind].rule == judged.rule
        assert judged.rule.fitted_on == "val"
        assert judged.overall.seen.n == 200
    assert changed.kinds["marginal"].overall != whole.kinds["marginal"].overall
    json.dumps(whole.as_dict(), allow_nan=False)


def test_what_cannot_be_done_is_said_in_one_line() -> None:
    with pytest.raises(TableError, match="no row of split val"):
        conformal_report(table(["test"] * 20))
    with pytest.raises(PulmoscopeError, match="E_OPTION.*level"):
        conformal_report(table(["val"] * 20 + ["test"] * 20), level=1.0)
    with pytest.raises(PulmoscopeError, match="nothing is chosen on the test part"):
        conformal_report(table(["val"] * 20 + ["test"] * 20), chosen_on="test", judged_on="val")
    with pytest.raises(PulmoscopeError, match="pictures that chose them.*val twice"):
        conformal_report(table(["val"] * 20), judged_on="val")
    both = pd.concat([table(["val"] * 9 + ["test"] * 9).frame.assign(model=name) for name in "ab"])
    with pytest.raises(TableError, match="2 models"):
        conformal_report(Predictions(both))
    hard = table(["val"] * 20 + ["test"] * 20).frame[["image_id", "label", "split"]]
    with pytest.raises(TableError, match="no probabilities"):
        conformal_report(Predictions(hard.assign(prediction="a"), classes=["a", "b", "c"]))
