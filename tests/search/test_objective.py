"""The objective on replicates, how far picking the best flatters it, and which trials tie."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, log_loss, roc_auc_score

from pulmoscope.evaluation import Predictions, evaluate
from pulmoscope.evaluation.bootstrap import draw_weights, resample
from pulmoscope.search import objective
from pulmoscope.search.objective import Validation, all_scores, objective_values, replicate_weights
from pulmoscope.search.optimism import picking_optimism
from pulmoscope.search.ties import ties_with_best

CLASSES = ("normal", "pneumonia", "covid")


def part(pictures: int = 60, *, seed: int = 0, pairs: bool = True, weights: object = None) -> Validation:
    labels = np.random.default_rng(seed).integers(0, 3, pictures)
    groups = np.arange(pictures) // (2 if pairs else 1)
    return Validation.of(CLASSES, labels, groups, np.asarray([1.0, 1, 1] if weights is None else weights))


def answers(validation: Validation, trials: int = 3, *, seed: int = 1) -> np.ndarray:
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(trials, len(validation.labels), 3))
    logits[:, np.arange(len(validation.labels)), validation.labels] += 1
    odds = np.exp(logits)
    return odds / odds.sum(axis=2, keepdims=True)


def test_on_the_whole_part_the_values_are_those_of_the_evaluation_and_of_a_second_library() -> None:
    validation = part(weights=[1.0, 2.0, 5.0])
    probabilities = answers(validation)
    truth, given_ = validation.labels, probabilities[1]
    table = Predictions.from_arrays(
        image_id=[str(i) for i in range(60)], probabilities=given_, classes=CLASSES,
        label=[CLASSES[i] for i in truth], split="val",
    )  # fmt: skip
    judged = evaluate(table, split="val", replicates=10)
    found = {name: values[1] for name, values in all_scores(validation, probabilities).items()}
    assert found["val_accuracy"] == pytest.approx(judged.accuracy.value)
    assert found["val_balanced_accuracy"] == pytest.approx(judged.balanced_accuracy.value)
    assert found["val_macro_f1"] == pytest.approx(f1_score(truth, given_.argmax(axis=1), average="macro"))
    assert found["val_macro_auroc"] == pytest.approx(roc_auc_score(truth, given_, multi_class="ovr"))
    shares = np.array([1.0, 2.0, 5.0])[truth]
    assert found["val_loss"] == pytest.approx(log_loss(truth, given_, sample_weight=shares))
    for metric in ("sensitivity", "specificity", "f1", "auroc"):
        value = objective_values(f"val_{metric}:covid", validation, probabilities, validation.whole)[1, 0]
        assert value == pytest.approx(getattr(judged.classes["covid"], metric).value)


def test_replicates_are_those_of_the_evaluation() -> None:
    validation = part()
    probabilities = answers(validation, 2)
    weights = replicate_weights(validation, 2, seed=3)
    assert len(weights) == 2000
    assert (weights.sum(axis=1) == 30).all()
    expected = resample(
        draw_weights(30, 2000, np.random.default_rng(3)), truth=validation.labels,
        predicted=probabilities[1].argmax(axis=1), probabilities=probabilities[1], groups=validation.groups, classes=3,
    )  # fmt: skip
    accuracy = np.trace(expected.confusions, axis1=1, axis2=2) / expected.confusions.sum(axis=(1, 2))
    found = objective_values("val_accuracy", validation, probabilities, weights)[1]
    np.testing.assert_allclose(found, accuracy)
    areas = objective_values("val_auroc:covid", validation, probabilities, weights)[1]
    np.testing.assert_allclose(areas, expected.aurocs[:, 2])


def test_there_are_replicates_enough_for_the_smallest_corrected_p_value() -> None:
    for trials in (2, 72, 150):
        count = len(replicate_weights(part(), trials, seed=0))
        assert 2 / (count + 1) * (trials - 1) < 0.05


def test_very_many_trials_have_fewer_replicates_so_that_their_values_fit_into_memory() -> None:
    assert len(replicate_weights(part(), 1000, seed=0)) == 20_000
    assert len(replicate_weights(part(), 10_000, seed=0)) == 2_000


def test_many_trials_are_counted_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte of counts at a time, and the same values as all at once."""
    validation = part()
    probabilities = answers(validation, 300)
    weights = replicate_weights(validation, 2, seed=0)[:200]
    whole = objective_values("val_f1:covid", validation, probabilities, weights)
    assert (whole[7] == objective_values("val_f1:covid", validation, probabilities[7:8], weights)[0]).all()
    monkeypatch.setattr(objective, "_COUNTS", 2**17)
    largest: list[int] = []
    count = objective._confusions

    def spy(*given_: object) -> object:
        found = count(*given_)  # type: ignore[arg-type]
        largest.append(found.nbytes)
        return found

    monkeypatch.setattr(objective, "_confusions", spy)
    np.testing.assert_array_equal(objective_values("val_f1:covid", validation, probabilities, weights), whole)
    assert max(largest) <= 2**20
    assert len(largest) > 1


def test_a_loss_of_probability_0_is_large_and_finite() -> None:
    validation = part()
    sure = np.zeros((1, 60, 3))
    sure[0, :, 0] = 1
    loss = objective_values("val_loss", validation, sure, validation.whole)[0, 0]
    assert 100 < loss < 1000


