"""PNG, JPEG, TIFF, BMP, GIF, WebP, JPEG 2000 and PNM files to grey values."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    ImageOps,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from pulmoscope.errors import ImageError
from pulmoscope.imaging.limits import check_size
from pulmoscope.imaging.quiet import captured_stderr, quiet

# The plugins are called directly: Image.open would try some fifty formats and warn about large pictures
# through Python's warnings; our own cap follows at once.
_PLUGINS: dict[str, type[ImageFile.ImageFile]] = {
    "PNG": PngImagePlugin.PngImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "JPEG2000": Jpeg2KImagePlugin.Jpeg2KImageFile,
    "PNM": PpmImagePlugin.PpmImageFile,
}
_ORIENTATION = 0x0112
_EXIF_KEYS = ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")
# A film scanned or screenshot in colour has chroma of a few grey levels; annotations and photographs exceed
# this.
_COLOUR_LEVELS, _COLOUR_SHARE = 24, 0.01
_BAND_PIXELS = 4_000_000


@dataclass(frozen=True, kw_only=True)
class Grey:
    """Grey values as the file keeps them.

    Attributes:
        values: (H, W) uint8, uint16 or float32.
        scale: The value that means white.
        notes: What was done on the way, as stable codes.
    """

    values: NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32]
    scale: float
    notes: list[str]


def decode_raster(content: bytes, kind: str, name: str, frame: int | None) -> Grey:
    """Decode the bytes of a raster file.

    Args:
        content: The whole file.
        kind: What :func:`pulmoscope.imaging.read.sniff` found.
        name: The file's name for messages.
        frame: Which frame of a file with several, counted from 0.

    Raises:
        ImageError: See :func:`pulmoscope.imaging.decode.decode`.
    """
    if kind == "PNG":
        _check_png(content, name)
    with quiet():
        try:
            picture = _PLUGINS[kind](io.BytesIO(content))
        except Exception as error:
            raise _damaged(name, kind, "its header cannot be read") from error
        try:
            check_size(name, *picture.size)
            if kind == "JPEG":
                _check_jpeg(content, name, *picture.size)
            _choose_frame(picture, name, frame)
            # Compressed TIFF goes through a library that writes its complaints to standard error by itself.
            by_libtiff = bool(picture.tile) and picture.tile[0][0] == "libtiff"
            with captured_stderr(by_libtiff) as complaints:
                grey = _load(picture, name)
            if complaints:
                raise _damaged(name, kind, "its pixels cannot be decoded")
            return grey
        except ImageError:
            raise
        except Exception as error:
            # A damaged file can raise nearly anything in a decoder; it must never end the run.
            raise _classify(name, kind, error) from error


def _load(picture: ImageFile.ImageFile, name: str) -> Grey:
    # TIFF is turned by the plugin while loading, which also removes the tag: look first.
    turned = picture.format == "TIFF" and picture.getexif().get(_ORIENTATION, 1) in range(2, 9)
    picture.load()
    notes: list[str] = []
    upright: Image.Image = picture
    # Asking for the tags is slow; nearly all radiographs have none.
    tagged = any(key in picture.info for key in _EXIF_KEYS) and picture.format != "TIFF"
    if tagged and picture.getexif().get(_ORIENTATION, 1) in range(2, 9):
        upright, turned = ImageOps.exif_transpose(picture), True
    if turned:
        notes.append("exif-transposed")
    check_size(name, *upright.size)
    return _to_grey(upright, name, notes)


def _to_grey(picture: Image.Image, name: str, notes: list[str]) -> Grey:
    mode = picture.mode
    if mode == "1":
        notes.append("low-depth")
        return Grey(values=np.asarray(picture.convert("L")), scale=255.0, notes=notes)
    if mode.startswith(("I", "F")):
        return _wide(np.asarray(picture), mode, picture.format, name, notes)
    if mode in {"RGBA", "LA", "PA", "La", "RGBa"} or "transparency" in picture.info:
        return _composite(picture, notes)
    if mode == "L":
        return Grey(values=np.asarray(picture), scale=255.0, notes=notes)
    if mode == "CMYK":
        notes.append("cmyk-to-grey")
    if mode == "P":
        notes.append("palette-to-grey")
    return Grey(values=_luminance(picture, notes), scale=255.0, notes=notes)


def _wide(values: NDArray, mode: str, kind: str | None, name: str, notes: list[str]) -> Grey:
    """16-bit and 32-bit integers, and floats. ``convert("L")`` would clip them to white."""
    if mode.startswith("I;16") or (mode == "I" and kind in {"PNG", "PPM"}):
        return Grey(values=values.astype(np.uint16, copy=False), scale=65535.0, notes=notes)
    if not np.isfinite(values.sum(dtype=np.float64)):
        raise ImageError(
            f"{name} has pixels without a value",
            code="E_NOT_FINITE",
            expected="finite grey values",
            got="NaN or infinity",
        )
    low, high = float(values.min()), float(values.max())
    notes.append("range-scaled")
    scaled = values.astype(np.float32)
    scaled -= np.float32(low)
    scaled /= np.float32(high - low or 1.0)
    return Grey(values=scaled, scale=1.0, notes=notes)


def _composite(picture: Image.Image, notes: list[str]) -> Grey:
    """Over black: outside a film there is no light, and transparent white must not look like lung."""
    colour = picture.mode not in {"L", "LA", "La"}
    if colour:
        _note_colour(picture, notes)
    transparent = False

    def blend(band: Image.Image) -> NDArray[np.uint8]:
        nonlocal transparent
        layers = band.convert("RGBA" if colour else "LA")
        alpha = np.asarray(layers.getchannel("A"))
        values = np.asarray(layers.convert("L") if colour else layers.getchannel("L"))
        if alpha.min() == 255:
            return values
        transparent = True
        return np.asarray((values.astype(np.uint16) * alpha + 127) // 255, np.uint8)

    values = _by_bands(picture, blend)
    if transparent:
        notes.append("alpha-composited")
    return Grey(values=values, scale=255.0, notes=notes)


def _luminance(picture: Image.Image, notes: list[str]) -> NDArray[np.uint8]:
    """ITU-R BT.601 luma, exact where the channels are equal."""
    _note_colour(picture, notes)
    return _by_bands(picture, lambda band: np.asarray(band.convert("RGB").convert("L")))


def _note_colour(picture: Image.Image, notes: list[str]) -> None:
    notes.append("colour-to-grey")
    size = min(256, picture.width), min(256, picture.height)
    sample = np.asarray(picture.resize(size, Image.Resampling.NEAREST).convert("RGB")).astype(np.int16)
    chroma = sample.max(axis=2) - sample.min(axis=2)
    if (chroma > _COLOUR_LEVELS).mean() > _COLOUR_SHARE:
        notes.append("colour-picture")


def _by_bands(picture: Image.Image, convert: Callable[[Image.Image], NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Convert a large picture a band of rows at a time: whole copies in four channels would add up."""
    width, height = picture.size
    step = max(1, _BAND_PIXELS // width)
    if height <= step:
        return convert(picture)
    values = np.empty((height, width), np.uint8)
    for top in range(0, height, step):
        bottom = min(top + step, height)
        values[top:bottom] = convert(picture.crop((0, top, width, bottom)))
    return values


def _choose_frame(picture: ImageFile.ImageFile, name: str, frame: int | None) -> None:
    several = bool(getattr(picture, "is_animated", False))
    if frame is None:
        if several:
            raise ImageError(
                f"{name} holds more than one frame",
                code="E_MULTIFRAME",
                expected="one radiograph a file",
                remedy="save the frame you mean as a file of its own",
            )
        return
    count = int(getattr(picture, "n_frames", 1))
    if not 0 <= frame < count:
        raise ImageError(
            f"{name} has no frame {frame}", code="E_MULTIFRAME", expected=f"0 to {count - 1}", got=str(frame)
        )
    picture.seek(frame)


def _check_png(content: bytes, name: str) -> None:
    """Walk the chunks and compare every checksum: the decoder itself skips those of the pixels."""
    width, height = struct.unpack(">II", content[16:24].ljust(8, b"\0"))
    check_size(name, width, height)
    position, view = 8, memoryview(content)
    while position + 12 <= len(content):
        length = int.from_bytes(view[position : position + 4], "big")
        end = position + 8 + length
        if end + 4 > len(content):
            raise _truncated(name)
        if zlib.crc32(view[position + 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            raise _damaged(name, "PNG", "a checksum in it is wrong")
        if content.startswith(b"IEND", position + 4):
            return
        position = end + 4
    raise _truncated(name)


def _check_jpeg(content: bytes, name: str, width: int, height: int) -> None:
    """Refuse a file too short for its size: the decoder fills what is missing after an early end marker with grey."""
    # Each block of 8 x 8 takes at least one bit, whatever the coding.
    if 8 * len(content) < -(-width // 8) * -(-height // 8):
        raise _truncated(name)


def _classify(name: str, kind: str, error: Exception) -> ImageError:
    if isinstance(error, MemoryError):
        return ImageError(f"{name} needs more memory than there is", code="E_TOO_LARGE")
    if isinstance(error, EOFError | struct.error) or "truncated" in str(error):
        return _truncated(name)
    if isinstance(error, UnidentifiedImageError):
        return _damaged(name, kind, "its header cannot be read")
    return _damaged(name, kind, "its pixels cannot be decoded")


def _truncated(name: str) -> ImageError:
    return ImageError(
        f"{name} is cut short", code="E_TRUNCATED", expected="a whole file", remedy="fetch or export it again"
    )


def _damaged(name: str, kind: str, got: str) -> ImageError:
    return ImageError(f"{name} is damaged", code="E_CORRUPT", expected=f"a valid {kind} file", got=got)
