"""Random weights and random labels: who notices, who does not."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pulmoscope.explanation.explainer import Explainer
from pulmoscope.explanation.sanity import changed, levels, randomisation_check, randomised
from pulmoscope.imaging import Preprocess
from pulmoscope.models import Bundle, HeadSpec, ModelSpec, WeightsOrigin, build_classifier
from toy_networks import two_maps

SPEC = ModelSpec(
    backbone="plain_cnn", options={"blocks": 3, "width": 6}, channels=1, size=32, head=HeadSpec(dropout=0),
    classes=("a", "b", "c"),
)  # fmt: skip


def make_bundle(seed: int = 0) -> Bundle:
    return Bundle(
        spec=SPEC, preprocess=Preprocess(size=32, channels=1),
        weights=build_classifier(SPEC, seed=seed).state_dict(), origin=WeightsOrigin(name="random", source="seed"),
    )  # fmt: skip


def smooth_pictures(count: int = 6) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(1).random((count, 1, 6, 6), np.float32)
    large = torch.nn.functional.interpolate(torch.from_numpy(coarse), size=(32, 32), mode="bicubic")
    return (large[:, 0].clamp(0, 1) * 255).to(torch.uint8).numpy()


def test_the_cascade_begins_with_the_head_and_ends_with_all() -> None:
    network = build_classifier(SPEC, seed=0)
    found = levels(network)
    assert found[0].name == "head"
    assert found[-1].name == "all layers"
    assert all(path.startswith("head") for path in found[0].paths)
    for less, more in itertools.pairwise(found):
        assert set(less.paths) < set(more.paths)
    reached = {
        f"{path}.{name}"
        for path in found[-1].paths
        for name, _ in network.get_submodule(path).named_parameters()
    }
    assert reached == {name for name, _ in network.named_parameters()}


def test_weights_are_random_inside_and_back_outside() -> None:
    network = build_classifier(SPEC, seed=0)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    every = levels(network)[-1].paths
    conv = next(name for name, value in network.named_parameters() if value.ndim == 4)
    drawn = []

    def fail() -> None:
        with randomised(network, every, seed=1):
            drawn.append(network.state_dict()[conv].clone())
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        fail()
    assert not torch.equal(drawn[0], before[conv])
    assert float(drawn[0].std()) == pytest.approx(float(before[conv].std()), rel=0.5)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name
    # A longer cascade holds the shorter one's weights.
    with randomised(network, levels(network)[0].paths, seed=1):
        head = network.state_dict()["head.1.weight"].clone()
    with randomised(network, every, seed=1):
        assert torch.equal(network.state_dict()["head.1.weight"], head)


def test_a_map_of_the_picture_fails_and_grad_cam_passes() -> None:
    """An edge detector needs no weights, so it never changes."""
    pictures = smooth_pictures()
    explainer = Explainer(make_bundle(), device="cpu")
    targets = np.zeros(len(pictures), np.int64)
    edges = np.abs(np.gradient(pictures.astype(np.float32) / 255, axis=1)).astype(np.float32)
    fixed = randomisation_check(explainer.network, lambda: edges, groups=np.arange(6), draws=2)
    assert len(fixed) == 6
    for level in fixed:
        assert level.spearman.value == pytest.approx(1)
        assert level.ssim.value == pytest.approx(1)
        assert level.vanished == 0
    found = randomisation_check(
        explainer.network, lambda: explainer.maps(pictures, targets).values, groups=np.arange(6), draws=2
    )
    assert found[-1].name == "all layers"
    assert abs(found[-1].spearman.value) < 0.6 or found[-1].vanished > 0.5


def test_a_map_that_ignores_the_class_ignores_the_head() -> None:
    pictures = smooth_pictures()
    explainer = Explainer(make_bundle(), method="eigen-cam", device="cpu")
    targets = np.zeros(len(pictures), np.int64)
    found = randomisation_check(
        explainer.network, lambda: explainer.maps(pictures, targets).values, groups=np.arange(6), draws=1
    )
    assert found[0].spearman.value == 1
    assert found[-1].spearman.value < 0.9


def test_a_toy_whose_map_turns_with_its_weights() -> None:
    """Maps x and 1 - x: with the two weights of the head exchanged, the map is the other way round."""
    network = two_maps()
    picture = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))

    def explain() -> NDArray[np.float32]:
        with torch.no_grad():
            maps = network.backbone(picture)
        return torch.einsum("d,ndhw->nhw", network.head.weight[0], maps).detach().numpy()

    true = explain()
    with torch.no_grad():
        network.head.weight.copy_(network.head.weight.flip(1))
    found = changed("exchanged", true, [explain()], ["a"])
    assert found.spearman.value == pytest.approx(-1)
    gone = changed("nothing left", true, [explain() * 0], ["a"])
    assert gone.vanished == 1
    assert np.isnan(gone.spearman.value)
    assert gone.as_dict()["spearman"]["value"] is None
