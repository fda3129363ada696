"""What a network is, as data: enough to build it again without its weights."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class HeadSpec(BaseModel):
    """The dense layers after global average pooling.

    Attributes:
        hidden: Widths of the hidden layers, first to last; empty for a linear head.
        dropout: Dropout probability before every dense layer, in [0, 1).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    hidden: tuple[Annotated[int, Field(ge=1, le=16384)], ...] = ()
    dropout: float = Field(default=0.2, ge=0, lt=1)


class ModelSpec(BaseModel):
    """A classifier's architecture.

    Attributes:
        backbone: A registered name; every timm model name is one.
        channels: 1 feeds the grey picture once, 3 repeats it for backbones that need colour planes.
        head: The dense layers.
        classes: Class names in the order of the network's outputs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: str
    channels: Literal[1, 3]
    head: HeadSpec
    classes: tuple[str, ...] = Field(min_length=2)


class WeightsOrigin(BaseModel):
    """Where a network's starting weights came from.

    Attributes:
        name: What the recipe asked for, such as ``imagenet`` or ``file:weights.safetensors``.
        source: The package, file or model hub entry that held them.
        sha256: Of the file they were read from; null for random weights and for hub downloads.
        licence: As their publisher states it; null when unknown.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    source: str
    sha256: str | None = None
    licence: str | None = None
