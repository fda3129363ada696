"""Every registered backbone can be explained without naming a layer, and is left as it was."""

from __future__ import annotations

import pytest
import torch

from pulmoscope.errors import PulmoscopeError
from pulmoscope.explanation import METHODS, layer_path, recording, stages
from pulmoscope.models import (
    CascadeClassifier,
    CascadeSpec,
    Classifier,
    HeadSpec,
    ModelSpec,
    build_classifier,
    build_network,
    registered,
)
from pulmoscope.models.names import usual_name
from toy_networks import PICTURE, two_maps

# Inception and system C's plain network leave more than one place only of larger pictures.
SIZE = 160


def spec(name: str, *classes: str) -> ModelSpec:
    return ModelSpec(
        backbone=name, channels=1, size=SIZE, head=HeadSpec(dropout=0), classes=classes or ("a", "b", "c")
    )


def on_meta(name: str) -> Classifier:
    """The network without numbers: its shapes cost nothing."""
    with torch.device("meta"):
        return Classifier(spec(name))


@pytest.mark.parametrize("name", registered())
def test_stages_of_every_backbone(name: str) -> None:
    network = on_meta(name)
    inputs = torch.zeros(1, 1, SIZE, SIZE, device="meta")
    found = stages(network, inputs)
    assert len(found) >= 3
    assert [one.name for one in found] == [f"stage{number}" for number in range(1, len(found) + 1)]
    # From fine to coarse, and the last is what the pooling sees.
    sides = [one.size[0] for one in found]
    assert sides == sorted(sides, reverse=True)
    network.eval()
    with recording(network, [one.path for one in found]) as seen:
        maps = network.backbone.forward_features(inputs)
    assert (found[-1].channels, *found[-1].size) == tuple(maps.shape[1:])
    for one in found:
        assert tuple(seen.activations[one.path].shape[1:]) == (one.channels, *one.size)
    assert len(seen.activations) == len({one.path for one in found}) == len(found)
    assert not any(module._forward_hooks for module in network.modules())


# One of each way to be built: our own, EfficientNet, VGG, DenseNet, pre-activation.
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("plain_cnn", 150), ("residual_cnn", 64), ("ten_layer_cnn", 64), ("efficientnet_lite0", 64), ("vgg16", 64),
        ("densenet121", 64), ("resnet50v2", 64),
    ],
)  # fmt: skip
def test_the_last_stage_is_the_map_that_is_pooled(name: str, size: int) -> None:
    network = build_classifier(spec(name), seed=0).train()
    inputs = torch.randn(2, 1, size, size, generator=torch.Generator().manual_seed(0))
    path = stages(network, inputs)[-1].path
    assert network.training
    with recording(network, [path]) as seen:
        network(inputs)
        features = network.backbone.forward_features(inputs)
    assert torch.equal(seen.activations[path], features)
    raw = METHODS["grad-cam"].raw(network, inputs, torch.tensor([0, 2]), path)
    assert raw.shape == (2, *features.shape[2:])
    assert torch.isfinite(raw).all()
    assert all(module.training for module in network.modules())
    assert not any(module._forward_hooks for module in network.modules())


def test_both_stages_of_a_cascade() -> None:
    cascade = CascadeSpec(
        first=spec("residual_cnn", "normal", "infected"), second=spec("plain_cnn", "covid", "pneumonia"),
        node="infected", classes=("covid", "normal", "pneumonia"),
    )  # fmt: skip
    network = build_network(cascade, seed=0)
    assert isinstance(network, CascadeClassifier)
    inputs = torch.zeros(1, 1, SIZE, SIZE)
    first, second = stages(network.first, inputs), stages(network.second, inputs)
    whole = stages(network, inputs)
    assert [one.name for one in whole] == [f"first.{s.name}" for s in first] + [
        f"second.{s.name}" for s in second
    ]
    modules = dict(network.named_modules())
    assert all(one.path in modules for one in whole)


def test_layers_by_name_by_path_and_wrong_ones() -> None:
    network = on_meta("residual_cnn")
    inputs = torch.zeros(1, 1, SIZE, SIZE, device="meta")
    assert layer_path(network, inputs, None) == "backbone.blocks.3"
    assert layer_path(network, inputs, "stage2") == "backbone.blocks.1"
    assert layer_path(network, inputs, "backbone.blocks.2.1.first") == "backbone.blocks.2.1.first"
    with pytest.raises(
        PulmoscopeError, match=r"E_LAYER.*stage1 \(40 x 40, 16 channels\).*did you mean stage"
    ):
        layer_path(network, inputs, "stage9")
    with pytest.raises(PulmoscopeError, match="has no height and width.*shape"):
        layer_path(network, inputs, "head")


def test_maps_of_one_place_and_tokens_cannot_say_where() -> None:
    toy = two_maps()
    assert [one.path for one in stages(toy, PICTURE)][-1] == "backbone.1"
    with pytest.raises(PulmoscopeError, match="no layer with height and width"):
        stages(toy, PICTURE[:, :, :1, :1])
    with torch.device("meta"):
        transformer = Classifier(
            ModelSpec(backbone="test_vit", channels=1, head=HeadSpec(dropout=0), classes=("a", "b"))
        )
    with pytest.raises(PulmoscopeError, match="occlusion, which need no layer"):
        stages(transformer, torch.zeros(1, 1, 160, 160, device="meta"))


def test_no_usual_name_is_left_out() -> None:
    assert {usual_name(one) for one in registered()} - {None}
