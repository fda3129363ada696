from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from pulmoscope.evaluation import (
    Predictions,
    mean_ovr_accuracy,
    mean_specificity,
    named_estimates,
    ovr_balanced_accuracy,
    wilson,
)
from pulmoscope.evaluation.joined_interval import mean_interval

# Rows are the truth: 10 pictures of each class, 8 + 10 + 9 of 30 right.
COUNTS = np.array([[8, 2, 0], [0, 10, 0], [1, 0, 9]])
CLASSES = ("covid", "normal", "other")


def table_of(counts: np.ndarray, classes: Sequence[str] = CLASSES) -> Predictions:
    rows = [
        (classes[i], classes[j])
        for i in range(len(classes))
        for j in range(len(classes))
        for _ in range(counts[i, j])
    ]
    frame = pd.DataFrame(rows, columns=["label", "prediction"])
    return Predictions(frame.assign(image_id=[f"p{n}" for n in range(len(frame))]), classes)


def test_the_names_of_reports_by_hand() -> None:
    names = ("accuracy", "mean_ovr_accuracy", "mean_sensitivity", "mean_specificity", "balanced_accuracy:covid",
             "f1:normal", "sensitivity:other")  # fmt: skip
    found = named_estimates(table_of(COUNTS), names, replicates=200)
    assert found["accuracy"].value == pytest.approx(27 / 30)
    # Against the rest: covid is wrong in 3 of 30 pictures, normal in 2, other in 1.
    assert found["mean_ovr_accuracy"].value == pytest.approx((27 / 30 + 28 / 30 + 29 / 30) / 3)
    assert found["mean_sensitivity"].value == pytest.approx((0.8 + 1.0 + 0.9) / 3)
    assert found["mean_specificity"].value == pytest.approx((19 / 20 + 18 / 20 + 20 / 20) / 3)
    assert found["balanced_accuracy:covid"].value == pytest.approx((8 / 10 + 19 / 20) / 2)
    assert found["f1:normal"].value == pytest.approx(2 * 10 / (2 * 10 + 2 + 0))
    assert found["sensitivity:other"].value == pytest.approx(0.9)
    for one in found.values():
        assert one.low <= one.value <= one.high


def test_the_interval_of_the_mean_one_vs_rest_accuracy_is_wilsons_in_its_scale() -> None:
    found = named_estimates(table_of(COUNTS), ("mean_ovr_accuracy",), replicates=50)["mean_ovr_accuracy"]
    low, high = wilson(27, 30)
    assert found.low == pytest.approx(1 - 2 * (1 - float(low)) / 3)
    assert found.high == pytest.approx(1 - 2 * (1 - float(high)) / 3)


def test_system_ds_roc_is_the_balanced_accuracy_of_hard_labels() -> None:
    table = table_of(COUNTS)
    for index, name in enumerate(CLASSES):
        truth, said = table.labels == index, table.predicted == index
        value = ovr_balanced_accuracy(COUNTS)[index]
        assert value == pytest.approx(balanced_accuracy_score(truth, said))
        assert value == pytest.approx(roc_auc_score(truth, said))
        assert named_estimates(table, (f"balanced_accuracy:{name}",), replicates=20)[
            f"balanced_accuracy:{name}"
        ].value == pytest.approx(value)


def test_means_join_the_intervals_of_their_parts() -> None:
    """Of covid 8 of 10 and 19 of 20, different pictures: Jeffreys' bounds by SciPy, joined."""
    found = named_estimates(table_of(COUNTS), ("balanced_accuracy:covid", "mean_specificity"), replicates=20)
    one = found["balanced_accuracy:covid"]
    k, n = np.array([8, 19]), np.array([10, 20])
    low, high = (beta.ppf(tail, k + 0.5, n - k + 0.5) for tail in (0.025, 0.975))
    assert (one.low, one.high) == pytest.approx(mean_interval(k / n, low, high, np.eye(2)))
    # 19, 18 and 20 of 20 are no false alarms; a picture that is one counts against one class alone.
    one, k = found["mean_specificity"], np.array([19, 18, 20])
    low, high = (beta.ppf(tail, k + 0.5, 20.5 - k) for tail in (0.025, 0.975))
    moved = np.zeros((30, 3))
    for row, (truth, said) in enumerate(
        (i, j) for i in range(3) for j in range(3) for _ in range(COUNTS[i, j])
    ):
        moved[row] = [(truth != c) * ((said != c) - k[c] / 20) for c in range(3)]
    assert (one.low, one.high) == pytest.approx(mean_interval(k / 20, low, np.append(high[:2], 1.0), moved))
    # A class that every picture is of has no specificity, and then there is no mean.
    whole = named_estimates(
        table_of(np.array([[3, 1], [0, 0]]), ("a", "b")), ("mean_specificity",), replicates=20
    )
    assert np.isnan([whole["mean_specificity"].value, whole["mean_specificity"].low]).all()


def test_what_the_table_has_not_is_left_out() -> None:
    found = named_estimates(
        table_of(COUNTS), ("f1:tb", "seconds_per_epoch", "accuracy", "auroc"), replicates=20
    )
    assert set(found) == {"accuracy", "auroc"}
    assert np.isnan(found["auroc"].value)  # hard labels only


def test_two_classes_share_one_auroc() -> None:
    table = Predictions.from_arrays(
        image_id=["a", "b", "c", "d"],
        probabilities=[[0.9, 0.1], [0.4, 0.6], [0.6, 0.4], [0.2, 0.8]],
        classes=["x", "y"],
        label=["x", "x", "y", "y"],
    )
    found = named_estimates(table, ("auroc", "auroc:x", "auroc:y"), replicates=20)
    # Of four pairs of an x and a y, three are in order.
    assert {name: one.value for name, one in found.items()} == dict.fromkeys(found, 0.75)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(2, 5).flatmap(
        lambda k: st.lists(st.lists(st.integers(0, 9), min_size=k, max_size=k), min_size=k, max_size=k)
    )
)
def test_the_mean_of_one_vs_rest_accuracies_follows_from_the_accuracy(counts: list[list[int]]) -> None:
    matrix = np.array(counts)
    total, k = matrix.sum(), len(matrix)
    if not total:
        return
    each = []
    for index in range(k):
        true, said = matrix[index].sum(), matrix[:, index].sum()
        hits = matrix[index, index]
        each.append((hits + total - true - said + hits) / total)
    assert float(mean_ovr_accuracy(matrix)) == pytest.approx(np.mean(each))
    assert float(mean_ovr_accuracy(matrix)) >= np.trace(matrix) / total - 1e-12
    if (matrix.sum(axis=1) < total).all():
        assert 0 <= float(mean_specificity(matrix)) <= 1
