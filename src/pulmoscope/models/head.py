"""Dense heads."""

from __future__ import annotations

from torch import nn

from pulmoscope.models.spec import HeadSpec


def build_head(features: int, classes: int, spec: HeadSpec) -> nn.Sequential:
    """Dense layers from pooled features to logits.

    Args:
        features: Width of the pooled features, D.
        classes: Number of logits, C.
        spec: Hidden widths and dropout.

    Returns:
        A module (N, D) -> (N, C). Hidden layers are Kaiming-normal (He et al. 2015), the last is small so that
        training starts from nearly equal probabilities.
    """
    layers: list[nn.Module] = []
    width = features
    for hidden in spec.hidden:
        dense = nn.Linear(width, hidden)
        nn.init.kaiming_normal_(dense.weight, nonlinearity="relu")
        nn.init.zeros_(dense.bias)
        layers += [nn.Dropout(spec.dropout), dense, nn.ReLU()]
        width = hidden
    last = nn.Linear(width, classes)
    nn.init.normal_(last.weight, std=0.01)
    nn.init.zeros_(last.bias)
    layers += [nn.Dropout(spec.dropout), last]
    return nn.Sequential(*layers)
