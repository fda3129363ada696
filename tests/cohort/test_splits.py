"""Splits and folds: groups never cross, the order of rows is nothing, shares hold; the gate refuses, mends or marks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulmoscope.cohort.splits import (
    SplitPlan,
    assign_folds,
    carve_validation,
    check_split,
    leaking_groups,
    parse_split,
    split_patients,
)
from pulmoscope.errors import CohortError, SplitLeakError

SHARES = (0.7, 0.15, 0.15)


def table(groups: list[int], *, labels: int = 2, sources: int = 1, seed: int = 0) -> pd.DataFrame:
    """A row for each picture; groups[i] pictures in group i; all of a group's pictures from one source."""
    draw = np.random.default_rng(seed)
    rows = [
        (
            f"s/{g}-{i}",
            f"g:{g}",
            f"class{(g if g < 3 * labels else draw.integers(labels)) % labels}",
            f"source{g % sources}",
        )
        for g, size in enumerate(groups)
        for i in range(size)
    ]
    return pd.DataFrame(rows, columns=["image_id", "group_id", "label", "source"])


group_sizes = st.lists(st.integers(1, 6), min_size=12, max_size=120)


@settings(max_examples=40, deadline=None)
@given(group_sizes, st.integers(1, 3), st.integers(1, 3), st.integers(0, 5))
def test_groups_never_cross_and_every_row_has_a_part(
    sizes: list[int], labels: int, sources: int, seed: int
) -> None:
    frame = table(sizes, labels=labels, sources=sources)
    split = split_patients(frame, SHARES, seed)
    assert split.isin(["train", "val", "test"]).all()
    assert (split.groupby(frame["group_id"]).nunique() == 1).all()
    for _, parts in split.groupby(frame["label"]):
        assert set(parts) == {"train", "val", "test"}
    folds = assign_folds(frame, 3, seed)
    assert folds.dtype == "Int64"
    assert set(folds) == {0, 1, 2}
    assert (folds.groupby(frame["group_id"]).nunique() == 1).all()


@settings(max_examples=25, deadline=None)
@given(group_sizes, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(sizes: list[int], random) -> None:
    frame = table(sizes, labels=2, sources=2)
    shuffled = list(frame.index)
    random.shuffle(shuffled)
    for deal in (
        lambda rows: split_patients(rows, SHARES, 3),
        lambda rows: assign_folds(rows, 4, 3),
        lambda rows: carve_validation(rows.assign(split="train"), 0.2, 3),
    ):
        pd.testing.assert_series_equal(deal(frame), deal(frame.loc[shuffled]).loc[frame.index])


@settings(max_examples=40, deadline=None)
@given(group_sizes, st.integers(0, 3))
def test_shares_hold_within_the_largest_groups(sizes: list[int], seed: int) -> None:
    frame = table(sizes, labels=2)
    split = split_patients(frame, SHARES, seed)
    for part, share in zip(("train", "val", "test"), SHARES, strict=True):
        assert abs((split == part).sum() - share * len(frame)) <= 2 * max(sizes) + 3
    assert np.ptp(assign_folds(frame, 5, seed).value_counts().to_numpy()) <= 3 * max(sizes) + 3


def test_single_pictures_are_split_exactly_and_within_every_label_and_source() -> None:
    frame = table([1] * 4000, labels=3, sources=2)
    split = split_patients(frame, SHARES, 0)
    assert split.value_counts().to_dict() == {"train": 2800, "val": 600, "test": 600}
    for _, parts in split.groupby([frame["label"], frame["source"]]):
        assert (parts == "test").mean() == pytest.approx(0.15, abs=2 / len(parts))
    folds = assign_folds(frame, 5, 0)
    assert set(folds.value_counts()) == {800}


def test_patients_with_many_films_stand_in_every_part() -> None:
    frame = table([1] * 600 + [9] * 40)
    split = split_patients(frame, SHARES, 0)
    large = frame.groupby("group_id")["image_id"].transform("size") == 9
    assert (split[large] == "test").mean() == pytest.approx(0.15, abs=0.06)
    assert (split == "test").mean() == pytest.approx(0.15, abs=0.01)


def test_many_tiny_strata_do_not_bend_the_whole() -> None:
    frame = table([1] * 300).assign(source=[f"s{i}" for i in range(300)])
    counts = split_patients(frame, SHARES, 0).value_counts()
    assert counts["train"] == pytest.approx(210, abs=4)
    assert counts["test"] == pytest.approx(45, abs=4)


def test_another_seed_is_another_split() -> None:
    frame = table([1] * 200)
    first, again, other = (split_patients(frame, SHARES, seed) for seed in (1, 1, 2))
    assert first.equals(again)
    assert (first != other).mean() > 0.2


def test_a_part_with_no_share_stays_empty() -> None:
    assert set(split_patients(table([2] * 50), (0.8, 0.0, 0.2), 0)) == {"train", "test"}


def test_a_class_with_too_few_patients_is_refused_with_a_way_out() -> None:
    frame = table([1] * 60)
    frame.loc[:3, "label"] = "rare"
    frame.loc[:3, "group_id"] = ["g:a", "g:a", "g:b", "g:b"]
    with pytest.raises(CohortError) as caught:
        split_patients(frame, SHARES, 0)
    assert caught.value.code == "E_CLASS_TOO_SMALL"
    assert "rare (2)" in str(caught.value)
    assert "--where" in str(caught.value)
    assert set(split_patients(frame, (0.8, 0.0, 0.2), 0)[:4]) == {"train", "test"}
    with pytest.raises(CohortError, match="E_CLASS_TOO_SMALL"):
        assign_folds(frame, 5, 0)


def test_an_empty_cohort_and_rows_without_a_group_are_refused() -> None:
    with pytest.raises(CohortError, match="E_EMPTY_COHORT"):
        split_patients(table([]), SHARES, 0)
    with pytest.raises(CohortError, match="group_id"):
        split_patients(table([1] * 9).assign(group_id=None), SHARES, 0)


def test_validation_is_carved_from_train_alone() -> None:
    frame = table([2] * 100)
    frame["split"] = ["train"] * 140 + ["val"] * 10 + ["test"] * 50
    frame.loc[190:191, "group_id"] = "g:0"  # a leaking group may not move from train to val
    carved = carve_validation(frame, 0.2, 0)
    assert (carved[140:] == frame["split"][140:]).all()
    assert (carved[:140] == "val").sum() == pytest.approx(28, abs=2)
    assert set(carved[:140]) == {"train", "val"}
    assert (carved[:2] == "train").all()
    assert (carved[:140].groupby(frame["group_id"]).nunique() == 1).all()
    for fraction in (0.0, 1.0, -1.0):
        with pytest.raises(CohortError, match="E_SPLIT"):
            carve_validation(frame, fraction, 0)
    with pytest.raises(CohortError, match="no training part"):
        carve_validation(frame.assign(split="test"), 0.2, 0)


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        ("auto", SplitPlan(kind="auto")),
        ("predefined", SplitPlan(kind="predefined")),
        ("patient:0.8,0.1,0.1", SplitPlan(kind="patient", fractions=(0.8, 0.1, 0.1))),
        (" patient:0.8, 0, 0.2", SplitPlan(kind="patient", fractions=(0.8, 0.0, 0.2))),
        ("kfold:5", SplitPlan(kind="kfold", folds=5)),
        ("kfold-pictures:5", SplitPlan(kind="kfold-pictures", folds=5)),
    ],
)
def test_splits_are_read_and_written(text: str, plan: SplitPlan) -> None:
    assert parse_split(text) == plan
    assert parse_split(str(plan)) == plan


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("patient:0.7,0.2", ["2 fractions instead of 3"]),
        ("patient:0.7,0.2,0.2", ["sum to 1.1"]),
        ("patient:0,0.5,0.5", ["nothing is left for training"]),
        ("patient:nan,-1,x", ["nan is not between", "-1 is not between", "'x' is not a number"]),
        ("patient", ["not a number", "1 fractions"]),
        ("kfold:1", ["number of folds"]),
        ("kfold:five", ["number of folds"]),
        ("random", ["no such split", "kfold:K"]),
        ("auto:3", ["no such split"]),
    ],
)
def test_a_wrong_split_is_refused_with_every_mistake(text: str, said: list[str]) -> None:
    with pytest.raises(CohortError) as caught:
        parse_split(text)
    assert caught.value.code == "E_SPLIT"
    for words in said:
        assert words in str(caught.value)


