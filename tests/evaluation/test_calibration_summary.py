"""Calibration in four numbers with intervals over groups."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm, t

from pulmoscope.evaluation import Predictions, brier_score, draw_weights, expected_calibration_error
from pulmoscope.evaluation.calibration_summary import calibration_summary

CLASSES = ("a", "b", "c")


def table(probabilities: np.ndarray, truth: np.ndarray, groups: list[str] | None = None) -> Predictions:
    return Predictions.from_arrays(
        image_id=[f"i{row}" for row in range(len(truth))], probabilities=probabilities, classes=CLASSES,
        label=[CLASSES[index] for index in truth], group_id=groups,
    )  # fmt: skip


def invented(n: int, power: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from probabilities that are exactly right; these raised to ``power`` and made to sum to 1."""
    random = np.random.default_rng(seed)
    right = random.dirichlet(np.ones(3) / 2, n)
    truth = (right.cumsum(axis=1) > random.random((n, 1))).argmax(axis=1)
    said = np.maximum(right, 1e-9) ** power
    return said / said.sum(axis=1, keepdims=True), truth


def test_the_four_numbers_are_those_of_their_own_functions() -> None:
    from sklearn.metrics import log_loss

    probabilities, truth = invented(400, 1.6)
    found = calibration_summary(table(probabilities, truth), replicates=50)
    assert found is not None
    assert found.ece_width.value == pytest.approx(expected_calibration_error(truth, probabilities))
    assert found.ece_mass.value == pytest.approx(
        expected_calibration_error(truth, probabilities, binning="mass")
    )
    assert found.brier.value == pytest.approx(brier_score(truth, probabilities))
    assert found.log_loss.value == pytest.approx(log_loss(truth, probabilities))
    assert sum(one.score for one in found.by_class.values()) == pytest.approx(found.brier.value)
    for one in (found.ece_width, found.ece_mass, found.brier, found.log_loss):
        assert 0 <= one.low <= one.value <= one.high


def test_brier_interval_is_the_bootstrap_over_groups_of_a_second_library() -> None:
    from scipy.stats import bootstrap

    probabilities, truth = invented(300, 1.0)
    found = calibration_summary(table(probabilities, truth), replicates=4000)
    assert found is not None
    own = ((probabilities - np.eye(3)[truth]) ** 2).sum(axis=1)
    other = bootstrap(
        (own,), np.mean, method="percentile", n_resamples=4000, rng=np.random.default_rng(1)
    ).confidence_interval
    assert (found.brier.low, found.brier.high) == pytest.approx((other.low, other.high), abs=0.006)


def test_percentiles_are_taken_further_out_for_few_patients() -> None:
    probabilities, truth = invented(40, 1.0)
    found = calibration_summary(table(probabilities, truth), replicates=500, seed=3)
    assert found is not None
    own = ((probabilities - np.eye(3)[truth]) ** 2).sum(axis=1)
    # Groups are drawn in the order of their names.
    names = table(probabilities, truth).groups
    order = np.argsort(np.unique(names, return_inverse=True)[1])
    weights = np.array(list(draw_weights(40, 500, np.random.default_rng(3))))
    drawn = weights @ own[order] / weights.sum(axis=1)
    tail = norm.cdf(-np.sqrt(40 / 39) * t.ppf(0.975, 39))
    assert tail < 0.0225
    assert (found.brier.low, found.brier.high) == pytest.approx(tuple(np.quantile(drawn, [tail, 1 - tail])))


def test_pictures_of_one_patient_come_along() -> None:
    probabilities, truth = invented(60, 1.0)
    alone = calibration_summary(table(probabilities, truth))
    names = [f"g{row // 5}" for row in range(300)]
    five = calibration_summary(table(np.repeat(probabilities, 5, axis=0), np.repeat(truth, 5), names))
    assert alone is not None
    assert five is not None
    assert (five.n, five.groups) == (300, 60)
    assert (five.brier.low, five.brier.high) == pytest.approx((alone.brier.low, alone.brier.high))


def test_exact_probabilities_cannot_be_told_from_chance_and_wrong_ones_can() -> None:
    exact = calibration_summary(table(*invented(500, 1.0)), replicates=200)
    sure = calibration_summary(table(*invented(500, 3.0)), replicates=200)
    assert exact is not None
    assert sure is not None
    assert exact.ece_mass.low == 0
    assert exact.ece_mass.value < 2 * exact.ece_by_chance
    assert sure.ece_mass.low > 0.05


def test_what_is_undefined() -> None:
    one = calibration_summary(table(*invented(1, 1.0)), replicates=10)
    assert one is not None
    assert one.as_dict()["brier"] == {"value": one.brier.value, "low": None, "high": None}
    import pandas as pd

    hard = Predictions(pd.DataFrame({"image_id": ["x"], "label": ["a"], "prediction": ["b"]}))
    assert calibration_summary(hard) is None
