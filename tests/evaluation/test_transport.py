"""Internal against external: rates by hand, Newcombe's interval, and what a pure change of the class mix must give."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import confint_proportions_2indep

from pulmoscope.errors import LabelError, TableError
from pulmoscope.evaluation import Predictions, evaluate
from pulmoscope.evaluation.merge import merge_classes, merged_classes, parents_in
from pulmoscope.evaluation.transport import compare_transport
from pulmoscope.evaluation.transport_result import Transport
from pulmoscope.evaluation.transport_words import reading, shift_sentence, transport_sentences, transport_text

CLASSES = ("covid", "viral", "normal")


def draw(
    counts: tuple[int, int, int], *, seed: int, signal: float = 2.0, name: str = "", per_group: int = 1
) -> Predictions:
    """Pictures of each class whose logit of their own class is ``signal`` higher."""
    generator = np.random.default_rng(seed)
    truth = np.repeat(np.arange(3), counts)
    logits = generator.normal(size=(len(truth), 3)) + signal * np.eye(3)[truth]
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    ids = [f"{name}{at}" for at in range(len(truth))]
    return Predictions.from_arrays(
        image_id=ids, probabilities=chances, classes=CLASSES, label=[CLASSES[at] for at in truth], split="test",
        group_id=[f"{name}{at // per_group}" for at in range(len(truth))],
    )  # fmt: skip


INTERNAL = draw((80, 100, 120), seed=1)


def test_both_sides_are_what_evaluate_says_and_the_parts_add_up() -> None:
    external = draw((150, 30, 60), seed=2, signal=1.2, name="x")
    found = compare_transport(INTERNAL, external, replicates=200)
    sides = [evaluate(one, split=None, replicates=200).estimates() for one in (INTERNAL, external)]
    for one in found.metrics:
        metric, _, label = one.metric.partition(":")
        inside, outside = (side[f"{metric} ({label})" if label else metric] for side in sides)
        assert (one.internal.value, one.internal.low) == (inside.value, inside.low)
        assert one.difference.value == pytest.approx(outside.value - inside.value), one.metric
        assert one.class_mix.value + one.rest.value == pytest.approx(one.difference.value), one.metric
        assert one.difference.low < one.difference.value < one.difference.high
        if metric in ("sensitivity", "balanced_accuracy"):
            assert one.class_mix.value == one.class_mix.low == one.class_mix.high == 0
    assert len(found.metrics) == 4 + 6 * 3
    assert found.shift("accuracy").difference.sign == -1  # type: ignore[union-attr]
    assert str(reading(found)).startswith("Discrimination is lost there")


def test_the_mix_is_the_internal_test_with_its_rows_weighted_by_class() -> None:
    external = draw((150, 30, 60), seed=2, signal=1.2, name="x")
    found = compare_transport(INTERNAL, external, replicates=20)
    truth, said, scores = INTERNAL.labels, INTERNAL.predicted, INTERNAL.probabilities
    assert scores is not None
    weights = (np.array([150, 30, 60]) / 240 / (np.array([80, 100, 120]) / 300))[truth]
    by_hand = {
        "accuracy": np.average(truth == said, weights=weights),
        "specificity:viral": np.average(said[truth != 1] != 1, weights=weights[truth != 1]),
        "ppv:covid": np.average(truth[said == 0] == 0, weights=weights[said == 0]),
        "auroc:normal": roc_auc_score(truth == 2, scores[:, 2], sample_weight=weights),
    }
    for metric, value in by_hand.items():
        one = found.shift(metric)
        assert one is not None
        assert one.internal.value + one.class_mix.value == pytest.approx(value), metric


def test_a_proportions_difference_has_newcombes_interval() -> None:
    external = draw((90, 140, 110), seed=7, name="x")
    found = compare_transport(INTERNAL, external, replicates=2000).shift("accuracy")
    assert found is not None
    hits = [int((one.labels == one.predicted).sum()) for one in (external, INTERNAL)]
    low, high = confint_proportions_2indep(hits[0], 340, hits[1], 300, method="newcomb")
    assert (found.difference.low, found.difference.high) == pytest.approx((low, high), abs=0.006)


def test_pictures_of_one_patient_widen_the_interval() -> None:
    # Each picture three times, under one patient: nothing is learned from the copies.
    rows = INTERNAL.frame
    copies = [rows.assign(image_id=rows["image_id"] + f"-{at}") for at in range(3)]
    import pandas as pd

    tripled = Predictions(pd.concat(copies, ignore_index=True), CLASSES)
    external = draw((90, 140, 110), seed=7, name="x")
    once, thrice = (
        compare_transport(one, external, replicates=400).shift("accuracy") for one in (INTERNAL, tripled)
    )
    assert once is not None
    assert thrice is not None
    assert thrice.internal.value == pytest.approx(once.internal.value)
    assert (thrice.difference.low, thrice.difference.high) == pytest.approx(
        (once.difference.low, once.difference.high), abs=1e-9
    )


def test_a_change_of_prevalence_alone_is_class_mix() -> None:
    rows = INTERNAL.frame
    of = {name: rows[rows["label"] == name] for name in CLASSES}
    import pandas as pd

    # The same pictures of each class, normals ten times.
    parts = [
        of["covid"],
        of["viral"],
        *[of["normal"].assign(image_id=of["normal"]["image_id"] + f"-{at}") for at in range(10)],
    ]
    shifted = pd.concat(parts, ignore_index=True).assign(group_id=lambda table: "x" + table["image_id"])
    found = compare_transport(INTERNAL, Predictions(shifted, CLASSES), replicates=100)
    for one in found.metrics:
        assert one.rest.value == pytest.approx(0, abs=1e-12), one.metric
    assert found.shift("ppv:normal").class_mix.sign == 1  # type: ignore[union-attr]
    assert str(reading(found)).startswith("No loss of accuracy or of the macro AUROC")


def test_calibration_in_the_large() -> None:
    external = draw((20, 40, 240), seed=5, name="x", per_group=2)
    found = compare_transport(INTERNAL, external, replicates=300)
    scores = external.probabilities
    assert scores is not None
    covid = found.calibration[0]
    assert covid.external_mean == pytest.approx(scores[:, 0].mean())
    assert covid.external_share == pytest.approx(20 / 300)
    assert covid.external.value == pytest.approx(scores[:, 0].mean() - 20 / 300)
    assert covid.external.sign == 1
    said = transport_sentences(found)
    assert any(one.startswith("Class covid gets too much probability there") for one in said)
    assert sum(one.external.value for one in found.calibration) == pytest.approx(0)


def test_a_class_that_is_absent_there_is_left_out_and_said() -> None:
    external = draw((60, 0, 90), seed=3, name="x")
    found = compare_transport(INTERNAL, external, replicates=50)
    assert found.compared == ("covid", "normal")
    assert (found.only_internal, found.internal_n, found.external_n) == (("viral",), 200, 150)
    assert found.shift("sensitivity:viral") is None
    truth, said = INTERNAL.labels, INTERNAL.predicted
    assert found.shift("accuracy").internal.value == pytest.approx((truth == said)[truth != 1].mean())  # type: ignore[union-attr]
    assert any(
        "the external cohort has no viral: the 100 internal pictures of it" in note for note in found.notes
    )
    # What the model gives to a class that is not there stays in the calibration.
    assert next(one for one in found.calibration if one.label == "viral").external_share == 0


def test_one_class_alone_still_has_its_sensitivity() -> None:
    external = draw((60, 0, 0), seed=3, name="x")
    found = compare_transport(INTERNAL, external, replicates=50)
    assert {one.metric for one in found.metrics} >= {"accuracy", "sensitivity:covid"}
    assert found.shift("auroc:covid") is None
    assert reading(found) is None
    assert "sensitivity of covid" in transport_text(found)


def test_it_comes_back_from_json() -> None:
    perfect = draw((60, 10, 30), seed=3, signal=60.0, name="x")
    found = compare_transport(INTERNAL, perfect, replicates=50)
    accuracy = found.shift("accuracy")
    assert accuracy is not None
    # All right in every replicate: the bootstrap has nothing to go by.
    assert math.isnan(accuracy.difference.low)
    again = Transport.from_dict(json.loads(json.dumps(found.as_dict(), allow_nan=False)))
    assert again.as_dict() == found.as_dict()
    assert transport_text(again) == transport_text(found)
    assert "nan" not in transport_text(found)
    assert "classes" not in found.as_dict()
    assert "cannot be told apart" in shift_sentence(accuracy)


def test_hard_labels_compare_what_they_can() -> None:
    import pandas as pd

    tables = [
        Predictions(pd.DataFrame({"image_id": one.frame["image_id"], "label": one.frame["label"],
                                  "prediction": [CLASSES[at] for at in one.predicted]}), CLASSES)
        for one in (INTERNAL, draw((30, 30, 30), seed=3, name="x"))
    ]  # fmt: skip
    found = compare_transport(tables[0], tables[1], replicates=50)
    assert found.calibration == ()
    assert found.shift("macro_auroc") is None
    assert any("no probabilities" in note for note in found.notes)


def test_sides_that_do_not_fit() -> None:
    with pytest.raises(TableError, match="different classes"):
        compare_transport(INTERNAL, merge_classes(INTERNAL, {"viral": "other"}))
    with pytest.raises(TableError, match="no class occurs both"):
        compare_transport(draw((9, 0, 0), seed=1), draw((0, 9, 0), seed=1))


def test_classes_are_summed() -> None:
    merged = merge_classes(INTERNAL, {"covid": "pneumonia", "viral": "pneumonia"})
    before, after = INTERNAL.probabilities, merged.probabilities
    assert before is not None
    assert after is not None
    assert merged.classes == ("pneumonia", "normal")
    np.testing.assert_allclose(after[:, 0], before[:, 0] + before[:, 1])
    assert (merged.labels == (INTERNAL.labels == 2)).all()
    assert merged.frame["image_id"].tolist() == INTERNAL.frame["image_id"].tolist()
    # The sum decides, not the largest single class.
    assert ((after[:, 0] > 0.5) == (merged.predicted == 0)).all()
    assert merged_classes(CLASSES, {"covid": "normal", "normal": "normal"}) == ("normal", "viral")
    for wrong, text in (
        ({"cvid": "pneumonia"}, "no class cvid"), ({"covid": "normal"}, "both a class of its own and a sum"),
        (dict.fromkeys(CLASSES, "any"), "all classes are mapped to one"),
    ):  # fmt: skip
        with pytest.raises(LabelError, match=text):
            merge_classes(INTERNAL, wrong)


def test_what_a_hierarchy_says() -> None:
    tree = {"infected": ("pneumonia", "covid"), "pneumonia": ("viral", "bacterial")}
    classes = ("normal", "covid", "viral", "bacterial")
    assert parents_in(classes, tree, ("normal", "infected")) == dict.fromkeys(
        ("viral", "bacterial", "covid"), "infected"
    )
    assert parents_in(classes, tree, ("normal", "pneumonia", "covid")) == dict.fromkeys(
        ("viral", "bacterial"), "pneumonia"
    )
    # A node and a class below it cannot be told apart; what the tree does not know is not guessed.
    assert parents_in(classes, tree, ("infected", "covid")) == {}
    assert parents_in(classes, tree, ("normal", "edema")) == {}
    assert parents_in(classes, None, ("infected",)) == {}
    # Nodes that contain each other end the search.
    assert parents_in(classes, {"a": ("b", "covid"), "b": ("a", "viral")}, ("a",)) == {
        "covid": "a",
        "viral": "a",
    }
