"""Comparisons against the single tests they are made of, hand-worked cases and properties."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulmoscope.errors import PulmoscopeError, TableError
from pulmoscope.evaluation import (
    Predictions,
    delong_paired,
    evaluate,
    holm,
    mcnemar,
    named_estimates,
    paired_bootstrap,
)
from pulmoscope.evaluation.compare import compare_predictions
from pulmoscope.evaluation.compare_words import as_text, sentence, told_margins
from pulmoscope.evaluation.paired_score import paired_score_interval

INCEPTION = ("50e_InceptionV3_360x360_128-32-3", "100e_InceptionV3_500x500_1024-1024-3")


def models(
    strengths: list[float], *, rows: int = 150, groups: int = 150, classes: int = 3
) -> dict[str, Predictions]:
    rng = np.random.default_rng(7)
    truth, patients = rng.integers(0, classes, rows), rng.integers(0, groups, rows)
    names = [f"c{k}" for k in range(classes)]
    found = {}
    for at, strength in enumerate(strengths):
        scores = rng.dirichlet(np.ones(classes), rows) + strength * np.eye(classes)[truth]
        scores /= scores.sum(axis=1, keepdims=True)
        ids = [f"i{k}" for k in range(rows)]
        found[f"m{at}"] = Predictions.from_arrays(
            image_id=ids, probabilities=scores, classes=names, label=[names[k] for k in truth], split="test",
            group_id=[f"g{k}" for k in patients] if groups < rows else ids,
        )  # fmt: skip
    return found


def counted(only_first: int, only_second: int, both: int, neither: int = 0) -> dict[str, Predictions]:
    """Two tables of hard labels that are right on so many pictures."""
    pattern = [(1, 0)] * only_first + [(0, 1)] * only_second + [(1, 1)] * both + [(0, 0)] * neither
    frame = pd.DataFrame({"image_id": [f"i{k}" for k in range(len(pattern))]})
    frame["label"] = ["x", "y"] * (len(frame) // 2) + ["x"] * (len(frame) % 2)
    other = frame["label"].map({"x": "y", "y": "x"})
    return {
        name: Predictions(
            frame.assign(prediction=frame["label"].where([one[at] == 1 for one in pattern], other))
        )
        for at, name in enumerate(("before", "after"))
    }


@pytest.mark.parametrize("groups", [150, 40])
def test_every_number_is_that_of_the_single_test(groups: int) -> None:
    tables = models([0.2, 0.5, 0.9], groups=groups)
    found = compare_predictions(tables, metrics=["macro_auroc", "accuracy", "f1:c1"], replicates=200, seed=3)
    pairs = [("m0", "m1"), ("m0", "m2"), ("m1", "m2")]
    assert [(one.first, one.second) for one in found.pairs] == pairs
    truth, names = tables["m0"].labels, tables["m0"].classes
    exact, area = [], []
    for pair in found.pairs:
        first, second = tables[pair.first], tables[pair.second]
        told = mcnemar(first.predicted == truth, second.predicted == truth)
        assert pair.mcnemar == told
        exact.append(told.exact_p)
        for metric in found.metrics:
            own = metric.replace("c1", "1")
            other = paired_bootstrap(
                truth, first.probabilities, second.probabilities, groups=first.groups, classes=3, metric=own,
                replicates=200, seed=3,
            )  # fmt: skip
            got = pair.differences[metric]
            assert (got.first, got.second, got.low, got.high) == (
                other.first,
                other.second,
                other.low,
                other.high,
            )
            if metric == "accuracy":
                assert got.test == "sign-flip"
                # With one picture a group it is McNemar's exact test; with several it is not.
                assert (got.p == pytest.approx(told.exact_p)) == (
                    first.groups.tolist() == list(dict.fromkeys(first.groups))
                )
            else:
                assert (got.p, got.test) == (other.p, "bootstrap")
        for at, name in enumerate(names):
            one = delong_paired(truth == at, first.probabilities[:, at], second.probabilities[:, at])
            assert pair.delong[name].told == one
            area.append(one.p)
    assert [one.exact_holm for one in found.pairs] == pytest.approx(holm(exact).tolist())
    assert [one.holm_p for pair in found.pairs for one in pair.delong.values()] == pytest.approx(
        holm(area).tolist()
    )
    for metric in found.metrics:
        several = [one.differences[metric] for one in found.pairs]
        assert [one.holm_p for one in several] == pytest.approx(holm([one.p for one in several]).tolist())
    for name, table in tables.items():
        assert found.models[name].as_dict() == evaluate(table, split=None, seed=3).as_dict()


def test_the_leaderboard_shares_ranks() -> None:
    # Two alike at the top, one clearly below, one useless.
    found = compare_predictions(models([0.9, 0.92, 0.35, 0.0]), metrics=["accuracy"], replicates=100)
    board = {one.name: one for one in found.leaderboard}
    assert [one.value for one in found.leaderboard] == sorted(
        [one.value for one in found.leaderboard], reverse=True
    )
    assert [board[f"m{k}"].rank for k in range(4)] == [1, 1, 3, 4]
    assert [board[f"m{k}"].like_best for k in range(4)] == [True, True, False, False]
    best = found.leaderboard[0]
    assert best.to_best is None
    for one in found.leaderboard[1:]:
        assert one.to_best.difference == pytest.approx(one.value - best.value)
        assert one.to_best.low <= one.to_best.difference <= one.to_best.high
    assert (best.low, best.high) == (
        found.models[best.name].accuracy.low,
        found.models[best.name].accuracy.high,
    )
    text = as_text(found)
    assert text.count("=1 ") == 2
    assert text.count("not told apart from the best") == 1


def test_the_order_of_models_changes_no_verdict() -> None:
    tables = models([0.2, 0.6, 0.9])
    one = compare_predictions(tables, replicates=100, margin=0.05)
    other = compare_predictions(dict(reversed(tables.items())), replicates=100, margin=0.05)
    assert [(p.name, p.rank, p.like_best) for p in one.leaderboard] == [
        (p.name, p.rank, p.like_best) for p in other.leaderboard
    ]
    for pair in one.pairs:
        turned = other.pair(pair.first, pair.second)
        assert turned.differences["accuracy"].difference == -pair.differences["accuracy"].difference
        assert turned.differences["macro_f1"].low == pytest.approx(-pair.differences["macro_f1"].high)
    key = {(n.candidate, n.reference, n.metric): (n.bound, n.holds) for n in one.non_inferiority}
    for n in other.non_inferiority:
        assert key[n.candidate, n.reference, n.metric] == (pytest.approx(n.bound), n.holds)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 12), st.integers(0, 12), st.integers(1, 60))
def test_non_inferiority_of_independent_pictures_is_by_the_score_interval(
    first: int, second: int, both: int
) -> None:
    found = compare_predictions(counted(first, second, both), metrics=["accuracy"], margin=0.1, replicates=50)
    low, high = paired_score_interval(first, second, first + second + both)
    after, before = found.non_inferiority
    assert (after.candidate, after.reference) == ("after", "before")
    assert (after.bound, before.bound) == (pytest.approx(low), pytest.approx(-high))
    assert (after.holds, before.holds) == (low > -0.1, -high > -0.1)


def test_models_that_never_differ_are_not_proven_alike_by_few_pictures() -> None:
    few = compare_predictions(
        counted(0, 0, 8, 2), metrics=["accuracy", "macro_f1"], margin=0.02, replicates=50
    )
    score, drawn = few.non_inferiority[0], few.non_inferiority[2]
    assert (score.method, score.holds) == ("score", False)
    assert (drawn.method, drawn.holds) == ("bootstrap", None)
    assert math.isnan(drawn.bound)
    many = compare_predictions(counted(0, 0, 400), metrics=["accuracy"], margin=0.02, replicates=50)
    assert [one.holds for one in told_margins(many)] == [True, True]
    assert [one.rank for one in many.leaderboard] == [1, 1]


def test_the_same_answers_are_said_to_be_the_same() -> None:
    (first, table), (second, other) = models([0.9, 0.2]).items()
    sharper = Predictions.from_arrays(
        image_id=table.frame["image_id"].tolist(), probabilities=table.probabilities**2 / (table.probabilities**2).sum(
            axis=1, keepdims=True), classes=table.classes, label=table.frame["label"].tolist(), split="test",
    )  # fmt: skip
    found = compare_predictions(
        {first: table, "again": table, "sharp": sharper, second: other}, replicates=20
    )
    assert [note for note in found.notes if "every picture" in note] == [
        "m0 and again give every picture the same probabilities",
        "m0 and sharp; again and sharp give every picture the same class",
    ]  # fmt: skip
    assert found.models[first].accuracy == found.models["again"].accuracy


@pytest.mark.parametrize(
    "metric", ["mean_specificity", "mean_ovr_accuracy", "balanced_accuracy", "f1:c1", "macro_auroc"]
)
def test_the_leaderboard_has_the_intervals_of_an_evaluation(metric: str) -> None:
    tables = models([0.9, 0.2], groups=60)
    found = compare_predictions(tables, metrics=[metric], replicates=20)
    for one in found.leaderboard:
        wanted = named_estimates(tables[one.name], (metric,))[metric]
        assert (one.value, one.low, one.high) == (wanted.value, wanted.low, wanted.high)


def test_a_sentence_says_which_is_taken_from_which_and_what_mcnemar_is_of() -> None:
    found = compare_predictions(models([0.9, 0.2]), metrics=["macro_auroc"], replicates=50)
    said = sentence(found.pairs[0], found)
    assert "difference (m1 minus m0) -0." in said
    assert "of their accuracy: right in one alone" in said
    found = compare_predictions(models([0.9, 0.2]), metrics=["accuracy"], replicates=50)
    assert "of their accuracy" not in sentence(found.pairs[0], found)


def test_two_classes_share_one_auroc() -> None:
    found = compare_predictions(models([0.2, 0.8], classes=2), replicates=50)
    (pair,) = found.pairs
    assert list(pair.delong) == ["c1"]
    assert pair.delong["c1"].holm_p == pair.delong["c1"].told.p


def test_hard_labels_leave_the_area_undefined() -> None:
    tables = counted(3, 4, 30)
    found = compare_predictions(tables, metrics=["macro_auroc", "accuracy"], replicates=50, margin=0.1)
    assert found.pairs[0].delong == {}
    assert [one.rank for one in found.leaderboard] == [None, None]
    assert [one.holds for one in found.non_inferiority[:2]] == [None, None]
    text = json.dumps(found.as_dict(), allow_nan=False)
    assert json.loads(text)["pairs"][0]["differences"]["macro_auroc"]["difference"] is None
    assert "undefined" in sentence(found.pairs[0], found)


def test_a_few_replicates_can_tell_many_models_apart() -> None:
    tables = models([0.0, 0.0, 0.0, 0.0, 0.0, 0.9], rows=200, groups=200)
    found = compare_predictions(tables, metrics=["macro_f1"], replicates=100)
    best = [one for one in found.pairs if one.second == found.leaderboard[0].name]
    assert len(best) == 5
    assert all(one.differences["macro_f1"].told_apart for one in best)


@pytest.mark.parametrize(
    "options", [{"metrics": ["kappa"]}, {"metrics": ["f1:tb"]}, {"metrics": []}, {"margin": 0.0}, {"margin": 2.0},
                {"replicates": 0}],
)  # fmt: skip
def test_options_out_of_range_are_one_line(options: dict[str, object]) -> None:
    with pytest.raises(PulmoscopeError, match="E_OPTION"):
        compare_predictions(counted(1, 1, 8), **options)


def test_the_published_pair(real_data: Path) -> None:
    file = real_data / "published_predictions" / "pal_paul_2021.csv"
    if not file.is_file():
        pytest.skip(f"no published predictions here: {file.name} is not in the data folder")
    frame = pd.read_csv(file).rename(columns={"row": "image_id", "y_true": "label", "y_pred": "prediction"})
    table = Predictions(frame.drop(columns="group"))
    found = compare_predictions(
        {name: table.of_model(name) for name in INCEPTION}, metrics=["accuracy"], replicates=200
    )
    (pair,) = found.pairs
    assert (pair.mcnemar.only_first, pair.mcnemar.only_second) == (45, 48)
    assert round(pair.mcnemar.exact_p, 2) == round(pair.differences["accuracy"].p, 2) == 0.84
    assert [round(100 * one.value, 2) for one in found.leaderboard] == [96.45, 96.36]
    assert [one.rank for one in found.leaderboard] == [1, 1]
    told = sentence(pair, found)
    assert "cannot be told apart" in told
    assert "45 : 48, McNemar exact p = .84" in told
    # Two of the 28 runs list their pictures in another order: their rows cannot be laid beside the rest.
    other = "50e_InceptionV3_best_ghapla_500x500_1024-1024-3"
    with pytest.raises(TableError, match="E_LABELS_DIFFER"):
        compare_predictions({name: table.of_model(name) for name in (INCEPTION[0], other)})
