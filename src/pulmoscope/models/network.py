"""A classifier: backbone and head."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from pulmoscope.errors import RecipeError
from pulmoscope.models.head import DenseInit, build_head, flat_features, flat_width
from pulmoscope.models.registry import build_backbone
from pulmoscope.models.spec import ModelSpec


class Classifier(nn.Module):
    """Pictures to logits.

    Attributes:
        backbone: (N, channels, H, W) -> pooled (N, D), and to a map (N, D, h, w) by its ``forward_features``.
        head: Features (N, F) -> logits (N, C).

    Raises:
        RecipeError: The spec does not make a network.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.backbone = build_backbone(spec.backbone, channels=spec.channels, options=spec.options)
        init: DenseInit = getattr(self.backbone, "dense_init", "kaiming-normal")
        self.head = build_head(self._width(), len(spec.classes), spec.head, init)

    def features(self, pictures: torch.Tensor) -> torch.Tensor:
        """What the head sees (N, F) of preprocessed pictures (N, channels, H, W): the backbone's map, pooled."""
        pool = self.spec.head.pool
        if pool == "global":
            pooled: torch.Tensor = self.backbone(pictures)
            return pooled
        return flat_features(self.backbone.forward_features(pictures), pool)  # type: ignore[operator]

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Logits (N, C) of preprocessed pictures (N, channels, H, W)."""
        logits: torch.Tensor = self.head(self.features(pictures))
        return logits

    def log_probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Logarithms (N, C) of probabilities that sum to 1, from logits (N, C).

        Softmax, or each logit's sigmoid divided by their sum, as the head's ``output`` says.
        """
        if self.spec.head.output == "softmax":
            return torch.log_softmax(logits, dim=1)
        # exp(log_softmax(v)) divides exp(v) by its sum, and exp(logsigmoid) is the sigmoid.
        return torch.log_softmax(functional.logsigmoid(logits), dim=1)

    def _width(self) -> int:
        spec = self.spec
        if spec.head.pool == "global":
            # Some timm families widen the pooled features by one more layer, and say so by head_hidden_size.
            return int(getattr(self.backbone, "head_hidden_size", None) or self.backbone.num_features)  # type: ignore[arg-type]
        if spec.size is None:
            raise RecipeError(
                f"a head with pool={spec.head.pool} needs the size of the picture",
                code="E_HEAD",
                expected="ModelSpec.size in pixels",
            )
        return flat_width(
            self.backbone, name=spec.backbone, channels=spec.channels, size=spec.size, pool=spec.head.pool
        )


def build_classifier(spec: ModelSpec, *, seed: int) -> Classifier:
    """Build with weights drawn from ``seed``, leaving the global random state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Classifier(spec)
