"""p-values as they are printed: by the habit of medical journals, in a sentence and in a column."""

from __future__ import annotations

import doctest

import pytest

from pulmoscope.evaluation import p_value
from pulmoscope.evaluation.p_value import show_bare_p, show_p


def test_doctests() -> None:
    assert doctest.testmod(p_value).failed == 0


@pytest.mark.parametrize(
    ("p", "said", "bare"),
    [
        (0.0, "p < .001", "< .001"),
        (0.00099, "p < .001", "< .001"),
        (0.001, "p = .001", ".001"),
        (0.0451, "p = .045", ".045"),
        (0.0996, "p = .10", ".10"),
        (0.5, "p = .50", ".50"),
        (0.996, "p = 1", "1"),
        (float("nan"), "p undefined", "undefined"),
    ],
)
def test_in_words_and_bare(p: float, said: str, bare: str) -> None:
    assert (show_p(p), show_bare_p(p)) == (said, bare)
