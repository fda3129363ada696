"""Are two radiographs the same exposure? Candidates from the hashes are compared pixel by pixel after alignment.

Chest films look alike to a 64-bit hash: among 621 radiographs of 621 patients 626 pairs lie within the candidate
radius, among 5,856 paediatric ones 41,000. So each candidate's two nearest combinations of looks are aligned by an
affine transform that maximises the enhanced correlation coefficient (Evangelidis, Psarakis: Parametric image alignment
using enhanced correlation coefficient maximization, IEEE TPAMI 2008), at 32 and then at 64 pixels, and their
correlation over the common area must reach ``THRESHOLD``.

Measured. Copies: 240 radiographs of four collections in 15 edits each, 3,600 in all. Named by the hashes and joined:
JPEG quality 30-90, resizing by 0.5-2, stretching, centre square, padding to a square, brightness 100%; gamma 0.7-1.4,
rotation by 2 degrees, a black border of 6% 99.6%; a crop of 1%, 3%, 5% on every side 100%, 99%, 99%, uneven crops up to
5% 94%; crop, size, gamma and JPEG at once 99%; local histogram equalisation (CLAHE) 83%. Apart from that last edit
(0.92) the lowest 1% of their correlations begins at 0.96.

Not copies: the highest correlation of two patients is 0.917 in a sample of NIH ChestX-ray14 (621 patients), 0.934 in
the NIH part of DarkCovidNet, 0.934 in the paediatric set, each seen to be two different people; consecutive films of
one patient reach 0.98 when nothing moved. About 2,000 pairs a second and core.
"""

from __future__ import annotations

import logging
import math
import os
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pulmoscope.errors import ImageError
from pulmoscope.imaging.looks import LOOKS, SIDE, Look, look_at
from pulmoscope.imaging.parallel import parallel_map

THRESHOLD = 0.95
"""Correlation after alignment from which two pictures are copies."""

CACHE = 32_768
"""Pictures whose looks are held in memory, about 16 kB each."""

_SCREEN = 0.92
_COMBINATIONS = 2
_FARTHEST_SECOND = 12
_MARGIN = 4
_LEAST_AREA = 0.55
_MOST_STRETCH, _MOST_SHEAR = 0.2, 0.1
_BLOCK = 8192
_SLICE = 256
_EVERYWHERE: Any = None  # the stubs know no mask as no mask only where the filter is left out
_ONES = np.ones((SIDE, SIDE), np.uint8)
_log = logging.getLogger("pulmoscope")


def confirm(path_a: str | os.PathLike[str], path_b: str | os.PathLike[str]) -> bool:
    """Do two files show the same radiograph, perhaps re-encoded, resized, cropped by up to 5% a side or brightened?

    Raises:
        ImageError: One of them cannot be decoded.
    """
    return similarity(look_at(path_a), look_at(path_b)) >= THRESHOLD


