"""Any supported picture file to grey pixels."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import PurePath

import cv2
import numpy as np
from numpy.typing import NDArray

from pulmoscope.errors import ImageError
from pulmoscope.imaging.archive import decode_member, is_member
from pulmoscope.imaging.raster import Grey, decode_raster
from pulmoscope.imaging.read import display, read_picture, sniff

_ENDINGS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".gif": "GIF",
    ".bmp": "BMP",
    ".webp": "WEBP",
    ".jp2": "JPEG2000",
    ".j2k": "JPEG2000",
    ".pgm": "PNM",
    ".ppm": "PNM",
    ".dcm": "DICOM",
    ".dicom": "DICOM",
}
_LOW_DEPTH_LEVELS = 16
_LOW_CONTRAST_SPAN = 1 / 8
_EXTREME_ASPECT = 3.0


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """A decoded radiograph.

    Attributes:
        pixels: Grey values (H, W) float32 in [0, 1]; 0 is black (air), 1 is white (bone).
        notes: What was done or noticed, as stable codes: ``exif-transposed``, ``colour-to-grey``,
            ``colour-picture`` (real colour in it), ``alpha-composited`` (over black), ``palette-to-grey``,
            ``cmyk-to-grey``, ``range-scaled`` (floats by their own range), ``low-depth`` (16 grey levels or
            fewer), ``low-contrast`` (less than an eighth of the range is used), ``extreme-aspect`` (over 3 to
            1), ``wrong-ending``, ``frame-chosen``; from DICOM also ``inverted-monochrome1``,
            ``modality-lut``, ``rescaled``, ``voi-lut``, ``window``, ``percentile-window``,
            ``padding-masked``.
    """

    pixels: NDArray[np.float32]
    notes: tuple[str, ...]


def decode(path: str | os.PathLike[str], *, frame: int | None = None) -> Decoded:
    """Decode one radiograph, whatever its format; the content decides, not the file's ending.

    Args:
        path: A file (PNG, JPEG, TIFF, BMP, GIF, WebP, JPEG 2000, PNM, DICOM) or
            ``ARCHIVE.npz::ARRAY::INDEX``.
        frame: Which frame of a file with several, counted from 0.

    Returns:
        Grey pixels in [0, 1] and notes.

    Raises:
        ImageError: E_MISSING, E_NOT_REGULAR, E_UNREADABLE, E_EMPTY_FILE, E_NOT_IMAGE, E_CORRUPT, E_TRUNCATED,
            E_TOO_LARGE (over 100 megapixels by the header), E_TOO_SMALL (under 32 pixels a side, archive
            members excepted), E_MULTIFRAME, E_NOT_FINITE, E_BLANK (all pixels equal), E_NO_PIXELS,
            E_PHOTOMETRIC, E_TRANSFER_SYNTAX (the last three from DICOM).
    """
    if is_member(path):
        return finish(decode_member(path), display(path))
    return decode_bytes(read_picture(path), path, frame=frame)


def decode_bytes(content: bytes, path: str | os.PathLike[str], *, frame: int | None = None) -> Decoded:
    """Decode a file's content that was read before; ``path`` only names it. Raises as :func:`decode` does."""
    name = display(path)
    kind = sniff(content)
    if kind is None:
        raise ImageError(f"{name} is not a picture", code="E_NOT_IMAGE")
    if kind == "DICOM":
        from pulmoscope.imaging.dicom import decode_dicom

        grey = decode_dicom(content, name, frame)
    else:
        grey = decode_raster(content, kind, name, frame)
    if frame is not None:
        grey.notes.append("frame-chosen")
    if _ENDINGS.get(PurePath(path).suffix.lower(), kind) != kind:
        grey.notes.append("wrong-ending")
    return finish(grey, name)


def finish(grey: Grey, name: str) -> Decoded:
    """Refuse blank pictures, note poor ones, and scale to [0, 1].

    Raises:
        ImageError: E_BLANK.
    """
    values, notes = grey.values, grey.notes
    height, width = values.shape
    low, high = cv2.minMaxLoc(values)[:2]
    if values.dtype == np.uint8 and "low-depth" not in notes and _is_coarse(values):
        notes.append("low-depth")
    if low == high:
        raise ImageError(f"{name} is blank", code="E_BLANK", got="the same value in every pixel")
    if high - low < grey.scale * _LOW_CONTRAST_SPAN:
        notes.append("low-contrast")
    if max(width, height) > _EXTREME_ASPECT * min(width, height):
        notes.append("extreme-aspect")
    if values.dtype == np.float32 and grey.scale == 1.0:
        pixels = np.asarray(values, np.float32)
    else:
        pixels = np.divide(values, np.float32(grey.scale), dtype=np.float32)
    return Decoded(pixels=pixels, notes=tuple(notes))


def _is_coarse(values: NDArray) -> bool:
    """Whether there are few grey levels; a thin sample answers for nearly every picture."""
    for step in (7, 1):
        if np.count_nonzero(np.bincount(values[::step, ::step].ravel(), minlength=256)) > _LOW_DEPTH_LEVELS:
            return False
    return True