def test_optimism_by_hand() -> None:
    """Replicate 1 picks trial 0, which reaches .4 outside; replicate 2 picks trial 1, which reaches .6."""
    found = picking_optimism(
        [0.8, 0.7],
        [[0.9, 0.5, np.nan], [0.6, 0.8, np.nan]],
        [[0.4, 0.1, 0.0], [0.2, 0.6, 0.0]],
        maximise=True,
    )
    assert (found.apparent, found.honest, found.replicates) == (0.8, 0.5, 2)
    assert found.flatters == pytest.approx(0.3)
    assert found.again == 0.5
    loss = picking_optimism([0.3, 0.5], [[0.2, 0.6], [0.4, 0.1]], [[0.5, 0.5], [0.1, 0.9]], maximise=False)
    assert (loss.apparent, loss.honest) == (0.3, pytest.approx(0.7))
    assert loss.flatters == pytest.approx(0.4)


def test_equals_of_the_best_do_not_take_its_place() -> None:
    """Trial 1 is the best of the whole part; in replicate 0 the first trial equals it, in 1 it is better."""
    inside = [[0.9, 0.8, 0.1, 0.1], [0.9, 0.6, 0.8, 0.9]]
    assert picking_optimism([0.5, 0.6], inside, np.ones((2, 4)), maximise=True).again == 0.75


def test_optimism_of_trials_that_are_all_alike_is_what_the_best_gains_by_luck() -> None:
    """Of 30 models that are each right with p = .8, the best of 60 pictures looks better than .8 by a known amount."""
    generator = np.random.default_rng(5)
    gained, estimated = [], []
    for _ in range(60):
        right = generator.random((30, 60)) < 0.8
        weights = np.stack(list(draw_weights(60, 200, generator)))
        out = (weights == 0).astype(float)
        inside = right @ weights.T / 60
        outside = right @ out.T / out.sum(axis=1)
        found = picking_optimism(right.mean(axis=1), inside, outside, maximise=True)
        gained.append(found.apparent - 0.8)
        estimated.append(found.flatters)
    assert np.mean(gained) > 0.07
    assert np.mean(estimated) == pytest.approx(np.mean(gained), abs=0.015)


def test_optimism_vanishes_where_there_is_no_choice() -> None:
    generator = np.random.default_rng(6)
    right = generator.random((1, 200)) < 0.7
    weights = np.stack(list(draw_weights(200, 500, generator)))
    out = (weights == 0).astype(float)
    found = picking_optimism(
        right.mean(axis=1), right @ weights.T / 200, right @ out.T / out.sum(axis=1), maximise=True
    )
    assert found.flatters == pytest.approx(0, abs=0.005)
    assert np.isnan(picking_optimism([0.5], [[np.nan]], [[0.5]], maximise=True).honest)


def _ties(name: str, validation: Validation, probabilities: np.ndarray) -> object:
    maximise = name != "val_loss"
    values = objective_values(name, validation, probabilities, validation.whole)[:, 0]
    weights = replicate_weights(validation, len(values), seed=0)
    drawn = objective_values(name, validation, probabilities, weights)
    return ties_with_best(name, validation, probabilities, values, drawn, maximise=maximise)


def test_the_same_predictions_tie_and_much_worse_ones_do_not() -> None:
    for pairs, name in (
        (False, "val_accuracy"),
        (True, "val_accuracy"),
        (True, "val_loss"),
        (True, "val_f1:covid"),
    ):
        validation = part(120, pairs=pairs)
        good = answers(validation, 1)[0] * 0.1
        good[np.arange(120), validation.labels] += 0.9
        wrong = answers(validation, 1)[0] * 0.1
        wrong[np.arange(120), (validation.labels + 1) % 3] += 0.9
        found = _ties(name, validation, np.stack([wrong, good, good]))
        assert found.best == 1
        assert found.method == ("sign_flip" if name == "val_accuracy" else "bootstrap")
        assert found.tied.tolist() == [False, True, True]
        assert found.p[2] == 1
        assert np.isnan(found.p[1])


def test_one_patient_of_two_pictures_leaves_the_exact_test_of_accuracy() -> None:
    """Five pictures that only the best has right are p = 2 / 2^5 = .0625, whoever else is in the part."""
    labels = np.zeros(200, np.int64)
    validation = Validation.of(CLASSES, labels, np.r_[0, np.arange(199)], np.ones(3))
    right = np.ones((2, 200), bool)
    right[1, 50:55] = False
    found = _ties("val_accuracy", validation, np.where(right[..., None], [1.0, 0, 0], [0, 1.0, 0]))
    assert (found.best, found.method) == (0, "sign_flip")
    assert found.p[1] == pytest.approx(0.0625)
    assert found.tied.tolist() == [True, True]


def test_pictures_of_one_patient_count_as_one_difference() -> None:
    """Ten pictures of five patients, all for the best: 2 / 2^5, not the 2 / 2^10 of McNemar."""
    validation = part(60)
    right = np.ones((2, 60), bool)
    right[1, :10] = False
    chances = np.full((2, 60, 3), 0.0)
    chances[:, np.arange(60), validation.labels] = right
    chances[:, np.arange(60), (validation.labels + 1) % 3] += ~right
    assert _ties("val_accuracy", validation, chances).p[1] == pytest.approx(0.0625)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000))
def test_holm_never_lowers_a_p_value_and_the_best_ties_with_itself(seed: int) -> None:
    validation = part(40, seed=seed)
    found = _ties("val_accuracy", validation, answers(validation, 4, seed=seed))
    others = np.arange(4) != found.best
    assert (found.adjusted[others] >= found.p[others]).all()
    assert (found.adjusted[others] <= 1).all()
    assert found.tied[found.best]