def leaking() -> pd.DataFrame:
    frame = table([1] * 12)
    frame["split"] = ["train"] * 6 + ["val"] * 3 + ["test"] * 3
    frame.loc[[0, 9], "group_id"] = "g:x"  # train and test
    frame.loc[[1, 6, 10], "group_id"] = "g:y"  # all three
    frame.loc[[2, 7], "group_id"] = "g:z"  # train and val
    return frame


def test_the_gate_refuses_a_leaking_split_and_names_groups_and_pictures() -> None:
    with pytest.raises(SplitLeakError) as caught:
        check_split(leaking())
    assert caught.value.code == "E_SPLIT_LEAK"
    for words in (
        "3 groups",
        "7 pictures",
        "g:x [test: s/9-0; train: s/0-0]",
        "--drop-leaks",
        "--allow-leak",
    ):
        assert words in str(caught.value)
    many = pd.concat(
        [leaking().assign(group_id=lambda rows, n=n: rows["group_id"] + str(n)) for n in range(9)]
    )
    with pytest.raises(SplitLeakError, match=r"and 22 more groups"):
        check_split(many)


def test_the_gate_marks_an_allowed_leak_and_mends_one_without_touching_the_test_set() -> None:
    frame = leaking()
    keep, report = check_split(frame, allow_leak=True)
    assert keep.all()
    assert report.leaked
    assert (report.groups, report.rows) == (3, 7)
    keep, report = check_split(frame, drop_leaks=True)
    assert not report.leaked
    assert report.dropped == 4
    assert frame.index[~keep].tolist() == [0, 1, 2, 6]
    assert check_split(frame[keep])[1].groups == 0


def test_the_gate_passes_a_clean_split_and_leaves_rows_without_one_aside() -> None:
    frame = table([2] * 30)
    frame["split"] = split_patients(frame, SHARES, 0)
    frame.loc[0, "split"] = None
    keep, report = check_split(frame)
    assert keep.all()
    assert report.sentence == ""
    assert leaking_groups(frame).empty
    assert leaking_groups(frame.drop(columns="split")).empty


def test_folds_pass_the_gate_too() -> None:
    frame = table([3] * 4)
    frame["fold"] = pd.Series([0, 0, 1] + [1] * 3 + [0] * 3 + [None] * 3, dtype="Int64")
    assert leaking_groups(frame)["parts"].tolist() == ["fold 0: s/0-0, s/0-1; fold 1: s/0-2"]
    with pytest.raises(SplitLeakError, match="fold 1: s/0-2"):
        check_split(frame)
    keep, report = check_split(frame, drop_leaks=True)
    assert np.flatnonzero(~keep).tolist() == [2]
    assert report.dropped == 1
