"""Hostile picture files, each with what must come of it: an error code, or notes on a picture that is usable.

``write_hostile(folder)`` writes them all; ``KINDS`` lists them for parametrised tests.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from dicom_files import (
    JPEG_2000,
    JPEG_BASELINE,
    JPEG_EXTENDED,
    RLE,
    dataset,
    radiograph,
    with_frames,
    write,
    write_compressed,
)

Writer = Callable[[Path], Path | None]


@dataclass(frozen=True)
class Hostile:
    """One kind of file.

    Attributes:
        name: Of the kind.
        code: The error it must give, or None if it must decode.
        notes: Notes that a decoded one must carry, exactly.
        write: Writes it into a folder and gives its path; None where this machine cannot have such a file.
    """

    name: str
    code: str | None
    notes: tuple[str, ...]
    write: Writer


KINDS: list[Hostile] = []


def _kind(name: str, *, code: str | None = None, notes: tuple[str, ...] = ()) -> Callable[[Writer], Writer]:
    def register(writer: Writer) -> Writer:
        KINDS.append(Hostile(name, code, notes, writer))
        return writer

    return register


def write_hostile(folder: Path) -> dict[str, tuple[Path, Hostile]]:
    """Write every kind that this machine can have, each into a folder of its own."""
    written = {}
    for kind in KINDS:
        place = folder / kind.name
        place.mkdir(parents=True, exist_ok=True)
        path = kind.write(place)
        if path is not None:
            written[kind.name] = (path, kind)
    return written


def grey_picture(height: int = 120, width: int = 100) -> Image.Image:
    """A smooth 8-bit picture with noise."""
    return Image.fromarray(radiograph(8, height=height, width=width))


def _encode(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def _put(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def png_header(width: int, height: int, *, depth: int = 8, colour: int = 0) -> bytes:
    """A PNG whose header claims a size; its pixels are a few bytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(64)))
        + chunk(b"IEND", b"")
    )


def jpeg_claiming(width: int, height: int) -> bytes:
    """A JPEG whose frame header claims another size than its pixels have."""
    content = bytearray(_encode(grey_picture(), "JPEG"))
    start = content.find(b"\xff\xc0")
    content[start + 5 : start + 9] = struct.pack(">HH", height, width)
    return bytes(content)


# --- not pictures -----------------------------------------------------------------------------------------


@_kind("empty", code="E_EMPTY_FILE")
def _(folder: Path) -> Path:
    return _put(folder, "empty.png", b"")


@_kind("html-named-png", code="E_NOT_IMAGE")
def _(folder: Path) -> Path:
    return _put(folder, "film.png", b"<!DOCTYPE html><html><body>404 Not Found</body></html>")


@_kind("text", code="E_NOT_IMAGE")
def _(folder: Path) -> Path:
    return _put(folder, "film.jpg", b"patient,finding\n1,COVID-19\n" * 50)


@_kind("random-bytes", code="E_NOT_IMAGE")
def _(folder: Path) -> Path:
    return _put(folder, "film.png", b"\x01" + np.random.default_rng(1).bytes(5000))


