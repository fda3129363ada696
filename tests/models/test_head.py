from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pulmoscope.errors import RecipeError
from pulmoscope.models import Classifier, HeadSpec, ModelSpec, build_classifier


def classifier(head: HeadSpec, *, size: int | None = 128, backbone: str = "residual_cnn") -> Classifier:
    options: dict[str, bool | int | float | str] = {"width": 2} if backbone == "residual_cnn" else {}
    spec = ModelSpec(
        backbone=backbone, options=options, size=size, channels=1, head=head, classes=("a", "b", "c")
    )
    return build_classifier(spec, seed=1).eval()


# Sums of all weights as drawn before heads had pooling, activations and outputs: runs of then are the same now.
@pytest.mark.parametrize(
    ("backbone", "hidden", "total"),
    [("tf_efficientnet_lite0", (), 21159.98527711225), ("resnet18", (8,), 2815.252889865325)],
)
def test_the_default_network_is_drawn_as_ever(backbone: str, hidden: tuple[int, ...], total: float) -> None:
    spec = ModelSpec(backbone=backbone, channels=1, head=HeadSpec(hidden=hidden), classes=("a", "b", "c"))
    network = build_classifier(spec, seed=5)
    assert float(sum(p.detach().double().sum() for p in network.parameters())) == pytest.approx(
        total, abs=1e-6
    )


def test_heads_of_published_networks_start_kaiming_normal_and_small_at_the_end() -> None:
    spec = ModelSpec(backbone="resnet18", channels=1, head=HeadSpec(hidden=(256,)), classes=("a", "b", "c"))
    hidden, last = (layer for layer in build_classifier(spec, seed=0).head if isinstance(layer, nn.Linear))
    assert float(hidden.weight.detach().std()) == pytest.approx((2 / 512) ** 0.5, rel=0.02)
    assert float(last.weight.detach().std()) == pytest.approx(0.01, rel=0.1)
    # Not uniform: that ends at the square root of 3 standard deviations.
    assert float(hidden.weight.detach().abs().max()) > 3 * (2 / 512) ** 0.5


@pytest.mark.parametrize(("pool", "width"), [("global", 16), ("4x4", 16), ("flatten", 256)])
def test_pooling(pool: str, width: int) -> None:
    # 128 pixels leave 4 x 4 maps: 128 / 2 / 2 / 2 / 2 / 2, of 8 * 2 channels.
    network = classifier(HeadSpec(pool=pool, hidden=(5,)))  # type: ignore[arg-type]
    pictures = torch.rand(2, 1, 128, 128, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        maps = network.backbone.forward_features(pictures)  # type: ignore[operator]
        features = network.features(pictures)
        assert torch.equal(network(pictures), network.head(features))
    assert features.shape == (2, width)
    by_hand = maps.flatten(1) if pool == "flatten" else maps.mean(dim=(2, 3))
    torch.testing.assert_close(features, by_hand)


def test_4x4_windows_leave_out_what_does_not_fill_one() -> None:
    network = classifier(HeadSpec(pool="4x4"), size=224)
    pictures = torch.rand(1, 1, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        maps = network.backbone.forward_features(pictures)  # type: ignore[operator]
        features = network.features(pictures)
    assert maps.shape[2:] == (7, 7)
    torch.testing.assert_close(features, maps[:, :, :4, :4].mean(dim=(2, 3)))


def test_the_dense_stack() -> None:
    network = classifier(HeadSpec(hidden=(128, 32), activation="tanh", dropout=0.5))
    kinds = [type(layer) for layer in network.head]
    assert kinds == [nn.Dropout, nn.Linear, nn.Tanh, nn.Dropout, nn.Linear, nn.Tanh, nn.Dropout, nn.Linear]
    assert [layer.p for layer in network.head if isinstance(layer, nn.Dropout)] == [0.5] * 3
    assert [tuple(layer.weight.shape) for layer in network.head if isinstance(layer, nn.Linear)] == [
        (128, 16), (32, 128), (3, 32)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("activation", "kind"),
    [("leaky-relu", nn.LeakyReLU), ("elu", nn.ELU), ("gelu", nn.GELU), ("silu", nn.SiLU)],
)
def test_activations(activation: str, kind: type[nn.Module]) -> None:
    network = classifier(HeadSpec(hidden=(4,), activation=activation))  # type: ignore[arg-type]
    assert type(network.head[2]) is kind


@given(st.lists(st.floats(-60, 60), min_size=3, max_size=3))
@settings(max_examples=30, deadline=None)
def test_log_probabilities(logits: list[float]) -> None:
    values = np.array([logits])
    given_logits = torch.from_numpy(values)
    softmax = SOFTMAX.log_probabilities(given_logits).exp().numpy()
    np.testing.assert_allclose(softmax, np.exp(values) / np.exp(values).sum(), rtol=1e-9)
    sigmoid = 1 / (1 + np.exp(-values))
    np.testing.assert_allclose(
        SIGMOID.log_probabilities(given_logits).exp().numpy(), sigmoid / sigmoid.sum(), rtol=1e-9
    )


SOFTMAX, SIGMOID = classifier(HeadSpec()), classifier(HeadSpec(output="sigmoid"))


def test_log_probabilities_of_hopeless_logits_are_finite() -> None:
    # Sigmoids of -1000 are 0 in any float; their ratio is still e : 1.
    found = SIGMOID.log_probabilities(torch.tensor([[-1000.0, -1001.0, -2000.0]])).exp()
    torch.testing.assert_close(found, torch.tensor([[1 / (1 + np.exp(-1)), 1 / (1 + np.e), 0.0]]).float())


@pytest.mark.parametrize(
    ("pool", "size", "backbone", "message"),
    [
        ("flatten", None, "residual_cnn", "needs the size of the picture"),
        ("4x4", 96, "residual_cnn", "leaves a map of 3 x 3 of 96 pixels"),
        ("flatten", 40, "plain_cnn", "cannot take pictures of 40 x 40"),
        ("flatten", 224, "vit_tiny_patch16_224", "no map of channels.*pool=global"),
        ("4x4", 224, "swin_tiny_patch4_window7_224", "no map of channels.*pool=global"),
    ],
)
def test_what_cannot_be_pooled_is_refused(pool: str, size: int | None, backbone: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        classifier(HeadSpec(pool=pool), size=size, backbone=backbone)  # type: ignore[arg-type]


def test_finding_the_width_changes_nothing() -> None:
    network = classifier(HeadSpec(pool="flatten"))
    statistics = [b for name, b in network.named_buffers() if name.endswith("running_mean")]
    assert statistics
    assert not any(bool(b.any()) for b in statistics)
    fresh = build_classifier(network.spec, seed=1)
    assert all(module.training for module in fresh.modules())
