"""Several answers to one picture: passes with dropout, and fixed views."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from pulmoscope.errors import BundleError, PulmoscopeError
from pulmoscope.imaging import Preprocess
from pulmoscope.inference import Predictor
from pulmoscope.inference.mc_dropout import dropout_layers, dropout_members, dropout_on
from pulmoscope.inference.tta import view_members
from pulmoscope.models import Bundle, HeadSpec, ModelSpec, WeightsOrigin, build_classifier


def bundle_of(*, head: float, backbone: float = 0.0) -> Bundle:
    spec = ModelSpec(
        backbone="residual_cnn", options={"width": 4, "dropout": backbone}, size=64, channels=1,
        head=HeadSpec(pool="flatten", dropout=head), classes=("a", "b", "c"),
    )  # fmt: skip
    network = build_classifier(spec, seed=1)
    torch.nn.init.normal_(network.head[-1].weight, std=0.1, generator=torch.Generator().manual_seed(2))  # type: ignore[arg-type]
    return Bundle(
        spec=spec, preprocess=Preprocess(size=64, channels=1, mean=(0.5,), std=(0.5,)),
        weights=dict(network.state_dict()), origin=WeightsOrigin(name="random", source="test"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 64, 64)).astype(np.uint8)


@pytest.mark.parametrize("backbone", [0.0, 0.3])
def test_passes_scatter_about_the_plain_answer_and_repeat_with_their_seed(
    backbone: float, pictures: np.ndarray
) -> None:
    bundle = bundle_of(head=0.3, backbone=backbone)
    first = dropout_members(bundle, pictures, samples=6, seed=3)
    assert first.shape == (6, 5, 3)
    assert np.allclose(first.sum(axis=2), 1)
    assert np.array_equal(first, dropout_members(bundle, pictures, samples=6, seed=3))
    assert not np.allclose(first, dropout_members(bundle, pictures, samples=6, seed=4))
    assert (first.std(axis=0) > 1e-4).any(axis=1).all()
    plain = Predictor(bundle, precision="float32").probabilities(pictures)
    assert np.abs(first.mean(axis=0) - plain).max() < 0.5


def test_dropout_of_the_head_alone_is_what_the_whole_network_says(pictures: np.ndarray) -> None:
    bundle = bundle_of(head=0.3)
    quick = dropout_members(bundle, pictures, samples=2000, seed=0).mean(axis=0)
    network = bundle.network()
    inputs = bundle.preprocess.to_input(torch.from_numpy(pictures))
    with torch.inference_mode(), dropout_on(network):
        torch.manual_seed(5)
        features = network.features(inputs)  # type: ignore[operator]
        slow = torch.stack([torch.softmax(network.head(features).double(), 1) for _ in range(2000)]).mean(0)  # type: ignore[operator]
    assert np.abs(quick - slow.numpy()).max() < 0.02


def test_only_dropout_is_switched_and_all_is_left_as_found() -> None:
    network = bundle_of(head=0.3, backbone=0.2).network()
    norms = [one for one in network.modules() if isinstance(one, nn.BatchNorm2d)]
    assert norms
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with dropout_on(network):
        assert all(one.training for one in dropout_layers(network))
        assert not any(one.training for one in norms)
        assert not network.training
        network(torch.randn(4, 1, 64, 64))
    assert not any(one.training for one in network.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())

    def fail() -> None:
        with dropout_on(network):
            raise RuntimeError("in between")

    with pytest.raises(RuntimeError, match="in between"):
        fail()
    assert not any(one.training for one in network.modules())
    dropout_layers(network)[0].training = True
    with dropout_on(network):
        pass
    assert dropout_layers(network)[0].training


def test_the_global_random_state_is_left_as_found(pictures: np.ndarray) -> None:
    torch.manual_seed(11)
    wanted = torch.rand(3)
    torch.manual_seed(11)
    dropout_members(bundle_of(head=0.3), pictures, samples=2)
    assert torch.equal(torch.rand(3), wanted)


def test_a_model_without_dropout_is_refused(pictures: np.ndarray) -> None:
    with pytest.raises(BundleError, match="E_NO_DROPOUT"):
        dropout_members(bundle_of(head=0.0), pictures, samples=2)
    with pytest.raises(PulmoscopeError, match="E_OPTION"):
        dropout_members(bundle_of(head=0.3), pictures, samples=0)


def test_the_mean_over_views_is_the_predictors_answer(pictures: np.ndarray) -> None:
    bundle = bundle_of(head=0.0)
    members = view_members(bundle, pictures, views=5, batch=2)
    assert members.shape == (5, 5, 3)
    plain = Predictor(bundle, precision="float32").probabilities(pictures)
    assert np.allclose(members[0], plain, atol=1e-5)
    averaged = Predictor(replace(bundle, views=5), precision="float32").probabilities(pictures)
    assert np.allclose(members.mean(axis=0), averaged, atol=1e-5)
    assert not np.allclose(members[1], members[0], atol=1e-3)
    with pytest.raises(PulmoscopeError, match="1 to 16"):
        view_members(bundle, pictures, views=17)
