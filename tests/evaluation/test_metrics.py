from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import beta, binomtest, kurtosis
from scipy.stats import t as student
from sklearn import metrics as reference

from pulmoscope.errors import PulmoscopeError, TableError
from pulmoscope.evaluation import Predictions, evaluate

CLASSES = ("covid", "pneumonia", "normal")
BOUNDED = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auroc")
RATES = ("sensitivity", "specificity", "ppv", "npv", "f1", "auroc")


def _table(seed: int = 0, rows: int = 90, per_group: int = 2) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, rows)
    scores = 0.6 * rng.dirichlet(np.ones(3), rows) + 0.4 * np.eye(3)[truth]
    frame = pd.DataFrame(scores, columns=[f"p_{name}" for name in CLASSES])
    frame.insert(0, "label", [CLASSES[index] for index in truth])
    frame.insert(0, "group_id", [f"patient-{row // per_group}" for row in range(rows)])
    frame.insert(0, "image_id", [f"{row:03d}" for row in range(rows)])
    return frame


def test_shape_of_the_json() -> None:
    found = evaluate(_table(), replicates=50).as_dict()
    assert list(found) == ["n", *BOUNDED, "classes", "confusion", "intervals"]
    assert list(found["classes"]) == list(CLASSES)
    assert list(found["classes"]["covid"]) == ["support", *RATES]
    assert list(found["accuracy"]) == ["value", "low", "high"]
    assert found["confusion"]["labels"] == list(CLASSES)
    assert sum(map(sum, found["confusion"]["counts"])) == found["n"] == 90
    assert found["intervals"]["level"] == 0.95
    assert (found["intervals"]["method"], found["intervals"]["replicates"]) == ("default", 50)
    assert found["intervals"]["groups"] == 45
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_values_agree_with_scikit_learn_and_intervals_with_scipy() -> None:
    frame = _table(1, per_group=1)
    found = evaluate(frame, replicates=50)
    scores = frame[[f"p_{name}" for name in CLASSES]].to_numpy()
    truth = frame["label"].to_numpy(dtype=object)
    predicted = np.array(CLASSES, dtype=object)[scores.argmax(axis=1)]
    assert found.accuracy.value == pytest.approx(reference.accuracy_score(truth, predicted))
    assert found.balanced_accuracy.value == pytest.approx(reference.balanced_accuracy_score(truth, predicted))
    assert found.macro_f1.value == pytest.approx(reference.f1_score(truth, predicted, average="macro"))
    areas = [reference.roc_auc_score(truth == name, scores[:, index]) for index, name in enumerate(CLASSES)]
    assert found.macro_auroc.value == pytest.approx(np.mean(areas))
    for index, name in enumerate(CLASSES):
        metrics = found.classes[name]
        true, called = truth == name, predicted == name
        assert metrics.auroc.value == pytest.approx(areas[index])
        for estimate, right, among in (
            (metrics.sensitivity, true & called, true),
            (metrics.specificity, ~true & ~called, ~true),
            (metrics.ppv, true & called, called),
            (metrics.npv, ~true & ~called, ~called),
        ):
            other = binomtest(int(right.sum()), int(among.sum()))
            interval = other.proportion_ci(method="wilson")
            assert estimate.value == pytest.approx(other.statistic)
            assert (estimate.low, estimate.high) == (
                pytest.approx(interval.low),
                pytest.approx(interval.high),
            )
            assert (estimate.n, estimate.method) == (among.sum(), "wilson")


