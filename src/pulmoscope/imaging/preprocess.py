"""The frozen recipe from grey pixels to a network's input. Training writes it, prediction reads it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, model_validator

from pulmoscope.errors import RecipeError

if TYPE_CHECKING:
    import torch

_STORE_FIELDS = {"size", "aspect", "interpolation", "intensity"}
# Raise when the same fields begin to give other pixels.
_STORE_VERSION = 1
_CLIP_PERCENTILES = (1.0, 99.0)
_PILLOW = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
# Grey levels of 8-bit pictures come back from [0, 1] as whole numbers up to float32's rounding.
_LEVEL_TOLERANCE = 1e-3


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """How a picture of ``width`` x ``height`` lies in the square: scaled, then cut or padded.

    The box is the whole picture's place in the square's coordinates; it reaches beyond the square where the
    picture was cropped.

    Attributes:
        left: Pixels from the square's left edge to the picture's; negative where cropped.
        top: The same from above.
        box_width: The picture's width in the square.
        box_height: The picture's height in the square.
    """

    left: int
    top: int
    box_width: int
    box_height: int


class Preprocess(BaseModel):
    """From grey pixels (H, W) in [0, 1] to a network's input.

    Attributes:
        size: Side of the square, in pixels.
        aspect: ``pad`` letterboxes with black, ``stretch`` distorts, ``crop`` keeps the centre.
        interpolation: ``area`` averages when shrinking and enlarges bilinearly (OpenCV); ``bilinear`` and ``bicubic``
            are antialiased and equal to torchvision's ``Resize`` of a picture (Pillow).
        intensity: ``percentile`` stretches the 1st to 99th percentile; ``equalise`` is global histogram
            equalisation; ``clahe`` is contrast-limited and local (8 x 8 tiles, clip limit 2). Padding is left
            out of all of them.
        normalise: ``fixed`` subtracts ``mean`` and divides by ``std``; ``per-image`` uses each picture's own.
        mean: One value, or one a channel, on the scale [0, 1].
        std: The same; over 0.
        channels: The grey channel is repeated this many times.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(default=224, ge=16, le=4096)
    aspect: Literal["pad", "stretch", "crop"] = "pad"
    interpolation: Literal["area", "bilinear", "bicubic"] = "area"
    intensity: Literal["none", "percentile", "equalise", "clahe"] = "none"
    normalise: Literal["fixed", "per-image"] = "fixed"
    mean: tuple[float, ...] = (0.5,)
    std: tuple[float, ...] = (0.5,)
    channels: Literal[1, 3] = 3

    @model_validator(mode="after")
    def _check_statistics(self) -> Preprocess:
        for field, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in {1, self.channels}:
                raise ValueError(f"{field}: expected 1 or {self.channels} values, got {len(values)}")
        if min(self.std) <= 0:
            raise ValueError(f"std: expected values over 0, got {min(self.std)}")
        return self

    def geometry(self, width: int, height: int) -> Geometry:
        """Where a picture of ``width`` x ``height`` pixels lies in the square."""
        if self.aspect == "stretch":
            return Geometry(left=0, top=0, box_width=self.size, box_height=self.size)
        reference = max(width, height) if self.aspect == "pad" else min(width, height)
        scale = self.size / reference
        box_width, box_height = max(1, round(width * scale)), max(1, round(height * scale))
        return Geometry(
            left=(self.size - box_width) // 2,
            top=(self.size - box_height) // 2,
            box_width=box_width,
            box_height=box_height,
        )

    def to_store(self, pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Geometry and intensity: what the store keeps.

        Args:
            pixels: (H, W) float32 in [0, 1].

        Returns:
            (size, size) uint8.
        """
        height, width = pixels.shape
        place = self.geometry(width, height)
        if self.aspect == "crop":
            # Cut before scaling, so that what is cropped away is never resized.
            left, top, side = _centre_square(width, height)
            pixels, place = pixels[top : top + side, left : left + side], self.geometry(side, side)
        grey = self._resize(pixels, place.box_width, place.box_height)
        content = self._adjust(grey)
        if content.shape == (self.size, self.size):
            return content
        square = np.zeros((self.size, self.size), np.uint8)
        square[place.top : place.top + place.box_height, place.left : place.left + place.box_width] = content
        return square

    def to_input(self, batch: torch.Tensor) -> torch.Tensor:
        """Normalise a batch on its own device.

        Args:
            batch: (N, S, S) uint8 as stored, (N, 1, S, S) float in [0, 1], or (N, 3, S, S) where ``channels`` is 3:
                each plane is then normalised on its own.

        Returns:
            (N, channels, S, S) float32. A constant plane under ``per-image`` gives zeros.

        Raises:
            RecipeError: The batch has colours and the network takes one plane.
        """
        import torch

        if batch.ndim == 4 and batch.shape[1] not in {1, self.channels}:
            raise RecipeError(
                "the pictures do not have as many planes as the network takes",
                expected=f"1 or {self.channels}" if self.channels > 1 else "1",
                got=str(batch.shape[1]),
                remedy="set preprocess.channels=3, or leave rgb_shift and hsv_shift out of augment",
            )
        grey = batch.unsqueeze(1).float().div_(255) if batch.dtype == torch.uint8 else batch.float()
        if self.normalise == "per-image":
            mean = grey.mean(dim=(2, 3), keepdim=True)
            deviation = (grey - mean).square().mean(dim=(2, 3), keepdim=True).sqrt()
            grey = (grey - mean) / deviation.clamp_min(1e-6)
            return grey.expand(-1, self.channels, -1, -1)
        mean = torch.tensor(self.mean, device=grey.device).view(1, -1, 1, 1)
        deviation = torch.tensor(self.std, device=grey.device).view(1, -1, 1, 1)
        return ((grey - mean) / deviation).expand(-1, self.channels, -1, -1)

    def store_key(self) -> str:
        """A name for stored pixels: 16 hexadecimal digits, equal for recipes that store the same pixels."""
        fields = self.model_dump(mode="json", include=_STORE_FIELDS)
        text = json.dumps([_STORE_VERSION, fields], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def unmap(self, heat: NDArray[np.floating], width: int, height: int) -> NDArray[np.float32]:
        """Lay a map over the square back on the original picture.

        Args:
            heat: (S, S) at any S; it covers the square.
            width: The original picture's.
            height: The original picture's.

        Returns:
            (height, width) float32, bilinear; zero where the original was cropped away.
        """
        square = np.ascontiguousarray(heat, dtype=np.float32)
        place = self.geometry(width, height)
        scale_x, scale_y = square.shape[1] / self.size, square.shape[0] / self.size
        # Pixel centres: original x -> square x, inverted by warpAffine itself through WARP_INVERSE_MAP.
        step_x, step_y = place.box_width / width * scale_x, place.box_height / height * scale_y
        matrix = np.array(
            [
                [step_x, 0, 0.5 * step_x + place.left * scale_x - 0.5],
                [0, step_y, 0.5 * step_y + place.top * scale_y - 0.5],
            ],
            np.float64,
        )
        back = np.asarray(
            cv2.warpAffine(
                square,
                matrix,
                (width, height),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            ),
            np.float32,
        )
        if self.aspect == "crop":
            left, top, side = _centre_square(width, height)
            kept = back[top : top + side, left : left + side].copy()
            back[:] = 0
            back[top : top + side, left : left + side] = kept
        return back

    def _resize(self, pixels: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
        grey: NDArray[Any] = np.ascontiguousarray(pixels, dtype=np.float32)
        if self.interpolation != "area":
            return _resize_as_pillow(grey, width, height, _PILLOW[self.interpolation])
        # Average areas along the axes that shrink, then interpolate along those that grow.
        smaller = min(width, grey.shape[1]), min(height, grey.shape[0])
        if smaller != grey.shape[::-1]:
            grey = cv2.resize(grey, smaller, interpolation=cv2.INTER_AREA)
        if smaller != (width, height):
            grey = cv2.resize(grey, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(grey, np.float32)

    def _adjust(self, grey: NDArray[np.float32]) -> NDArray[np.uint8]:
        if self.intensity == "percentile":
            low, high = np.percentile(grey, _CLIP_PERCENTILES)
            if high > low:
                grey = (grey - np.float32(low)) / np.float32(high - low)
        # convertScaleAbs would fold negatives; bicubic overshoots on both sides.
        levels = np.asarray(np.clip(grey * 255 + 0.5, 0, 255), np.uint8)
        if self.intensity == "equalise":
            return np.asarray(cv2.equalizeHist(levels), np.uint8)
        if self.intensity == "clahe":
            return np.asarray(cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(levels), np.uint8)
        return levels


def _resize_as_pillow(
    grey: NDArray[np.float32], width: int, height: int, method: Image.Resampling
) -> NDArray[np.float32]:
    """As torchvision's ``Resize`` does to a picture, to the last grey level for pictures of 8 bits."""
    levels = np.rint(grey * 255)
    if np.abs(levels - grey * 255).max() < _LEVEL_TOLERANCE:
        resized = Image.fromarray(levels.astype(np.uint8)).resize((width, height), method)
        return np.asarray(resized, np.float32) / np.float32(255)
    return np.asarray(Image.fromarray(grey).resize((width, height), method), np.float32)


def _centre_square(width: int, height: int) -> tuple[int, int, int]:
    side = min(width, height)
    return (width - side) // 2, (height - side) // 2, side
