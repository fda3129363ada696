"""From a DICOM dataset's grayscale attributes to what each stored value is displayed as."""

from __future__ import annotations

from typing import Any, cast, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from pulmoscope.imaging.grayscale import LookupTable, Window, WindowFunction, percentile_window, stored_values


def display_table(
    dataset: Any,
    codes: NDArray[np.uint16],
    bits: int,
    *,
    signed: bool,
    allocated: int,
    inverted: bool,
    notes: list[str],
) -> NDArray[np.float32]:
    """What to display for each bit pattern that a pixel can hold.

    Args:
        dataset: The pydicom dataset.
        codes: The pixels' bit patterns, (H, W).
        bits: How many bits each has.
        signed: Whether they are two's complement.
        allocated: Bits allocated, 8 or 16.
        inverted: Whether the lowest value is white (MONOCHROME1).
        notes: Takes what was done, as stable codes.

    Returns:
        (2**bits,) in [0, 1].
    """
    stored = stored_values(bits, signed)
    counts = np.asarray(cv2.calcHist([codes], [0], None, [1 << bits], [0, 1 << bits]), np.float64).ravel()
    padding = _padding(dataset, stored, None if signed else allocated)
    if (counts[padding] > 0).any() and (counts[~padding] > 0).any():
        notes.append("padding-masked")
    else:
        padding = np.zeros_like(padding)
    counts = np.where(padding, 0, counts)
    values = _modality(dataset, stored, notes)
    shown = _voi(dataset, values, counts, notes)
    if shown is None:
        notes.append("percentile-window")
        shown = percentile_window(values, counts)
    if inverted:
        notes.append("inverted-monochrome1")
        shown = 1 - shown
    return np.where(padding, 0, shown).astype(np.float32)


def _padding(dataset: Any, stored: NDArray[np.float64], unsigned_bits: int | None) -> NDArray[np.bool_]:
    value = _number(dataset, "PixelPaddingValue")
    if value is None:
        return np.zeros(len(stored), bool)
    limit = _number(dataset, "PixelPaddingRangeLimit")
    ends_ = [value, value if limit is None else limit]
    if unsigned_bits is not None:
        # Files written with the wrong value representation give a negative number for a large one.
        ends_ = [end + (1 << unsigned_bits) if end < 0 else end for end in ends_]
    return np.asarray((stored >= min(ends_)) & (stored <= max(ends_)))


def _modality(dataset: Any, stored: NDArray[np.float64], notes: list[str]) -> NDArray[np.float64]:
    table = _lookup(dataset, "ModalityLUTSequence")
    if table is not None:
        notes.append("modality-lut")
        return table(stored)
    slope, intercept = _number(dataset, "RescaleSlope"), _number(dataset, "RescaleIntercept")
    slope, intercept = slope or 1.0, intercept or 0.0
    if (slope, intercept) != (1.0, 0.0):
        notes.append("rescaled")
    return stored * slope + intercept


def _voi(
    dataset: Any, values: NDArray[np.float64], counts: NDArray[np.float64], notes: list[str]
) -> NDArray[np.float64] | None:
    """Display values by the file's own VOI LUT or window; None if it has none that shows anything."""
    table = _lookup(dataset, "VOILUTSequence")
    if table is not None:
        shown, note = table(values) / table.top, "voi-lut"
    else:
        center, width = _number(dataset, "WindowCenter"), _number(dataset, "WindowWidth")
        if center is None or width is None or width <= 0:
            return None
        function = str(dataset.get("VOILUTFunction") or "LINEAR").strip().upper()
        window = Window(
            center=center,
            width=width,
            function=cast(WindowFunction, function) if function in get_args(WindowFunction) else "LINEAR",
        )
        shown, note = window(values), "window"
    present = shown[counts > 0]
    if len(present) > 1 and present.min() == present.max():
        return None
    notes.append(note)
    return shown


def _lookup(dataset: Any, keyword: str) -> LookupTable | None:
    sequence = dataset.get(keyword)
    if not sequence:
        return None
    item = sequence[0]
    count, first, bits = (int(value) for value in item.LUTDescriptor)
    data, count = item.LUTData, count or 1 << 16
    if isinstance(data, bytes):
        data = np.frombuffer(data, np.uint8 if len(data) in {count, count + 1} else "<u2")
    entries = np.atleast_1d(np.asarray(data)).astype(np.uint16)[:count]
    return LookupTable(first=first, bits=min(max(bits, 1), 16), entries=entries)


def _number(dataset: Any, keyword: str) -> float | None:
    """A decimal attribute's first value; None where it is absent or not a finite number."""
    value = dataset.get(keyword)
    if value is not None and not isinstance(value, str | bytes | int | float) and hasattr(value, "__len__"):
        value = value[0] if len(value) else None
    if isinstance(value, bytes):
        value = int.from_bytes(value[:2], "little") if len(value) >= 2 else None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None
