"""DICOM radiographs to grey display values. Identifying attributes are never read, quoted or noted."""

from __future__ import annotations

import contextlib
import importlib
import io
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulmoscope.errors import ImageError
from pulmoscope.imaging.codestream import CodestreamSize, ends, jpeg2000_size, jpeg_size
from pulmoscope.imaging.dicom_display import display_table
from pulmoscope.imaging.limits import MAX_PIXELS, check_size
from pulmoscope.imaging.quiet import captured_stderr, quiet
from pulmoscope.imaging.raster import Grey
from pulmoscope.imaging.read import is_dicom
from pulmoscope.imaging.rle import decode_rle

__all__ = ["decode_dicom", "is_dicom"]

_MAX_FRAMES = 10_000
_DEFLATED, _EXPLICIT = b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.1"
_JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
_RLE = "1.2.840.10008.1.2.5"
# The plug-in is named, so a file decodes alike on every machine. None has a copyleft licence.
_PLUGINS = {
    "1.2.840.10008.1.2.4.50": ("pillow", "Pillow"),
    _JPEG_EXTENDED: ("pillow", "Pillow"),
    "1.2.840.10008.1.2.4.57": ("gdcm", "python-gdcm"),
    "1.2.840.10008.1.2.4.70": ("gdcm", "python-gdcm"),
    "1.2.840.10008.1.2.4.80": ("pyjpegls", "pyjpegls"),
    "1.2.840.10008.1.2.4.81": ("pyjpegls", "pyjpegls"),
    "1.2.840.10008.1.2.4.90": ("pylibjpeg", "pylibjpeg-openjpeg"),
    "1.2.840.10008.1.2.4.91": ("pylibjpeg", "pylibjpeg-openjpeg"),
    "1.2.840.10008.1.2.4.201": ("pylibjpeg", "pylibjpeg-openjpeg"),
    "1.2.840.10008.1.2.4.202": ("pylibjpeg", "pylibjpeg-openjpeg"),
    "1.2.840.10008.1.2.4.203": ("pylibjpeg", "pylibjpeg-openjpeg"),
}
_NATIVE = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"}
_JPEG_LS = {"1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"}
# Only these attributes are parsed; none identifies a person.
_TAGS = [
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PlanarConfiguration",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "VOILUTSequence",
    "ModalityLUTSequence",
    "RescaleSlope",
    "RescaleIntercept",
    "LUTDescriptor",
    "LUTData",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    "PixelData",
]


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """How the pixels are stored."""

    syntax: str
    rows: int
    columns: int
    allocated: int
    stored: int
    high_bit: int
    signed: bool
    frames: int
    photometric: str

    @property
    def frame_bytes(self) -> int:
        return self.rows * self.columns * self.allocated // 8


def decode_dicom(content: bytes, name: str, frame: int | None) -> Grey:
    """Decode the bytes of a DICOM file to display values in [0, 1].

    Stored values pass the modality LUT or rescale, then the VOI LUT or window, or, where the file has none, a
    window from the 0.5th to the 99.5th percentile of the pixels that are not padding. MONOCHROME1 is
    inverted; padding is black.

    Args:
        content: The whole file.
        name: The file's name for messages.
        frame: Which frame of a multi-frame object, counted from 0.

    Raises:
        ImageError: E_NO_PIXELS, E_MULTIFRAME, E_TRUNCATED, E_CORRUPT, E_TOO_SMALL, E_TOO_LARGE,
            E_PHOTOMETRIC, E_TRANSFER_SYNTAX.
    """
    with quiet():
        try:
            return _decode(content, name, frame)
        except ImageError:
            raise
        except MemoryError as error:
            raise ImageError(f"{name} needs more memory than there is", code="E_TOO_LARGE") from error
        except Exception:  # noqa: BLE001
            # A damaged file can raise nearly anything, and the text may quote the file: drop the chain too.
            raise _corrupt(name, "its content cannot be decoded") from None


def _decode(content: bytes, name: str, frame: int | None) -> Grey:
    import pydicom

    _hush_gdcm()
    dataset = pydicom.dcmread(io.BytesIO(_inflate(content, name)), force=True, specific_tags=list(_TAGS))
    layout = _layout(dataset, name, content)
    index = _choose_frame(layout, name, frame)
    codes, bits = _codes(dataset, layout, name, index)
    notes: list[str] = []
    table = display_table(
        dataset,
        codes,
        bits,
        signed=layout.signed,
        allocated=layout.allocated,
        inverted=layout.photometric == "MONOCHROME1",
        notes=notes,
    )
    return Grey(values=table[codes], scale=1.0, notes=notes)


