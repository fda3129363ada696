"""A number as it was printed: its digits say how far the true value may lie from it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

_NUMBER = re.compile(r"(-?)(\d*)(?:\.(\d*))?\s*(%?)", re.ASCII)
_MOST_DIGITS = 15


@dataclass(frozen=True, kw_only=True)
class Printed:
    """A printed number.

    Attributes:
        text: As it was printed.
        value: As a fraction; ``96.36%`` is 0.9636.
        unit: One step of the last digit: 0.0001 for ``96.36%`` and for ``0.9636``.
        percent: Whether it was printed in per cent.
    """

    text: str
    value: Fraction
    unit: Fraction
    percent: bool = False

    @property
    def rounded(self) -> tuple[Fraction, Fraction]:
        """Closed interval of what rounds to it: half a unit on both sides, ends included (rules for ties differ)."""
        return self.value - self.unit / 2, self.value + self.unit / 2

    @property
    def cut(self) -> tuple[Fraction, Fraction]:
        """Closed interval of what rounds to it or, with further digits cut off, begins with it."""
        away = self.unit if self.value >= 0 else self.unit / 2
        return self.value - (self.unit / 2 if self.value >= 0 else self.unit), self.value + away

    def show(self, value: float | Fraction) -> str:
        """Another number in the same unit, with one digit more.

        >>> parse_printed("96.4%").show(0.96358)
        '96.36%'
        """
        scale = 100 if self.percent else 1
        places = len(self.text.rstrip("% ").partition(".")[2]) + 1
        return f"{float(value) * scale:.{max(places, 2)}f}" + ("%" if self.percent else "")


def parse_printed(text: str) -> Printed:
    """Read a printed number, in per cent where it ends in ``%``.

    Raises:
        ValueError: It is no number, or has more than 15 digits.

    >>> parse_printed(".970").rounded == (Fraction("0.9695"), Fraction("0.9705"))
    True
    """
    found = _NUMBER.fullmatch(text.strip())
    if found is None or not (found[2] or found[3]) or len(found[2] + (found[3] or "")) > _MOST_DIGITS:
        raise ValueError(f"expected a number as printed, such as 0.970 or 97.0%, got {text!r}")
    scale = 100 if found[4] else 1
    digits = len(found[3] or "")
    size = Fraction(int((found[2] or "0") + (found[3] or "")), 10**digits * scale)
    return Printed(
        text=text.strip(),
        value=-size if found[1] else size,
        unit=Fraction(1, 10**digits * scale),
        percent=bool(found[4]),
    )
