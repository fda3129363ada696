"""Pictures that are members of an array archive: ``ARCHIVE.npz::ARRAY::INDEX`` (MedMNIST's form)."""

from __future__ import annotations

import functools
import math
import os
import re
import threading
import zipfile
import zlib
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from pulmoscope.errors import ImageError
from pulmoscope.imaging.limits import check_size
from pulmoscope.imaging.raster import Grey
from pulmoscope.imaging.read import display

MAX_ARRAY_BYTES = 4 << 30
_MEMBER = re.compile(r"(?P<archive>.+\.npz)::(?P<array>[^:]+)::(?P<index>\d+)", re.IGNORECASE | re.DOTALL)
# One thread loads an archive, the others wait for it rather than load it again.
_loading = threading.Lock()


def is_member(path: str | os.PathLike[str]) -> bool:
    """Whether ``path`` names a member of an array archive."""
    return _MEMBER.fullmatch(os.fspath(path)) is not None


def member_pixels(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """The member's own pixels, (H, W) or (H, W, 3) uint8.

    Raises:
        ImageError: E_MISSING (archive, array or index), E_NOT_IMAGE (other shape or type), E_CORRUPT,
            E_TOO_LARGE.
    """
    match = _MEMBER.fullmatch(os.fspath(path))
    if match is None:
        raise ImageError(f"{display(path)} does not name a member of an archive", code="E_MISSING")
    archive, array, index = match["archive"], match["array"], int(match["index"])
    try:
        status = os.stat(archive)
    except OSError as error:
        raise ImageError(f"{display(archive)} does not exist", code="E_MISSING") from error
    with _loading:
        stack = _load(archive, array, status.st_mtime_ns, status.st_size)
    if index >= len(stack):
        raise ImageError(
            f"{display(path)} does not exist",
            code="E_MISSING",
            expected=f"an index under {len(stack)}",
            got=str(index),
        )
    pixels: NDArray[np.uint8] = stack[index]
    check_size(display(path), pixels.shape[1], pixels.shape[0], min_side=8)
    return pixels


def decode_member(path: str | os.PathLike[str]) -> Grey:
    """Grey values of a member; colour by ITU-R BT.601 luma."""
    pixels = member_pixels(path)
    if pixels.ndim == 2:
        return Grey(values=pixels, scale=255.0, notes=[])
    weights = np.array([19595, 38470, 7471], np.uint32)
    luma = ((pixels.astype(np.uint32) @ weights + 0x8000) >> 16).astype(np.uint8)
    return Grey(values=luma, scale=255.0, notes=["colour-to-grey"])


@functools.lru_cache(maxsize=4)
def _load(archive: str, array: str, _mtime_ns: int, _size: int) -> NDArray[np.uint8]:
    name = f"{display(archive)}::{array}"
    try:
        with zipfile.ZipFile(archive) as members:
            if f"{array}.npy" not in members.namelist():
                known = ", ".join(sorted(member.removesuffix(".npy") for member in members.namelist())[:12])
                raise ImageError(f"{name} does not exist", code="E_MISSING", expected=f"one of {known}")
            with members.open(f"{array}.npy") as file:
                _check_header(name, file)
            with members.open(f"{array}.npy") as file:
                stack: NDArray[np.uint8] = npy.read_array(file, allow_pickle=False)
                return stack
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, EOFError, RuntimeError) as error:
        raise ImageError(
            f"{name} cannot be read", code="E_CORRUPT", expected="a NumPy .npz archive of uint8 pictures"
        ) from error


def _check_header(name: str, file: Any) -> None:
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype != np.uint8 or not (len(shape) == 3 or (len(shape) == 4 and shape[3] == 3)):
        raise ImageError(
            f"{name} does not hold pictures",
            code="E_NOT_IMAGE",
            expected="uint8 of shape (N, H, W) or (N, H, W, 3)",
            got=f"{dtype} of shape {shape}",
        )
    if math.prod(shape) > MAX_ARRAY_BYTES:
        raise ImageError(f"{name} is too large", code="E_TOO_LARGE", expected="at most 4 GiB")
