"""The size a compressed frame itself claims, read first: decoders allocate by it, not by the file's header."""

from __future__ import annotations

import struct
from dataclasses import dataclass

_J2K_START = b"\xff\x4f\xff\x51"
_NOT_FRAME_HEADERS = {0xC4, 0xC8, 0xCC}
_STANDALONE = {0x01, *range(0xD0, 0xD9)}


@dataclass(frozen=True, kw_only=True)
class CodestreamSize:
    """What a codestream's own header says.

    Attributes:
        width: Columns.
        height: Rows.
        components: Samples a pixel.
        precision: Bits a sample.
    """

    width: int
    height: int
    components: int
    precision: int


def jpeg_size(frame: bytes) -> CodestreamSize | None:
    """The frame header (SOF, ISO/IEC 10918-1 B.2.2) of a JPEG or JPEG-LS codestream, or None."""
    if frame[:2] != b"\xff\xd8":
        return None
    position = 2
    while position + 4 <= len(frame):
        if frame[position] != 0xFF:
            return None
        marker = frame[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        if marker in _STANDALONE:
            position += 2
            continue
        if marker in {0xD9, 0xDA}:
            return None
        (length,) = struct.unpack_from(">H", frame, position + 2)
        if (0xC0 <= marker <= 0xCF and marker not in _NOT_FRAME_HEADERS) or marker == 0xF7:
            if position + 10 > len(frame):
                return None
            precision, height, width, components = struct.unpack_from(">BHHB", frame, position + 4)
            return CodestreamSize(width=width, height=height, components=components, precision=precision)
        position += 2 + length
    return None


def jpeg2000_size(frame: bytes) -> CodestreamSize | None:
    """The SIZ segment of a JPEG 2000 codestream (ISO/IEC 15444-1 A.5.1), or None."""
    start = frame.find(_J2K_START, 0, 1024)
    if start < 0 or start + 44 > len(frame):
        return None
    right, bottom, left, top = struct.unpack_from(">IIII", frame, start + 8)
    components, depth = struct.unpack_from(">HB", frame, start + 40)
    return CodestreamSize(
        width=right - left, height=bottom - top, components=components, precision=(depth & 0x7F) + 1
    )


def ends(frame: bytes) -> bool:
    """Whether a JPEG, JPEG-LS or JPEG 2000 codestream has its end marker; one cut short has none."""
    return b"\xff\xd9" in frame[-64:]
