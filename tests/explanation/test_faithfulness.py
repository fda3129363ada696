"""Deletion, insertion and ROAD on models whose answer is a known function of the pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pytorch_grad_cam.metrics.road import NoisyLinearImputer

from pulmoscope.explanation.alternatives import centred, elsewhere
from pulmoscope.explanation.explainer import Explainer
from pulmoscope.explanation.faithfulness import ModelScore, faithfulness, gain
from pulmoscope.explanation.group_mean import mean_over_groups
from pulmoscope.explanation.imputation import impute
from pulmoscope.imaging import Preprocess
from pulmoscope.inference import Predictor
from pulmoscope.models import Bundle, HeadSpec, ModelSpec, WeightsOrigin, build_classifier

SIDE = 20


def corner_light(pictures: NDArray[np.float32], targets: NDArray[np.int64]) -> NDArray[np.float64]:
    """A model that looks at the upper left quarter alone: its mean grey."""
    del targets
    return pictures[:, : SIDE // 2, : SIDE // 2].mean(axis=(1, 2)).astype(np.float64)


def lit(count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Pictures white in the upper left quarter and black elsewhere, and the map that says so."""
    picture = np.zeros((count, SIDE, SIDE), np.float32)
    picture[:, : SIDE // 2, : SIDE // 2] = 1
    return picture, picture.copy()


def test_curves_by_hand() -> None:
    pictures, values = lit(2)
    found = faithfulness(corner_light, pictures, values, np.zeros(2, np.int64))
    # The quarter is the map's highest 25%: the mean grey is 0.25, and after 10% removed 40% of the quarter is grey.
    expected = [1, 1 - 0.4 * 0.75, 1 - 0.8 * 0.75, *[0.25] * 8]
    np.testing.assert_allclose(found.deletion_curves[0], expected, atol=1e-6)
    area = 0.1 * (0.5 * 1 + 0.7 + 0.4 + 7 * 0.25 + 0.5 * 0.25)
    np.testing.assert_allclose(found.deletion, area, atol=1e-6)
    assert found.insertion_curves[0, -1] == 1
    np.testing.assert_allclose(found.insertion_curves[0, 3:], 1, atol=1e-6)
    assert found.insertion_curves[0, 0] < 1


def test_the_true_map_beats_a_random_one_and_the_reverse_loses() -> None:
    pictures, values = lit(6)
    noise = np.random.default_rng(0).random(pictures.shape).astype(np.float32) * 0.1
    true, targets, all_of = values + noise, np.zeros(6, np.int64), np.ones(6, bool)
    one = faithfulness(corner_light, pictures, true, targets)
    random = faithfulness(corner_light, pictures, noise, targets)
    reverse = faithfulness(corner_light, pictures, 1 - true, targets)
    better, worse = (gain(a, random, np.arange(6), asked=all_of) for a in (one, reverse))
    for name in ("deletion", "insertion", "road"):
        assert getattr(better, name).above(0), name
        assert getattr(worse, name).below(0), name
    same = gain(one, one, np.arange(6), asked=all_of)
    assert same.deletion.value == same.insertion.value == same.road.value == 0
    assert gain(one, random, np.arange(6), asked=np.array([True] + [False] * 5)).road.pictures == 1


def test_a_model_that_ignores_the_picture_has_flat_curves() -> None:
    pictures, values = lit(3)
    found = faithfulness(lambda p, t: np.full(len(p), 0.7), pictures, values, np.zeros(3, np.int64))
    assert (found.deletion_curves == 0.7).all()
    np.testing.assert_allclose(found.deletion, 0.7)
    np.testing.assert_allclose(found.road, 0, atol=1e-12)


def test_equal_values_come_in_no_order_of_their_own() -> None:
    """An empty map deletes pixels all over the picture, not row by row."""
    pictures, values = lit(40)
    found = faithfulness(corner_light, pictures, values * 0, np.zeros(40, np.int64))
    # In a random order the quarter greys evenly; by rows from above it would be gone at half.
    assert found.deletion_curves[:, 5].mean() == pytest.approx(1 - 0.5 * 0.75, abs=0.02)


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")
@pytest.mark.parametrize("share", [0.1, 0.6, 0.95])
def test_imputation_beside_the_authors_own(share: float) -> None:
    generator = np.random.default_rng(3)
    picture = generator.random((15, 12)).astype(np.float32)
    removed = generator.random((15, 12)) < share
    theirs = NoisyLinearImputer(noise=0.0)(
        torch.from_numpy(picture)[None], torch.from_numpy((~removed).astype(np.float32))
    )
    np.testing.assert_allclose(impute(picture, removed, noise=0), theirs[0].numpy(), atol=1e-5)


def test_imputation_keeps_a_plane_and_its_known_pixels() -> None:
    """A weighted mean of symmetric neighbours leaves an even slope as it is, away from the picture's edge."""
    slope = np.add.outer(np.arange(9), 2 * np.arange(9)).astype(np.float32) / 30
    removed = np.zeros((9, 9), bool)
    removed[2:7, 3:6] = True
    np.testing.assert_allclose(impute(slope, removed, noise=0), slope, atol=1e-5)
    noisy = impute(slope, removed, noise=0.1, seed=1)
    assert (noisy[~removed] == slope[~removed]).all()
    assert 0.03 < np.abs(noisy - slope)[removed].mean() < 0.2
    assert (impute(slope, np.zeros((9, 9), bool)) == slope).all()
    assert impute(slope, np.ones((9, 9), bool), noise=0) == pytest.approx(np.full((9, 9), 0.5))


def test_the_alternatives_have_the_maps_area() -> None:
    values = np.zeros((4, 64, 64), np.float32)
    values[:, 5:15, 8:20] = np.linspace(0.6, 1, 12)
    moved = elsewhere(values)
    for one, other in zip(values, moved, strict=True):
        np.testing.assert_array_equal(np.sort(one.ravel()), np.sort(other.ravel()))
    assert len({other.tobytes() for other in moved}) == 4
    np.testing.assert_array_equal(elsewhere(values[:2]), moved[:2])
    gaussian = centred(values)
    np.testing.assert_allclose((gaussian >= gaussian.max() / 2).sum(axis=(1, 2)), 120, atol=12)
    assert np.unravel_index(gaussian[0].argmax(), (64, 64)) in {(31, 31), (31, 32), (32, 31), (32, 32)}


def test_a_mean_over_groups() -> None:
    """Twenty copies of each of three patients are three patients' worth of knowledge."""
    values = np.repeat([0.1, 0.5, 0.9], 20)
    by_patient = mean_over_groups(values, np.repeat(["a", "b", "c"], 20))
    by_picture = mean_over_groups(values, np.arange(60))
    assert by_patient.value == by_picture.value == pytest.approx(0.5)
    assert by_patient.high - by_patient.low > 3 * (by_picture.high - by_picture.low)
    assert (by_patient.groups, by_patient.pictures) == (3, 60)
    none = mean_over_groups([np.nan, np.nan], ["a", "b"])
    assert np.isnan(none.value)
    assert none.as_dict()["value"] is None
    assert not none.above(-1)
    assert not mean_over_groups([1.0], ["a"]).above(0)


def test_the_models_score_is_what_prediction_gives() -> None:
    spec = ModelSpec(
        backbone="plain_cnn", options={"blocks": 2, "width": 4}, channels=1, size=24,
        head=HeadSpec(dropout=0), classes=("a", "b", "c"),
    )  # fmt: skip
    bundle = Bundle(
        spec=spec, preprocess=Preprocess(size=24, channels=1), weights=build_classifier(spec, seed=1).state_dict(),
        origin=WeightsOrigin(name="random", source="seed"),
    )  # fmt: skip
    pictures = np.random.default_rng(0).integers(0, 256, (5, 24, 24)).astype(np.uint8)
    targets = np.array([0, 1, 2, 1, 0])
    scored = ModelScore(Explainer(bundle, device="cpu", batch=2))(pictures.astype(np.float32) / 255, targets)
    given = Predictor(bundle, device="cpu", precision="float32").probabilities(pictures)
    np.testing.assert_allclose(scored, given[np.arange(5), targets], atol=1e-6)
