"""Dead weights and channels: numbers by hand, and every way in which the zoo puts layers in a row."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pulmoscope.errors import PulmoscopeError
from pulmoscope.explanation.dead import effective_weights, layer_use, use_table
from pulmoscope.explanation.following import weight_layers
from pulmoscope.models import HeadSpec, ModelSpec, build_classifier


class Four(nn.Module):
    """One convolution 1 x 1 of four channels, normalised and rectified."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(1, 4, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True)
        )
        with torch.no_grad():
            self.backbone[0].weight.copy_(torch.tensor([2.0, 1.0, 1e-6, 1.0]).view(4, 1, 1, 1))
            # Channel 0 lives; 1 is shifted below 0 everywhere; 2 is all but zero but shifted to a constant 0.5; 3 has
            # weights that its normalisation scales away.
            self.backbone[1].weight.copy_(torch.tensor([1.0, 1.0, 1.0, 0.0]))
            self.backbone[1].bias.copy_(torch.tensor([0.0, -9.0, 0.5, 0.0]))
            self.backbone[1].running_var.copy_(torch.tensor([4.0, 1.0, 1.0, 1.0]) - 1e-5)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.backbone(pictures).mean(dim=(2, 3))


PICTURES = torch.tensor([0.0, 0.5, 1.0, -1.0]).view(2, 1, 1, 2)


def test_by_hand() -> None:
    network = Four().train()
    (layer,) = layer_use(network, iter([PICTURES[:1], PICTURES[1:]]))
    # Effective weights 2/2, 1, 1e-6 and 0: two of four are under a thousandth of the largest.
    assert effective_weights(network, "backbone.0", "backbone.1").flatten().tolist() == pytest.approx(
        [1, 1, 1e-6, 0]
    )
    assert (layer.channels, layer.weights, layer.near_zero, layer.dead_filters) == (4, 4, 0.5, 2)
    assert (layer.never_active, layer.constant, layer.activation) == (2, 3, True)
    assert network.training
    assert not any(one._forward_hooks for one in network.modules())
    table = use_table([layer])
    assert "50.0%" in table.splitlines()[1]
    assert table.splitlines()[-1].split() == ["all", "4", "50.0%", "2", "2", "3"]


def test_a_channel_that_answers_in_one_batch_only_is_alive() -> None:
    network = Four()
    dark, bright = torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 20.0)
    assert layer_use(network, [dark])[0].never_active == 3
    assert layer_use(network, [dark, bright])[0].never_active == 1
    assert layer_use(network, [bright, dark])[0].never_active == 1


def test_a_larger_tolerance_finds_more() -> None:
    network = Four()
    assert layer_use(network, [PICTURES], tolerance=0.0)[0].near_zero == 0.25
    assert layer_use(network, [PICTURES], tolerance=1e-7)[0].near_zero == 0.25


def test_refusals() -> None:
    with pytest.raises(PulmoscopeError, match="tolerance"):
        layer_use(Four(), [PICTURES], tolerance=1.0)
    with pytest.raises(PulmoscopeError, match="no picture"):
        layer_use(Four(), [])


@pytest.mark.parametrize(
    ("name", "first", "with_norm", "activated"),
    [
        # Those with a normalisation, and those with an activation of their own, which the last before a sum has not.
        ("residual_cnn", "backbone.blocks.0.0", 10, 7),
        ("plain_cnn", "backbone.blocks.0.0", 5, 5),
        ("ten_layer_cnn", "backbone.blocks.0.0", 0, 8),
        ("mobilenetv2", "backbone.conv_stem", 52, 35),
        ("resnet18", "backbone.conv1", 20, 9),
    ],
)
def test_what_follows_each_layer(name: str, first: str, with_norm: int, activated: int) -> None:
    spec = ModelSpec(backbone=name, channels=1, size=96, head=HeadSpec(dropout=0), classes=("a", "b"))
    network = build_classifier(spec, seed=0)
    pictures = torch.randn(2, 1, 96, 96, generator=torch.Generator().manual_seed(0))
    found = weight_layers(network, pictures)
    convolutions = [one for one in found if one.kind == "convolution"]
    assert convolutions[0].path == first
    assert len(convolutions) == sum(isinstance(one, nn.Conv2d) for one in network.modules())
    assert sum(one.norm is not None for one in convolutions) == with_norm
    assert sum(one.activation for one in convolutions) == activated
    assert found[-1].kind == "dense"
    layers = layer_use(network, [pictures])
    assert [one.path for one in layers] == [one.path for one in found]
    assert all(one.never_active <= one.constant for one in layers)
    # timm starts a residual block's last normalisation at 0, which silences the convolution before it.
    assert sum(one.near_zero == 1 for one in layers) == (8 if name == "resnet18" else 0)
    assert all(one.near_zero < 0.1 or one.near_zero == 1 for one in layers)
