"""A map laid over a radiograph, readable by someone who reads radiographs, also in grey print.

The plain picture always stands beside it. The map is transparent where it is low, its colours (Matplotlib's inferno,
perceptually even) grow lighter throughout, and a line marks half of its maximum, or what it is told to mark.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from pulmoscope.report.style import INK

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

# Below a fifth of its maximum a map is not drawn; from half on it is strongest, and anatomy still shows through.
_SEEN_FROM, _FULL_FROM, _OPACITY = 0.2, 0.5, 0.5
# The darkest quarter of the colour map looks like lung.
_COLOURS_FROM = 0.25
_BAR, _GAP = 0.045, 8
# One pixel of line for so many of the picture's side.
_SIDE_A_LINE = 400


@dataclass(frozen=True, kw_only=True, eq=False)
class Panel:
    """One picture of a row.

    Attributes:
        title: Above it, in a few words.
        values: (H, W) in [0, 1], aligned with the picture; None for the picture alone.
        marked: (H, W) what the line goes round; None for what is over half of the map's maximum.
    """

    title: str
    values: NDArray[np.float32] | None = None
    marked: NDArray[np.bool_] | None = None


def overlay(
    pixels: NDArray[np.float32], values: NDArray[np.float32], marked: NDArray[np.bool_] | None = None
) -> NDArray[np.uint8]:
    """One map on its picture.

    Args:
        pixels: (H, W) in [0, 1].
        values: (H, W) in [0, 1].
        marked: (H, W) what the line goes round; None for values of a half and more.

    Returns:
        (H, W, 3) RGB.
    """
    grey = np.repeat(np.clip(pixels, 0, 1)[:, :, None], 3, axis=2)
    strength = np.clip((values - _SEEN_FROM) / (_FULL_FROM - _SEEN_FROM), 0, 1)[:, :, None] * _OPACITY
    colours = _colours()[np.clip(values * 255 + 0.5, 0, 255).astype(np.uint8)]
    mixed = np.ascontiguousarray((grey * (1 - strength) + colours * strength) * 255 + 0.5).astype(np.uint8)
    inside = (values >= _FULL_FROM if marked is None else marked).astype(np.uint8)
    lines, _ = cv2.findContours(inside, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    width = max(1, round(min(pixels.shape) / _SIDE_A_LINE))
    # A light line with a dark one round it is seen on bone and on air.
    cv2.drawContours(mixed, lines, -1, (0, 0, 0), width + 2, cv2.LINE_AA)
    cv2.drawContours(mixed, lines, -1, (255, 255, 255), width, cv2.LINE_AA)
    return mixed


def draw_row(pixels: NDArray[np.float32], panels: Sequence[Panel], *, height: int = 320) -> Image:
    """A picture's panels side by side, each with its title, and a colour bar where there is a map.

    Args:
        pixels: (H, W) in [0, 1].
        panels: From left to right.
        height: Of each picture, in pixels; its proportions are kept.

    Returns:
        The row, RGB.
    """
    from PIL import Image, ImageDraw

    width = max(1, round(pixels.shape[1] * height / pixels.shape[0]))
    size = max(11, height // 22)
    font, top = _font(size), round(1.7 * size)
    bar = round(height * _BAR) + 4 * size if any(one.values is not None for one in panels) else 0
    row = Image.new("RGB", (len(panels) * (width + _GAP) - _GAP + bar, height + top), "white")
    draw = ImageDraw.Draw(row)
    grey = _resized(pixels.astype(np.float32), width, height)
    for number, panel in enumerate(panels):
        left = number * (width + _GAP)
        if panel.values is None:
            drawn = np.repeat((np.clip(grey, 0, 1) * 255 + 0.5).astype(np.uint8)[:, :, None], 3, axis=2)
        else:
            marked = panel.marked
            if marked is not None:
                marked = _resized(marked.astype(np.float32), width, height) >= 0.5
            drawn = overlay(grey, _resized(panel.values, width, height), marked)
        row.paste(Image.fromarray(drawn), (left, top))
        draw.text((left, 0.2 * size), _fitting(panel.title, font, width), fill=INK, font=font)
    if bar:
        _draw_bar(row, draw, (row.width - bar + _GAP, top), height, size)
    return row


def as_bytes(picture: Image, kind: str = "PNG") -> bytes:
    """The file's content: ``PNG``, or ``JPEG`` for pages that hold many."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **({"quality": 84} if kind == "JPEG" else {}))
    return buffer.getvalue()


def _draw_bar(row: Image, draw: ImageDraw, place: tuple[int, int], height: int, size: int) -> None:
    from PIL import Image

    width = round(height * _BAR)
    shades = np.linspace(1, 0, height, dtype=np.float32)[:, None].repeat(width, axis=1)
    # The colours as they look on a middle grey, which is how they are seen.
    row.paste(
        Image.fromarray(overlay(np.full_like(shades, 0.45), shades, np.zeros(shades.shape, bool))), place
    )
    left, top = place
    draw.rectangle((left, top, left + width - 1, top + height - 1), outline=INK)
    middle = top + height // 2
    draw.line((left, middle, left + width - 1, middle), fill="white", width=2)
    for text, y in (("max", top), ("half", middle - size // 2), ("0", top + height - size - 2)):
        draw.text((left + width + 4, y), text, fill=INK, font=_font(size))


def _fitting(text: str, font: FreeTypeFont, width: int) -> str:
    shown = "".join(char if char.isprintable() else " " for char in text)
    if font.getlength(shown) <= width:
        return shown
    while shown and font.getlength(shown + "…") > width:
        shown = shown[:-1]
    return shown + "…"


def _resized(picture: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    shrinks = width < picture.shape[1]
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (width, height), interpolation=way), np.float32)


@cache
def _font(size: int) -> FreeTypeFont:
    import matplotlib
    from PIL import ImageFont

    # Matplotlib brings the font of the other figures, so that the same run draws the same picture anywhere.
    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", size)


@cache
def _colours() -> NDArray[np.float32]:
    """(256, 3) RGB in [0, 1]."""
    import matplotlib

    colours = matplotlib.colormaps["inferno"](np.linspace(_COLOURS_FROM, 1, 256))
    return np.asarray(colours[:, :3], np.float32)
