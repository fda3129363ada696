from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pulmoscope.errors import StorageError, TableError
from pulmoscope.evaluation import Predictions, read_predictions
from pulmoscope.evaluation.predictions import one_model

GOOD = pd.DataFrame({
    "image_id": ["a", "b", "c"], "label": ["covid", "normal", "covid"], "p_covid": [0.75, 0.25, 0.5],
    "p_normal": [0.25, 0.75, 0.5],
})  # fmt: skip


def _csv(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    file = folder / "table.csv"
    file.write_bytes(text.encode(encoding))
    return file


def test_form_of_the_table() -> None:
    table = Predictions(GOOD)
    assert list(table.frame) == ["image_id", "group_id", "label", "split", "p_covid", "p_normal"]
    assert table.classes == ("covid", "normal")
    assert table.labels.tolist() == [0, 1, 0]
    assert table.probabilities is not None
    assert table.probabilities.tolist() == [[0.75, 0.25], [0.25, 0.75], [0.5, 0.5]]
    assert table.groups.tolist() == ["a", "b", "c"]
    assert (table.splits, table.models, len(table)) == ((), (), 3)


def test_a_tie_goes_to_the_first_class() -> None:
    assert Predictions(GOOD).predicted.tolist() == [0, 1, 0]
    assert Predictions(GOOD, ["normal", "covid"]).predicted.tolist() == [1, 0, 0]


def test_given_classes_set_the_order() -> None:
    table = Predictions(GOOD, ("normal", "covid"))
    assert table.classes == ("normal", "covid")
    assert list(table.frame)[-2:] == ["p_normal", "p_covid"]
    assert table.labels.tolist() == [1, 0, 1]


def test_bare_class_names_are_columns_too() -> None:
    bare = GOOD.rename(columns=lambda name: name.removeprefix("p_")).assign(age=[40, 50, 60], confidence=0.5)
    assert Predictions(bare).frame.equals(Predictions(GOOD).frame)
    # A class that no row is labelled with keeps its column.
    third = bare.assign(other=0.0)
    assert Predictions(third.drop(columns="confidence")).classes == ("covid", "normal", "other")


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_written_and_read_again_is_the_same(tmp_path: Path, ending: str) -> None:
    rng = np.random.default_rng(0)
    table = Predictions.from_arrays(
        image_id=[f"source/{row:03d}" for row in range(50)],
        probabilities=rng.dirichlet(np.ones(3), 50),
        classes=["covid", "pneumonia", "no finding, clear"],
        label=["covid"] * 50,
        group_id=[f"p:{row // 2}" for row in range(50)],
        split="test",
    )
    table.write(tmp_path / f"table{ending}")
    again = read_predictions(tmp_path / f"table{ending}")
    assert again.frame.equals(table.frame)
    assert again.classes == table.classes
    assert [path.name for path in tmp_path.iterdir()] == [f"table{ending}"]


def test_single_precision_survives() -> None:
    rng = np.random.default_rng(1)
    single = rng.dirichlet(np.ones(3), 20).astype(np.float32)
    table = Predictions.from_arrays(
        image_id=[str(row) for row in range(20)], probabilities=single, classes=list("abc")
    )
    assert table.probabilities is not None
    assert np.array_equal(table.probabilities, single)
    assert not table.has_labels


def test_writing_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="E_STORAGE"):
        Predictions(GOOD).write(tmp_path / "file" / "table.csv")


def test_groups_fall_back_to_patients_then_images() -> None:
    assert Predictions(GOOD.assign(patient_id=["x", "x", "y"])).groups.tolist() == ["x", "x", "y"]
    both = GOOD.assign(group_id=["g", "g", "h"], patient_id=["x", "y", "z"])
    assert Predictions(both).groups.tolist() == ["g", "g", "h"]
    holes = GOOD.assign(group_id=["b", None, None], patient_id=[None, None, "b"])
    assert Predictions(holes).groups.tolist() == ["b", "image:b", "patient:b"]
    assert Predictions(GOOD.assign(group_id=None)).groups.tolist() == ["a", "b", "c"]


def test_parts_keep_the_classes() -> None:
    table = Predictions(GOOD.assign(split=["val", "test", "val"]))
    part = table.part("val")
    assert (len(part), part.classes, part.splits) == (2, table.classes, ("val",))
    assert table.part(None) is table
    with pytest.raises(TableError, match="no row of split 'train'; expected one of test, val"):
        table.part("train")


