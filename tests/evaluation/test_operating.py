"""Operating points: the four counts, what is read from them, and how a threshold is chosen and then fixed."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from scipy.stats.contingency import relative_risk
from sklearn.metrics import class_likelihood_ratios, roc_curve

from pulmoscope.errors import PulmoscopeError
from pulmoscope.evaluation import Predictions, wilson
from pulmoscope.evaluation.four_counts import diagnostic, diagnostic_counts, per_thousand
from pulmoscope.evaluation.operating import OperatingPoint, Rule, choose_threshold
from pulmoscope.evaluation.operating_table import operating_report


def test_four_counts_by_hand() -> None:
    found = diagnostic_counts(90, 10, 30, 170)
    assert found.sensitivity.value == 0.9
    assert found.specificity.value == 0.85
    assert found.ppv.value == 0.75
    assert found.npv.value == pytest.approx(170 / 180)
    assert [found.sensitivity.low, found.sensitivity.high] == pytest.approx(
        [float(b) for b in wilson(90, 100)]
    )
    assert [found.npv.low, found.npv.high] == pytest.approx([float(b) for b in wilson(170, 180)])
    # Simel: standard error of log LR+ is sqrt(1/90 - 1/100 + 1/30 - 1/200).
    half = 1.959963985 * math.sqrt(1 / 90 - 1 / 100 + 1 / 30 - 1 / 200)
    assert found.lr_positive.value == pytest.approx(6)
    assert found.lr_positive.low == pytest.approx(6 * math.exp(-half))
    assert found.lr_positive.high == pytest.approx(6 * math.exp(half))


def test_likelihood_ratios_agree_with_scipy_scikit_learn_and_statsmodels() -> None:
    found = diagnostic_counts(90, 10, 30, 170)
    for one, cells in ((found.lr_positive, (90, 100, 30, 200)), (found.lr_negative, (10, 100, 170, 200))):
        ratio = relative_risk(*cells)
        bounds = ratio.confidence_interval(0.95)
        assert (one.value, one.low, one.high) == pytest.approx((ratio.relative_risk, bounds.low, bounds.high))
    # statsmodels 0.15, Table2x2.riskratio_confint.
    assert (found.lr_positive.low, found.lr_positive.high) == pytest.approx((4.286376474, 8.398702311))
    assert (found.lr_negative.low, found.lr_negative.high) == pytest.approx((0.065158623, 0.212417479))
    truth = np.repeat([1, 1, 0, 0], [90, 10, 30, 170])
    called = np.repeat([1, 0, 1, 0], [90, 10, 30, 170])
    assert class_likelihood_ratios(truth, called) == pytest.approx((6.0, found.lr_negative.value))
    assert diagnostic(called, truth) == found


def test_exact_coverage_of_simels_interval() -> None:
    """Not simulated: summed over the counts that hold all but a hundred-thousandth of the probability."""
    of_ill, of_others = binom.pmf(np.arange(101), 100, 0.85), binom.pmf(np.arange(201), 200, 0.2)
    covered = {"lr_positive": 0.0, "lr_negative": 0.0}
    true = {"lr_positive": 0.85 / 0.2, "lr_negative": 0.15 / 0.8}
    for tp in np.flatnonzero(of_ill > 1e-7).tolist():
        for fp in np.flatnonzero(of_others > 1e-7).tolist():
            found = diagnostic_counts(tp, 100 - tp, fp, 200 - fp)
            for name in covered:
                one = getattr(found, name)
                covered[name] += of_ill[tp] * of_others[fp] * (one.low <= true[name] <= one.high)
    assert all(0.94 <= share <= 0.96 for share in covered.values()), covered


def test_undefined_is_nan_never_0() -> None:
    perfect = diagnostic_counts(5, 0, 0, 5)
    assert math.isnan(perfect.lr_positive.value)
    assert perfect.lr_negative.value == 0
    assert math.isnan(perfect.lr_negative.low)
    nobody = diagnostic_counts(0, 5, 0, 5)
    assert math.isnan(nobody.ppv.value)
    assert math.isnan(nobody.lr_positive.value)
    assert nobody.lr_negative.value == 1
    healthy = diagnostic_counts(0, 0, 2, 5)
    assert math.isnan(healthy.sensitivity.value)
    assert healthy.as_dict()["sensitivity"] == {"value": None, "low": None, "high": None}
    with pytest.raises(ValueError, match="negative"):
        diagnostic_counts(1, -1, 0, 0)


def test_a_thousand_patients_by_hand() -> None:
    found = per_thousand(diagnostic_counts(90, 10, 30, 170), 0.02)
    assert [found.found.value, found.missed.value] == pytest.approx([18, 2])
    assert [found.false_alarms.value, found.cleared.value] == pytest.approx([147, 833])
    assert found.ppv.value == pytest.approx(18 / 165)
    assert found.npv.value == pytest.approx(833 / 835)
    assert found.missed.low == pytest.approx(20 * (1 - wilson(90, 100)[1]))
    # Mercaldo, Lau and Zhou 2007: the logit of the PPV has variance (1 - se) / se / n1 + sp / (1 - sp) / n0.
    half = 1.959963985 * math.sqrt(0.1 / 0.9 / 100 + 0.85 / 0.15 / 200)
    logit = math.log(18 / 147)
    assert [found.ppv.low, found.ppv.high] == pytest.approx(
        [1 / (1 + math.exp(-logit + s * half)) for s in (1, -1)]
    )
    perfect = per_thousand(diagnostic_counts(5, 0, 0, 5), 0.1)
    assert (perfect.ppv.value, perfect.npv.value) == (1, 1)
    assert math.isnan(perfect.ppv.low)
    with pytest.raises(ValueError, match="prevalence"):
        per_thousand(diagnostic_counts(5, 0, 0, 5), 1.0)


@given(st.tuples(*[st.integers(0, 60)] * 4), st.floats(0.001, 0.999))
def test_bounds_are_ordered_and_a_thousand_are_a_thousand(
    counts: tuple[int, int, int, int], share: float
) -> None:
    judged = diagnostic_counts(*counts)
    of = per_thousand(judged, share)
    for one in (judged.sensitivity, judged.specificity, judged.ppv, judged.npv, judged.lr_positive, judged.lr_negative,
                of.found, of.missed, of.false_alarms, of.cleared, of.ppv, of.npv):  # fmt: skip
        if not math.isnan(one.low):
            assert one.low <= one.value + 1e-9
            assert one.value <= one.high + 1e-9
            assert one.low >= 0
    total = sum(one.value for one in (of.found, of.missed, of.false_alarms, of.cleared))
    assert math.isnan(total) or total == pytest.approx(1000)
    assert math.isnan(of.ppv.value) or 0 <= of.ppv.value <= 1
    json.dumps([judged.as_dict(), of.as_dict()], allow_nan=False)


# In order: 1 0 1 1 0 0 at .9 .8 .7 .4 .3 .1
TRUTH = np.array([1, 0, 1, 1, 0, 0], bool)
SCORES = np.array([0.9, 0.8, 0.7, 0.4, 0.3, 0.1])


@pytest.mark.parametrize(
    ("rule", "threshold"),
    [
        (Rule(kind="sensitivity", target=0.3), 0.85),
        (Rule(kind="sensitivity", target=0.34), 0.55),
        (Rule(kind="sensitivity", target=1.0), 0.35),
        (Rule(kind="specificity", target=1.0), 0.85),
        (Rule(kind="specificity", target=0.6), 0.35),
        (Rule(kind="youden"), 0.35),
        (Rule(kind="cost", costs=(1, 1), prevalence=0.5), 0.35),
        # A false alarm a hundred times as dear: nothing but the sure one is called.
        (Rule(kind="cost", costs=(1, 100), prevalence=0.5), 0.85),
    ],
)
def test_rules_by_hand(rule: Rule, threshold: float) -> None:
    found = choose_threshold(TRUTH, SCORES, rule)
    assert found.threshold == pytest.approx(threshold)
    assert found.notes == ()


@pytest.mark.parametrize("seed", range(20))
def test_rules_agree_with_scikit_learns_curve(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.random(80) < 0.4
    truth[:2] = [True, False]
    scores = np.round(np.clip(rng.normal(0.35 + 0.3 * truth, 0.2), 0, 1), 2)
    alarm, caught, cuts = roc_curve(truth, scores, drop_intermediate=False)
    for target in (0.5, 0.8, 0.95):
        reached = caught >= target - 1e-12
        point = choose_threshold(truth, scores, Rule(kind="sensitivity", target=target))
        best = point.validation
        assert best.sensitivity.value >= target - 1e-12
        assert best.specificity.value == pytest.approx((1 - alarm)[reached].max())
        kept = 1 - alarm >= target - 1e-12
        best = choose_threshold(truth, scores, Rule(kind="specificity", target=target)).validation
        assert best.specificity.value >= target - 1e-12
        assert best.sensitivity.value == pytest.approx(caught[kept].max())
    best = choose_threshold(truth, scores, Rule(kind="youden")).validation
    assert best.sensitivity.value + best.specificity.value - 1 == pytest.approx((caught - alarm).max())
    rule = Rule(kind="cost", costs=(7, 2), prevalence=0.1)
    best = choose_threshold(truth, scores, rule).validation
    cost = 7 * 0.1 * (1 - caught) + 2 * 0.9 * alarm
    assert 0.7 * (1 - best.sensitivity.value) + 1.8 * (1 - best.specificity.value) == pytest.approx(
        cost.min()
    )
    assert len(cuts)


def test_ties_and_what_cannot_be_reached_are_said() -> None:
    shared = choose_threshold(
        [1, 1, 0, 0, 1], [0.9, 0.5, 0.5, 0.1, 0.5], Rule(kind="sensitivity", target=0.5)
    )
    assert shared.validation.sensitivity.value == 1
    assert shared.notes == ("3 pictures share the score at the threshold and are called together",)
    flat = choose_threshold([1, 0], [0.5, 0.5], Rule(kind="youden"))
    assert flat.threshold == 0
    assert "calling everybody" in flat.notes[0]
    assert "2 thresholds are equally good; the lowest" in flat.notes[1]
    lowest = choose_threshold([0, 0, 1], [0.9, 0.5, 0.1], Rule(kind="sensitivity", target=0.95))
    assert (
        "no threshold reaches sensitivity of at least 0.95 on the val part short of calling everybody"
        in lowest.notes
    )
    top = choose_threshold([0, 1], [0.9, 0.5], Rule(kind="specificity", target=1.0))
    assert math.isinf(top.threshold)
    assert "short of calling nobody" in top.notes[0]
    assert not top.call([1.0, 0.5]).any()
    twice = choose_threshold([1, 0, 1, 0], [0.9, 0.7, 0.5, 0.3], Rule(kind="youden"))
    assert twice.threshold == pytest.approx(0.4)
    assert "2 thresholds are equally good" in twice.notes[0]
    one_sided = choose_threshold([0, 0], [0.9, 0.5], Rule(kind="youden"), name="covid")
    assert math.isnan(one_sided.threshold)
    assert "no picture of the val part is of class covid" in one_sided.notes[0]
    with pytest.raises(ValueError, match="undefined"):
        one_sided.call([0.5])
    with pytest.raises(ValueError, match="NaN"):
        choose_threshold([0, 1], [0.9, math.nan], Rule(kind="youden"))


def test_neighbouring_floats_have_nothing_between_them() -> None:
    low = 0.3
    high = float(np.nextafter(low, 1))
    found = choose_threshold([1, 0], [high, low], Rule(kind="youden"))
    assert found.call([high, low]).tolist() == [True, False]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(2, 40),
    rule=st.sampled_from([
        Rule(kind="sensitivity", target=0.9), Rule(kind="specificity", target=0.9), Rule(kind="youden"),
        Rule(kind="cost", costs=(10.0, 1.0), prevalence=0.05),
    ]),
)  # fmt: skip
def test_a_point_survives_json_and_calls_the_same_in_any_order(seed: int, rows: int, rule: Rule) -> None:
    rng = np.random.default_rng(seed)
    truth, scores = rng.random(rows) < 0.5, rng.random(rows).round(1)
    point = choose_threshold(truth, scores, rule, name="covid")
    again = OperatingPoint.from_dict(json.loads(json.dumps(point.as_dict(), allow_nan=False)))
    assert json.dumps(again.as_dict()) == json.dumps(point.as_dict())
    order = rng.permutation(rows)
    other = choose_threshold(truth[order], scores[order], rule).threshold
    assert other == point.threshold or (math.isnan(other) and math.isnan(point.threshold))
    if not math.isnan(point.threshold):
        assert (again.call(scores) == point.call(scores)).all()
        assert diagnostic(point.call(scores), truth).as_dict() == point.validation.as_dict()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kind": "sensitivity"}, "target"),
        ({"kind": "sensitivity", "target": 1.2}, "target"),
        ({"kind": "cost", "costs": (1, 1)}, "prevalence"),
        ({"kind": "cost", "costs": (0, 0), "prevalence": 0.1}, "costs"),
        ({"kind": "accuracy"}, "none of sensitivity"),
    ],
)
def test_wrong_rules_end_in_one_line(options: dict, said: str) -> None:
    with pytest.raises(PulmoscopeError, match=said):
        Rule(**options)


def make_table(rows: int = 200, seed: int = 0) -> Predictions:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, rows)
    logits = rng.normal(0, 1, (rows, 3)) + 2 * np.eye(3)[truth]
    scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return Predictions.from_arrays(
        image_id=[f"i{row}" for row in range(rows)], probabilities=scores, classes=["covid", "normal", "other"],
        label=[["covid", "normal", "other"][index] for index in truth],
        split=["val" if row % 2 else "test" for row in range(rows)],
    )  # fmt: skip


def test_the_test_part_never_moves_a_threshold() -> None:
    table = make_table()
    frame = table.frame
    frame.loc[frame["split"] == "test", "label"] = "other"
    first, second = (
        operating_report(table, positive="covid"),
        operating_report(Predictions(frame), positive="covid"),
    )
    for one, two in zip(first.points or (), second.points or (), strict=True):
        assert one.point.as_dict() == two.point.as_dict()
        assert one.as_dict()["test"] != two.as_dict()["test"]


def test_a_report_by_table() -> None:
    table = make_table()
    found = operating_report(
        table, positive="covid", rules=[Rule(kind="sensitivity", target=0.9)], prevalence=0.1
    )
    assert found.points is not None
    (one,) = found.points
    part = table.part("test")
    assert part.probabilities is not None
    called = part.probabilities[:, 0] >= one.point.threshold
    assert one.test is not None
    assert one.test.as_dict() == diagnostic(called, part.labels == 0).as_dict()
    assert one.patients is not None
    assert one.patients.as_dict() == per_thousand(one.test, 0.1).as_dict()
    assert "of 1,000 patients at a prevalence of 0.1" in str(found)
    assert len(operating_report(table).points or ()) == 9
    assert "thresholds chosen on val" in str(found)


def test_tables_that_will_not_do() -> None:
    table = make_table()
    hard = table.frame.drop(columns=["p_covid", "p_normal", "p_other"]).assign(prediction="covid")
    found = operating_report(Predictions(hard, table.classes))
    assert found.as_dict()["points"] is None
    assert "no probabilities" in found.notes[0]
    with pytest.raises(PulmoscopeError, match="no row of split val"):
        operating_report(Predictions(table.frame.assign(split="test")))
    with pytest.raises(PulmoscopeError, match="no class 'flu'"):
        operating_report(table, positive="flu")
    with pytest.raises(PulmoscopeError, match="nothing is chosen on the test part"):
        operating_report(table, chosen_on="test", judged_on="val")
    with pytest.raises(PulmoscopeError, match="pictures that chose them"):
        operating_report(table, judged_on="val")
    with pytest.raises(PulmoscopeError, match="prevalence"):
        operating_report(table, prevalence=10)
    both = pd.concat([table.frame.assign(model="a"), table.frame.assign(model="b")])
    with pytest.raises(PulmoscopeError, match="2 models"):
        operating_report(Predictions(both))


def test_shared_patients_are_said() -> None:
    frame = make_table().frame
    frame["group_id"] = [f"g{row // 2}" for row in range(len(frame))]
    notes = " ".join(operating_report(Predictions(frame)).notes)
    assert "100 groups (patients) are in both parts" in notes
    frame["group_id"] = [f"{split}{row // 4}" for row, split in enumerate(frame["split"])]
    notes = " ".join(operating_report(Predictions(frame)).notes)
    assert "100 pictures come from 50 groups" in notes
    assert "both parts" not in notes
