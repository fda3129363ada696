"""Answering only where sure: by hand, by a slow second way, and what must hold of any curve."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from pulmoscope.errors import PulmoscopeError
from pulmoscope.evaluation import Predictions
from pulmoscope.evaluation.selective import choose_abstention, confidence_of, judge_answers, risk_coverage
from pulmoscope.evaluation.selective_table import selective_report


def test_a_curve_by_hand() -> None:
    curve = risk_coverage([True, False, True, False], [0.9, 0.8, 0.7, 0.6])
    assert curve.coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert curve.risk == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2])
    assert curve.area == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    assert curve.at_random == 0.5
    assert curve.at_best == pytest.approx((0 + 0 + 1 / 3 + 2 / 4) / 4)
    assert curve.risk_at(0.6) == pytest.approx(1 / 3)


def test_pictures_of_one_confidence_are_answered_together() -> None:
    curve = risk_coverage([True, False, True], [0.9, 0.5, 0.5])
    assert curve.coverage == pytest.approx([1 / 3, 1])
    # Of the two at 0.5 the wrong one comes first or second with the same chance: (0 + 1/4 + 1/3) / 3.
    assert curve.area == pytest.approx((0 + 0.25 + 1 / 3) / 3)


def test_without_pictures_all_is_undefined() -> None:
    curve = risk_coverage([], [])
    assert math.isnan(curve.area)
    assert math.isnan(curve.risk_at(0.5))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=1, max_size=30))
def test_any_curve(pictures: list[tuple[bool, int]]) -> None:
    right = np.array([one for one, _ in pictures])
    sure = np.array([two / 7 for _, two in pictures])
    curve = risk_coverage(right, sure)
    # The area is the mean over orders of the ties: by lot, many times.
    rng = np.random.default_rng(0)
    areas = []
    for _ in range(400):
        order = np.lexsort((rng.random(len(sure)), -sure))
        areas.append((np.cumsum(~right[order]) / np.arange(1, len(sure) + 1)).mean())
    assert curve.area == pytest.approx(np.mean(areas), abs=4.5 * np.std(areas) / 20 + 1e-9)
    assert curve.at_best - 1e-12 <= curve.area
    assert curve.risk[-1] == pytest.approx(curve.at_random)
    assert (np.diff(curve.coverage) > 0).all()
    # Constant confidence says nothing: the area is the error.
    assert risk_coverage(right, np.ones(len(right))).area == pytest.approx(1 - right.mean())


def test_a_wanted_coverage_is_reached_with_the_highest_threshold() -> None:
    sure = np.array([0.95, 0.9, 0.8, 0.6, 0.5])
    chosen = choose_abstention([1, 1, 1, 0, 1], sure, aim="coverage", target=0.6)
    assert chosen.threshold == pytest.approx(0.7)
    assert chosen.answers(sure).tolist() == [True, True, True, False, False]
    assert chosen.validation.coverage.value == 0.6
    assert (chosen.validation.accuracy.value, chosen.validation.left_accuracy.value) == (1.0, 0.5)
    everything = choose_abstention([1, 1, 1, 0, 1], sure, aim="coverage", target=1)
    assert everything.threshold == -math.inf
    assert math.isnan(everything.validation.left_accuracy.value)


def test_a_wanted_error_answers_as_much_as_it_allows() -> None:
    sure = np.array([0.95, 0.9, 0.8, 0.6, 0.5])
    chosen = choose_abstention([1, 0, 1, 1, 0], sure, aim="error", target=0.25)
    assert chosen.answers(sure).sum() == 4  # 1 wrong of 4, although 1 of 2 and 1 of 3 lie above
    assert chosen.validation.accuracy.value == 0.75
    none = choose_abstention([0, 1, 1], sure[:3], aim="error", target=0.1)
    assert none.threshold == math.inf
    assert not none.answers(sure).any()
    assert "none is answered" in none.notes[0]
    assert json.loads(json.dumps(none.as_dict(), allow_nan=False))["threshold"] == "inf"


@pytest.mark.parametrize(
    ("aim", "target"), [("coverage", 0.0), ("coverage", 1.1), ("error", -0.1), ("error", 1.0)]
)
def test_aims_out_of_range_are_refused(aim: str, target: float) -> None:
    with pytest.raises(PulmoscopeError, match="E_OPTION"):
        choose_abstention([True], [0.5], aim=aim, target=target)  # type: ignore[arg-type]


def test_confidences() -> None:
    probabilities = [[0.7, 0.2, 0.1], [0.6, 0.4, 0.0]]
    assert confidence_of(probabilities) == pytest.approx([0.7, 0.6])
    # By entropy the second is the surer: one class is out of the question.
    assert np.argsort(confidence_of(probabilities, "entropy")).tolist() == [0, 1]
    with pytest.raises(ValueError, match="confidence must be"):
        confidence_of(probabilities, "odd")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="NaN"):
        risk_coverage([True], [float("nan")])
    with pytest.raises(ValueError, match="one shape"):
        judge_answers([True], [True, False])


def test_a_table_chooses_on_validation_and_judges_on_test() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.full(3, 0.5), 700)
    truth = (probabilities.cumsum(axis=1) < rng.random((700, 1))).sum(axis=1).clip(max=2)
    split = ["val"] * 300 + ["test"] * 400
    table = Predictions.from_arrays(
        image_id=[f"i{row}" for row in range(700)], probabilities=probabilities, classes=["a", "b", "c"],
        label=["abc"[one] for one in truth], split=split,
    )  # fmt: skip
    found = selective_report(table, aims=[("coverage", 0.8), ("error", 0.1)])
    top, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    for point in found.points:
        answered = top[300:] >= point.chosen.threshold
        assert point.test.coverage.value == pytest.approx(answered.mean())
        assert point.test.accuracy.value == pytest.approx(right[300:][answered].mean())
    first = found.points[0].chosen.threshold
    assert (top[:300] >= first).mean() == pytest.approx(0.8)
    assert found.wrong.value == pytest.approx(roc_auc_score(~right[300:], -top[300:]))
    assert found.mistakes == int((~right[300:]).sum())
    assert found.curve.area < found.curve.at_random
    content = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert content["risk_at_coverage"]["1"] == pytest.approx(found.curve.at_random)