@pytest.mark.parametrize("method", ["default", "patient-bootstrap"])
def test_bootstrap_agrees_with_a_plain_loop_over_patients(method: str) -> None:
    frame = _table(2)
    found = evaluate(frame, intervals=method, replicates=60, seed=5)
    rng = np.random.default_rng(5)
    patients = sorted(frame["group_id"].unique())
    pictures = dict(iter(frame.groupby("group_id")))
    plain: dict[str, list[float]] = {"accuracy": [], "macro_f1": [], "sensitivity": [], "auroc": []}
    for _ in range(60):
        drawn = rng.integers(0, len(patients), len(patients))
        rows = pd.concat([pictures[patients[index]] for index in drawn])
        scores = rows[[f"p_{name}" for name in CLASSES]].to_numpy()
        truth = rows["label"].to_numpy(dtype=object)
        called = np.array(CLASSES, dtype=object)[scores.argmax(axis=1)]
        plain["accuracy"].append(reference.accuracy_score(truth, called))
        plain["macro_f1"].append(reference.f1_score(truth, called, average="macro"))
        plain["sensitivity"].append(reference.recall_score(truth == "covid", called == "covid"))
        plain["auroc"].append(reference.roc_auc_score(truth == "covid", scores[:, 0]))
    pairs = {"auroc": found.classes["covid"].auroc}
    if method == "patient-bootstrap":
        pairs |= {
            "macro_f1": found.macro_f1,
            "accuracy": found.accuracy,
            "sensitivity": found.classes["covid"].sensitivity,
        }
    for name, estimate in pairs.items():
        # Student's t on the logit scale, with the factor sqrt(G / (G - 1)); G - 1 degrees of freedom, or fewer by the
        # kurtosis of what each patient adds to an AUROC.
        count, value = len(patients), estimate.value
        degrees = _degrees_of_auroc(frame) if name == "auroc" else count - 1
        se = np.std(plain[name], ddof=1) * np.sqrt(count / (count - 1)) / (value * (1 - value))
        expected = expit(logit(value) + np.array(student.interval(0.95, degrees)) * se)
        assert (estimate.low, estimate.high) == pytest.approx(expected, abs=1e-12)


def _degrees_of_auroc(frame: pd.DataFrame) -> float:
    """Pair by pair, patient by patient."""
    ill, others = frame[frame["label"] == "covid"], frame[frame["label"] != "covid"]
    wins = ill["p_covid"].to_numpy()[:, None] > others["p_covid"].to_numpy()
    adds = dict.fromkeys(sorted(frame["group_id"].unique()), 0.0)
    for part, axis in ((ill, 1), (others, 0)):
        for patient, share in zip(part["group_id"], wins.mean(axis=axis), strict=True):
            adds[patient] += (share - wins.mean()) / len(part)
    return min(len(adds) - 1, 2 * len(adds) / (kurtosis(list(adds.values()), fisher=False) - 1))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), order=st.permutations(range(3)))
def test_row_order_changes_nothing_and_class_order_only_the_order(seed: int, order: list[int]) -> None:
    frame = _table(seed, rows=30)
    found = evaluate(frame, intervals="patient-bootstrap", replicates=40)
    shuffled = evaluate(frame.sample(frac=1, random_state=seed), intervals="patient-bootstrap", replicates=40)
    assert shuffled.as_dict() == found.as_dict()
    columns = [f"p_{CLASSES[index]}" for index in order]
    renamed = evaluate(
        frame[["image_id", "group_id", "label", *columns]], intervals="patient-bootstrap", replicates=40
    )
    for name in CLASSES:
        assert renamed.classes[name].as_dict() == found.classes[name].as_dict()
    assert renamed.confusion.tolist() == found.confusion[np.ix_(order, order)].tolist()
    for estimate in found.estimates().values():
        if not np.isnan(estimate.low):
            assert 0 <= estimate.low <= estimate.high <= 1
    for name in BOUNDED:
        assert list(getattr(renamed, name).as_dict().values()) == pytest.approx(
            list(getattr(found, name).as_dict().values()), nan_ok=True
        )


def test_copies_within_a_patient_narrow_nothing() -> None:
    frame = _table(3, per_group=1)
    copies = pd.concat([frame.assign(image_id=frame["image_id"] + f"-{copy}") for copy in range(4)])
    alone = evaluate(frame, intervals="patient-bootstrap", replicates=100)
    found = evaluate(copies, intervals="patient-bootstrap", replicates=100)
    for name, estimate in alone.estimates().items():
        again = found.estimates()[name]
        assert (again.value, again.low, again.high) == pytest.approx(
            (estimate.value, estimate.low, estimate.high)
        )
    # Wilson's: but for (n - 1) / n and Student's t, four copies of a picture are worth one.
    for method in ("default", "exact"):
        alone, found = (evaluate(one, intervals=method, replicates=2) for one in (frame, copies))
        for name in ("accuracy", "sensitivity (covid)", "npv (normal)"):
            once, again = alone.estimates()[name], found.estimates()[name]
            assert again.high - again.low == pytest.approx(once.high - once.low, rel=0.06), name


def test_seed_decides_the_intervals() -> None:
    first, again, other = (evaluate(_table(), replicates=50, seed=seed).as_dict() for seed in (7, 7, 8))
    assert first == again
    assert first["macro_auroc"] != other["macro_auroc"]
    assert first["accuracy"] == other["accuracy"]


