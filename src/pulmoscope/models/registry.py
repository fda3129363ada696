"""Names to backbone builders. A backbone maps (N, channels, H, W) to pooled features (N, D)."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Protocol

from torch import nn

from pulmoscope.errors import RecipeError


class BackboneBuilder(Protocol):
    """Builds an untrained backbone whose forward gives pooled features and that has ``num_features``."""

    def __call__(self, *, channels: int) -> nn.Module:
        """Return the backbone for pictures of 1 or 3 channels."""


_BUILDERS: dict[str, BackboneBuilder] = {}


def register(name: str) -> Callable[[BackboneBuilder], BackboneBuilder]:
    """Register a builder under ``name``.

    Raises:
        ValueError: The name is taken.
    """

    def add(builder: BackboneBuilder) -> BackboneBuilder:
        if name in _BUILDERS:
            raise ValueError(f"a backbone named {name} is registered already")
        _BUILDERS[name] = builder
        return builder

    return add


def build_backbone(name: str, *, channels: int) -> nn.Module:
    """Build an untrained backbone by its registered or timm name.

    Raises:
        RecipeError: No such backbone; near names are suggested.
    """
    check_backbone(name)
    if name in _BUILDERS:
        return _BUILDERS[name](channels=channels)
    from pulmoscope.models.backbones import build_timm

    return build_timm(name, channels=channels)


def check_backbone(name: str) -> None:
    """Prove that there is such a backbone, without building it.

    Raises:
        RecipeError: There is none; near names are suggested.
    """
    if name in _BUILDERS:
        return
    from pulmoscope.models.backbones import timm_names

    if name in timm_names():
        return
    near = difflib.get_close_matches(name, [*_BUILDERS, *timm_names()], n=3)
    raise RecipeError(
        f"no backbone named {name!r}",
        code="E_BACKBONE",
        remedy=f"did you mean {', '.join(near)}?" if near else "take a name from timm.list_models()",
    )
