"""What identifies a picture: its bytes (SHA-256) and its looks (four perceptual hashes)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass

from pulmoscope.errors import ImageError
from pulmoscope.imaging.archive import decode_member, is_member, member_pixels
from pulmoscope.imaging.decode import decode_bytes, finish
from pulmoscope.imaging.looks import look_hashes
from pulmoscope.imaging.parallel import parallel_map
from pulmoscope.imaging.read import display, read_picture


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """A picture's identity.

    Attributes:
        sha256: Of the file's bytes; of the pixels for a member of an array archive. 64 hexadecimal digits.
        phash: Four 64-bit perceptual hashes, 16 hexadecimal digits each: of the whole picture, its centre square,
            the picture without its dark border and the central 90% of that (:mod:`pulmoscope.imaging.looks`).
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
        phash=look_hashes(decoded.pixels),
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


def _attempt(path: str | os.PathLike[str]) -> Fingerprint | ImageError:
    try:
        return fingerprint(path)
    except ImageError as error:
        return error
