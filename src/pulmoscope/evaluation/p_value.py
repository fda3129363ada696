"""A p-value as it is printed."""

from __future__ import annotations

import math


def show_p(p: float) -> str:
    """A p-value in words.

    >>> show_p(0.8358), show_p(0.00002), show_p(1.0), show_p(float("nan"))
    ('p = .84', 'p < .001', 'p = 1', 'p undefined')
    """
    if math.isnan(p):
        return "p undefined"
    if p < 0.001:
        return "p < .001"
    if p >= 0.995:
        return "p = 1"
    return "p = " + (f"{p:.2f}" if p >= 0.0995 else f"{p:.3f}").removeprefix("0")


def show_bare_p(p: float) -> str:
    """A p-value for a column headed p: without "p" and the sign of equality.

    >>> show_bare_p(0.8358), show_bare_p(0.00002), show_bare_p(1.0), show_bare_p(float("nan"))
    ('.84', '< .001', '1', 'undefined')
    """
    return show_p(p).removeprefix("p ").removeprefix("= ")
