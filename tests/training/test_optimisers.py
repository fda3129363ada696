from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from pulmoscope.models import HeadSpec, ModelSpec, build_classifier
from pulmoscope.training.optimisers import build_optimiser, finetune_groups, l1_penalty, set_rate
from pulmoscope.training.parts import FinetuneStage, Optimisation

SPEC = ModelSpec(
    backbone="plain_cnn", options={"blocks": 1, "width": 4}, channels=1, head=HeadSpec(), classes=("a", "b")
)


def _walk(optimiser: torch.optim.Optimizer, weight: nn.Parameter) -> list[list[float]]:
    path = []
    for step in range(6):
        optimiser.zero_grad()
        (
            (weight * torch.tensor([1.0, -2.0, 0.5])).sum() ** 2 + weight.pow(3).sum() + step * weight[0]
        ).backward()
        optimiser.step()
        path.append(weight.tolist())
    return path


@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("sgd", lambda w: torch.optim.SGD([w], lr=0.01, momentum=0.8, weight_decay=0.1)),
        ("adam", lambda w: torch.optim.Adam([w], lr=0.01, weight_decay=0.1)),
        ("adamw", lambda w: torch.optim.AdamW([w], lr=0.01, weight_decay=0.1)),
        ("rmsprop", lambda w: torch.optim.RMSprop([w], lr=0.01, momentum=0.8, weight_decay=0.1)),
    ],
)
@pytest.mark.parametrize("fused", [True, False])
def test_each_optimiser_walks_as_torchs_does(name: Any, build: Any, fused: bool) -> None:
    stage = Optimisation(optimizer=name, learning_rate=0.01, momentum=0.8, weight_decay=0.1)
    ours, theirs = (nn.Parameter(torch.tensor([0.3, 0.2, -0.1])) for _ in range(2))
    walked = _walk(build_optimiser(stage, [{"params": [ours]}], fused=fused), ours)
    for one, other in zip(walked, _walk(build(theirs), theirs), strict=True):
        assert one == pytest.approx(other, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [("sgd", None, 0.9), ("rmsprop", None, 0.0), ("sgd", 0.0, 0.0), ("rmsprop", 0.5, 0.5)],
)
def test_momentum_is_each_optimisers_own_where_none_is_given(
    name: Any, given: float | None, expected: float
) -> None:
    optimiser = build_optimiser(
        Optimisation(optimizer=name, momentum=given), [{"params": [nn.Parameter(torch.ones(1))]}]
    )
    assert optimiser.param_groups[0]["momentum"] == expected


def test_decay_is_decoupled_for_adamw_and_an_l2_penalty_for_sgd() -> None:
    for name, expected in (("adamw", 2.0 * (1 - 0.1 * 0.5)), ("sgd", 2.0 - 0.1 * 0.5 * 2.0)):
        weight = nn.Parameter(torch.tensor([2.0]))
        stage = Optimisation(optimizer=name, learning_rate=0.1, weight_decay=0.5, momentum=0)  # type: ignore[arg-type]
        optimiser = build_optimiser(stage, [{"params": [weight]}])
        weight.grad = torch.zeros(1)
        optimiser.step()
        assert weight.item() == pytest.approx(expected)


@pytest.mark.parametrize("backbone_rate", [1.0, 0.1])
def test_every_weight_has_its_decay_and_its_rate(backbone_rate: float) -> None:
    network = build_classifier(SPEC, seed=0)
    stage = FinetuneStage(weight_decay=0.3, backbone_rate=backbone_rate, learning_rate=0.5)
    optimiser = build_optimiser(stage, finetune_groups(network, stage), fused=True)
    set_rate(optimiser, 0.2)
    found = {id(p): (g["weight_decay"], g["lr"]) for g in optimiser.param_groups for p in g["params"]}
    assert len(found) == len(list(network.parameters()))
    for name, parameter in network.named_parameters():
        rate = 0.2 * (backbone_rate if name.startswith("backbone") else 1)
        assert found[id(parameter)] == (0.3 if parameter.ndim > 1 else 0.0, pytest.approx(rate)), name
    assert optimiser.param_groups[-1]["lr"] == pytest.approx(0.2)


def test_frozen_weights_are_in_no_group() -> None:
    network = build_classifier(SPEC, seed=0)
    network.backbone.requires_grad_(False)
    groups = finetune_groups(network, FinetuneStage(backbone_rate=0.5))
    assert {id(p) for group in groups for p in group["params"]} == {id(p) for p in network.head.parameters()}


def test_the_l1_penalty_by_hand_leaves_biases_and_frozen_weights_out() -> None:
    module = nn.Sequential(nn.Linear(2, 1), nn.BatchNorm1d(1), nn.Linear(1, 1))
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[3.0, -4.0]]))
        module[2].weight.fill_(-1.0)
    assert l1_penalty(module, 0.5).item() == pytest.approx(4.0)
    module[2].requires_grad_(False)
    penalty = l1_penalty(module, 0.5)
    assert penalty.item() == pytest.approx(3.5)
    penalty.backward()
    assert module[0].weight.grad.tolist() == [[0.5, -0.5]]
    assert module[0].bias.grad is None
    assert l1_penalty(nn.BatchNorm1d(3), 1.0).item() == 0
