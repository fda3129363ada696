"""A classifier: backbone and head."""

from __future__ import annotations

import torch
from torch import nn

from pulmoscope.models.head import build_head
from pulmoscope.models.registry import build_backbone
from pulmoscope.models.spec import ModelSpec


class Classifier(nn.Module):
    """Pictures to logits.

    Attributes:
        backbone: (N, channels, H, W) -> (N, D).
        head: (N, D) -> (N, C).
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.backbone = build_backbone(spec.backbone, channels=spec.channels)
        # Some timm families widen the pooled features by one more layer, and say so by head_hidden_size.
        width = getattr(self.backbone, "head_hidden_size", None) or self.backbone.num_features
        self.head = build_head(int(width), len(spec.classes), spec.head)  # type: ignore[arg-type]

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Logits (N, C) of preprocessed pictures (N, channels, H, W)."""
        logits: torch.Tensor = self.head(self.backbone(pictures))
        return logits


def build_classifier(spec: ModelSpec, *, seed: int) -> Classifier:
    """Build with weights drawn from ``seed``, leaving the global random state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Classifier(spec)
