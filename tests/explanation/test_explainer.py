"""Maps of trained models: batches, targets, cascades, and the way back to the original picture."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from pulmoscope.errors import PulmoscopeError
from pulmoscope.explanation import METHODS, Explainer, Maps, explain, through_layers
from pulmoscope.explanation.geometry import grids
from pulmoscope.imaging import Preprocess
from pulmoscope.inference import Predictor
from pulmoscope.models import Bundle, CascadeSpec, HeadSpec, ModelSpec, WeightsOrigin, build_network

SIZE = 64
PICTURES = np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE)).astype(np.uint8)


def spec(name: str, *classes: str) -> ModelSpec:
    return ModelSpec(
        backbone=name, options={"width": 4}, channels=1, size=SIZE, head=HeadSpec(dropout=0), classes=classes
    )


def bundle(of: ModelSpec | CascadeSpec, **preprocess: object) -> Bundle:
    network = build_network(of, seed=1)
    # A head drawn small answers every picture alike; this one has something to say.
    weights = {n: v * 30 if "head.1.weight" in n else v for n, v in network.state_dict().items()}
    return Bundle(
        spec=of, preprocess=Preprocess(size=SIZE, channels=1, **preprocess), weights=weights,  # type: ignore[arg-type]
        origin=WeightsOrigin(name="random", source="seed"),
    )  # fmt: skip


ONE = bundle(spec("residual_cnn", "a", "b", "c"))
CASCADE = bundle(
    CascadeSpec(
        first=spec("residual_cnn", "normal", "infected"), second=spec("ten_layer_cnn", "covid", "pneumonia"),
        node="infected", classes=("covid", "normal", "pneumonia"),
    )
)  # fmt: skip


def test_batches_change_nothing_and_the_predicted_class_is_explained() -> None:
    whole, small = Explainer(ONE, device="cpu"), Explainer(ONE, device="cpu", batch=2)
    maps, again = whole.maps(PICTURES), small.maps(PICTURES)
    np.testing.assert_allclose(maps.values, again.values, atol=1e-4)
    np.testing.assert_allclose(maps.raw, again.raw, rtol=1e-3, atol=1e-6)
    probabilities = Predictor(ONE, device="cpu").probabilities(PICTURES)
    np.testing.assert_allclose(maps.probabilities, probabilities, atol=1e-6)
    assert maps.targets.tolist() == probabilities.argmax(axis=1).tolist()
    named = whole.maps(PICTURES, maps.targets)
    np.testing.assert_array_equal(named.values, maps.values)
    assert maps.values.shape == PICTURES.shape
    assert maps.values.dtype == np.float32
    assert maps.values.max(axis=(1, 2)).tolist() == pytest.approx([1.0] * 5)
    assert maps.layer == "backbone.blocks.3"
    assert not maps.stages


def test_one_picture_is_explained_as_many_are() -> None:
    image = PICTURES[0].astype(np.float32) / 255
    for method in ("layer-cam", "occlusion"):
        explainer = Explainer(ONE, method=method, device="cpu")
        maps = explainer.maps(ONE.preprocess.to_store(image)[None], np.array([2]))
        expected = explainer.to_original(maps.values[0], image.shape)
        np.testing.assert_allclose(explain(ONE, image, target="c", method=method), expected, atol=1e-4)


def test_maps_of_parts_join() -> None:
    for model in (ONE, CASCADE):
        explainer = Explainer(model, method="hires-cam", device="cpu")
        targets = np.array([0, 1, 2, 1, 0])
        whole = explainer.maps(PICTURES, targets)
        parts = [explainer.maps(PICTURES[i : i + 1], targets[i : i + 1]) for i in range(5)]
        joined = Maps.joined(parts)
        np.testing.assert_allclose(joined.values, whole.values, atol=1e-4)
        assert joined.deciding.tolist() == whole.deciding.tolist()
        assert joined.raw.shape == whole.raw.shape


@pytest.mark.parametrize("method", METHODS)
def test_both_stages_of_a_cascade(method: str) -> None:
    explainer = Explainer(CASCADE, method=method, device="cpu")
    targets = np.array([0, 1, 2])
    maps = explainer.maps(PICTURES[:3], targets)
    assert maps.deciding.tolist() == ["second", "first", "second"]
    first, second = maps.stages["first"], maps.stages["second"]
    np.testing.assert_array_equal(maps.values[[0, 2]], second.values[[0, 2]])
    np.testing.assert_array_equal(maps.values[1], first.values[1])
    # The second stage is never asked about a class outside its node; the first is asked for the node.
    assert np.isnan(second.values[1]).all()
    assert np.isnan(second.raw[1]).all()
    assert np.isfinite(first.values).all()
    assert np.isfinite(maps.values).all()
    network = CASCADE.network()
    raw = METHODS[method].raw(
        network.first, explainer.inputs(PICTURES[:3]), torch.tensor([1, 0, 1]), "backbone.blocks.3"
    )
    np.testing.assert_allclose(first.raw, raw.numpy(), rtol=1e-3, atol=1e-4 * float(raw.abs().max()))


@pytest.mark.parametrize(
    ("aspect", "shape"),
    [
        ("pad", (160, 96)), ("pad", (90, 200)), ("crop", (160, 96)), ("crop", (80, 150)), ("stretch", (40, 130)),
        ("stretch", (200, 70)),
    ],
)  # fmt: skip
def test_a_blob_is_followed_through_the_preprocessing(aspect: str, shape: tuple[int, int]) -> None:
    model = bundle(spec("residual_cnn", "a", "b"), aspect=aspect)
    explainer = Explainer(model, device="cpu")
    height, width = shape
    for down, right in itertools.product((0.35, 0.6), (0.4, 0.55)):
        image = np.zeros(shape, np.float32)
        rows, columns = np.mgrid[:height, :width]
        centre = down * height, right * width
        image[np.hypot(rows - centre[0], columns - centre[1]) < 0.12 * min(shape)] = 1
        # A map that is the stored picture itself must come to lie on the original.
        back = explainer.to_original(model.preprocess.to_store(image).astype(np.float32) / 255, shape)
        assert back.shape == shape
        weight = back / back.sum()
        # Within one pixel of the network's square.
        pixel = max(shape) / SIZE if aspect != "crop" else min(shape) / SIZE
        assert abs((weight * rows).sum() - rows[image > 0].mean()) < pixel
        assert abs((weight * columns).sum() - columns[image > 0].mean()) < pixel
        overlap = np.minimum(back, image).sum() / np.maximum(back, image).sum()
        assert overlap > 0.6


def test_a_bright_place_is_where_the_map_is() -> None:
    """The whole way: a network that sums brightness, a blob that moves, a map that follows it."""
    model = bundle(spec("dropout_cnn", "dark", "bright"), mean=(0.0,), std=(1.0,))
    explainer = Explainer(model, method="occlusion", device="cpu")
    with torch.no_grad():
        for name, weight in explainer.network.named_parameters():
            weight.fill_(0.05 if "weight" in name else 0)
        explainer.network.head[1].weight[0] = -0.05
    for down, right in ((30, 60), (70, 150)):
        image = np.zeros((100, 200), np.float32)
        image[down - 8 : down + 8, right - 8 : right + 8] = 1
        maps = explainer.maps(model.preprocess.to_store(image)[None], np.array([1]))
        back = explainer.to_original(maps.values[0], image.shape)
        top = np.argwhere(back > 0.9).mean(axis=0)
        assert np.abs(top - (down, right)).max() < 10


def test_belief_through_the_layers_by_its_definition() -> None:
    explainer = Explainer(ONE, method="hires-cam", device="cpu", batch=2)
    targets = np.array([0, 1, 2])
    beliefs = through_layers(explainer, PICTURES[:3], targets)
    known = explainer.stages()
    assert [one.stages for one in beliefs] == [known] * 3
    inputs = explainer.inputs(PICTURES[:3])
    placed = grids(explainer.network, inputs, [stage.path for stage in known])
    for level, stage in enumerate(known):
        maps = torch.stack(
            [
                METHODS["hires-cam"].raw(explainer.network, inputs, torch.full((3,), c), stage.path)
                for c in range(3)
            ]
        ).relu()
        for row, target in enumerate(targets):
            share = float(maps[target, row].sum() / maps[:, row].sum())
            assert beliefs[row].shares[level] == pytest.approx(share, rel=1e-3)
            large = placed[stage.path].spread(maps[:, row], 64).numpy()
            won = large[target] > np.delete(large, target, axis=0).max(axis=0)
            np.testing.assert_array_equal(beliefs[row].wins[level], won)
    total = [
        sum(through_layers(explainer, PICTURES[:1], np.array([c]))[0].shares[1] for c in range(3))
    ]  # fmt: skip
    assert total == pytest.approx([1.0])


def test_belief_of_a_cascade_is_of_the_stage_that_decides() -> None:
    explainer = Explainer(CASCADE, device="cpu")
    first, second = through_layers(explainer, PICTURES[:2], np.array([1, 2]))
    assert (first.deciding, second.deciding) == ("first", "second")
    assert len(first.stages) == len(second.stages) == 4
    assert first.values.shape == (4, SIZE, SIZE)
    with pytest.raises(PulmoscopeError, match="Eigen-CAM cannot be followed"):
        through_layers(Explainer(ONE, method="eigen-cam", device="cpu"), PICTURES, np.zeros(5, int))


@pytest.mark.parametrize("model", [ONE, CASCADE])
def test_one_network_predicts_and_is_explained_and_is_left_as_it_was(
    model: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    built, true = [], Bundle.network
    monkeypatch.setattr(Bundle, "network", lambda self: built.append(1) or true(self))
    for method in METHODS:
        explainer = Explainer(model, method=method, device="cpu")
        before = {name: value.clone() for name, value in explainer.network.state_dict().items()}
        first = explainer.maps(PICTURES[:2])
        # Asking for gradients in between moves no later answer.
        np.testing.assert_array_equal(explainer.maps(PICTURES[:2]).probabilities, first.probabilities)
        assert not any(module.training for module in explainer.network.modules())
        assert all(weight.requires_grad and weight.grad is None for weight in explainer.network.parameters())
        assert not any(
            module._forward_hooks or module._backward_hooks for module in explainer.network.modules()
        )
        for name, value in explainer.network.state_dict().items():
            assert torch.equal(value, before[name]), name
    assert len(built) == len(METHODS)


def test_targets_that_do_not_fit_are_refused() -> None:
    explainer = Explainer(ONE, device="cpu")
    with pytest.raises(PulmoscopeError, match="E_TARGET.*5 indices under 3; got 0 to 3"):
        explainer.maps(PICTURES, np.array([0, 1, 2, 3, 0]))
    with pytest.raises(PulmoscopeError, match="E_TARGET"):
        explainer.maps(PICTURES, np.array([0]))
    with pytest.raises(PulmoscopeError, match="E_LAYER"):
        Explainer(ONE, layer="stage7", device="cpu")
