"""Numbers as the page shows them: a rate with its interval, a count, a duration; undefined is said, never 0."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

UNDEFINED = "undefined"


_STAGES = {"head": "the head", "finetune": "fine-tuning"}


def number(value: object) -> float | None:
    """``value`` as a finite float, or None where it is null, NaN or no number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def value_of(rate: object) -> float | None:
    """The value of a rate that is given as a number or as ``{"value", "low", "high"}``; None where undefined."""
    return number(rate.get("value")) if isinstance(rate, Mapping) else number(rate)


def show_rate(rate: object, digits: int = 3) -> str:
    """A rate with its 95% interval.

    >>> show_rate({"value": 0.9426, "low": 0.9212, "high": 0.9604})
    '0.943 (0.921-0.960)'
    >>> show_rate({"value": -0.1, "low": -0.2, "high": -0.04}, 2)
    '-0.10 (-0.20 to -0.04)'
    >>> show_rate({"value": None, "low": None, "high": None})
    'undefined'
    >>> show_rate(0.5)
    '0.500'
    """
    value = value_of(rate)
    if value is None:
        return UNDEFINED
    if not isinstance(rate, Mapping):
        return f"{value:.{digits}f}"
    low, high = number(rate.get("low")), number(rate.get("high"))
    if low is None or high is None:
        return f"{value:.{digits}f}"
    between = " to " if low < 0 else "-"
    return f"{value:.{digits}f} ({low:.{digits}f}{between}{high:.{digits}f})"


def show_number(value: float, digits: int = 3) -> str:
    """A number alone; undefined where it is NaN.

    >>> show_number(0.12345), show_number(1.5, 1), show_number(float("nan"))
    ('0.123', '1.5', 'undefined')
    """
    return UNDEFINED if math.isnan(value) else f"{value:.{digits}f}"


def show_count(count: object) -> str:
    """A count with thousands parted.

    >>> show_count(5856)
    '5,856'
    """
    value = number(count)
    return UNDEFINED if value is None else f"{round(value):,}"


def show_share(part: float, whole: float) -> str:
    """A share in per cent; undefined where ``whole`` is 0.

    >>> show_share(1, 3)
    '33.3%'
    """
    return UNDEFINED if not whole else f"{100 * part / whole:.1f}%"


def show_seconds(seconds: object) -> str:
    """A duration.

    >>> show_seconds(3725)
    '1 h 2 min'
    >>> show_seconds(75.2)
    '1 min 15 s'
    """
    value = number(seconds)
    if value is None:
        return UNDEFINED
    whole = round(value)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    if whole >= 60:
        return f"{whole // 60} min {whole % 60} s"
    return f"{value:.1f} s"


def show_setting(value: Any) -> str:
    """A recipe's or environment's value on one line: mappings as ``key value``, lists by commas, null as none."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return "; ".join(f"{key} {show_setting(item)}" for key, item in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(show_setting(item) for item in value) or "none"
    return str(value)


def flat_settings(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one mapping, the place of each written with dots; an empty mapping is a value.

    >>> flat_settings({"seed": 0, "model": {"head": {"dropout": 0.5}, "options": {}}})
    {'seed': 0, 'model.head.dropout': 0.5, 'model.options': {}}
    """
    flat: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        flat |= flat_settings(value, f"{name}.") if isinstance(value, Mapping) and value else {name: value}
    return flat


def show_stage(stage: str) -> str:
    """A stage of ``history.csv`` in words; ``first`` and ``second`` are the networks of a cascade.

    >>> show_stage("second finetune")
    'second network, fine-tuning'
    """
    part, _, own = stage.rpartition(" ")
    return (f"{part} network, " if part else "") + _STAGES.get(own, own)
