"""DICOM's RLE Lossless (PS3.5 annex G), by Pillow's PackBits decoder.

The compiled RLE package panics past Python's exceptions on damaged data; this one refuses it.
"""

from __future__ import annotations

import itertools
import struct

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_HEADER_BYTES = 64
# A pair of bytes stands for 128 pixels at most.
_LARGEST_GAIN = 64


def decode_rle(frame: bytes, *, rows: int, columns: int, allocated: int) -> NDArray[np.uint16]:
    """Decode one frame of one sample a pixel.

    Args:
        frame: Header and segments.
        rows: Height.
        columns: Width.
        allocated: Bits allocated, 8 or 16: one segment a byte, the most significant first.

    Returns:
        (rows, columns) uint16.

    Raises:
        ValueError: The header is wrong.
        EOFError: The segments hold less than they should.
    """
    if len(frame) < _HEADER_BYTES:
        raise EOFError("the run-length header is cut short")
    count, *offsets = struct.unpack("<16L", frame[:_HEADER_BYTES])
    if count != allocated // 8:
        raise ValueError(f"expected {allocated // 8} run-length segments, got {count}")
    bounds = list(itertools.pairwise([*offsets[:count], len(frame)]))
    if bounds[0][0] < _HEADER_BYTES or any(start >= end for start, end in bounds):
        raise ValueError("run-length segments overlap or lie outside the frame")
    # Before anything is allocated for what a false header claims.
    if any(rows * columns > _LARGEST_GAIN * (end - start) for start, end in bounds):
        raise EOFError("a run-length segment is too short for its picture")
    codes = np.zeros(rows * columns, np.uint16)
    for start, end in bounds:
        codes <<= np.uint16(8)
        codes |= _unpack(frame[start:end], rows * columns)
    return codes.reshape(rows, columns)


def _unpack(segment: bytes, length: int) -> NDArray[np.uint8]:
    try:
        return np.asarray(Image.frombytes("L", (length, 1), segment, "packbits", "L")).ravel()
    except ValueError as error:
        raise EOFError("a run-length segment ends early") from error
