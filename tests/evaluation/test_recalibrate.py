"""Recalibration: each fit against another library, what it may and may not change, and its JSON form."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import log_loss

from pulmoscope.errors import PulmoscopeError, TableError
from pulmoscope.evaluation import Predictions, expected_calibration_error
from pulmoscope.evaluation.calibration import event_reliability
from pulmoscope.evaluation.isotonic import Isotonic, fit_isotonic
from pulmoscope.evaluation.platt import Platt, fit_platt
from pulmoscope.evaluation.prevalence import PrevalenceShift
from pulmoscope.evaluation.recalibrate import calibrator_from_dict, fit_calibrator
from pulmoscope.evaluation.temperature import Temperature, fit_temperature


def drawn(rows: int, classes: int, sharpness: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """True classes drawn from probabilities q, and q sharpened: a model that is too sure by a known temperature."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (rows, classes))
    right = np.exp(logits - logsumexp(logits, axis=1, keepdims=True))
    truth = np.array([rng.choice(classes, p=row) for row in right])
    sharp = np.exp(sharpness * logits - logsumexp(sharpness * logits, axis=1, keepdims=True))
    return truth, sharp


def table(truth: np.ndarray, probabilities: np.ndarray, split: list[str]) -> Predictions:
    names = [f"c{index}" for index in range(probabilities.shape[1])]
    return Predictions.from_arrays(
        image_id=[f"i{row}" for row in range(len(truth))], probabilities=probabilities, classes=names,
        label=[names[index] for index in truth], split=split,
    )  # fmt: skip


def test_temperature_by_hand() -> None:
    # Odds 9 : 1, right 3 of 4: the odds must become 3 : 1, so log 9 / T = log 3.
    found = fit_temperature([0, 0, 0, 1], [[0.9, 0.1]] * 4)
    assert found.value == pytest.approx(2)
    assert found.apply([[0.9, 0.1]]) == pytest.approx(np.array([[0.75, 0.25]]))


@pytest.mark.parametrize("sharpness", [0.4, 1.0, 2.5])
def test_temperature_agrees_with_scipy_and_finds_the_truth(sharpness: float) -> None:
    truth, probabilities = drawn(4000, 3, sharpness)
    found = fit_temperature(truth, probabilities)
    assert found.value == pytest.approx(sharpness, rel=0.08)

    def loss(log_t: float) -> float:
        logits = np.log(probabilities) / math.exp(log_t)
        return float((logsumexp(logits, axis=1) - logits[np.arange(len(truth)), truth]).mean())

    best = minimize_scalar(loss, bounds=(-5, 5), method="bounded", options={"xatol": 1e-10})
    assert found.value == pytest.approx(math.exp(best.x), rel=1e-5)
    after = found.apply(probabilities)
    assert log_loss(truth, after) == pytest.approx(best.fun, rel=1e-9)
    assert (after.argmax(1) == probabilities.argmax(1)).all()
    if sharpness != 1:
        assert expected_calibration_error(truth, after) < expected_calibration_error(truth, probabilities)


def test_temperature_where_none_is_best() -> None:
    right = fit_temperature([0, 1], [[0.9, 0.1], [0.2, 0.8]])
    assert (right.value, "every validation picture is right" in right.notes[0]) == (1.0, True)
    wrong = fit_temperature([1, 0], [[0.9, 0.1], [0.2, 0.8]])
    assert (wrong.value, "no better than chance" in wrong.notes[0]) == (1.0, True)
    assert right.apply([[0.3, 0.7]]).tolist() == [[0.3, 0.7]]


