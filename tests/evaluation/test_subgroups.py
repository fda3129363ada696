"""Subgroups: rates by hand, small and empty ones, the tests between them."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from pulmoscope.errors import PulmoscopeError, TableError
from pulmoscope.evaluation import Predictions, delong_interval, evaluate
from pulmoscope.evaluation.intervals import wilson
from pulmoscope.evaluation.subgroup_levels import band_names, rows_of, subgroup_levels
from pulmoscope.evaluation.subgroup_words import gap_sentence, subgroups_text
from pulmoscope.evaluation.subgroups import Subgroups, evaluate_subgroups


def table(rows: list[tuple[str, str, str, int]]) -> tuple[Predictions, pd.DataFrame]:
    """Rows of (view, truth, predicted, how many), a picture a patient; certain of what is predicted."""
    flat = [(view, truth, said) for view, truth, said, count in rows for _ in range(count)]
    frame = pd.DataFrame(flat, columns=["view", "label", "said"])
    frame["image_id"] = [f"i{at}" for at in range(len(frame))]
    # A little spread, so that an AUROC is not all ties.
    sure = 0.6 + 0.3 * np.random.default_rng(0).random(len(frame))
    for name in ("covid", "normal", "other"):
        frame[f"p_{name}"] = np.where(frame["said"] == name, sure, (1 - sure) / 2)
    return Predictions(frame.drop(columns=["view", "said"])), frame


AP_WORSE = [
    ("AP", "covid", "covid", 30), ("AP", "covid", "normal", 20), ("AP", "normal", "normal", 60),
    ("AP", "normal", "covid", 5), ("AP", "other", "other", 12),
    ("PA", "covid", "covid", 58), ("PA", "covid", "other", 2),
    ("PA", "normal", "normal", 62), ("PA", "normal", "covid", 4), ("PA", "other", "other", 11),
    ("PA", "other", "normal", 1),
]  # fmt: skip


def judged(rows: list[tuple[str, str, str, int]], **options: int) -> Subgroups:
    predictions, frame = table(rows)
    return evaluate_subgroups(predictions, subgroup_levels(frame, by=["view"]), replicates=200, **options)


def test_every_level_has_its_own_rates() -> None:
    found = judged(AP_WORSE)
    ap, pa = found.columns["view"]
    assert (ap.level, ap.n, ap.support) == ("AP", 127, {"covid": 50, "normal": 65, "other": 12})
    assert ap.estimates["accuracy"].value == pytest.approx(102 / 127)
    assert ap.estimates["sensitivity:covid"].value == 30 / 50
    low, high = wilson(30, 50)
    assert (ap.estimates["sensitivity:covid"].low, ap.estimates["sensitivity:covid"].high) == (low, high)
    assert ap.estimates["specificity:covid"].value == pytest.approx(72 / 77)
    assert ap.estimates["balanced_accuracy"].value == pytest.approx((30 / 50 + 60 / 65 + 1) / 3)
    assert pa.estimates["sensitivity:covid"].value == 58 / 60
    assert not ap.small
    assert not pa.small


def test_the_gap_that_is_there_differs_and_the_other_does_not() -> None:
    found = judged(AP_WORSE)
    gaps = {one.metric: one for one in found.gaps}
    assert len(gaps) == 12
    covid, normal = gaps["sensitivity:covid"], gaps["sensitivity:normal"]
    assert (covid.lowest, covid.highest) == ("AP", "PA")
    assert covid.difference == pytest.approx(58 / 60 - 30 / 50)
    # Newcombe's interval of the same two proportions, from their Wilson bounds, is near.
    from statsmodels.stats.proportion import confint_proportions_2indep

    low, high = confint_proportions_2indep(58, 60, 30, 50, method="newcomb")
    assert (covid.low, covid.high) == pytest.approx((low, high), abs=0.03)
    assert covid.differs
    assert not normal.differs
    assert "differs: lowest AP 0.600, highest PA 0.967, gap 0.367" in gap_sentence(covid)
    assert "cannot be told apart" in gap_sentence(normal)
    # Holm over the eleven that can be tested (the AUROC of "other" is 1 in AP): the smallest p times eleven.
    assert [name for name, one in gaps.items() if math.isnan(one.p)] == ["auroc:other"]
    smallest = min(found.gaps, key=lambda one: one.p)
    assert smallest.holm_p == pytest.approx(11 * smallest.p)
    # The AUROC of one class of two levels without common patients: DeLong's errors of both, added.
    area = gaps["auroc:covid"]
    frame = table(AP_WORSE)[1]
    levels = [rows for _, rows in frame.groupby("view")]
    errors = [delong_interval(rows["label"] == "covid", rows["p_covid"]).se for rows in levels]
    assert (area.high - area.low) / 2 == pytest.approx(2 * np.hypot(*errors), rel=0.08)
    assert found.lowest("view", "sensitivity:covid").level == "AP"  # type: ignore[union-attr]


def test_a_rate_of_one_has_no_bootstrap_interval() -> None:
    gap = next(one for one in judged(AP_WORSE).gaps if one.metric == "sensitivity:other")
    assert gap.highest_value == 1.0
    assert math.isnan(gap.low)
    assert "nan" not in gap_sentence(gap)


def test_small_levels_are_shown_marked_and_never_the_lowest() -> None:
    rows = [*AP_WORSE, ("lateral", "covid", "normal", 9), ("lateral", "normal", "normal", 15)]
    rows += [("other", "covid", "normal", 9), ("other", "normal", "normal", 40)]
    found = judged(rows)
    lateral, other = found.columns["view"][2:]
    assert lateral.estimates["sensitivity:covid"].value == 0
    assert "accuracy" in lateral.small
    # 49 pictures are enough for accuracy, 9 of the class are not enough for its sensitivity.
    assert "accuracy" not in other.small
    assert "sensitivity:covid" in other.small
    assert found.lowest("view", "sensitivity:covid").level == "AP"  # type: ignore[union-attr]
    assert next(one for one in found.gaps if one.metric == "sensitivity:covid").levels == 2
    assert "0.000 (0.000-0.299) s" in subgroups_text(found)


def test_a_level_without_a_class_is_undefined_and_said() -> None:
    rows = [*AP_WORSE, ("lateral", "covid", "covid", 40), ("lateral", "covid", "normal", 10)]
    found = judged(rows)
    lateral = found.columns["view"][2]
    assert lateral.lacks == ("normal", "other")
    for metric in (
        "balanced_accuracy",
        "macro_auroc",
        "sensitivity:normal",
        "specificity:covid",
        "auroc:covid",
    ):
        assert math.isnan(lateral.estimates[metric].value), metric
    assert any("lateral has no normal, other" in note for note in found.notes)
    accuracy = next(one for one in found.gaps if one.metric == "accuracy")
    assert not accuracy.same_classes
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["columns"]["view"][2]["metrics"]["auroc:covid"][
        "value"
    ] is None  # fmt: skip


def test_one_level_alone_is_the_whole() -> None:
    predictions, frame = table(AP_WORSE)
    frame["view"] = "AP"
    found = evaluate_subgroups(predictions, subgroup_levels(frame, by=["view"]), replicates=50)
    assert found.columns == {}
    assert found.gaps == ()
    assert found.notes[0] == "view is AP for every picture: there is nothing to compare"


def test_every_picture_is_in_one_level_and_the_whole_is_the_sum() -> None:
    predictions, frame = table(AP_WORSE)
    frame.loc[::7, "view"] = None
    found = evaluate_subgroups(predictions, subgroup_levels(frame, by=["view"]), replicates=50)
    assert [one.level for one in found.columns["view"]] == ["AP", "PA", "unknown"]
    assert sum(one.n for one in found.columns["view"]) == len(predictions)
    right = sum(one.n * one.estimates["accuracy"].value for one in found.columns["view"])
    assert right / len(predictions) == pytest.approx(evaluate(predictions, replicates=1).accuracy.value)


def test_two_classes_test_each_sensitivity_once() -> None:
    _, frame = table([row for row in AP_WORSE if "other" not in row])
    two = frame.assign(p_normal=frame["p_normal"] + frame["p_other"]).drop(
        columns=["p_other", "view", "said"]
    )
    found = evaluate_subgroups(Predictions(two), subgroup_levels(frame, by=["view"]), replicates=50)
    assert [one.metric for one in found.gaps] == [
        "accuracy", "balanced_accuracy", "macro_auroc", "sensitivity:covid", "sensitivity:normal",
    ]  # fmt: skip
    assert "specificity:covid" not in found.shown()


def test_age_bands() -> None:
    frame = pd.DataFrame({"age": [0, 17.9, 18, 39.5, 40, 64, 65, 100, None]})
    levels = subgroup_levels(frame)
    assert levels.columns["age"] == (
        "0-17", "0-17", "18-39", "18-39", "40-64", "40-64", "65+", "65+", "unknown",
    )  # fmt: skip
    assert levels.order["age"] == ("0-17", "18-39", "40-64", "65+", "unknown")
    assert subgroup_levels(frame, age_bands=[50]).order["age"] == ("0-49", "50+", "unknown")
    assert subgroup_levels(pd.DataFrame({"age": ["12", "", "70"]})).columns["age"] == (
        "0-17",
        "unknown",
        "65+",
    )
    assert band_names([1, 2]) == ("0-0", "1-1", "2+")
    for wrong in ([], [0, 5], [40, 18], [5, 5]):
        with pytest.raises(PulmoscopeError, match="no age bands"):
            subgroup_levels(frame, age_bands=wrong)
    with pytest.raises(TableError, match="no age in 2 rows"):
        subgroup_levels(pd.DataFrame({"age": ["12", "old", "-3"]}))


def test_columns_that_cannot_be_grouped_by() -> None:
    frame = pd.DataFrame({"view": ["AP", "PA"] * 20, "patient": [f"p{at}" for at in range(40)]})
    with pytest.raises(TableError, match=r"no column 'veiw'.*did you mean 'view'"):
        subgroup_levels(frame, by=["veiw"])
    with pytest.raises(TableError, match="has 40 levels"):
        subgroup_levels(frame, by=["patient"])
    predictions, _ = table(AP_WORSE)
    with pytest.raises(TableError, match="do not fit"):
        evaluate_subgroups(predictions, subgroup_levels(frame, by=["view"]))


def test_rows_are_found_by_image() -> None:
    frame = pd.DataFrame({"image_id": ["7", "8", "9"], "sex": ["F", "M", "F"]})
    rows = rows_of(frame, ["9", "5", "7"])
    assert rows["sex"].tolist()[::2] == ["F", "F"]
    assert rows["sex"].isna().tolist() == [False, True, False]
    with pytest.raises(TableError, match="none of the 1 pictures"):
        rows_of(frame, ["x"])
    with pytest.raises(TableError, match="more than once"):
        rows_of(pd.concat([frame, frame]), ["7"])
    with pytest.raises(TableError, match="no column 'image_id'"):
        rows_of(frame[["sex"]], ["7"])


def test_means_over_the_classes_are_tested_too() -> None:
    found = judged(AP_WORSE)
    gap = next(one for one in found.gaps if one.metric == "balanced_accuracy")
    assert (gap.lowest, gap.highest) == ("AP", "PA")
    # Three independent sensitivities a level: the variance of their mean is a ninth of the sum.
    variance = sum(
        p * (1 - p) / n
        for p, n in ((30 / 50, 50), (60 / 65, 65), (1, 12), (58 / 60, 60), (62 / 66, 66), (11 / 12, 12))
    ) / 9 * 251 / 250  # fmt: skip
    middle = (gap.low + gap.high) / 2
    assert middle == pytest.approx(gap.difference)
    degrees = next(
        df for df in np.arange(1, 251, 0.01) if t.ppf(0.975, df) * variance**0.5 <= gap.high - middle
    )
    assert gap.p == pytest.approx(2 * t.sf(gap.difference / variance**0.5, degrees), rel=1e-2)
    # The one of twelve "other" that is wrong makes most of the spread.
    assert 5 < degrees < 30
    area = next(one for one in found.gaps if one.metric == "macro_auroc")
    assert 0 < area.p < 1


def test_a_level_that_is_always_right_leaves_no_test_of_its_means() -> None:
    right = [("AP", "covid", "covid", 20), ("AP", "normal", "normal", 20), ("AP", "other", "other", 20)]
    found = judged([*right, *(row for row in AP_WORSE if row[0] == "PA")])
    gap = next(one for one in found.gaps if one.metric == "balanced_accuracy")
    assert math.isnan(gap.p)
    assert not gap.differs
    assert "cannot be tested, as too few of its levels vary" in gap_sentence(gap)
    assert "nan" not in gap_sentence(gap)
    assert all(
        not math.isnan(one.holm_p)
        for one in found.gaps
        if one.metric.partition(":")[0] not in {"balanced_accuracy", "macro_auroc", "auroc"}
    )
