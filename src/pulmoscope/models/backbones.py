"""timm behind one builder."""

from __future__ import annotations

import contextlib
from functools import cache
from typing import Any, NamedTuple

import timm
from torch import nn


class InputRecipe(NamedTuple):
    """What a backbone's published weights expect of their input.

    Attributes:
        size: Side of the square picture in pixels.
        mean: Per channel, on the [0, 1] scale.
        std: Per channel, on the [0, 1] scale.
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


@cache
def timm_names() -> frozenset[str]:
    """Every architecture that timm can build."""
    return frozenset(timm.list_models())


def build_timm(name: str, *, channels: int) -> nn.Module:
    """Build timm's ``name`` without weights, ending in global average pooling.

    Returns:
        A module (N, channels, H, W) -> (N, num_features).
    """
    options: dict[str, Any] = {"pretrained": False, "num_classes": 0, "in_chans": channels}
    config = timm.get_pretrained_cfg(name)
    if config is not None and config.fixed_input_size:
        # Transformers take other sizes than their own where they can interpolate their position embedding; those
        # that cannot do not know the option.
        with contextlib.suppress(TypeError):
            flexible: nn.Module = timm.create_model(name, dynamic_img_size=True, **options)
            return flexible
    model: nn.Module = timm.create_model(name, **options)
    return model


def input_recipe(name: str) -> InputRecipe:
    """The input that timm's published weights of ``name`` were trained on."""
    config = timm.get_pretrained_cfg(name)
    if config is None:
        return InputRecipe(size=224, mean=(0.5,), std=(0.5,))
    return InputRecipe(size=int(config.input_size[-1]), mean=tuple(config.mean), std=tuple(config.std))
