from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from pulmoscope.models import HeadSpec, ModelSpec, build_backbone, build_classifier

Options = dict[str, bool | int | float | str]


@pytest.mark.parametrize(
    ("name", "options", "weights"),
    [
        # 9 weights a pair of channels; batch normalisation has 2 a channel, a convolution without it 1 (its bias).
        ("plain_cnn", {}, 9 * (16 + 16 * 32 + 32 * 64 + 64 * 128 + 128 * 256) + 2 * (16 + 32 + 64 + 128 + 256)),
        ("plain_cnn", {"blocks": 3, "batch_norm": False, "width": 8}, 9 * (8 + 8 * 16 + 16 * 32) + 8 + 16 + 32),
        (
            "residual_cnn",
            {},
            9 * (16 + 16 * 32 + 2 * 32**2 + 32 * 64 + 2 * 64**2 + 64 * 128 + 2 * 128**2)
            + 2 * (16 + 3 * 32 + 3 * 64 + 3 * 128),
        ),
        ("dropout_cnn", {}, 9 * (16 + 16 * 32 + 32 * 64 + 64 * 128) + 16 + 32 + 64 + 128),
        (
            "ten_layer_cnn",
            {},
            9 * (16 + 16**2 + 16 * 32 + 32**2 + 32 * 64 + 64**2 + 64 * 128 + 128**2) + 2 * (16 + 32 + 64 + 128),
        ),
    ],
)  # fmt: skip
def test_parameters_by_hand(name: str, options: Options, weights: int) -> None:
    network = build_backbone(name, channels=1, options=options)
    assert sum(p.numel() for p in network.parameters()) == weights
    colour = build_backbone(name, channels=3, options=options)
    first = int(options.get("width", 16))
    assert sum(p.numel() for p in colour.parameters()) == weights + 2 * 9 * first


@pytest.mark.parametrize(("blocks", "side"), [(3, 17), (4, 7), (5, 2)])
def test_system_c_leaves_the_maps_of_the_report(blocks: int, side: int) -> None:
    # 150 -> 148 -> 74 -> 72 -> 36 -> 34 -> 17 -> 15 -> 7 -> 5 -> 2
    network = build_backbone("plain_cnn", channels=1, options={"blocks": blocks})
    with torch.inference_mode():
        maps = network.eval().forward_features(torch.zeros(1, 1, 150, 150))  # type: ignore[operator]
    assert maps.shape == (1, 16 * 2 ** (blocks - 1), side, side)


def convolutions(network: nn.Module) -> list[nn.Conv2d]:
    return [module for module in network.modules() if isinstance(module, nn.Conv2d)]


def test_the_reports_numbers_of_layers() -> None:
    assert len(convolutions(build_backbone("residual_cnn", channels=1))) == 10
    spec = ModelSpec(
        backbone="ten_layer_cnn", size=256, channels=1, head=HeadSpec(pool="flatten", hidden=(64,)), classes=("a", "b")
    )  # fmt: skip
    whole = build_classifier(spec, seed=0)
    dense = [module for module in whole.modules() if isinstance(module, nn.Linear)]
    assert len(convolutions(whole)) + len(dense) == 10
    assert dense[0].in_features == 128 * 16 * 16


def test_dropout_stands_between_the_blocks_of_system_a() -> None:
    network = build_backbone("dropout_cnn", channels=1)
    kinds = [type(module) for module in network.modules() if isinstance(module, nn.Dropout | nn.MaxPool2d)]
    assert kinds == [nn.MaxPool2d, nn.Dropout] * 3 + [nn.MaxPool2d]
    assert {module.p for module in network.modules() if isinstance(module, nn.Dropout)} == {0.3}


@pytest.mark.parametrize("name", ["plain_cnn", "residual_cnn", "dropout_cnn", "ten_layer_cnn"])
def test_weights_start_kaiming_uniform(name: str) -> None:
    torch.manual_seed(0)
    for layer in convolutions(build_backbone(name, channels=1))[1:]:
        bound = math.sqrt(6 / (9 * layer.in_channels))
        largest = float(layer.weight.detach().abs().max())
        assert 0.97 * bound < largest <= bound
        # Uniform on [-b, b] has the variance b^2 / 3, which keeps that of rectified maps: 2 / fan-in.
        assert float(layer.weight.detach().var()) == pytest.approx(bound**2 / 3, rel=0.08)
        assert layer.bias is None or not layer.bias.any()


@pytest.mark.parametrize("name", ["plain_cnn", "residual_cnn", "dropout_cnn", "ten_layer_cnn"])
def test_the_dense_layers_on_them_start_kaiming_uniform_too(name: str) -> None:
    spec = ModelSpec(
        backbone=name, size=96, channels=1, head=HeadSpec(pool="flatten", hidden=(64,)), classes=("a", "b")
    )
    dense = [layer for layer in build_classifier(spec, seed=0).head if isinstance(layer, nn.Linear)]
    assert len(dense) == 2
    for layer in dense:
        bound = math.sqrt(6 / layer.in_features)
        largest = float(layer.weight.detach().abs().max())
        assert 0.97 * bound < largest <= bound
        assert float(layer.weight.detach().var()) == pytest.approx(bound**2 / 3, rel=0.25)
        assert not layer.bias.any()


def test_a_residual_pair_adds_what_it_was_given() -> None:
    network = build_backbone("residual_cnn", channels=1, options={"batch_norm": False})
    pairs = [module for module in network.modules() if type(module).__name__ == "ResidualPair"]
    maps = torch.rand(1, 32, 4, 4, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        changed = pairs[0](maps)
        for layer in convolutions(pairs[0]):
            layer.weight.zero_()
        assert torch.equal(pairs[0](maps), maps)
    assert len(pairs) == 3
    assert not torch.equal(changed, maps)