def test_hard_labels_only() -> None:
    frame = pd.DataFrame({"image_id": [1, 2, 3], "label": [0, 2, 10], "prediction": [0.0, 10.0, 1.0]})
    table = Predictions(frame)
    assert table.classes == ("0", "1", "2", "10")
    assert table.probabilities is None
    assert table.labels.tolist() == [0, 2, 3]
    assert table.predicted.tolist() == [0, 3, 1]


def test_csv_as_other_programs_write_it(tmp_path: Path) -> None:
    bom = _csv(tmp_path, "\ufeffimage_id,label,prediction\r\n007,NA,NA\r\n7,None,NA\r\n")
    table = read_predictions(bom)
    assert table.frame["image_id"].tolist() == ["007", "7"]
    assert table.classes == ("NA", "None")
    semicolons = _csv(tmp_path, "image_id;label;covid;normal\na;covid;0,9;0,1\nb;normal;0,25;0,75\n")
    assert read_predictions(semicolons).probabilities == pytest.approx(np.array([[0.9, 0.1], [0.25, 0.75]]))
    tabs = _csv(tmp_path, "image_id\tlabel\tprediction\na\tcovid\tnormal\n")
    assert read_predictions(tabs).classes == ("covid", "normal")
    index = _csv(tmp_path, ",image_id,label,covid,normal\n0,a,covid,1,0\n1,b,normal,0,1\n")
    assert read_predictions(index).classes == ("covid", "normal")


def test_a_label_column_of_numbers_with_point_zero(tmp_path: Path) -> None:
    file = _csv(tmp_path, "image_id,label,p_0,p_1\na,0.0,1,0\nb,1.0,0,1\n")
    assert read_predictions(file).labels.tolist() == [0, 1]


def test_names_that_are_not_utf8_are_escaped(tmp_path: Path) -> None:
    frame = pd.DataFrame({"image_id": pd.Series(["a\udcff", "b"], dtype=object), "label": ["x", "y"],
                          "prediction": ["x", "y"]})  # fmt: skip
    table = Predictions(frame)
    assert table.frame["image_id"].tolist() == ["a\\udcff", "b"]
    table.write(tmp_path / "table.parquet")
    assert len(read_predictions(tmp_path / "table.parquet")) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda frame: frame.rename(columns={"image_id": "imageid"}),
            "no column 'image_id' .did you mean 'imageid'",
        ),
        (
            lambda frame: frame.rename(columns={"p_covid": "Covid", "p_normal": "Normal"}),
            "did you mean 'Covid'",
        ),
        (lambda frame: frame.drop(columns="p_normal"), "only one class column"),
        (
            lambda frame: frame.assign(label=["covd", "normal", "covid"]),
            r"'covd'.*mean 'covid'.* row 1 \('a'\)",
        ),
        (lambda frame: frame.assign(label=["0", "1", "0"]), "label '0' is none of the classes covid, normal"),
        (
            lambda frame: frame.assign(label=[None, "normal", ""]),
            r"no label in 2 rows: row 1 \('a'\), row 3 \('c'\)",
        ),
        (
            lambda frame: frame.assign(image_id=["a", "b", "a"]),
            r"same image_id more than once in 2 rows: row 1 ",
        ),
        (lambda frame: frame.assign(image_id=[None, "b", "c"]), "no image_id in row 1"),
        (
            lambda frame: frame.assign(p_covid=[0.9, 0.25, 0.5]),
            r"within 0.001. in row 1 \('a'\) sums to 1.15",
        ),
        (
            lambda frame: frame.assign(p_covid=[np.nan, 0.25, np.inf]),
            "'p_covid' is no finite number in 2 rows",
        ),
        (
            lambda frame: frame.assign(p_covid=["O.75", "0.25", "0.5"]),
            r"no finite number in row 1 \('a'\) 'O.75'",
        ),
        (lambda frame: frame.assign(p_covid=[3.1, -2.0, 0.5]), "outside .0, 1. in 2 rows.*look like logits"),
        (lambda frame: frame.assign(p_covid=[75.0, 25, 50], p_normal=[25.0, 75, 50]), "look like per cent"),
        (
            lambda frame: frame.assign(prediction=["covid", "normal", "norml"]),
            "prediction 'norml'.*mean 'normal'",
        ),
        (lambda frame: frame.assign(p_Covid=0.0), "'covid' and 'Covid' differ only in spelling"),
        (lambda frame: frame.iloc[:0], "has no rows"),
        (lambda frame: pd.concat([frame, frame["label"]], axis=1), "more than one column named 'label'"),
    ],
)
def test_each_mistake_is_named(change: object, message: str) -> None:
    with pytest.raises(TableError, match=message) as caught:
        Predictions(change(GOOD.copy()), name="peer.csv")  # type: ignore[operator]
    assert "peer.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_mistakes_stand_in_one_error() -> None:
    frame = GOOD.assign(image_id=["a", "a", "c"], label=["covd", "normal", None], p_covid=[0.9, 0.25, 0.5])
    with pytest.raises(TableError) as caught:
        Predictions(frame)
    text = str(caught.value)
    assert "4 mistakes" in text
    for part in ("no label in row 3", "same image_id", "'covd'", "do not sum to 1"):
        assert part in text