def _layout(dataset: Any, name: str, content: bytes) -> _Layout:
    if "PixelData" not in dataset:
        if b"\xe0\x7f\x10\x00" in content:
            raise _truncated(name)
        raise ImageError(
            f"{name} holds no picture",
            code="E_NO_PIXELS",
            expected="a DICOM file with pixel data",
            got="none: a report, a presentation state, or a file cut short",
        )
    samples = _integer(dataset, "SamplesPerPixel", name, 1)
    photometric = str(dataset.get("PhotometricInterpretation") or "MONOCHROME2").strip().upper()
    if samples != 1 or photometric not in {"MONOCHROME1", "MONOCHROME2"}:
        raise ImageError(
            f"{name} is not a grey picture",
            code="E_PHOTOMETRIC",
            expected="MONOCHROME1 or MONOCHROME2 with one sample a pixel",
            got=f"{samples} sample(s) a pixel, {_known_photometric(photometric)}",
            remedy="export the radiograph itself, not a colour capture of it",
        )
    rows, columns = _integer(dataset, "Rows", name, 0), _integer(dataset, "Columns", name, 0)
    check_size(name, columns, rows)
    allocated = _integer(dataset, "BitsAllocated", name, 16)
    stored = _integer(dataset, "BitsStored", name, allocated)
    high_bit = _integer(dataset, "HighBit", name, stored - 1)
    if allocated not in {8, 16} or not 1 <= stored <= allocated or not stored - 1 <= high_bit < allocated:
        raise ImageError(
            f"{name} has an impossible pixel layout",
            code="E_CORRUPT",
            expected="8 or 16 bits allocated, no more than that stored",
            got=f"{stored} stored of {allocated}, high bit {high_bit}",
        )
    meta = getattr(dataset, "file_meta", None)
    syntax = str(meta.get("TransferSyntaxUID", "") if meta is not None else "")
    if not syntax:
        implicit, little = dataset.original_encoding
        syntax = (
            "1.2.840.10008.1.2" if implicit else "1.2.840.10008.1.2.1" if little else "1.2.840.10008.1.2.2"
        )
    return _Layout(
        syntax=syntax,
        rows=rows,
        columns=columns,
        allocated=allocated,
        stored=stored,
        high_bit=high_bit,
        signed=_integer(dataset, "PixelRepresentation", name, 0) == 1,
        frames=max(1, _integer(dataset, "NumberOfFrames", name, 1)),
        photometric=photometric,
    )


def _choose_frame(layout: _Layout, name: str, frame: int | None) -> int:
    if layout.frames > _MAX_FRAMES:
        raise ImageError(
            f"{name} claims too many frames",
            code="E_MULTIFRAME",
            expected=f"at most {_MAX_FRAMES}",
            got=str(layout.frames),
        )
    if frame is None and layout.frames > 1:
        raise ImageError(
            f"{name} holds {layout.frames} frames",
            code="E_MULTIFRAME",
            expected="one radiograph a file",
            remedy="save the frame you mean as a file of its own",
        )
    if not 0 <= (frame or 0) < layout.frames:
        raise ImageError(
            f"{name} has no frame {frame}",
            code="E_MULTIFRAME",
            expected=f"0 to {layout.frames - 1}",
            got=str(frame),
        )
    return frame or 0


def _codes(dataset: Any, layout: _Layout, name: str, index: int) -> tuple[NDArray[np.uint16], int]:
    """One frame's stored bit patterns (H, W), and how many bits each has."""
    bits = layout.stored
    packed = layout.syntax in _NATIVE or layout.syntax == _RLE
    if layout.syntax == _RLE:
        codes = _run_lengths(dataset, layout, name, index)
    elif layout.syntax in _NATIVE:
        _check_native_length(dataset, layout, name, index)
        # Unused bits are masked below, where the high bit is known.
        codes = _decoded(dataset, layout, name, index, correct_unused_bits=False)
    else:
        plugin, size = _check_encapsulated(dataset, layout, name, index)
        if layout.syntax in _JPEG_LS or plugin == "pylibjpeg":
            # These decoders return samples of the codestream's own precision.
            bits = min(max(bits, size.precision), 16)
        with captured_stderr(plugin == "gdcm") as complaints:
            codes = _decoded(dataset, layout, name, index, decoding_plugin=plugin)
        if complaints:
            raise _corrupt(name, "its compressed pixels are damaged")
    if packed and layout.high_bit != layout.stored - 1:
        codes = np.right_shift(codes, np.uint16(layout.high_bit - layout.stored + 1))
    return codes & np.uint16((1 << bits) - 1), bits


def _decoded(dataset: Any, layout: _Layout, name: str, index: int, **options: Any) -> NDArray[np.uint16]:
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    raw, _ = get_decoder(UID(layout.syntax)).as_array(dataset, index=index, raw=True, **options)
    if raw.shape != (layout.rows, layout.columns):
        raise _corrupt(name, "its pixels do not fill its frame")
    wide: NDArray = raw.astype(np.int16 if raw.dtype.kind == "i" else np.uint16, copy=False)
    return wide.view(np.uint16)


def _run_lengths(dataset: Any, layout: _Layout, name: str, index: int) -> NDArray[np.uint16]:
    try:
        return decode_rle(
            _compressed_frame(dataset, layout, name, index),
            rows=layout.rows,
            columns=layout.columns,
            allocated=layout.allocated,
        )
    except EOFError:
        raise _truncated(name) from None
    except ValueError as error:
        raise _corrupt(name, str(error)) from None


