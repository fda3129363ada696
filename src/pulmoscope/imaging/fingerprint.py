"""What identifies a picture: its bytes (SHA-256) and its look (a perceptual hash)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pulmoscope.errors import ImageError
from pulmoscope.imaging.archive import decode_member, is_member, member_pixels
from pulmoscope.imaging.decode import decode_bytes, finish
from pulmoscope.imaging.parallel import parallel_map
from pulmoscope.imaging.read import display, read_picture

_SIDE, _LOW = 32, 8
_BITS = 1 << np.arange(63, -1, -1, dtype=np.uint64)


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """A picture's identity.

    Attributes:
        sha256: Of the file's bytes; of the pixels for a member of an array archive. 64 hexadecimal digits.
        phash: 64-bit perceptual hash, 16 hexadecimal digits.
        width: Pixels, after any EXIF rotation.
        height: Pixels.
        notes: What decoding noted.
    """

    sha256: str
    phash: str
    width: int
    height: int
    notes: tuple[str, ...]


def fingerprint(path: str | os.PathLike[str]) -> Fingerprint:
    """Read a picture once and fingerprint it.

    Raises:
        ImageError: As :func:`pulmoscope.imaging.decode.decode`.
    """
    if is_member(path):
        digest = hashlib.sha256(member_pixels(path).tobytes())
        decoded = finish(decode_member(path), display(path))
    else:
        content = read_picture(path)
        digest = hashlib.sha256(content)
        decoded = decode_bytes(content, path)
    height, width = decoded.pixels.shape
    return Fingerprint(
        sha256=digest.hexdigest(),
        phash=f"{perceptual_hash(decoded.pixels):016x}",
        width=width,
        height=height,
        notes=decoded.notes,
    )


def fingerprint_many(
    paths: Sequence[str | os.PathLike[str]], *, workers: int | None = None, progress: bool = False
) -> list[Fingerprint | ImageError]:
    """Fingerprint many pictures in threads; the answers keep the order of ``paths``.

    A picture that cannot be read gives its :class:`ImageError` in its place.
    """
    return list(
        parallel_map(_attempt, paths, workers=workers, progress="Reading pictures" if progress else None)
    )


def perceptual_hash(pixels: NDArray[np.float32]) -> int:
    """A 64-bit hash of a picture's coarse structure; resized or re-encoded copies differ in few bits.

    The picture is shrunk to 32 x 32, transformed by a type II discrete cosine transform, and each of the 8 x
    8 lowest coefficients is compared with their median, as the ``phash`` of the ImageHash package does.

    Args:
        pixels: (H, W) in [0, 1].
    """
    small = cv2.resize(np.ascontiguousarray(pixels), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    low = (_COSINES @ small @ _COSINES.T).ravel()
    return int(_BITS[low > np.median(low)].sum())


def _attempt(path: str | os.PathLike[str]) -> Fingerprint | ImageError:
    try:
        return fingerprint(path)
    except ImageError as error:
        return error


def _cosines() -> NDArray[np.float32]:
    frequency, position = np.arange(_LOW)[:, None], np.arange(_SIDE)[None, :]
    return np.asarray(2 * np.cos(np.pi * frequency * (2 * position + 1) / (2 * _SIDE)), np.float32)


_COSINES = _cosines()
