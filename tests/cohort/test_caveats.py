"""Caveats: each fires where it must and stays quiet where it must not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pulmoscope.cohort.caveats import caveats
from pulmoscope.cohort.table import conform

CLASSES = ("a", "b")


def sound(n: int = 1600) -> pd.DataFrame:
    """A cohort without a fault: two classes alike in source, view and age; parts of good size."""
    index = np.arange(n)
    return conform(
        pd.DataFrame(
            {
                "image_id": [f"s/{i}" for i in index],
                "path": "/x",
                "label": np.where(index % 2, "a", "b"),
                "patient_id": [f"s:{i}" for i in index],
                "group_id": [f"g:{i}" for i in index],
                "source": np.where(index // 2 % 2, "one", "two"),
                "view": np.where(index // 4 % 2, "PA", "AP"),
                "age": 40.0 + index // 2 % 7,
                "split": np.where(index % 10 < 6, "train", np.where(index % 10 < 8, "val", "test")),
            }
        )
    )


def test_a_sound_cohort_has_none() -> None:
    assert caveats(sound(), classes=CLASSES) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda f: f.assign(source=f["source"].where(f["label"] == "a", "two")),
            "class 'b' comes from 'two' only",
        ),
        (
            lambda f: f.assign(
                source="one",
                patient_id=("nih:" + f["image_id"]).where(f["label"] == "a", "cohen:" + f["image_id"]),
            ),
            "class 'a' comes from 'nih' only",
        ),
        (
            lambda f: f.assign(view=f["view"].where(f["label"] == "a", "AP")),
            "view position (AP: a 50%, b 100%)",
        ),
        (lambda f: f.assign(age=f["age"].where(f["label"] == "a", 5.0)), "children against adults"),
        (lambda f: f.assign(age=f["age"].where(f["label"] == "a", 80.0)), "classes differ in age"),
        (lambda f: f[(f["split"] != "val") | (f.index < 200)], "the validation set is tiny: 40 pictures"),
        (
            lambda f: f[(f["split"] != "val") | (f["label"] == "a") | (f.index < 40)],
            "tiny: 164 pictures (of a class: b 4)",
        ),
        (lambda f: f[f["split"] != "val"], "there is no validation set"),
        (lambda f: f.assign(patient_id=None), "no patient ids in 'one'"),
        (lambda f: f.assign(patient_id=f["patient_id"].where(f.index % 4 != 0)), "have no patient id"),
        (
            lambda f: f.assign(group_id=f["group_id"].where(f["label"] == "a", "g:0")),
            "few patients or groups",
        ),
    ],
)
def test_a_fault_is_said(change: object, words: str) -> None:
    frame = conform(change(sound()))  # type: ignore[operator]
    assert words in " / ".join(caveats(frame, classes=CLASSES))


def test_leaks_conflicts_and_picture_notes_are_said_first_to_last() -> None:
    found = caveats(
        sound(),
        classes=CLASSES,
        leaked=True,
        leaking_groups=3,
        conflicts=2,
        picture_notes={"inverted-suspect": 5},
    )
    assert [text.split(":")[0] for text in found][:1] == ["the split leaks"]
    assert "2 pictures were dropped" in found[1]
    assert "5 pictures look inverted" in found[2]