def test_a_class_missing_among_given_ones() -> None:
    with pytest.raises(TableError, match="no column 'p_pneumonia'"):
        Predictions(GOOD, ("covid", "normal", "pneumonia"))


def test_a_label_column_that_holds_no_classes() -> None:
    frame = pd.DataFrame({"image_id": range(300), "label": np.arange(300) / 7, "prediction": 0})
    with pytest.raises(TableError, match="different classes, more than 100"):
        Predictions(frame)


def test_one_image_may_stand_once_in_each_model() -> None:
    both = pd.concat([GOOD.assign(model="a"), GOOD.assign(model="b")])
    table = Predictions(both)
    assert table.models == ("a", "b")
    assert len(table.of_model("b")) == 3
    with pytest.raises(TableError, match="more than once within one model"):
        Predictions(pd.concat([both, both.iloc[:1]]))


def test_one_model_is_taken_or_must_be_named() -> None:
    alone = Predictions(GOOD)
    assert one_model(alone) is alone
    named = Predictions(GOOD.assign(model="a"))
    assert one_model(named) is named
    several = Predictions(pd.concat([GOOD.assign(model=f"m{at}") for at in range(6)]), name="six.csv")
    assert one_model(several, "m4").models == ("m4",)
    with pytest.raises(TableError) as error:
        one_model(several, remedy="choose one with --model")
    assert str(error.value) == (
        "E_TABLE: six.csv holds the predictions of 6 models; expected one model at a time; "
        "got m0, m1, m2, m3, m4, ...; remedy: choose one with --model"
    )
    with pytest.raises(TableError, match=r"of model 'm9'.*one of m0"):
        one_model(several, "m9")


def test_arrays_that_do_not_fit() -> None:
    with pytest.raises(TableError, match=r"expected shape \(1, 2\); got shape \(2, 2\)"):
        Predictions.from_arrays(image_id=["a"], probabilities=np.full((2, 2), 0.5), classes=["x", "y"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        ("image_id,label\n".encode("utf-16"), "UTF-16"),
        (b"image_id,label,prediction\na,Pneumonie \xe9,x\n", "byte 0xe9 in line 2"),
        (b"PK\x03\x04rest", "spreadsheet"),
        (b"PAR1 torn", "torn Parquet"),
        (b"image_id,label\0,prediction\n", "binary"),
        (b"image_id,label,label\na,x,y\n", "more than one column named 'label'"),
        (b"image_id,label,prediction\na,x,x,extra\n", "no regular CSV"),
        (b"image_id,label,prediction\na,x\n", "no prediction in row 1"),
        (b"image_id,label,prediction\n", "has no rows"),
        (b'image_id,label,prediction\na,"x,x\n', "no regular CSV"),
    ],
)
def test_files_that_are_no_table(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "table.csv"
    file.write_bytes(content)
    with pytest.raises(TableError, match=message) as caught:
        read_predictions(file)
    assert "table.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_paths_that_are_no_file(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"E_MISSING.*none\.csv does not exist"):
        read_predictions(tmp_path / "none.csv")
    with pytest.raises(TableError, match="cannot be read"):
        read_predictions(tmp_path)
