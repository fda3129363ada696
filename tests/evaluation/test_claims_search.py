"""The search for a confusion matrix, and the definitions it searches with."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from claim_tables import any_matrix_of_three, random_table
from pulmoscope.evaluation import mean_ovr_accuracy, mean_specificity, ovr_balanced_accuracy
from pulmoscope.evaluation.claims import (
    Definition,
    Wanted,
    class_definitions,
    judge_table,
    overall_definitions,
    parse_printed,
    search,
)
from pulmoscope.evaluation.claims.definitions import Counts, point_of
from pulmoscope.evaluation.claims.feasible import fill, reach
from pulmoscope.evaluation.claims.schema import ClaimTable

GOLDEN = json.loads((Path(__file__).parent / "golden" / "claims.json").read_text())
MATRICES = st.integers(2, 4).flatmap(
    lambda k: st.lists(st.lists(st.integers(0, 30), min_size=k, max_size=k), min_size=k, max_size=k)
)


def definitions(k: int) -> dict[str, Definition]:
    return {**overall_definitions(k), **class_definitions([f"c{i}" for i in range(k)])}


def wanted(known: dict[str, Definition], **printed: str) -> list[Wanted]:
    found = []
    for name, text in printed.items():
        low, high = parse_printed(text).rounded
        found.append(Wanted(definition=known[name.replace("_of_", ":")], low=low, high=high))
    return found


@given(MATRICES)
@settings(deadline=None, max_examples=25)
def test_definitions_are_those_of_scikit_learn(rows: list[list[int]]) -> None:
    matrix = np.array(rows)
    if not matrix.sum(axis=1).all():
        return
    k = len(matrix)
    truth = np.repeat(np.arange(k), matrix.sum(axis=1))
    guess = np.concatenate([np.repeat(np.arange(k), row) for row in matrix])
    known = definitions(k)

    def value(name: str) -> float:
        return float(known[name].of(matrix))

    options = {"labels": np.arange(k), "zero_division": 0}
    for average in ("macro", "weighted"):
        ppv, sensitivity, f1, _ = metrics.precision_recall_fscore_support(
            truth, guess, average=average, **options
        )
        assert value(f"{average}_ppv") == pytest.approx(ppv)
        assert value(f"{average}_f1") == pytest.approx(f1)
        assert value("balanced_accuracy" if average == "macro" else "accuracy") == pytest.approx(sensitivity)
    each = metrics.precision_recall_fscore_support(truth, guess, average=None, **options)
    jaccard = metrics.jaccard_score(truth, guess, average=None, **options)
    for i in range(k):
        for name, expected in zip(("ppv", "sensitivity", "f1"), each, strict=False):
            assert value(f"{name}:c{i}") == pytest.approx(expected[i])
        assert value(f"jaccard:c{i}") == pytest.approx(jaccard[i])
        assert value(f"ovr_accuracy:c{i}") == pytest.approx(np.mean((truth == i) == (guess == i)))
        hard = metrics.roc_auc_score(truth == i, guess == i)
        assert value(f"ovr_balanced_accuracy:c{i}") == pytest.approx(hard)
        assert value(f"ovr_balanced_accuracy:c{i}") == pytest.approx(ovr_balanced_accuracy(matrix)[i])
        assert value(f"specificity:c{i}") == pytest.approx(np.mean(guess[truth != i] != i))
    assert value("mean_ovr_accuracy") == pytest.approx(float(mean_ovr_accuracy(matrix)))
    assert value("macro_specificity") == pytest.approx(float(mean_specificity(matrix)))
    assert value("mcc") == pytest.approx(metrics.matthews_corrcoef(truth, guess))
    if len(set(guess.tolist())) > 1:
        assert value("kappa") == pytest.approx(metrics.cohen_kappa_score(truth, guess))
    assert value("micro_specificity") == pytest.approx(_micro(matrix))


def _micro(matrix: np.ndarray) -> float:
    """True negatives over all one-vs-rest tables, counted cell by cell."""
    k = len(matrix)
    negatives = [(matrix.sum() - matrix[i].sum(), matrix[:, i].sum() - matrix[i, i]) for i in range(k)]
    return float(sum(all_ - false for all_, false in negatives) / sum(all_ for all_, _ in negatives))


@given(MATRICES)
@settings(deadline=None)
def test_true_and_false_positives_make_a_matrix_again(rows: list[list[int]]) -> None:
    matrix = np.array(rows)
    counts = Counts(matrix.sum(axis=1).tolist())
    again = fill(counts, point_of(matrix))
    assert again.min() >= 0
    assert point_of(again) == point_of(matrix)
    assert again.sum(axis=1).tolist() == matrix.sum(axis=1).tolist()


def test_true_and_false_positives_that_no_matrix_has() -> None:
    # Both wrong answers are of class 0, and both are called 0.
    with pytest.raises(ValueError, match="no confusion matrix"):
        fill(Counts([5, 5, 5]), (3, 5, 5, 2, 0, 0))


@pytest.mark.parametrize("case", GOLDEN)
def test_mlscorecheck_and_the_search_agree(case: dict) -> None:
    supports, printed = case["supports"], case["printed"]
    known = definitions(len(supports))
    if len(supports) == 2:
        names = {name: name if name == "accuracy" else f"{name}_of_c0" for name in printed}
    else:
        names = {"mean_ovr_accuracy": "mean_ovr_accuracy", "sensitivity": "balanced_accuracy",
                 "specificity": "macro_specificity"}  # fmt: skip
    found = search(supports, wanted(known, **{names[name]: text for name, text in printed.items()}))
    if len(supports) == 3:
        # mlscorecheck takes the three one-vs-rest tables apart, so it may miss that they are of one matrix.
        assert found.state == ("possible" if any_matrix_of_three(supports, printed) else "impossible")
        assert not (case["inconsistent"] and found.state == "possible")
    else:
        assert found.state == ("impossible" if case["inconsistent"] else "possible")


def test_a_matrix_that_is_found_gives_the_numbers() -> None:
    known = definitions(3)
    asked = wanted(known, accuracy="96.36%", macro_f1="95.94%", macro_ppv="95.98%")
    found = search((1000, 1432, 1000), asked)
    assert found.state == "possible"
    assert found.confusion is not None
    assert found.confusion.sum(axis=1).tolist() == [1000, 1432, 1000]
    for one in asked:
        assert one.low <= one.definition.of(found.confusion) <= one.high


def test_hand_worked_bounds() -> None:
    known = definitions(2)
    # 8 of 10 right; class 0 has 4 pictures. Its sensitivity is 2/4 at least and 4/4 at most.
    asked = wanted(known, accuracy="0.80")
    assert reach((4, 6), asked, known["sensitivity:c0"]) == (Fraction(1, 2), Fraction(1))
    assert search((4, 6), wanted(known, accuracy="0.80", sensitivity_of_c0="0.25")).state == "impossible"
    assert search((4, 6), wanted(known, accuracy="0.85")).state == "impossible"
    # MCC of 3/1 and 1/5 is 7/12 = .5833...
    assert search((4, 6), wanted(known, accuracy="0.80", mcc="0.583")).state == "possible"
    assert search((4, 6), wanted(known, accuracy="0.80", mcc="0.590")).state == "impossible"


def _judge(seeds: range, *, largest: int, classes: int) -> tuple[int, int, int]:
    alarms = unsettled = total = 0
    for seed in seeds:
        _, table = random_table(seed, largest=largest, classes=classes)
        found = judge_table(table)
        alarms += any(one.alarm for one in found)
        unsettled += sum(one.kind == "cannot be judged" for one in found)
        total += len(found)
    return alarms, unsettled, total


def test_consistent_tables_raise_no_alarm() -> None:
    alarms, unsettled, total = _judge(range(100, 125), largest=300, classes=3)
    assert alarms == 0
    assert unsettled <= 0.1 * total


@pytest.mark.slow
def test_a_hundred_consistent_tables_raise_at_most_one_alarm() -> None:
    alarms, unsettled, total = _judge(range(100), largest=2000, classes=4)
    assert alarms <= 1
    assert unsettled <= 0.1 * total


def test_a_number_that_was_moved_is_found() -> None:
    """Of two classes with accuracy, sensitivity and specificity everything is pinned down."""
    for seed in range(12):
        rng = np.random.default_rng(seed)
        a, b = int(rng.integers(30, 200)), int(rng.integers(30, 200))
        matrix = np.array([[a, int(rng.integers(2, 20))], [int(rng.integers(2, 20)), b]])
        known = definitions(2)
        printed = {
            name: float(known[name].of(matrix)) for name in ("accuracy", "sensitivity:c0", "specificity:c0")
        }
        values = {name: f"{value:.4f}" for name, value in printed.items()}
        values["accuracy"] = f"{printed['accuracy'] + 0.02:.4f}"
        claims = tuple(
            {"says": name.partition(":")[0], "of": name.partition(":")[2] or None, "value": text}
            for name, text in values.items()
        )
        table = ClaimTable(
            name="t", classes=dict(zip(("c0", "c1"), matrix.sum(axis=1).tolist(), strict=True)), claims=claims
        )
        assert any(one.alarm for one in judge_table(table)), (seed, values)
