from __future__ import annotations

import pytest
import torch
from torch import nn

from pulmoscope.models import build_backbone, freeze, unfreeze


def five_layers() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Sequential(nn.Conv2d(2, 2, 3), nn.BatchNorm2d(2)),
        nn.Flatten(), nn.Linear(8, 2),
    )  # fmt: skip


@pytest.mark.parametrize(("share", "layers"), [(0, 0), (0.19, 0), (0.2, 1), (0.6, 3), (0.8, 4), (1, 5)])
def test_the_first_layers_are_frozen(share: float, layers: int) -> None:
    network = five_layers()
    frozen = freeze(network, share)
    owners = [network[0], network[1], network[3][0], network[3][1], network[5]]
    learning = [layer.weight.requires_grad for layer in owners]
    assert learning == [False] * layers + [True] * (5 - layers)
    assert frozen == owners[:layers]
    unfreeze(network)
    assert all(p.requires_grad for p in network.parameters())


@pytest.mark.parametrize(("share", "total", "whole"), [(0.7, 10, 7), (0.29, 100, 29)])
def test_a_share_that_means_whole_layers_is_not_cut_by_rounding(share: float, total: int, whole: int) -> None:
    network = nn.Sequential(*(nn.Linear(1, 1) for _ in range(total)))
    assert len(freeze(network, share)) == whole


def test_frozen_modules_can_be_put_in_evaluation_mode_without_the_others() -> None:
    # A transformer's root owns its position embedding and holds all other layers.
    network = build_backbone("vit_tiny_patch16_224", channels=1).train()
    for layer in freeze(network, 0.5):
        layer.eval()
    assert not network.pos_embed.requires_grad  # type: ignore[union-attr]
    assert all(module.training for module in network.blocks[-1].modules())  # type: ignore[index]
    assert not network.patch_embed.proj.training  # type: ignore[union-attr]


def test_a_share_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        freeze(torch.nn.Linear(1, 1), 1.5)
