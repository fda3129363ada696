"""Tables brought onto the same pictures, and the one line where they are not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pulmoscope.errors import TableError
from pulmoscope.evaluation import Predictions
from pulmoscope.evaluation.align import align

LABELS = ("covid", "normal", "covid", "other")


def soft(**changes: object) -> pd.DataFrame:
    frame = pd.DataFrame({"image_id": list("abcd"), "label": LABELS, "split": "test"})
    scores = np.full((4, 3), 0.2) + 0.4 * np.eye(3)[[0, 1, 0, 2]]
    return frame.assign(p_covid=scores[:, 0], p_normal=scores[:, 1], p_other=scores[:, 2], **changes)


def hard(*said: str, **changes: object) -> pd.DataFrame:
    return pd.DataFrame({"image_id": list("abcd"), "label": LABELS, "prediction": said}).assign(**changes)


def tables(**frames: pd.DataFrame) -> dict[str, Predictions]:
    return {name: Predictions(frame, name=name) for name, frame in frames.items()}


def test_rows_and_classes_may_stand_in_any_order() -> None:
    turned = soft().iloc[::-1][["image_id", "label", "p_other", "p_covid", "p_normal", "split"]]
    found = align(tables(one=soft(), two=turned))
    one, two = found.tables.values()
    assert two.classes == one.classes == ("covid", "normal", "other")
    assert two.frame["image_id"].tolist() == list("abcd")
    assert np.array_equal(one.probabilities, two.probabilities)
    assert (found.split, found.notes) == ("test", ())


def test_hard_labels_take_the_classes_of_the_others() -> None:
    # "other" is never said and "normal" never true: alone the table could not know all three.
    found = align(tables(hard=hard("covid", "normal", "normal", "covid"), soft=soft()))
    assert [one.classes for one in found.tables.values()] == [("covid", "normal", "other")] * 2
    assert any("hard: no probabilities" in note for note in found.notes)
    assert any("no split is named in hard" in note for note in found.notes)
    alone = align(tables(a=hard(*LABELS), b=hard(*["covid"] * 4)), split=None)
    assert alone.first.classes == ("covid", "normal", "other")


def test_a_table_without_labels_is_judged_by_the_others() -> None:
    found = align(tables(bare=soft().drop(columns="label"), full=soft()))
    assert found.first.labels.tolist() == [0, 1, 0, 2]
    assert any(note.startswith("bare: no labels of its own") for note in found.notes)


@pytest.mark.parametrize(
    ("first", "second", "groups", "noted"),
    [
        (list("ppqr"), list("1123"), list("ppqr"), False),
        (list("ppqr"), None, list("ppqr"), False),
        (None, list("1123"), list("aacd"), False),
        (list("ppqr"), list("1223"), list("pppr"), True),
    ],
    ids=["alike", "second-has-none", "first-has-none", "across"],
)
def test_groups_are_joined(
    first: list[str] | None, second: list[str] | None, groups: list[str], noted: bool
) -> None:
    one = soft() if first is None else soft(group_id=first)
    two = soft() if second is None else soft(group_id=second)
    found = align(tables(one=one, two=two.iloc[::-1]))
    for table in found.tables.values():
        assert table.groups.tolist() == groups
    assert any("group pictures differently" in note for note in found.notes) == noted


@pytest.mark.parametrize(
    ("second", "code", "words"),
    [
        (soft().iloc[:3], "E_IMAGES_DIFFER", "1 only in one ('d')"),
        (soft(image_id=list("wxyz")), "E_IMAGES_DIFFER", "no picture shared"),
        (soft(label=["covid", "normal", "normal", "other"]), "E_LABELS_DIFFER", "1 of 4 pictures: 'c' covid and"),
        (soft().rename(columns={"p_other": "p_viral"}).assign(label="covid"), "E_CLASSES_DIFFER", "viral"),
        (hard("covid", "normal", "covid", "viral"), "E_CLASSES_DIFFER", "viral"),
        (soft(split="val"), "E_TABLE", "no row of split 'test'"),
    ],
    ids=["fewer", "other-names", "labels", "classes", "hard-classes", "split"],
)  # fmt: skip
def test_differences_are_one_line(second: pd.DataFrame, code: str, words: str) -> None:
    with pytest.raises(TableError) as raised:
        align(tables(one=soft(), two=second))
    assert raised.value.code == code
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_one_table_several_models_or_no_labels_are_refused() -> None:
    with pytest.raises(TableError, match="E_TOO_FEW_MODELS"):
        align(tables(one=soft()))
    two = pd.concat([soft(model="a"), soft(model="b")])
    with pytest.raises(TableError, match="one table a model"):
        align(tables(one=soft(), two=two))
    with pytest.raises(TableError, match="none of the tables has a column 'label'"):
        align(tables(one=soft().drop(columns="label"), two=soft().drop(columns="label")))
