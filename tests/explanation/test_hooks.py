"""Recording a network leaves it as it was, whatever happens."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pulmoscope.errors import PulmoscopeError
from pulmoscope.explanation import recording
from toy_networks import PICTURE, two_maps


def test_a_later_step_in_place_does_not_reach_what_was_recorded() -> None:
    toy = two_maps()
    with torch.no_grad():
        toy.backbone[0].bias -= 0.75
    plain = toy.backbone[0](PICTURE).detach()
    assert plain.min() < 0
    for gradients in (False, True):
        with recording(toy, ["backbone.0", "backbone.1"], gradients=gradients) as seen:
            toy(PICTURE)
        torch.testing.assert_close(seen.activations["backbone.0"], plain)
        torch.testing.assert_close(seen.activations["backbone.1"], plain.relu())


def test_gradients_of_several_layers_and_scores() -> None:
    toy = two_maps()
    names = ["backbone.0", "backbone.1"]
    with recording(toy, names, gradients=True) as seen:
        logits = toy(PICTURE)
        seen.differentiate(logits[:, 0], again=True)
        # relu passes the gradient on where its input is over 0: x at three places of four, 1 - x at three.
        assert seen.gradients["backbone.1"][0, :, 0, 0].tolist() == [0.25, -0.25]
        assert seen.gradients["backbone.0"][0, 0].tolist() == [[0, 0.25], [0.25, 0.25]]
        assert seen.gradients["backbone.0"][0, 1].tolist() == [[-0.25, -0.25], [0, -0.25]]
        seen.differentiate(logits[:, 1])
        assert seen.gradients["backbone.1"][0, :, 0, 0].tolist() == [0, 0.25]
    assert all(weight.grad is None for weight in toy.parameters())


def test_the_network_is_left_as_it_was_also_after_an_exception() -> None:
    toy = two_maps().train()
    toy.head.eval()
    toy.head.weight.requires_grad_(False)

    inside: list[tuple[bool, bool]] = []

    def refuse(*_: object) -> None:
        inside.append((toy.training, toy.backbone[0].weight.requires_grad))
        raise ValueError("in the middle")

    own = toy.head.register_forward_hook(refuse)
    with pytest.raises(ValueError, match="in the middle"), recording(toy, ["backbone.1"], gradients=True):
        toy(PICTURE)
    own.remove()
    assert inside == [(False, False)]
    assert not any(module._forward_hooks for module in toy.modules())
    assert [toy.training, toy.backbone.training, toy.head.training] == [True, True, False]
    assert [p.requires_grad for p in toy.parameters()] == [True, True, False]
    assert torch.is_grad_enabled()


def test_what_cannot_be_recorded_is_said_in_one_line() -> None:
    toy = two_maps()
    with (
        pytest.raises(PulmoscopeError, match=r"no layer 'backbone.2'.*did you mean backbone"),
        recording(toy, ["backbone.2"]),
    ):
        pass
    toy.backbone = nn.Sequential(nn.LSTM(2, 2))
    with (
        pytest.raises(PulmoscopeError, match="does not put out one tensor; got tuple"),
        recording(toy, ["backbone.0"]),
    ):
        toy.backbone(torch.zeros(1, 1, 2))
    with recording(two_maps(), []) as seen, pytest.raises(PulmoscopeError, match="nothing to differentiate"):
        seen.differentiate(torch.zeros(1))
    assert not any(module._forward_hooks for module in toy.modules())
