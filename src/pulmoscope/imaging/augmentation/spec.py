"""What may happen to a picture, and how far: the ranges that a recipe states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pulmoscope.imaging.augmentation.presets import preset

Fraction = Annotated[float, Field(ge=0, le=1)]
_OPEN = (1.0, 1.0)


class Augment(BaseModel):
    """How far pictures are changed at random; the defaults change nothing.

    Wherever one is parsed, a preset's name stands for its fields, and ``{preset: NAME, field: value}`` changes some of
    them. Pictures are changed in this order: equalise, geometry, blur, tones (gamma, contrast, brightness, multiply),
    colours (RGB shift, HSV shift, greyscale), noise, erase.

    Attributes:
        rotate: Degrees to either side, uniform.
        translate: Fraction of the side, to either side, uniform, each axis on its own.
        zoom: Smallest and largest magnification; uniform in its logarithm.
        shear: Degrees to either side, uniform, along the horizontal.
        hflip: Probability of a left-right flip. It moves the heart to the right: think before using it.
        brightness: Added, uniform to either side, on the scale [0, 1].
        contrast: Gain about mid-grey 0.5, uniform in 1 - c to 1 + c.
        gamma: The exponent's natural logarithm, uniform to either side.
        noise: Standard deviation of Gaussian noise, on the scale [0, 1].
        erase: Probability of one cut-out, a mid-grey rectangle with sides of 10 to 30% of the picture's.
        vflip: Probability of an upside-down flip.
        fill: What rotation, translation, shear and zoom uncover: ``black``, the nearest ``edge``, the ``mean`` of the
            picture, or the picture's own reflection.
        crop_scale: Share of the area that a random crop keeps, uniform; the crop is resized to the full size. 1 to 1
            does not crop. As torchvision's ``RandomResizedCrop``.
        crop_ratio: Width over height of that crop, uniform in its logarithm.
        multiply: Gain of all grey levels, uniform in 1 - m to 1 + m; torchvision's ``ColorJitter`` calls it brightness.
        rgb_shift: Added to each colour plane on its own, uniform to either side, on the scale [0, 1].
        hsv_shift: Added to hue (as a fraction of the circle), saturation and value, uniform to either side.
        greyscale: Probability that colours collapse to luma (ITU-R BT.601); a grey batch has none.
        equalise: Probability that the histogram of each plane is equalised, in 256 levels, as OpenCV does it.
        blur: Largest standard deviation of a Gaussian blur, in pixels; uniform from 0.
        apply: Probability that a picture is changed at all. Mixing is not concerned.
        mixup: Alpha of the Beta distribution of the share that two pictures are blended by (Zhang et al. 2018).
        cutmix: Alpha of the Beta distribution of the area that is pasted from another picture (Yun et al. 2019).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rotate: float = Field(default=0.0, ge=0, le=180)
    translate: Fraction = 0.0
    zoom: tuple[float, float] = _OPEN
    shear: float = Field(default=0.0, ge=0, lt=90)
    hflip: Fraction = 0.0
    brightness: Fraction = 0.0
    contrast: Fraction = 0.0
    gamma: float = Field(default=0.0, ge=0, le=3)
    noise: Fraction = 0.0
    erase: Fraction = 0.0
    vflip: Fraction = 0.0
    fill: Literal["black", "edge", "mean", "reflect"] = "black"
    crop_scale: tuple[float, float] = _OPEN
    crop_ratio: tuple[float, float] = (0.75, 4 / 3)
    multiply: Fraction = 0.0
    rgb_shift: Fraction = 0.0
    hsv_shift: tuple[Annotated[float, Field(ge=0, le=0.5)], Fraction, Fraction] = (0.0, 0.0, 0.0)
    greyscale: Fraction = 0.0
    equalise: Fraction = 0.0
    blur: float = Field(default=0.0, ge=0, le=20)
    apply: Fraction = 1.0
    mixup: float = Field(default=0.0, ge=0, le=100)
    cutmix: float = Field(default=0.0, ge=0, le=100)

    @model_validator(mode="before")
    @classmethod
    def _open_preset(cls, value: Any) -> Any:
        if isinstance(value, str):
            return preset(value)
        if isinstance(value, Mapping) and "preset" in value:
            changes = {name: content for name, content in value.items() if name != "preset"}
            return preset(value["preset"]) | changes
        return value

    @field_validator("zoom", "crop_ratio")
    @classmethod
    def _check_factors(cls, factors: tuple[float, float]) -> tuple[float, float]:
        if not 0.1 <= factors[0] <= factors[1] <= 10:
            raise ValueError(f"expected 0.1 <= smallest <= largest <= 10, got {factors}")
        return factors

    @field_validator("crop_scale")
    @classmethod
    def _check_shares(cls, shares: tuple[float, float]) -> tuple[float, float]:
        if not 0.01 <= shares[0] <= shares[1] <= 1:
            raise ValueError(f"expected 0.01 <= smallest <= largest <= 1, got {shares}")
        return shares

    @property
    def crops(self) -> bool:
        """Whether a random crop is taken."""
        return self.crop_scale != _OPEN

    @property
    def moves(self) -> bool:
        """Whether the geometry changes."""
        reaches = (self.rotate, self.translate, self.shear, self.hflip, self.vflip, self.crops)
        return any(reaches) or self.zoom != _OPEN

    @property
    def tones(self) -> bool:
        """Whether grey levels are mapped, each plane alike."""
        return any((self.gamma, self.contrast, self.brightness, self.multiply))

    @property
    def colours(self) -> bool:
        """Whether the result needs three planes: a grey batch is then expanded."""
        return self.rgb_shift > 0 or any(self.hsv_shift)

    @property
    def mixes(self) -> bool:
        """Whether pictures of a batch are mixed with each other, and their labels with them."""
        return self.mixup > 0 or self.cutmix > 0

    @property
    def changes(self) -> bool:
        """Whether a picture by itself can come out otherwise than it went in."""
        local = (self.noise, self.erase, self.blur, self.equalise, self.greyscale)
        return self.apply > 0 and (self.moves or self.tones or self.colours or any(local))
