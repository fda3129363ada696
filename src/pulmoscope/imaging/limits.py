"""How small and how large a picture may be, checked on the header before any pixel is decoded."""

from __future__ import annotations

from pulmoscope.errors import ImageError

MAX_PIXELS = 100_000_000
MIN_SIDE = 32


def check_size(name: str, width: int, height: int, *, min_side: int = MIN_SIDE) -> None:
    """Refuse pictures under 32 pixels a side or over 100 megapixels.

    Raises:
        ImageError: E_TOO_SMALL or E_TOO_LARGE.
    """
    if width < min_side or height < min_side:
        raise ImageError(
            f"{name} is too small",
            code="E_TOO_SMALL",
            expected=f"at least {min_side} pixels a side",
            got=f"{width} x {height}",
        )
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{name} is too large",
            code="E_TOO_LARGE",
            expected="at most 100 megapixels",
            got=f"{width} x {height}",
            remedy="reduce it, or check that the header is right",
        )
