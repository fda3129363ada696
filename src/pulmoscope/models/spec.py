"""What a network is, as data: enough to build it again without its weights."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class HeadSpec(BaseModel):
    """From the backbone's last map to logits: pooling, then dense layers.

    Attributes:
        pool: ``global`` is the backbone's own; ``4x4`` averages windows of 4 x 4 without padding and flattens (a 7 x 7
            map leaves one window), as in system B; ``flatten`` takes the map as it is.
        hidden: Widths of the hidden layers, first to last; empty for a linear head.
        activation: After every hidden layer.
        dropout: Dropout probability before every dense layer, in [0, 1).
        output: What turns logits into probabilities: ``softmax``, or ``sigmoid`` of each, divided by their sum.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pool: Literal["global", "4x4", "flatten"] = "global"
    hidden: tuple[Annotated[int, Field(ge=1, le=16384)], ...] = ()
    activation: Literal["relu", "leaky-relu", "elu", "gelu", "silu", "tanh"] = "relu"
    dropout: float = Field(default=0.2, ge=0, lt=1)
    output: Literal["softmax", "sigmoid"] = "softmax"


class ModelSpec(BaseModel):
    """A classifier's architecture.

    Attributes:
        backbone: A registered name; every timm model name is one.
        options: For the backbone's builder.
        size: Side of the square input in pixels; a head that does not pool globally needs it. Null in old bundles.
        channels: 1 feeds the grey picture once, 3 repeats it for backbones that need colour planes.
        head: The dense layers.
        classes: Class names in the order of the network's outputs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: str
    options: dict[str, bool | int | float | str] = {}
    size: int | None = None
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