@_kind("lfs-pointer", code="E_NOT_IMAGE")
def _(folder: Path) -> Path:
    return _put(folder, "film.png", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")


@_kind("missing", code="E_MISSING")
def _(folder: Path) -> Path:
    return folder / "nowhere.png"


@_kind("nul-in-name", code="E_MISSING")
def _(folder: Path) -> Path:
    return folder / "film\0.png"


@_kind("directory", code="E_NOT_REGULAR")
def _(folder: Path) -> Path:
    path = folder / "folder.png"
    path.mkdir(exist_ok=True)
    return path


@_kind("fifo", code="E_NOT_REGULAR")
def _(folder: Path) -> Path:
    path = folder / "pipe.png"
    os.mkfifo(path)
    return path


@_kind("device", code="E_NOT_REGULAR")
def _(folder: Path) -> Path:
    path = folder / "endless.png"
    path.symlink_to("/dev/zero")
    return path


@_kind("symlink-loop", code="E_UNREADABLE")
def _(folder: Path) -> Path:
    path = folder / "loop.png"
    path.symlink_to(path)
    return path


@_kind("unreadable", code="E_UNREADABLE")
def _(folder: Path) -> Path | None:
    path = _put(folder, "secret.png", _encode(grey_picture(), "PNG"))
    path.chmod(0)
    # The super-user reads everything.
    return None if os.access(path, os.R_OK) else path


# --- damaged rasters --------------------------------------------------------------------------------------


@_kind("truncated-png", code="E_TRUNCATED")
def _(folder: Path) -> Path:
    content = _encode(grey_picture(), "PNG")
    return _put(folder, "film.png", content[: len(content) * 2 // 3])


@_kind("png-without-end", code="E_TRUNCATED")
def _(folder: Path) -> Path:
    return _put(folder, "film.png", _encode(grey_picture(), "PNG")[:-12])


@_kind("truncated-jpeg", code="E_TRUNCATED")
def _(folder: Path) -> Path:
    content = _encode(grey_picture(), "JPEG")
    return _put(folder, "film.jpg", content[: len(content) * 2 // 3])


@_kind("bit-flipped-png", code="E_CORRUPT")
def _(folder: Path) -> Path:
    content = bytearray(_encode(grey_picture(), "PNG"))
    content[len(content) // 2] ^= 4
    return _put(folder, "film.png", bytes(content))


@_kind("zero-sized-png", code="E_TOO_SMALL")
def _(folder: Path) -> Path:
    return _put(folder, "film.png", png_header(0, 0))


@_kind("one-pixel", code="E_TOO_SMALL")
def _(folder: Path) -> Path:
    return _put(folder, "film.png", _encode(Image.new("L", (1, 1)), "PNG"))


@_kind("png-header-bomb", code="E_TOO_LARGE")
def _(folder: Path) -> Path:
    return _put(folder, "film.png", png_header(50_000, 50_000))


@_kind("jpeg-header-bomb", code="E_TOO_LARGE")
def _(folder: Path) -> Path:
    return _put(folder, "film.jpg", jpeg_claiming(65_000, 65_000))


@_kind("jpeg-claims-too-much", code="E_TRUNCATED")
def _(folder: Path) -> Path:
    return _put(folder, "film.jpg", jpeg_claiming(4_000, 4_000))


@_kind("png-inflation-bomb", code="E_CORRUPT")
def _(folder: Path) -> Path:
    # A compressed text chunk that inflates to 100 MB, before a good picture.
    content = _encode(grey_picture(), "PNG")
    body = b"Comment\0\0" + zlib.compress(bytes(100_000_000), 1)
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    return _put(folder, "film.png", content[:33] + chunk + content[33:])


@_kind("nan-tiff", code="E_NOT_FINITE")
def _(folder: Path) -> Path:
    values = radiograph(8).astype(np.float32)
    values[3, 4] = np.nan
    return _put(folder, "film.tif", _encode(Image.fromarray(values), "TIFF"))


@_kind("blank", code="E_BLANK")
def _(folder: Path) -> Path:
    return _put(folder, "film.png", _encode(Image.new("L", (64, 64), 128), "PNG"))


@_kind("transparent-everywhere", code="E_BLANK")
def _(folder: Path) -> Path:
    return _put(folder, "film.png", _encode(Image.new("RGBA", (64, 64), (255, 255, 255, 0)), "PNG"))


@_kind("animated-gif", code="E_MULTIFRAME")
def _(folder: Path) -> Path:
    frames = [grey_picture(), grey_picture().rotate(90)]
    return _put(folder, "film.gif", _encode(frames[0], "GIF", save_all=True, append_images=frames[1:]))


@_kind("animated-png", code="E_MULTIFRAME")
def _(folder: Path) -> Path:
    frames = [grey_picture(), grey_picture().rotate(90)]
    return _put(folder, "film.png", _encode(frames[0], "PNG", save_all=True, append_images=frames[1:]))


@_kind("multi-page-tiff", code="E_MULTIFRAME")
def _(folder: Path) -> Path:
    frames = [grey_picture(), grey_picture().rotate(90)]
    return _put(folder, "film.tif", _encode(frames[0], "TIFF", save_all=True, append_images=frames[1:]))


@_kind("truncated-tiff", code="E_TRUNCATED")
def _(folder: Path) -> Path:
    content = bytearray(_encode(grey_picture(), "TIFF"))
    return _put(folder, "film.tif", bytes(content[: len(content) * 2 // 3]))


# --- unusual rasters --------------------------------------------------------------------------------------


@_kind("sixteen-bit", notes=())
def _(folder: Path) -> Path:
    ramp = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    return _put(folder, "film.png", _encode(Image.fromarray(ramp), "PNG"))


@_kind("one-bit", notes=("low-depth",))
def _(folder: Path) -> Path:
    return _put(folder, "film.png", _encode(grey_picture().convert("1"), "PNG"))


@_kind("cmyk", notes=("cmyk-to-grey", "colour-to-grey"))
def _(folder: Path) -> Path:
    return _put(folder, "film.jpg", _encode(grey_picture().convert("CMYK"), "JPEG", quality=95))


@_kind("transparent-white", notes=("colour-to-grey", "alpha-composited"))
def _(folder: Path) -> Path:
    grey = np.asarray(grey_picture())
    rgba = np.dstack([grey, grey, grey, np.full_like(grey, 255)])
    rgba[:20] = (255, 255, 255, 0)
    return _put(folder, "film.png", _encode(Image.fromarray(rgba), "PNG"))


@_kind("grey-and-alpha", notes=("alpha-composited",))
def _(folder: Path) -> Path:
    picture = grey_picture()
    picture.putalpha(128)
    return _put(folder, "film.png", _encode(picture, "PNG"))


@_kind("palette", notes=("palette-to-grey", "colour-to-grey"))
def _(folder: Path) -> Path:
    return _put(folder, "film.png", _encode(grey_picture().convert("P"), "PNG"))


@_kind("still-gif", notes=())
def _(folder: Path) -> Path:
    return _put(folder, "film.gif", _encode(grey_picture(), "GIF"))


@_kind("colour-photograph", notes=("colour-to-grey", "colour-picture"))
def _(folder: Path) -> Path:
    grey = np.asarray(grey_picture())
    return _put(folder, "film.png", _encode(Image.fromarray(np.dstack([grey, grey // 2, 255 - grey])), "PNG"))


@_kind("wrong-ending", notes=("wrong-ending",))
def _(folder: Path) -> Path:
    return _put(folder, "film.jpg", _encode(grey_picture(), "PNG"))


@_kind("no-ending", notes=())
def _(folder: Path) -> Path:
    return _put(folder, "film", _encode(grey_picture(), "JPEG"))


@_kind("float-tiff", notes=("range-scaled",))
def _(folder: Path) -> Path:
    values = radiograph(8).astype(np.float32) * 7 - 900
    return _put(folder, "film.tif", _encode(Image.fromarray(values), "TIFF"))


@_kind("narrow-strip", notes=("extreme-aspect",))
def _(folder: Path) -> Path:
    return _put(folder, "film.png", _encode(grey_picture(40, 400), "PNG"))


@_kind("twelve-bits-in-sixteen", notes=("low-contrast",))
def _(folder: Path) -> Path:
    return _put(folder, "film.png", _encode(Image.fromarray(radiograph(12)), "PNG"))


@_kind("non-utf8-name", notes=())
def _(folder: Path) -> Path | None:
    path = Path(os.fsdecode(os.fsencode(folder) + b"/film-\xe9\xff.png"))
    try:
        return _put(folder, path.name, _encode(grey_picture(), "PNG"))
    except OSError:
        return None


for _orientation in range(1, 9):

    @_kind(f"exif-{_orientation}", notes=("exif-transposed",) if _orientation > 1 else ())
    def _(folder: Path, orientation: int = _orientation) -> Path:
        exif = Image.Exif()
        exif[0x0112] = orientation
        return _put(folder, "film.jpg", _encode(grey_picture(), "JPEG", exif=exif, quality=95))


# --- DICOM ------------------------------------------------------------------------------------------------


@_kind("dicom-multi-frame", code="E_MULTIFRAME")
def _(folder: Path) -> Path:
    pixels = np.stack([radiograph(12), radiograph(12)])
    return write(folder / "film.dcm", dataset(pixels, bits=12, NumberOfFrames=2))


@_kind("dicom-absurd-frames", code="E_MULTIFRAME")
def _(folder: Path) -> Path:
    return write(folder / "film.dcm", dataset(radiograph(12), bits=12, NumberOfFrames=2_000_000_000))


@_kind("dicom-without-pixels", code="E_NO_PIXELS")
def _(folder: Path) -> Path:
    made = dataset(radiograph(12), bits=12, Modality="SR")
    del made.PixelData
    return write(folder / "report.dcm", made)


@_kind("dicom-truncated", code="E_TRUNCATED")
def _(folder: Path) -> Path:
    path = write(folder / "film.dcm", dataset(radiograph(12), bits=12))
    content = path.read_bytes()
    return _put(folder, "film.dcm", content[: len(content) * 2 // 3])


@_kind("dicom-cut-after-preamble", code="E_NO_PIXELS")
def _(folder: Path) -> Path:
    return _put(folder, "film.dcm", bytes(128) + b"DICM")


@_kind("dicom-compressed-truncated", code="E_TRUNCATED")
def _(folder: Path) -> Path:
    path = write_compressed(folder / "film.dcm", dataset(radiograph(12), bits=12), JPEG_2000)
    content = path.read_bytes()
    return _put(folder, "film.dcm", content[: len(content) * 3 // 4])


@_kind("dicom-zero-rows", code="E_TOO_SMALL")
def _(folder: Path) -> Path:
    return write(folder / "film.dcm", dataset(radiograph(12), bits=12, Rows=0))


@_kind("dicom-header-bomb", code="E_TOO_LARGE")
def _(folder: Path) -> Path:
    return write(folder / "film.dcm", dataset(radiograph(12), bits=12, Rows=60_000, Columns=60_000))


@_kind("dicom-stored-over-allocated", code="E_CORRUPT")
def _(folder: Path) -> Path:
    return write(folder / "film.dcm", dataset(radiograph(12), bits=24))


@_kind("dicom-colour", code="E_PHOTOMETRIC")
def _(folder: Path) -> Path:
    made = dataset(np.dstack([radiograph(8)] * 3).transpose(2, 0, 1).copy(), PlanarConfiguration=1)
    made.SamplesPerPixel, made.PhotometricInterpretation = 3, "RGB"
    made.Rows, made.Columns = radiograph(8).shape
    return write(folder / "film.dcm", made)


@_kind("dicom-rgb-with-one-sample", code="E_PHOTOMETRIC")
def _(folder: Path) -> Path:
    return write(folder / "film.dcm", dataset(radiograph(8), PhotometricInterpretation="RGB"))


@_kind("dicom-j2k-larger-than-header", code="E_TOO_LARGE")
def _(folder: Path) -> Path:
    path = write_compressed(folder / "film.dcm", dataset(radiograph(12), bits=12), JPEG_2000)
    content = bytearray(path.read_bytes())
    start = content.find(b"\xff\x4f\xff\x51")
    content[start + 8 : start + 16] = struct.pack(">II", 40_000, 40_000)
    content[start + 24 : start + 32] = struct.pack(">II", 40_000, 40_000)
    return _put(folder, "film.dcm", bytes(content))


@_kind("dicom-jpeg-contradicts-header", code="E_CORRUPT")
def _(folder: Path) -> Path:
    frame = _encode(Image.fromarray(radiograph(8)), "JPEG")
    return write(
        folder / "film.dcm", with_frames(dataset(radiograph(8), Rows=90, Columns=64), [frame], JPEG_BASELINE)
    )


@_kind("dicom-rle-bomb", code="E_TRUNCATED")
def _(folder: Path) -> Path:
    frame = struct.pack("<16I", 2, 64, 128, *[0] * 13) + b"\x81\0" * 64
    made = with_frames(dataset(radiograph(16), Rows=9_000, Columns=9_000), [frame], RLE)
    return write(folder / "film.dcm", made)


@_kind("dicom-unknown-syntax", code="E_TRANSFER_SYNTAX")
def _(folder: Path) -> Path:
    made = with_frames(dataset(radiograph(8)), [b"\0" * 400], "1.2.840.10008.1.2.4.102")
    return write(folder / "film.dcm", made)


@_kind("dicom-jpeg-extended-12-bit", code="E_TRANSFER_SYNTAX")
def _(folder: Path) -> Path:
    pixels = radiograph(12)
    frame = bytearray(_encode(Image.fromarray(radiograph(8)), "JPEG"))
    start = frame.find(b"\xff\xc0")
    frame[start + 1], frame[start + 4] = 0xC1, 12
    return write(folder / "film.dcm", with_frames(dataset(pixels, bits=12), [bytes(frame)], JPEG_EXTENDED))


@_kind("dicom-deflated-bomb", code="E_TOO_LARGE")
def _(folder: Path) -> Path:
    path = write_compressed(folder / "film.dcm", dataset(radiograph(12), bits=12), "1.2.840.10008.1.2.1.99")
    content = path.read_bytes()
    start = 144 + int.from_bytes(content[140:144], "little")
    deflate = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    zeros = bytes(10_000_000)
    body = b"".join(deflate.compress(zeros) for _ in range(23)) + deflate.flush()
    return _put(folder, "film.dcm", content[:start] + body)


@_kind("dicom-blank", code="E_BLANK")
def _(folder: Path) -> Path:
    return write(folder / "film.dcm", dataset(np.full((64, 64), 7, np.uint16), bits=12))


@_kind("dicom-executable-preamble", notes=("percentile-window",))
def _(folder: Path) -> Path:
    path = write(folder / "film.dcm", dataset(radiograph(12), bits=12))
    return _put(folder, "film.dcm", b"MZ" + b"\x90" * 126 + path.read_bytes()[128:])


@_kind("dicom-named-png", notes=("percentile-window", "wrong-ending"))
def _(folder: Path) -> Path:
    return write(folder / "film.png", dataset(radiograph(12), bits=12))


@_kind("dicom-without-preamble", notes=("percentile-window",))
def _(folder: Path) -> Path:
    path = write(folder / "film.dcm", dataset(radiograph(12), bits=12))
    return _put(folder, "film.dcm", path.read_bytes()[132:])
