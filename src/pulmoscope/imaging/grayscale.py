"""DICOM's grayscale pipeline: stored value -> modality LUT -> VOI LUT or window -> display value (PS3.4 N.2).

All of it acts on a table with one entry for each value that can be stored (65,536 at most), never on the
pixels, so a ten-megapixel radiograph costs one look-up a pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

PERCENTILES = (0.5, 99.5)
WindowFunction = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]


@dataclass(frozen=True, kw_only=True)
class LookupTable:
    """A modality or VOI LUT (PS3.3 C.11.1, C.11.2).

    Attributes:
        first: The input value that maps to the first entry; values below it map there too.
        bits: Bits of each entry.
        entries: Output values, (M,) uint16.
    """

    first: int
    bits: int
    entries: NDArray[np.uint16]

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map ``values``, clipped to the table's ends."""
        index = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1).astype(np.int64)
        return np.asarray(self.entries[index], np.float64)

    @property
    def top(self) -> float:
        """The largest value the table can give."""
        return float(max((1 << self.bits) - 1, int(self.entries.max())))


@dataclass(frozen=True, kw_only=True)
class Window:
    """A VOI window.

    Attributes:
        center: In output units of the modality LUT.
        width: Over 0; at least 1 for ``LINEAR``.
        function: PS3.3 C.11.2.1.2 and C.11.2.1.3.
    """

    center: float
    width: float
    function: WindowFunction = "LINEAR"

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map ``values`` to [0, 1]."""
        if self.function == "SIGMOID":
            exponent = np.clip(-4 * (values - self.center) / self.width, -700, 700)
            return 1 / (1 + np.exp(exponent))
        if self.function == "LINEAR_EXACT":
            return np.clip((values - self.center) / self.width + 0.5, 0, 1)
        if self.width <= 1:
            return (values > self.center - 0.5).astype(np.float64)
        return np.clip((values - (self.center - 0.5)) / (self.width - 1) + 0.5, 0, 1)


def stored_values(bits: int, signed: bool) -> NDArray[np.float64]:
    """The number that each of the 2**bits codes stands for."""
    codes = np.arange(1 << bits, dtype=np.float64)
    return np.where(codes >= 1 << (bits - 1), codes - (1 << bits), codes) if signed else codes


def percentile_window(
    values: NDArray[np.float64], counts: NDArray[np.float64], percentiles: tuple[float, float] = PERCENTILES
) -> NDArray[np.float64]:
    """Stretch between two percentiles of the pixels, to [0, 1].

    Args:
        values: What each code stands for, (K,).
        counts: How many pixels hold each code, (K,); padding left out.
        percentiles: Lower and upper, of 100.

    Returns:
        (K,) in [0, 1]; constant where all pixels are equal.
    """
    order = np.argsort(values, kind="stable")
    below = np.cumsum(counts[order])
    if below[-1] == 0:
        return np.zeros_like(values)
    ranks = np.asarray(percentiles) / 100 * (below[-1] - 1)
    low, high = values[order][np.searchsorted(below, ranks, side="right")]
    if low == high:
        present = values[counts > 0]
        low, high = present.min(), present.max()
    if low == high:
        return np.zeros_like(values)
    return np.asarray(np.clip((values - low) / (high - low), 0, 1))
