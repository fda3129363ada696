from __future__ import annotations

import doctest

import pytest

from pulmoscope.report import numbers


def test_doctests() -> None:
    assert doctest.testmod(numbers).failed == 0


@pytest.mark.parametrize(
    ("rate", "shown"),
    [
        ({"value": 0.9426, "low": 0.9212, "high": 0.9604}, "0.943 (0.921-0.960)"),
        ({"value": 0.0, "low": 0.0, "high": 0.05}, "0.000 (0.000-0.050)"),
        ({"value": 0.5, "low": None, "high": None}, "0.500"),
        ({"value": None}, "undefined"),
        ({"value": float("nan")}, "undefined"),
        (None, "undefined"),
        (float("inf"), "undefined"),
        (True, "undefined"),
    ],
)
def test_show_rate(rate: object, shown: str) -> None:
    assert numbers.show_rate(rate) == shown


def test_a_share_of_nothing_is_undefined() -> None:
    assert numbers.show_share(0, 0) == "undefined"


def test_settings_are_one_line() -> None:
    assert (
        numbers.show_setting({"a": None, "b": [1, 0.25], "c": True, "d": {}})
        == "a none; b 1, 0.25; c yes; d none"
    )
