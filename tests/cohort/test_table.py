"""The Cohort object: validation, subsets, fingerprints, reading what is damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulmoscope.cohort.table import COLUMNS, Cohort, conform
from pulmoscope.errors import CohortError


def rows(n: int = 4) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image_id": [f"s/{i}.png" for i in range(n)],
            "path": [f"/d/{i}.png" for i in range(n)],
            "label": ["a" if i % 2 else "b" for i in range(n)],
            "split": ["train", "test"][0:1] * (n - 1) + ["test"],
            "age": [None, *range(1, n)],
        }
    )


def test_conform_gives_every_column_its_type_and_null_for_unknown() -> None:
    frame = conform(rows())
    assert tuple(frame.columns) == COLUMNS
    assert str(frame["fold"].dtype) == "Int64"
    assert frame["fold"].isna().all()
    assert frame["age"].dtype == np.float64
    assert frame["view"].isna().all()
    extra = conform(rows().assign(scanner=[1, 2, 3, 4]), extras=True)
    assert tuple(extra.columns) == (*COLUMNS, "scanner")
    assert extra["scanner"].tolist() == ["1", "2", "3", "4"]


def test_a_row_is_a_radiograph_with_none_for_unknown() -> None:
    cohort = Cohort(rows())
    first, second = cohort[0], cohort[1]
    assert (first.label, first.age, first.fold, first.view) == ("b", None, None, None)
    assert (second.age, type(second.age)) == (1.0, float)
    assert [one.image_id for one in cohort[1:3]] == ["s/1.png", "s/2.png"]
    assert [one.image_id for one in cohort] == cohort.frame["image_id"].tolist()
    with pytest.raises(AttributeError):
        first.label = "x"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda frame: frame.drop(columns="label"), "lacks label"),
        (lambda frame: frame.assign(image_id="s/0.png"), "3 image_id stand twice"),
        (lambda frame: frame.assign(label=None), "rows without a label"),
        (lambda frame: frame.assign(label="z"), "got z"),
    ],
)
def test_a_table_that_is_no_cohort_is_refused(change: object, words: str) -> None:
    with pytest.raises(CohortError, match=words):
        Cohort(change(rows()), {"classes": ["a", "b"]})  # type: ignore[operator]


def test_subsets_keep_classes_and_leave_the_whole_untouched() -> None:
    cohort = Cohort(rows(), {"classes": ["b", "a"]})
    part = cohort.subset([True, False, True, False])
    part.info["caveats"].append("mine")
    assert part.frame["label"].tolist() == ["b", "b"]
    assert part.classes == ("b", "a")
    assert cohort.info["caveats"] == []
    assert cohort.part("test").frame["image_id"].tolist() == ["s/3.png"]
    assert len(cohort.part("val")) == 0
    with pytest.raises(CohortError, match="does not fit"):
        cohort.subset([True])


@settings(max_examples=30, deadline=None)
@given(order=st.permutations(range(6)))
def test_the_fingerprint_ignores_the_order_of_rows(order: list[int]) -> None:
    frame = rows(6)
    assert Cohort(frame.iloc[order]).fingerprint() == Cohort(frame).fingerprint()


@pytest.mark.parametrize("column", ["label", "split", "fold", "sha256"])
def test_the_fingerprint_sees_what_training_sees(column: str) -> None:
    cohort = Cohort(rows(), {"classes": ["a", "b"]})
    other = cohort.frame.copy()
    other.loc[0, column] = 1 if column == "fold" else "a"
    assert Cohort(other, {"classes": ["a", "b"]}).fingerprint() != cohort.fingerprint()
    moved = cohort.frame.assign(path="/elsewhere/" + cohort.frame["image_id"], age=3.0)
    assert Cohort(moved, {"classes": ["a", "b"]}).fingerprint() == cohort.fingerprint()


def test_reading_nothing_or_damage_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="no cohort at"):
        Cohort.read(tmp_path)
    Cohort(rows()).write(tmp_path)
    file = tmp_path / "cohort.parquet"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(CohortError, match="is not a readable cohort"):
        Cohort.read(tmp_path)


def test_a_plain_parquet_table_is_a_cohort(tmp_path: Path) -> None:
    rows().to_parquet(tmp_path / "mine.parquet")
    cohort = Cohort.read(tmp_path / "mine.parquet")
    assert cohort.classes == ("a", "b")
    assert cohort.info["split"]["leaked"] is False