def similarity(one: Look, other: Look) -> float:
    """Highest correlation of two pictures' band-passed looks after affine alignment, in [-1, 1]; symmetric enough.

    Where the alignment at 32 pixels already says that they differ, its correlation is given.
    """
    distances = np.bitwise_count(one.hashes[:, None] ^ other.hashes[None, :]).ravel()
    best = -1.0
    tried: set[tuple[bytes, bytes]] = set()
    for place in np.argsort(distances, kind="stable").tolist():
        if tried and distances[place] > _FARTHEST_SECOND:
            break
        first, second = one.thumbnails[place // LOOKS], other.thumbnails[place % LOOKS]
        key = (first.tobytes(), second.tobytes())
        if key in tried:  # a square picture without a border has one look thrice
            continue
        tried.add(key)
        best = max(best, _aligned_correlation(first.astype(np.float32), second.astype(np.float32)))
        if best >= THRESHOLD or len(tried) == _COMBINATIONS:
            break
    return best


class Confirmer:
    """Confirms many candidate pairs, decoding each picture once as long as the cache holds it.

    Args:
        paths: The pictures' files, by row; None where there is none.
        workers: Threads; by default one a core.
        cache: Pictures to hold.
    """

    def __init__(
        self, paths: Sequence[str | None], *, workers: int | None = None, cache: int = CACHE
    ) -> None:
        self._paths = paths
        self._workers = workers
        self._capacity = max(cache, 2 * _BLOCK)
        self._looks: OrderedDict[int, Look | None] = OrderedDict()

    def hashes(self, rows: Sequence[int], *, progress: bool = False) -> dict[int, NDArray[np.uint64]]:
        """The four hashes of every readable picture among ``rows``; what was decoded stays in the cache."""
        self._fetch(rows, "Looking for copies" if progress else None)
        return {row: look.hashes for row in rows if (look := self._looks.get(row)) is not None}

    def similarities(self, pairs: NDArray[np.int64], *, progress: bool = False) -> NDArray[np.float64]:
        """Similarity of each pair; NaN where one of the two has no readable picture.

        Args:
            pairs: (M, 2) row numbers, best sorted.
            progress: Show a bar on standard error.
        """
        blocks = range(0, len(pairs), _BLOCK)
        values = np.full(len(pairs), math.nan)
        for start in blocks:
            block = pairs[start : start + _BLOCK]
            self._fetch(np.unique(block).tolist(), None)
            slices = [block[at : at + _SLICE] for at in range(0, len(block), _SLICE)]
            title = f"Comparing candidates from {start:,} of {len(pairs):,}" if progress else None
            done = list(parallel_map(self._compare, slices, workers=self._workers, progress=title))
            values[start : start + len(block)] = np.concatenate(done)
        return values

    def _compare(self, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
        values = np.full(len(pairs), math.nan)
        for place, (first, second) in enumerate(pairs.tolist()):
            one, other = self._looks.get(first), self._looks.get(second)
            if one is not None and other is not None:
                values[place] = similarity(one, other)
        return values

    def _fetch(self, rows: Sequence[int], title: str | None) -> None:
        missing = []
        for row in rows:
            if row in self._looks:
                self._looks.move_to_end(row)
            else:
                missing.append(row)
        found = parallel_map(self._look, missing, workers=self._workers, progress=title)
        for row, seen in zip(missing, found, strict=True):
            self._looks[row] = seen
        while len(self._looks) > max(self._capacity, len(rows)):
            self._looks.popitem(last=False)

    def _look(self, row: int) -> Look | None:
        path = self._paths[row]
        if path is None:
            return None
        try:
            return look_at(path)
        except ImageError as error:
            _log.info("not compared for copies: %s", error)
            return None


def _aligned_correlation(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    half = (SIDE // 2, SIDE // 2)
    coarse_first = np.asarray(cv2.resize(first, half, interpolation=cv2.INTER_AREA), np.float32)
    coarse_second = np.asarray(cv2.resize(second, half, interpolation=cv2.INTER_AREA), np.float32)
    matrix = np.eye(2, 3, dtype=np.float32)
    screened, matrix = _align(coarse_first, coarse_second, matrix, smoothing=3, precision=1e-3)
    if screened < _SCREEN:
        return screened
    matrix[:, 2] *= 2
    _, matrix = _align(first, second, matrix, smoothing=5, precision=1e-4)
    flags = cv2.WARP_INVERSE_MAP
    moved = np.asarray(
        cv2.warpAffine(second, matrix, (SIDE, SIDE), flags=flags | cv2.INTER_LINEAR), np.float32
    )
    common = cv2.warpAffine(_ONES, matrix, (SIDE, SIDE), flags=flags | cv2.INTER_NEAREST) > 0
    # Blurring at the rim saw nothing beyond it: leave it out.
    common[:_MARGIN] = common[-_MARGIN:] = False
    common[:, :_MARGIN] = common[:, -_MARGIN:] = False
    if common.mean() < _LEAST_AREA or not _plausible(matrix):
        return _correlation(
            first[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN], second[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
        )
    return _correlation(first[common], moved[common])


def _align(
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    matrix: NDArray[np.float32],
    *,
    smoothing: int,
    precision: float,
) -> tuple[float, NDArray[np.float32]]:
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 40, precision)
    try:
        value, moved = cv2.findTransformECC(
            first, second, matrix.copy(), cv2.MOTION_AFFINE, criteria, _EVERYWHERE, smoothing
        )
    except cv2.error:  # its way of saying that the pictures do not correlate at all
        return -1.0, matrix
    return float(value), np.asarray(moved, np.float32)


def _plausible(matrix: NDArray[np.float32]) -> bool:
    stretch = max(abs(float(matrix[0, 0]) - 1), abs(float(matrix[1, 1]) - 1))
    return stretch <= _MOST_STRETCH and max(abs(float(matrix[0, 1])), abs(float(matrix[1, 0]))) <= _MOST_SHEAR


def _correlation(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    one, other = first.ravel() - first.mean(), second.ravel() - second.mean()
    scale = math.sqrt(float(one @ one) * float(other @ other))
    return float(one @ other) / scale if scale > 0 else -1.0
