"""Views, sexes, ages, ids: ours for theirs, null for unknown."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from pulmoscope.cohort import vocabulary


def text(*values: str | None) -> pd.Series:
    return pd.Series(values, dtype="str")


def plain(column: pd.Series) -> list[object]:
    return [None if pd.isna(value) else value for value in column]


def test_views_are_normalised_and_the_finer_wording_is_kept() -> None:
    view, detail = vocabulary.views(text("PA", "ap", "AP Supine", "L", "LL", "Axial", "", None))
    assert plain(view) == ["PA", "AP", "AP", "lateral", "lateral", "other", None, None]
    assert plain(detail) == [None, None, "AP Supine", "L", "LL", "Axial", None, None]


@pytest.mark.parametrize(
    ("written", "years"),
    [
        ("65", 65),
        ("34,5", 34.5),
        ("060Y", 60),
        ("018M", 1.5),
        ("70 years", 70),
        ("411", math.nan),
        ("", math.nan),
        ("adult", math.nan),
        ("-3", math.nan),
    ],
)
def test_ages_are_years_or_unknown(written: str, years: float) -> None:
    assert vocabulary.ages(text(written)).tolist() == pytest.approx([years], nan_ok=True)


def test_placeholders_are_no_patient() -> None:
    ids = vocabulary.patient_ids("src", text("007", " 7 ", "", "NA", "Unknown", None))
    assert plain(ids) == ["src:007", "src:7", None, None, None, None]


def test_sexes_and_splits() -> None:
    assert plain(vocabulary.sexes(text("F", "male", "Female", "x", ""))) == ["F", "M", "F", None, None]
    assert plain(vocabulary.splits(text("Training", "valid", "TEST", "fold1"))) == [
        "train",
        "val",
        "test",
        None,
    ]