def test_undefined_is_null_never_zero() -> None:
    frame = pd.DataFrame({
        "image_id": ["a", "b", "c", "d"], "label": ["covid", "covid", "normal", "normal"],
        "p_covid": [0.8, 0.7, 0.1, 0.2], "p_normal": [0.2, 0.3, 0.9, 0.8], "p_other": [0.0] * 4,
    })  # fmt: skip
    found = evaluate(frame, replicates=200)
    other = found.as_dict()["classes"]["other"]
    undefined = {"value": None, "low": None, "high": None}
    assert other["support"] == 0
    for name in ("sensitivity", "ppv", "f1", "auroc"):
        assert other[name] == undefined
    assert other["specificity"]["value"] == 1.0
    text = str(found)
    assert "sensitivity (other)   undefined" in text
    assert "no picture is of class other" in text
    # Replicates that drew one class only have no AUROC, and are counted.
    drawn = found.as_dict()["intervals"]["undefined_replicates"]
    assert 0 < drawn["auroc (covid)"] < 100
    assert drawn["auroc (other)"] == 200
    assert f"AUROC (covid) {drawn['auroc (covid)']}" in text


def test_an_interval_from_mostly_undefined_replicates_is_undefined() -> None:
    # Of three patients the one with the disease is not drawn in 8 of 27 replicates, and alone in one: no AUROC.
    frame = pd.DataFrame({"image_id": ["a1", "a2", "b", "c"], "group_id": ["a", "a", "b", "c"],
                          "label": ["covid", "covid", "normal", "normal"], "covid": [0.9, 0.3, 0.2, 0.5],
                          "normal": [0.1, 0.7, 0.8, 0.5]})  # fmt: skip
    assert evaluate(frame, replicates=540).classes["covid"].auroc.undefined_replicates == pytest.approx(
        180, abs=40
    )
    areas = [evaluate(frame, replicates=5, seed=seed).classes["covid"].auroc for seed in range(20)]
    mostly = [area for area in areas if area.undefined_replicates > 2]
    assert 0 < len(mostly) < 20
    assert {area.value for area in areas} == {0.75}
    assert np.isnan([[area.low, area.high] for area in mostly]).all()
    # Of the others some drew replicates that do not differ, which is no interval either.
    assert sum(area.low < 0.75 < area.high for area in areas) > 5


def test_one_patient_has_no_bootstrap_interval() -> None:
    found = evaluate(_table(rows=6, per_group=6), intervals="patient-bootstrap", replicates=20)
    assert not np.isnan(found.accuracy.value)
    assert np.isnan([found.accuracy.low, found.accuracy.high]).all()
    assert "one group only" in str(found)
    # How alike the pictures of a patient are cannot be seen in one patient: they count as one picture.
    of_six = evaluate(_table(rows=6, per_group=6), replicates=20)
    assert of_six.accuracy.value == 1
    assert (of_six.accuracy.low, of_six.accuracy.high) == pytest.approx(
        (1 / (1 + student.ppf(0.975, 1e9) ** 2), 1)
    )
    assert "counts as one picture" in str(of_six)
    assert not np.isnan(evaluate(_table(rows=1), replicates=20).accuracy.low)


def test_hard_labels_leave_areas_null_and_say_so() -> None:
    frame = _table()
    hard = frame[["image_id", "label"]].assign(prediction=frame["label"])
    found = evaluate(hard, replicates=20)
    assert found.accuracy.value == 1.0
    assert found.as_dict()["macro_auroc"] == {"value": None, "low": None, "high": None}
    assert "no probabilities" in str(found)
    assert "replicates left out" not in str(found)


def test_own_prediction_counts_before_the_most_probable_class() -> None:
    frame = _table()
    found = evaluate(frame.assign(prediction=frame["label"]), replicates=20)
    assert found.accuracy.value == 1.0
    wrong = round(90 * (1 - evaluate(frame, replicates=20).accuracy.value))
    assert wrong > 0
    assert f"not the most probable class in {wrong} rows" in str(found)


def test_text_is_a_table_with_intervals_and_counts() -> None:
    found = evaluate(_table(), replicates=50)
    text = str(found)
    sensitivity = found.classes["covid"].sensitivity
    shown = f"{sensitivity.value:.3f} ({sensitivity.low:.3f}-{sensitivity.high:.3f})"
    line = next(line for line in text.splitlines() if line.startswith("sensitivity (covid)"))
    assert line.split()[-1] == f"n={found.classes['covid'].support}"
    assert shown in line
    for name in CLASSES:
        assert f"AUROC ({name})" in text
    assert "90 pictures come from 45 groups" in text
    assert "pictures come from" not in str(evaluate(_table(per_group=1), replicates=20))


