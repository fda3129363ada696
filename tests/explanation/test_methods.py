"""Every method on networks small enough to do by hand, and against pytorch-grad-cam on real ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
import pytorch_grad_cam
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from pulmoscope.errors import PulmoscopeError
from pulmoscope.explanation import METHODS, default_layer, find_module, method_named
from pulmoscope.models import HeadSpec, ModelSpec, build_classifier
from toy_networks import LAYER, PICTURE, Toy, two_maps

X = PICTURE[0, 0]
SOFT = 1 / (1 + math.exp(-0.5))
# Gradients of class 0's logit mean(A0) - mean(A1) are 1/4 and -1/4 everywhere, for A0 = x and A1 = 1 - x.
BY_HAND = {
    "grad-cam": ((2 * X - 1) / 4).relu(),
    # alpha = 1 / (2 + 1/4 sum(x)); the weight of A0 is four times alpha / 4, that of A1 is 0.
    "grad-cam++": X / (2 + 0.25 * 2.0),
    "layer-cam": X / 4,
    "hires-cam": (2 * X - 1) / 4,
    # Masked by A0 the picture is x^2, whose logit is mean(2 x^2 - 1) = -1/4; by A1 it is x - x^2, -3/4.
    "score-cam": SOFT * X + (1 - SOFT) * (1 - X),
    # mean(2x - 1) is linear, so a pixel's part is its value times 2/4, whichever way it is taken away.
    "integrated-gradients": X / 2,
    "occlusion": X / 2,
}


@pytest.mark.parametrize("name", BY_HAND)
def test_by_hand(name: str) -> None:
    raw = METHODS[name].raw(two_maps(), PICTURE, torch.tensor([0]), LAYER)
    torch.testing.assert_close(raw, BY_HAND[name][None].to(raw.dtype), rtol=1e-6, atol=1e-7)


def test_eigen_cam_by_hand() -> None:
    # Maps x and 2x: the direction is (1, 2) / sqrt(5), so the map is sqrt(5) times x less its mean.
    toy = Toy([1.0, 2.0], [0.0, 0.0], [[1.0, 1.0]])
    raw = METHODS["eigen-cam"].raw(toy, PICTURE, torch.tensor([0]), LAYER)
    torch.testing.assert_close(raw, math.sqrt(5) * (PICTURE[0] - 0.5))


def test_every_method_has_a_test_by_hand() -> None:
    assert set(METHODS) == {*BY_HAND, "eigen-cam"}


@pytest.mark.parametrize("name", METHODS)
def test_pictures_do_not_see_each_other_and_nothing_is_left_behind(name: str) -> None:
    torch.manual_seed(0)
    toy = two_maps()
    toy.backbone = nn.Sequential(nn.Conv2d(1, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU(inplace=True))
    toy.head = nn.Linear(5, 3)
    toy.train()
    toy.backbone.eval()
    toy.head.weight.requires_grad_(False)
    toy.head.bias.grad = torch.ones(3)
    before = {key: value.clone() for key, value in toy.state_dict().items()}
    inputs, targets = torch.rand(3, 1, 8, 8), torch.tensor([2, 0, 1])
    whole = METHODS[name].raw(toy, inputs, targets, "backbone.2")
    alone = [METHODS[name].raw(toy, inputs[i : i + 1], targets[i : i + 1], "backbone.2") for i in range(3)]
    torch.testing.assert_close(whole, torch.cat(alone), rtol=1e-4, atol=1e-6)
    assert whole.dtype == torch.float32
    assert not whole.requires_grad
    assert all(torch.equal(value, before[key]) for key, value in toy.state_dict().items())
    assert [toy.training, toy.backbone.training, toy.head.training] == [True, False, True]
    assert [p.requires_grad for p in toy.parameters()] == [True] * 4 + [False, True]
    assert [p.grad is None for p in toy.parameters()] == [True] * 5 + [False]
    assert torch.equal(toy.head.bias.grad, torch.ones(3))
    for module in toy.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks


WITNESSES = {
    "grad-cam": pytorch_grad_cam.GradCAM,
    "grad-cam++": pytorch_grad_cam.GradCAMPlusPlus,
    "layer-cam": pytorch_grad_cam.LayerCAM,
    "hires-cam": pytorch_grad_cam.HiResCAM,
    "eigen-cam": pytorch_grad_cam.EigenCAM,
}


@pytest.fixture(scope="module", params=["efficientnet_lite0", "residual_cnn"])
def real(request: pytest.FixtureRequest) -> tuple[nn.Module, torch.Tensor]:
    spec = ModelSpec(
        backbone=request.param, channels=1, size=96, head=HeadSpec(dropout=0), classes=("a", "b", "c")
    )
    network = build_classifier(spec, seed=0).eval()
    with torch.no_grad():
        # Large gradients, so that the constant of 1e-6 in the witness's Grad-CAM++ does not matter.
        network.head[-1].weight.mul_(1e4)
    return network, torch.randn(3, 1, 96, 96, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", WITNESSES)
def test_against_pytorch_grad_cam(name: str, real: tuple[nn.Module, torch.Tensor]) -> None:
    network, inputs = real
    targets = [0, 2, 1]
    layer = default_layer(network, inputs)
    raw = METHODS[name].raw(network, inputs, torch.tensor(targets), layer).numpy()
    with WITNESSES[name](model=network, target_layers=[find_module(network, layer)]) as witness:
        witness(input_tensor=inputs, targets=[ClassifierOutputTarget(one) for one in targets])
        arguments = (
            inputs, find_module(network, layer), [ClassifierOutputTarget(one) for one in targets],
            witness.activations_and_grads.activations[0].detach().numpy(),
        )  # fmt: skip
        gradients = witness.activations_and_grads.gradients
        given = gradients[0].detach().numpy() if gradients else None
        expected = witness.get_cam_image(*arguments, given, False)
    if name == "eigen-cam":
        # A principal direction has no sign.
        turned = np.sign((raw * expected).sum(axis=(1, 2), keepdims=True))
        expected = expected * turned
    elif name != "hires-cam":
        expected = np.maximum(expected, 0)
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(raw, expected, rtol=2e-3, atol=2e-4 * np.abs(expected).max())


def test_score_cam_against_pytorch_grad_cam() -> None:
    # A layer of the picture's own size: the witness enlarges by corners, we by pixel centres.
    torch.manual_seed(1)
    toy = two_maps()
    toy.backbone = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU())
    toy.head = nn.Linear(6, 3)
    inputs = torch.rand(2, 1, 12, 12)
    with pytorch_grad_cam.ScoreCAM(model=toy, target_layers=[toy.backbone[1]]) as witness:
        targets = [ClassifierOutputTarget(1), ClassifierOutputTarget(2)]
        expected = torch.from_numpy(witness(input_tensor=inputs, targets=targets))
    raw = METHODS["score-cam"].raw(toy, inputs, torch.tensor([1, 2]), "backbone.1")
    # The witness stretches each map to [0, 1].
    least, most = raw.amin(dim=(1, 2), keepdim=True), raw.amax(dim=(1, 2), keepdim=True)
    torch.testing.assert_close((raw - least) / (most - least), expected, rtol=1e-4, atol=1e-5)


def test_integrated_gradients_add_up_to_the_change_of_the_logit() -> None:
    head = HeadSpec(dropout=0)
    network = build_classifier(
        ModelSpec(backbone="residual_cnn", channels=1, head=head, classes=("a", "b")), seed=0
    ).eval()
    inputs = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    found = METHODS["integrated-gradients"].raw(network, inputs, torch.tensor([1]), "")
    with torch.no_grad():
        change = float((network(inputs) - network(torch.zeros_like(inputs)))[0, 1])
    assert abs(change) > 0
    assert float(found.sum()) == pytest.approx(change, rel=0.05)


def test_scaling() -> None:
    cam, pixels = METHODS["grad-cam"], METHODS["occlusion"]
    raw = torch.tensor([[[-4.0, 1.0], [2.0, 0.5]], [[-1.0, 0.0], [-2.0, 0.0]]])
    values = cam.scaled(raw, 2)
    assert values.tolist() == [[[0, 0.5], [1, 0.25]], [[0, 0], [0, 0]]]
    # One pixel far above the rest does not darken a map of pixels, but one of a layer says what it says.
    spiky = torch.ones(1, 20, 20)
    spiky[0, 3, 4] = 50
    assert float(cam.scaled(spiky, 20).median()) == pytest.approx(0.02)
    assert float(pixels.scaled(spiky, 20).median()) == 1
    alone = torch.zeros(1, 20, 20)
    alone[0, 3, 4] = 50
    assert float(pixels.scaled(alone, 20)[0, 3, 4]) == 1


def test_an_unknown_method_is_answered_by_near_ones() -> None:
    with pytest.raises(PulmoscopeError, match="E_METHOD.*did you mean grad-cam"):
        method_named("gradcam")