def _compressed_frame(dataset: Any, layout: _Layout, name: str, index: int) -> bytes:
    from pydicom.encaps import get_frame

    try:
        return get_frame(dataset.PixelData, index, number_of_frames=layout.frames)
    except Exception:  # noqa: BLE001 - pydicom raises several kinds
        raise _truncated(name) from None


def _check_native_length(dataset: Any, layout: _Layout, name: str, index: int) -> None:
    found, needed = len(dataset.PixelData), layout.frame_bytes * (index + 1)
    if found < needed:
        raise _truncated(name)


def _check_encapsulated(dataset: Any, layout: _Layout, name: str, index: int) -> tuple[str, CodestreamSize]:
    """Refuse what cannot or should not be decoded; name the plug-in for the rest."""
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    if layout.syntax not in _PLUGINS:
        raise ImageError(
            f"{name} is compressed in a way that cannot be read",
            code="E_TRANSFER_SYNTAX",
            got=f"transfer syntax {layout.syntax[:64]!r}",
            remedy="export it again as Explicit VR Little Endian",
        )
    size = _codestream_size(_compressed_frame(dataset, layout, name, index), layout, name)
    plugin, package = _PLUGINS[layout.syntax]
    available = get_decoder(UID(layout.syntax)).available_plugins
    if layout.syntax == _JPEG_EXTENDED and size.precision > 8:
        if "pylibjpeg" not in available:
            raise ImageError(
                f"{name} is compressed as JPEG Extended with {size.precision} bits, which cannot be read",
                code="E_TRANSFER_SYNTAX",
                remedy="install dcmtk and convert it: dcmdjpeg FILE NEWFILE",
            )
        plugin = "pylibjpeg"
    if plugin not in available:
        raise ImageError(
            f"{name} is compressed in a way that needs another package",
            code="E_TRANSFER_SYNTAX",
            got=f"transfer syntax {layout.syntax}",
            remedy=f"pip install {package}",
        )
    return plugin, size


def _codestream_size(frame: bytes, layout: _Layout, name: str) -> CodestreamSize:
    jpeg2000 = layout.syntax.startswith(("1.2.840.10008.1.2.4.9", "1.2.840.10008.1.2.4.20"))
    size = jpeg2000_size(frame) if jpeg2000 else jpeg_size(frame)
    if size is None:
        raise _corrupt(name, "its compressed pixels have no valid header")
    if size.width * size.height > MAX_PIXELS:
        check_size(name, size.width, size.height)
    if (size.width, size.height, size.components) != (layout.columns, layout.rows, 1):
        raise ImageError(
            f"{name} contradicts itself",
            code="E_CORRUPT",
            expected=f"compressed pixels of {layout.columns} x {layout.rows}, one component, as the header says",
            got=f"{size.width} x {size.height}, {size.components} component(s)",
        )
    if size.precision > layout.allocated:
        raise _corrupt(name, f"{size.precision} bits a sample where {layout.allocated} are allocated")
    if not ends(frame):
        raise _truncated(name)
    return size


def _integer(dataset: Any, keyword: str, name: str, default: int) -> int:
    value = dataset.get(keyword)
    if value is None:
        return default
    try:
        return int(value)
    except (TypeError, ValueError):
        raise _corrupt(name, f"its {keyword} is not a number") from None


def _inflate(content: bytes, name: str) -> bytes:
    """Undo the deflated transfer syntax, up to what the largest picture needs; other files pass."""
    mark = content.find(b"\x02\x00\x10\x00UI", 128, 4096)
    if mark < 0 or content[mark + 8 : mark + 30] != _DEFLATED:
        return content
    if content[132:136] != b"\x02\x00\x00\x00":
        raise _corrupt(name, "its file meta information has no length")
    start = 144 + int.from_bytes(content[140:144], "little")
    limit = 2 * MAX_PIXELS + (16 << 20)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    body = inflater.decompress(content[start:], limit)
    if inflater.unconsumed_tail:
        raise ImageError(
            f"{name} is too large", code="E_TOO_LARGE", expected=f"at most {limit} bytes inflated"
        )
    if not inflater.eof:
        raise _truncated(name)
    head = content[: mark + 8] + _EXPLICIT.ljust(len(_DEFLATED), b"\0") + content[mark + 30 : start]
    return head + body


def _hush_gdcm() -> None:
    """GDCM writes to standard error by itself, past Python's warnings and logging."""
    with contextlib.suppress(ImportError):
        trace = importlib.import_module("gdcm").Trace
        trace.WarningOff()
        trace.ErrorOff()
        trace.DebugOff()


def _known_photometric(photometric: str) -> str:
    # Free text from the file is not repeated.
    known = ("MONOCHROME1", "MONOCHROME2", "RGB", "PALETTE COLOR")
    return (
        photometric if photometric in known or photometric.startswith("YBR_") else "an unknown interpretation"
    )


def _truncated(name: str) -> ImageError:
    return ImageError(
        f"{name} is cut short", code="E_TRUNCATED", expected="a whole DICOM file", remedy="export it again"
    )


def _corrupt(name: str, got: str) -> ImageError:
    return ImageError(f"{name} is damaged", code="E_CORRUPT", expected="a valid DICOM file", got=got)
