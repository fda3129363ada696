"""Which layers learn."""

from __future__ import annotations

import math

from torch import nn


def freeze(module: nn.Module, share: float) -> list[nn.Module]:
    """Keep the first layers of a network as they are, in place.

    Layers are the modules that own parameters (a convolution, a batch normalisation), in the order in which the network
    defines them, which is from the picture on.

    Args:
        module: A backbone.
        share: Of its layers, in [0, 1]; rounded down to whole layers.

    Returns:
        The frozen modules. Their batch normalisations still follow the pictures in training mode: whoever trains
        must keep these modules in evaluation mode.

    Raises:
        ValueError: ``share`` is out of range.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"expected a share in [0, 1], got {share}")
    layers = [one for one in module.modules() if next(one.parameters(recurse=False), None) is not None]
    # 0.7 * 10 is 7.000000000000001 and 0.29 * 100 is 28.999999999999996: both mean whole layers.
    frozen = layers[: math.floor(round(share * len(layers), 9))]
    for layer in frozen:
        for parameter in layer.parameters(recurse=False):
            parameter.requires_grad_(False)
    # A transformer's root owns its position embedding: it is frozen, but evaluation mode would reach all below it.
    return [layer for layer in frozen if not any(one.requires_grad for one in layer.parameters())]


def unfreeze(module: nn.Module) -> None:
    """Let every layer learn again."""
    module.requires_grad_(True)
