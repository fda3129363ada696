"""timm behind one builder."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from functools import cache
from typing import Any

import timm
from timm.layers.classifier import ClassifierHead
from timm.models.vgg import VGG
from torch import nn

from pulmoscope.errors import RecipeError

# They say what a backbone is to us, or read files in ways of their own.
_OURS = frozenset(
    {
        "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "pretrained_strict", "checkpoint_path", "cache_dir",
        "num_classes", "in_chans", "features_only", "global_pool", "scriptable", "exportable",
    }
)  # fmt: skip


@cache
def timm_names() -> frozenset[str]:
    """Every architecture that timm can build."""
    return frozenset(timm.list_models())


def build_timm(name: str, *, channels: int, options: Mapping[str, Any] | None = None) -> nn.Module:
    """Build timm's ``name`` without weights, ending in global average pooling.

    Args:
        name: As timm spells it.
        channels: Of the picture.
        options: For ``timm.create_model``, such as ``drop_path_rate``.

    Returns:
        A module (N, channels, H, W) -> (N, D).

    Raises:
        RecipeError: timm refuses an option.
    """
    given = dict(options or {})
    reserved = sorted(_OURS & given.keys())
    if reserved:
        raise RecipeError(
            f"option {reserved[0]!r} of {name} is not for recipes",
            code="E_BACKBONE",
            remedy="use model.weights, model.head and preprocess.channels",
        )
    whole: dict[str, Any] = {"pretrained": False, "num_classes": 0, "in_chans": channels, **given}
    config = timm.get_pretrained_cfg(name)
    if config is not None and str(config.architecture).startswith("vgg"):
        # Its two dense layers of 4096 are dropped below: do not draw 100 million weights for that.
        whole.setdefault("mlp_ratio", 1 / 4096)
    try:
        if config is not None and config.fixed_input_size:
            # Transformers take other sizes than their own where they can interpolate their position embedding; those
            # that cannot do not know the option.
            with contextlib.suppress(TypeError):
                flexible: nn.Module = timm.create_model(name, dynamic_img_size=True, **whole)
                return flexible
        return without_dense(timm.create_model(name, **whole))
    except Exception as error:
        # Each of timm's families checks its options, or does not, in its own way.
        if not given:
            raise
        raise RecipeError(
            f"timm cannot build {name} with the options {given}", code="E_BACKBONE", got=str(error)
        ) from error


def without_dense(model: nn.Module) -> nn.Module:
    """Drop VGG's own dense layers in place, so that its features are the last map, pooled globally.

    timm keeps them as convolutions before the classifier; they are part of VGG's head, not of its features.
    """
    if isinstance(model, VGG):
        # timm does the same to a pruned VGG, against its own annotation.
        model.pre_logits = nn.Identity()  # type: ignore[assignment]
        model.head = ClassifierHead(model.num_features, 0, pool_type="avg")
        model.head_hidden_size = model.num_features
    return model
