"""Filters: what they keep, and what they say when they cannot."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulmoscope.cohort.where import parse_where
from pulmoscope.errors import CohortError

FRAME = pd.DataFrame(
    {
        "view": pd.Series(["PA", "AP", "lateral", None], dtype="str"),
        "age": [10.0, 18.0, 65.0, np.nan],
        "finding": pd.Series(["COVID-19, ARDS", "COVID-19", "No Finding", "SARS"], dtype="str"),
        "offset": pd.Series(["0", "12", "", "x"], dtype="str"),
        "width": pd.Series([100, 200, pd.NA, 200], dtype="Int64"),
    }
)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("view=AP", [1]),
        (" view == AP ", [1]),
        ("View=AP,PA", [0, 1]),
        ("view!=lateral", [0, 1, 3]),
        ("view!=AP,PA", [2, 3]),
        ("view=", [3]),
        ("view!=", [0, 1, 2]),
        ("age>=18", [1, 2]),
        ("age<18", [0]),
        ("age>18", [2]),
        ("age<=18", [0, 1]),
        ("age=18,65", [1, 2]),
        ("age!=18", [0, 2, 3]),
        ("finding=COVID-19, ARDS", [0]),
        ("finding=COVID-19,SARS", [1, 3]),
        ("offset>5", [1]),
        ("width=200", [1, 3]),
        ("width>=200", [1, 3]),
    ],
)
def test_a_filter_keeps_what_it_says(text: str, kept: list[int]) -> None:
    mask = parse_where(text).holds(FRAME)
    assert mask.dtype == bool
    assert np.flatnonzero(mask).tolist() == kept


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("veiw=AP", "did you mean 'view'"),
        ("view=ap", "did you mean 'AP'"),
        ("view!=latral", "did you mean 'lateral'"),
        ("view=oblique", "expected one of"),
        ("view>3", "a column of numbers"),
        ("age>=old", "a number after the sign"),
        ("age=old", "expected numbers"),
        ("view", "cannot read the filter"),
        ("=AP", "cannot read the filter"),
    ],
)
def test_a_filter_that_cannot_hold_is_explained(text: str, words: str) -> None:
    with pytest.raises(CohortError, match=words) as caught:
        parse_where(text).holds(FRAME)
    assert caught.value.code == "E_WHERE"


@settings(max_examples=50, deadline=None)
@given(
    bound=st.floats(-10, 200), ages=st.lists(st.one_of(st.none(), st.floats(0, 120)), min_size=1, max_size=20)
)
def test_an_order_and_its_opposite_part_the_known_ages(bound: float, ages: list[float | None]) -> None:
    frame = pd.DataFrame({"age": pd.Series(ages, dtype="float64")})
    below = parse_where(f"age<{bound!r}").holds(frame)
    above = parse_where(f"age>={bound!r}").holds(frame)
    assert not (below & above).any()
    assert (below | above).equals(frame["age"].notna())
