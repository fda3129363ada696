"""Feature maps, kernels, exciting pictures and the change a layer: numbers by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from pulmoscope.errors import PulmoscopeError
from pulmoscope.explanation.feature_maps import feature_maps
from pulmoscope.explanation.filters import exciting_pictures, first_kernels
from pulmoscope.explanation.layer_change import change_table, layer_changes
from pulmoscope.imaging import Preprocess
from pulmoscope.models import CascadeSpec, HeadSpec, ModelSpec, build_classifier, build_network


def a_spec(name: str, *classes: str) -> ModelSpec:
    return ModelSpec(
        backbone=name,
        options={"width": 4},
        channels=1,
        size=96,
        head=HeadSpec(dropout=0),
        classes=classes or ("a", "b"),
    )


def pictures(count: int = 2) -> torch.Tensor:
    return torch.randn(count, 1, 96, 96, generator=torch.Generator().manual_seed(0))


def test_a_numbered_convolution_is_shown_after_its_activation() -> None:
    network = build_classifier(a_spec("residual_cnn"), seed=0).eval()
    found = feature_maps(network, pictures(), ["conv1", "conv2", "stage1", "backbone.blocks.1.0.0"])
    assert [one.path for one in found] == [
        "backbone.blocks.0.3", "backbone.blocks.1.0.2", "backbone.blocks.0", "backbone.blocks.1.0.0"
    ]  # fmt: skip
    blocks = network.get_submodule("backbone.blocks")
    with torch.no_grad():
        stem = blocks[0](pictures())  # type: ignore[index, operator]
        raw = blocks[1][0][0](stem)  # type: ignore[index]
        after = blocks[1][0](stem)  # type: ignore[index]
    np.testing.assert_array_equal(found[0].values, stem.numpy())
    np.testing.assert_array_equal(found[1].values, after.numpy())
    np.testing.assert_array_equal(found[3].values, raw.numpy())
    assert found[1].values.min() == 0.0 > found[3].values.min()


def test_all_stages_by_default_and_both_stages_of_a_cascade() -> None:
    spec = CascadeSpec(
        first=a_spec("plain_cnn", "normal", "infected"), second=a_spec("residual_cnn", "covid", "other"),
        node="infected", classes=("normal", "covid", "other"),
    )  # fmt: skip
    network = build_network(spec, seed=0)
    names = [one.name for one in feature_maps(network, pictures())]
    assert names[:2] == ["first.stage1", "first.stage2"]
    assert names[-1] == "second.stage4"
    first, second, plain = feature_maps(network, pictures(), ["first.conv2", "second.conv2", "conv2"])
    assert first.path.startswith("first.backbone.blocks.1.")
    assert second.path.startswith("second.backbone.blocks.1.0.")
    assert plain.path == first.path


@pytest.mark.parametrize(
    ("layer", "said"),
    [("conv11", "conv1 to conv10"), ("conv0", "conv10"), ("stag3", "stage3"), ("head.1", "no map")],
)
def test_layers_that_are_not_there(layer: str, said: str) -> None:
    network = build_classifier(a_spec("residual_cnn"), seed=0)
    with pytest.raises(PulmoscopeError, match=said):
        feature_maps(network, pictures(), [layer])
    assert not any(one._forward_hooks for one in network.modules())


def test_kernels_of_colour_planes_are_summed() -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Conv2d(2, 4, 3))
    np.testing.assert_allclose(first_kernels(network, "0"), network[0].weight.detach().sum(dim=1).numpy())
    with pytest.raises(PulmoscopeError, match="on the picture"):
        first_kernels(network, "1")


class Edges(nn.Module):
    """One channel answers to light above dark, the other to dark above light."""

    def __init__(self) -> None:
        super().__init__()
        kernel = torch.tensor([[1.0], [-1.0]]).view(1, 1, 2, 1)
        self.backbone = nn.Sequential(nn.Conv2d(1, 2, (2, 1), bias=False), nn.ReLU())
        self.head = nn.Linear(2, 2)
        with torch.no_grad():
            self.backbone[0].weight.copy_(torch.cat([kernel, -kernel]))

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return self.head(self.backbone(batch).mean(dim=(2, 3)))


def test_an_exciting_picture_raises_its_channel_and_no_other_kind_of_edge() -> None:
    network = Edges().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    preprocess = Preprocess(size=64, channels=1)
    found, above = exciting_pictures(network, preprocess, "backbone.1", [0, 1], steps=30)
    assert found.shape == (2, 64, 64)
    assert 0 <= found.min() < found.max() <= 1
    assert (above > 5).all()
    again, _ = exciting_pictures(network, preprocess, "backbone.1", [0, 1], steps=30)
    np.testing.assert_array_equal(found, again)
    other, _ = exciting_pictures(network, preprocess, "backbone.1", [0, 1], steps=30, seed=1)
    assert np.abs(found - other).max() > 0.01
    # Edges lie across: rows differ more than columns do.
    across = np.abs(np.diff(found, axis=1)).mean()
    assert across > 1.5 * np.abs(np.diff(found, axis=2)).mean()
    assert network.training
    assert all(weight.requires_grad and weight.grad is None for weight in network.parameters())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not any(one._forward_hooks for one in network.modules())
    with pytest.raises(PulmoscopeError, match="0 to 1"):
        exciting_pictures(network, preprocess, "backbone.1", [2])


def test_the_change_of_each_layer_by_hand() -> None:
    before = {"a.weight": torch.tensor([[3.0, 4.0]]), "b.weight": torch.zeros(1, 2), "c.bias": torch.ones(2)}
    before |= {"d.weight": torch.ones(2, 2), "e.weight": torch.ones(3, 3)}
    after = {"a.weight": torch.tensor([[4.0, -3.0]]), "b.weight": torch.ones(1, 2), "c.bias": torch.zeros(2)}
    after |= {"d.weight": torch.full((2, 2), 1.5), "e.weight": torch.ones(2, 2)}
    turned, from_nothing, grown = layer_changes(before, after)
    # At a right angle and of the same size: sqrt(2); half as large again, in the same direction.
    assert (turned.name, turned.relative, turned.cosine) == ("a.weight", pytest.approx(math.sqrt(2)), 0.0)
    assert math.isnan(from_nothing.relative)
    assert math.isnan(from_nothing.cosine)
    assert from_nothing.as_dict()["cosine"] is None
    assert (grown.name, grown.relative, grown.cosine) == ("d.weight", 0.5, 1.0)
    assert change_table([turned, from_nothing, grown]).splitlines()[2].split()[-2:] == [
        "undefined",
        "undefined",
    ]
    with pytest.raises(PulmoscopeError, match="no layer in common"):
        layer_changes({"x.weight": torch.ones(2, 2)}, after)
