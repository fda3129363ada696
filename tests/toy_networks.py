"""Networks whose maps can be worked out by hand."""

from __future__ import annotations

import torch
from torch import nn


class Toy(nn.Module):
    """Maps by a 1 x 1 convolution and ReLU, their means, and one dense layer without a bias."""

    def __init__(self, weights: list[float], biases: list[float], dense: list[list[float]]) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(1, len(weights), 1), nn.ReLU(inplace=True))
        self.head = nn.Linear(len(weights), len(dense), bias=False)
        with torch.no_grad():
            self.backbone[0].weight.copy_(torch.tensor(weights).view(-1, 1, 1, 1))
            self.backbone[0].bias.copy_(torch.tensor(biases))
            self.head.weight.copy_(torch.tensor(dense))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.head(self.backbone(pictures).mean(dim=(2, 3)))


def two_maps() -> Toy:
    """Maps x and 1 - x of a picture x in [0, 1]; class 0 is the first less the second, class 1 the second."""
    return Toy([1.0, -1.0], [0.0, 1.0], [[1.0, -1.0], [0.0, 1.0]])


PICTURE = torch.tensor([[[[0.0, 0.5], [1.0, 0.5]]]])
LAYER = "backbone.1"