def test_temperature_takes_exact_zeros() -> None:
    found = fit_temperature([0, 1, 1], [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert math.isfinite(found.value)
    assert found.value > 1
    assert np.isfinite(found.apply([[1.0, 0.0]])).all()


def test_platt_agrees_with_statsmodels() -> None:
    """GLM(Binomial) of Platt's targets on the log-odds, statsmodels 0.15: 60 pictures drawn with seed 11."""
    rng = np.random.default_rng(11)
    truth = (rng.random(60) < 0.3).astype(int)
    p = np.round(np.clip(rng.normal(0.3 + 0.3 * truth, 0.2), 0.01, 0.99), 3)
    found = fit_platt(truth, np.column_stack([1 - p, p]))
    assert found.intercepts == pytest.approx([-0.33261032], abs=1e-8)
    assert found.slopes == pytest.approx([1.33813444], abs=1e-8)
    turned = fit_platt(1 - truth, np.column_stack([p, 1 - p]))
    assert turned.slopes == pytest.approx(found.slopes)
    assert turned.intercepts == pytest.approx([0.33261032], abs=1e-8)


def test_platt_by_hand() -> None:
    # One log-odds for all: nothing to slope by, so the curve is at the mean of the softened targets.
    found = fit_platt([0, 0, 0, 1], [[0.5, 0.5]] * 4)
    target = (3 * (1 / 5) + 2 / 3) / 4
    assert found.apply([[0.5, 0.5]])[0, 1] == pytest.approx(target)


def test_platt_stays_finite_where_the_class_is_parted_wholly() -> None:
    found = fit_platt([0, 0, 1, 1], [[1.0, 0.0], [0.99, 0.01], [0.01, 0.99], [0.0, 1.0]])
    assert np.isfinite([*found.slopes, *found.intercepts]).all()
    assert 0 < found.apply([[1.0, 0.0]])[0, 1] < 0.5


def test_platt_says_that_a_class_is_ranked_the_wrong_way_round() -> None:
    found = fit_platt([1, 1, 0, 0], [[0.9, 0.1], [0.7, 0.3], [0.4, 0.6], [0.1, 0.9]])
    assert found.slopes[0] < 0
    assert "wrong way round" in found.notes[0]


def test_isotonic_agrees_with_scikit_learn_by_class() -> None:
    truth, probabilities = drawn(300, 3, 2.0, seed=3)
    found = fit_isotonic(truth, probabilities)
    fresh = drawn(100, 3, 2.0, seed=4)[1]
    expected = np.column_stack([
        IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
        .fit(probabilities[:, index], truth == index)
        .predict(fresh[:, index])
        for index in range(3)
    ])  # fmt: skip
    assert found.apply(fresh) == pytest.approx(expected / expected.sum(1, keepdims=True))
    assert "300 pictures" in found.notes[0]


def test_isotonic_by_hand_and_a_row_that_every_class_denies() -> None:
    found = fit_isotonic([0, 1, 0, 1], [[0.9, 0.1], [0.6, 0.4], [0.4, 0.6], [0.1, 0.9]])
    assert found.apply([[0.5, 0.5], [0.99, 0.01], [0.75, 0.25]])[:, 1] == pytest.approx([0.5, 0.0, 0.25])
    zero = ((0.0, 1.0), (0.0, 0.0))
    denied = Isotonic(classes=3, curves=(zero, zero, zero))
    assert denied.apply([[0.2, 0.3, 0.5]]).tolist() == [[0.2, 0.3, 0.5]]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    classes=st.integers(2, 4),
    method=st.sampled_from(["temperature", "platt", "isotonic"]),
)
def test_what_holds_of_all(seed: int, classes: int, method: str) -> None:
    truth, probabilities = drawn(40, classes, 2.0, seed)
    truth[:classes] = np.arange(classes)
    fit: Any = {"temperature": fit_temperature, "platt": fit_platt, "isotonic": fit_isotonic}[method]
    found = fit(truth, probabilities)
    after = found.apply(probabilities)
    assert after.shape == probabilities.shape
    assert ((after >= 0) & (after <= 1)).all()
    assert after.sum(1) == pytest.approx(np.ones(40))
    again = calibrator_from_dict(json.loads(json.dumps(found.as_dict(), allow_nan=False)))
    assert again == found
    assert (again.apply(probabilities) == after).all()
    order = np.random.default_rng(seed).permutation(40)
    assert fit(truth[order], probabilities[order]).apply(probabilities) == pytest.approx(after, abs=1e-6)
    if method == "temperature":
        assert (
            log_loss(truth, after, labels=range(classes))
            <= log_loss(truth, probabilities, labels=range(classes)) + 1e-12
        )


def test_prevalence_is_bayes_rule() -> None:
    # Bayes: odds 3 : 1 at shares 1/2 : 1/2 are odds 3 * (.1 / .9) at .1.
    shift = PrevalenceShift(old=(0.5, 0.5), new=(0.9, 0.1))
    odds = 3 * 0.1 / 0.9
    assert shift.apply([[0.25, 0.75]])[0, 1] == pytest.approx(odds / (1 + odds))
    assert np.isnan(PrevalenceShift(old=(0.5, 0.5), new=(1.0, 0.0)).apply([[0.0, 1.0]])).all()
    assert calibrator_from_dict(shift.as_dict()) == shift


def test_prevalence_brings_back_calibration_where_only_the_shares_differ() -> None:
    rng = np.random.default_rng(1)
    new = np.array([0.7, 0.2, 0.1])
    truth = rng.choice(3, 6000, p=new)
    x = rng.normal(0, 1, (6000, 3)) + 1.5 * np.eye(3)[truth]
    # The posterior at equal shares of three unit normals whose means are 1.5 on one axis each.
    at_equal = np.exp(1.5 * x - logsumexp(1.5 * x, axis=1, keepdims=True))
    shifted = PrevalenceShift(old=(1 / 3,) * 3, new=tuple(new)).apply(at_equal)
    for index in range(3):
        before = event_reliability(truth == index, at_equal[:, index]).ece
        assert before > 0.05
        assert event_reliability(truth == index, shifted[:, index]).ece < 0.02
    back = PrevalenceShift(old=tuple(new), new=(1 / 3,) * 3).apply(shifted)
    assert back == pytest.approx(at_equal)


@pytest.mark.parametrize(
    ("old", "new"),
    [((0.5, 0.5), (1.0,)), ((0.0, 1.0), (0.5, 0.5)), ((0.5, 0.5), (0.5, 0.6)), ((0.5, 0.5), (math.nan, 1.0))],
)  # fmt: skip
def test_prevalence_refuses_what_are_no_shares(old: tuple[float, ...], new: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="shares"):
        PrevalenceShift(old=old, new=new)


@pytest.mark.parametrize("method", ["temperature", "platt", "isotonic"])
def test_only_validation_rows_are_read(method: str) -> None:
    truth, probabilities = drawn(200, 3, 2.0)
    split = ["val"] * 120 + ["test"] * 80
    whole = fit_calibrator(table(truth, probabilities, split), method)
    other = truth.copy()
    other[120:] = (other[120:] + 1) % 3
    assert fit_calibrator(table(other, probabilities, split), method) == whole
    assert whole.rows == 120


def test_fitting_on_test_or_without_what_it_needs_ends_in_one_line() -> None:
    truth, probabilities = drawn(60, 3, 2.0)
    truth[:40] = truth[:40] % 2
    val_test = table(truth, probabilities, ["val"] * 40 + ["test"] * 20)
    for found, code, wanted in (
        (lambda: fit_calibrator(val_test, split="test"), "E_TABLE", "must not be fitted on the test part"),
        (lambda: fit_calibrator(val_test, "beta"), "E_OPTION", "temperature, platt, isotonic"),
        (lambda: fit_calibrator(val_test, "platt"), "E_TABLE", "of class c2"),
        (lambda: fit_calibrator(table(truth, probabilities, ["test"] * 60)), "E_TABLE", "no row of split 'val'"),
        (lambda: fit_calibrator(Predictions(pd.DataFrame({
            "image_id": ["a", "b"], "label": ["x", "y"], "prediction": ["x", "y"], "split": ["val", "val"]}))),
         "E_TABLE", "has no probabilities"),
        (lambda: fit_calibrator(Predictions(pd.concat([val_test.frame.assign(model=name) for name in "ab"]))),
         "E_TABLE", "2 models.*got a, b"),
        (lambda: calibrator_from_dict({"method": "pickle"}), "E_CALIBRATION", "no stored recalibration"),
        (lambda: calibrator_from_dict({"method": "platt", "classes": 2}), "E_CALIBRATION", "slopes"),
        (lambda: calibrator_from_dict({"method": "temperature", "classes": 2, "temperature": -1}), "E_CALIBRATION",
         "above 0"),
    ):  # fmt: skip
        with pytest.raises(PulmoscopeError, match=wanted) as error:
            found()
        assert error.value.code == code
        assert "\n" not in str(error.value)
        assert isinstance(error.value, TableError) == (code == "E_TABLE")


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match=r"shape \(N, 2\)"):
        Temperature(value=2.0, classes=2).apply([[0.2, 0.3, 0.5]])
    with pytest.raises(ValueError, match="1 row or more"):
        fit_temperature([], np.empty((0, 2)))
    with pytest.raises(ValueError, match="slopes"):
        Platt(classes=3, slopes=(1.0,), intercepts=(0.0,))
    with pytest.raises(ValueError, match="must rise"):
        Isotonic(classes=2, curves=(((0.5, 0.2), (0.0, 1.0)),))
