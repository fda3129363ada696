"""The words of a verdict, each case by hand."""

from __future__ import annotations

from typing import Any

import pytest

from pulmoscope.evaluation import Estimate
from pulmoscope.training import PublishedNumber
from pulmoscope.workflow.verdict import (
    ABOVE,
    BELOW,
    BY_PICTURE,
    QUICK,
    SAME,
    WITHIN,
    Measured,
    Ours,
    judge,
    meaning,
    measure,
    telling_changes,
)


def number(**changes: Any) -> PublishedNumber:
    fields = {"metric": "accuracy", "value": 0.9, "split": "test", "source": "them", "data": "kermany150", "n": 615,
              "classes": 3}  # fmt: skip
    return PublishedNumber(**(fields | changes))


def ours(**changes: Any) -> Ours:
    fields = {"budget": "full", "collections": {"Kermany150"}, "n": 615, "classes": 3, "part": "test"}
    return Ours(**(fields | changes))


def estimate(value: float, low: float, high: float) -> Estimate:
    return Estimate(value=value, low=low, high=high, n=615, method="wilson")


def one(value: float, low: float, high: float) -> Measured:
    return measure([estimate(value, low, high)], [0])


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.88, 0.92, WITHIN), (0.90, 0.92, WITHIN), (0.91, 0.95, ABOVE), (0.80, 0.89, BELOW)],
)
def test_the_interval_decides(low: float, high: float, words: str) -> None:
    assert judge(number(), one((low + high) / 2, low, high), ours()) == words


@pytest.mark.parametrize(
    ("published", "mine", "reason"),
    [
        ({}, {"budget": "quick"}, QUICK),
        ({"comparable": False, "note": "No n."}, {}, "No n."),
        ({"data": "cxr-covid19"}, {}, "other data than cxr-covid19"),
        ({}, {"collections": set()}, "other data than kermany150"),
        ({}, {"classes": 2}, "3 classes there, 2 here"),
        ({}, {"n": 500}, "615 pictures judged there, 500 here"),
        ({}, {"part": "val"}, "ours is of the validation part, on which choices were made"),
        ({"metric": "seconds_per_epoch"}, {}, "measured on another machine"),
        ({}, {"changed": ("a=1", "b=2")}, "changed by --set a=1, b=2"),
        ({"metric": "parameters_millions"}, {"changed": ("a=1",)}, "changed by --set a=1"),
    ],
)
def test_why_two_numbers_cannot_be_compared(
    published: dict[str, Any], mine: dict[str, Any], reason: str
) -> None:
    assert judge(number(**published), one(0.9, 0.88, 0.92), ours(**mine)) == f"not comparable: {reason}"


def test_a_split_that_leaks_is_said_on_either_side() -> None:
    published, measured = number(split="5-fold by picture"), one(0.9, 0.88, 0.92)
    for split in ("kfold:5", "patient:0.7,0.15,0.15"):
        assert judge(published, measured, ours(split=split)) == f"{WITHIN} {BY_PICTURE}"
    assert (
        judge(published, measured, ours(split="kfold-pictures:5", leaked=True)) == f"leaked split: {WITHIN}"
    )
    assert judge(number(), measured, ours(split="kfold:5")) == WITHIN
    assert judge(number(), measured, ours(split="predefined", leaked=True)) == f"leaked split: {WITHIN}"
    count = number(metric="parameters_millions", value=2.0, split="by picture")
    assert judge(count, Measured(values=(2.0,)), ours(split="kfold:5", leaked=True)) == SAME


def test_only_what_shapes_the_setting_makes_it_another() -> None:
    harmless = ["train.device=cpu", "train.devices=1", "train.precision=float32", "evaluate.replicates=200"]
    weights = "model.weights=xrv:file:here.pt"
    assert telling_changes(harmless, weights="imagenet") == ()
    assert telling_changes([weights, "model.weights=run=there"], weights="xrv:file:none.pt") == ()
    assert telling_changes(["model.weights=random"], weights="xrv:file:none.pt") == ("model.weights=random",)
    assert telling_changes([weights, " train.loss = focal"], weights="imagenet") == (
        weights,
        "train.loss = focal",
    )


def test_a_few_dropped_pictures_do_not_make_it_another_test_part() -> None:
    assert judge(number(n=615), one(0.9, 0.88, 0.92), ours(n=606)) == WITHIN


def test_a_metric_that_we_have_not_is_said() -> None:
    assert judge(number(metric="f1:tb"), None, ours()) == "not comparable: our results have no f1:tb"
    undefined = one(float("nan"), float("nan"), float("nan"))
    assert judge(number(), undefined, ours()) == "not comparable: ours is undefined"


def test_parameters_are_counted_not_estimated_whatever_the_data() -> None:
    published = number(metric="parameters_millions", value=2.42, data="", n=None, classes=None)
    quick = ours(budget="quick", collections=set())
    assert judge(published, Measured(values=(2.426,)), quick) == SAME
    assert judge(published, Measured(values=(2.40,)), quick) == SAME
    assert judge(published, Measured(values=(22.07,)), quick) == ABOVE
    assert judge(published, Measured(values=(1.0,)), quick) == BELOW


def test_of_several_seeds_the_median_lends_its_interval() -> None:
    found = measure(
        [estimate(0.95, 0.93, 0.97), estimate(0.80, 0.77, 0.83), estimate(0.90, 0.88, 0.92)], [3, 5, 8]
    )
    assert found.seed == 8
    assert found.spread.mean == pytest.approx(0.8833333)
    # Standard deviation by hand: deviations .0667, -.0833, .0167, squares sum to .011667, halved, rooted.
    assert found.spread.sd == pytest.approx(0.0763763, abs=1e-6)
    assert judge(number(), found, ours()) == WITHIN


def test_metrics_are_said_in_words() -> None:
    assert meaning("balanced_accuracy:covid") == "mean of sensitivity and specificity of covid"
    assert meaning("parameters_millions") == "parameters, millions"