def test_a_perfect_bootstrap_is_not_certainty() -> None:
    frame = _table(per_group=1)
    hard = frame[["image_id", "label"]].assign(prediction=frame["label"])
    assert "no certainty" in str(evaluate(hard, replicates=20, intervals="patient-bootstrap"))
    assert "no certainty" not in str(evaluate(frame, replicates=50))
    found = evaluate(hard, replicates=20)
    for one in (found.balanced_accuracy, found.macro_f1, found.classes["covid"].f1):
        assert (one.value, one.high) == (1, 1)
        assert 0.8 < one.low < 0.99


def test_what_a_table_lacks_is_said() -> None:
    frame = _table(per_group=1)
    frame.loc[frame["label"] == "covid", "label"] = "normal"
    frame.loc[:4, [f"p_{name}" for name in CLASSES]] = 1 / 3
    notes = evaluate(frame, replicates=5).notes
    assert (
        "no picture is of class covid: its sensitivity and AUROC are undefined, and the means of those over the "
        "classes leave it out; macro F1 counts covid, which some pictures are called, as 0"
    ) in notes
    assert "in 5 rows several classes are the most probable: the first of them counts" in notes
    frame["label"] = "normal"
    assert any(
        "no picture is of class covid or pneumonia: their sens" in note for note in evaluate(frame).notes
    )
    hard = frame[["image_id"]].assign(label=["normal"] * 89 + ["covid"], prediction="normal")
    assert not any("macro F1" in note for note in evaluate(hard.assign(label="normal")).notes)


def test_split_is_chosen() -> None:
    frame = _table()
    frame["split"] = ["val"] * 30 + ["test"] * 60
    assert evaluate(frame, replicates=5).n == 60
    assert evaluate(frame, split="val", replicates=5).n == 30
    assert evaluate(frame, split=None, replicates=5).n == 90
    with pytest.raises(TableError, match="no row of split 'train'; expected one of test, val"):
        evaluate(frame, split="train")


def test_a_table_without_splits_is_judged_whole_and_says_so() -> None:
    found = evaluate(_table(), replicates=5)
    assert (found.n, found.split) == (90, None)
    assert "names no split" in str(found)
    assert "names no split" not in str(evaluate(_table(), split=None, replicates=5))


def test_one_model_at_a_time(tmp_path: Path) -> None:
    frame = _table()
    both = pd.concat([frame.assign(model="a"), frame.assign(model="b", label="covid")])
    with pytest.raises(TableError, match=r"2 models.*got a, b"):
        evaluate(both)
    both.to_csv(tmp_path / "both.csv", index=False)
    found = evaluate(tmp_path / "both.csv", model="b", replicates=5)
    assert (found.n, found.model, found.classes["covid"].support) == (90, "b", 90)


def test_without_truth_nothing_is_judged() -> None:
    table = Predictions(_table().drop(columns="label"))
    assert not table.has_labels
    with pytest.raises(TableError, match="no column 'label'"):
        evaluate(table)


@pytest.mark.parametrize("options", [{"intervals": "patients"}, {"replicates": 0}])
def test_options_are_checked(options: dict[str, object]) -> None:
    with pytest.raises(PulmoscopeError, match="E_OPTION"):
        evaluate(_table(), **options)  # type: ignore[arg-type]


def test_a_class_that_is_always_right_is_no_certainty() -> None:
    labels = ["rare"] * 3 + ["common"] * 40
    said = ["rare"] * 3 + ["common"] * 36 + ["rare"] * 4
    table = pd.DataFrame({"image_id": [str(n) for n in range(43)], "label": labels, "prediction": said})
    found = evaluate(table, split=None, replicates=50)
    # Jeffreys' lower bound of 3 of 3 lies where a beta distribution of 3.5 and .5 has its 2.5%.
    reach = 1 - beta.ppf(0.025, 3.5, 0.5), 0.9 - beta.ppf(0.025, 36.5, 4.5)
    assert found.balanced_accuracy.low == pytest.approx(0.95 - math.hypot(*reach) / 2)
    assert found.balanced_accuracy.high == pytest.approx(0.95 + (beta.ppf(0.975, 36.5, 4.5) - 0.9) / 2)
    assert not [note for note in found.notes if "for certain" in note]
    drawn = evaluate(table, split=None, replicates=50, intervals="patient-bootstrap")
    assert [note for note in drawn.notes if "for certain" in note] == [
        "all pictures of rare (3) are right: the bootstrap of balanced accuracy and macro F1 takes that for certain, "
        "--intervals default does not"
    ]
