"""Every adapter: what it recognises, what it reads, and what it says of the rest."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pictures import write_picture, write_tree
from pulmoscope.cohort.sources import SOURCES, SourceRows, find_source, read_source
from pulmoscope.cohort.table import COLUMNS, SPLITS, VIEWS, conform
from pulmoscope.errors import CohortError, TableError

COHEN = "patientid,sex,age,finding,view,modality,filename,license\n"
NIH = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position\n"


def make_class_folders(root: Path) -> Path:
    return write_tree(root, ["train/a/1.png", "train/b/2.png", "test/a/3.png", "test/b/4.png"])


def make_cohen(root: Path) -> Path:
    write_tree(root / "images", ["one.jpg", "two.jpg", "three.jpg", "ct.jpg", "stray.jpg"])
    rows = [
        "7,M,65,COVID-19,AP Supine,X-ray,one.png,CC BY 4.0",
        "8,F,,No Finding,L,X-ray,two.jpg,",
        "9,F,40,SARS,PA,X-ray,two.jpg,",
        "9,F,40,SARS,PA,X-ray,three.jpg,",
        "10,,x,COVID-19,Axial,CT,ct.jpg,",
        "11,,70,COVID-19,PA,X-ray,lost.png,",
    ]
    (root / "metadata.csv").write_bytes(
        (COHEN + "\n".join(rows)).encode() + b"\n12,M,1,SARS,PA,X-ray,caf\xe9.png,\n"
    )
    return root


def make_nih(root: Path) -> Path:
    write_tree(root, ["images_001/images/00000061_012.jpg", "images_002/images/00000062_000.jpg"])
    rows = ["00000061_012.png,Edema|Pneumonia,12,61,77,M,AP", "00000062_000.png,No Finding,0,62,411,F,PA"]
    (root / "Data_Entry_2017.csv").write_text(
        NIH + "\n".join([*rows, "00000063_000.png,Mass,0,63,058Y,F,PA"])
    )
    return root


def make_chexpert(root: Path) -> Path:
    from pulmoscope.cohort.sources.chexpert import FINDINGS

    def row(patient: int, position: str, **values: str) -> str:
        place = f"CheXpert-v1.0-small/train/patient{patient:05}/study1/view1.jpg"
        frontal = "Lateral" if position == "" else "Frontal"
        named = {name.replace(" ", "_"): name for name in FINDINGS}
        cells = {named[key]: value for key, value in values.items()}
        return ",".join(
            [place, "Female", "68", frontal, position, *(cells.get(name, "") for name in FINDINGS)]
        )

    lines = [
        "Path,Sex,Age,Frontal/Lateral,AP/PA," + ",".join(FINDINGS),
        row(1, "AP", No_Finding="1.0", Support_Devices="1.0"),
        row(2, "PA", Edema="1.0", Pneumonia="-1.0"),
        row(3, "", Pneumonia="-1.0", Edema="0.0"),
        row(4, "AP", Edema="0.0"),
        row(5, "AP", Pneumonia="1.0"),
    ]
    root.mkdir(parents=True, exist_ok=True)
    (root / "train.csv").write_text("\n".join(lines) + "\n")
    write_tree(root / "train", [f"patient{i:05}/study1/view1.jpg" for i in (1, 2, 3, 4)])
    return root


def make_hannover(root: Path) -> Path:
    write_tree(root / "images", ["fff13f3a.jpg", "0012.jpg"])
    (root / "data.csv").write_text(
        "patient_id,image_id,sex,age,projection\n007,fff13f3a,f,,pa\n042f,0012,m,60,ap\n042f,none,m,60,ap\n"
    )
    return root


def make_medmnist(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for split, count in zip(SPLITS, (5, 2, 3), strict=True):
        arrays[f"{split}_images"] = np.zeros((count, 28, 28), np.uint8)
        arrays[f"{split}_labels"] = np.arange(count, dtype=np.uint8)[:, None] % 2
    np.savez(root / "pneumoniamnist.npz", **arrays)
    return root


def make_table(root: Path) -> Path:
    write_tree(root / "pics", ["1.png", "2.png"])
    (root / "table.csv").write_text("path,label,patient_id\npics/1.png,NA,007\npics/2.png,None,\n")
    return root


MAKERS = {
    "class_folders": make_class_folders,
    "cohen": make_cohen,
    "nih": make_nih,
    "chexpert": make_chexpert,
    "hannover": make_hannover,
    "medmnist": make_medmnist,
    "table": make_table,
}


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.kind)
def test_every_adapter_keeps_the_contract(source: object, tmp_path: Path) -> None:
    kind = source.kind  # type: ignore[attr-defined]
    root = MAKERS[kind](tmp_path / "data")
    assert find_source("mine", root).kind == kind
    rows = read_source("mine", root)
    frame = conform(rows.frame)
    assert isinstance(rows, SourceRows)
    assert rows.kind == kind
    assert len(frame) > 0
    assert frame["image_id"].is_unique
    assert frame["image_id"].str.startswith("mine/").all()
    assert frame["finding"].notna().all()
    assert all(os.path.isabs(path) for path in frame["path"])
    assert all(os.path.isfile(path.partition("::")[0]) for path in frame["path"])
    assert set(frame["view"].dropna()) <= set(VIEWS)
    assert set(frame["sex"].dropna()) <= {"F", "M"}
    assert set(frame["split"].dropna()) <= set(SPLITS)
    assert frame["patient_id"].dropna().str.contains(":").all()
    assert rows.dropped["reason"].str.match(r"E_[A-Z_]+: ").all()
    assert set(rows.dropped["source"]) <= {"mine"}


def reasons(rows: SourceRows) -> dict[str, list[str]]:
    codes = rows.dropped["reason"].str.partition(":")[0]
    return {code: sorted(part) for code, part in rows.dropped["image_id"].groupby(codes)}


def column(rows: SourceRows, name: str) -> list[object]:
    frame = conform(rows.frame).sort_values("image_id")
    return [None if pd.isna(value) else value for value in frame[name]]


def test_cohen_says_what_it_drops_and_why(tmp_path: Path) -> None:
    rows = read_source("c", make_cohen(tmp_path))
    assert reasons(rows) == {
        "E_DUPLICATE_ROW": ["c/two.jpg"],
        "E_MISSING": ["c/caf\ufffd.png", "c/lost.png"],
        "E_NOT_LISTED": ["c/images/stray.jpg"],
        "E_NOT_XRAY": ["c/ct.jpg"],
    }
    assert column(rows, "image_id") == ["c/images/one.jpg", "c/images/three.jpg", "c/images/two.jpg"]
    # Patients 8 and 9 name the same file: they are one.
    assert column(rows, "patient_id") == ["cohen:7", "cohen:8", "cohen:8"]
    assert column(rows, "view") == ["AP", "PA", "lateral"]
    assert column(rows, "view_detail") == ["AP Supine", None, "L"]
    assert column(rows, "licence") == ["CC BY 4.0", None, None]
    assert rows.frame["modality"].unique().tolist() == ["X-ray"]


@pytest.mark.parametrize("place", ["inside", "beside", "option"])
def test_cohen_finds_lung_masks(tmp_path: Path, place: str) -> None:
    root = make_cohen(tmp_path / "cohen")
    masks = {"inside": root / "masks", "beside": tmp_path / "lung_masks", "option": tmp_path / "else"}[place]
    write_picture(masks / "one.jpeg")
    rows = read_source("c", root, **({"masks": masks} if place == "option" else {}))
    assert [None if path is None else Path(str(path)).name for path in column(rows, "mask_path")] == [
        "one.jpeg",
        None,
        None,
    ]


def test_nih_names_match_by_stem_and_ids_agree_with_file_names(tmp_path: Path) -> None:
    rows = read_source("n", make_nih(tmp_path))
    assert column(rows, "patient_id") == ["nih:00000061", "nih:00000062"]
    assert column(rows, "finding") == ["Edema|Pneumonia", "No Finding"]
    assert column(rows, "age") == [77.0, None]
    assert reasons(rows) == {"E_MISSING": ["n/00000063_000.png"]}
    folders = write_tree(tmp_path / "else", ["x/00000061_000.png", "y/123.png"])
    assert column(read_source("f", folders), "patient_id") == ["nih:00000061", None]


def test_nih_official_lists_give_the_split(tmp_path: Path) -> None:
    root = make_nih(tmp_path)
    (root / "train_val_list.txt").write_text("00000061_012.png\n")
    (root / "test_list.txt").write_text("00000062_000.png\n")
    assert column(read_source("n", root), "split") == ["train", "test"]


@pytest.mark.parametrize(
    ("uncertain", "findings", "dropped"),
    [
        ("ignore", ["No Finding|Support Devices", "Edema"], {"E_UNCERTAIN": [3], "E_NO_LABEL": [4]}),
        (
            "positive",
            ["No Finding|Support Devices", "Edema|Pneumonia", "Pneumonia"],
            {"E_NO_LABEL": [4]},
        ),
        ("negative", ["No Finding|Support Devices", "Edema", "No Finding"], {"E_NO_LABEL": [4]}),
    ],
)
def test_chexpert_uncertain_findings(
    tmp_path: Path, uncertain: str, findings: list[str], dropped: dict[str, list[int]]
) -> None:
    rows = read_source("x", make_chexpert(tmp_path), uncertain=uncertain)
    assert column(rows, "finding") == findings
    found = reasons(rows)
    assert found.pop("E_MISSING") == ["x/CheXpert-v1.0-small/train/patient00005/study1/view1.jpg"]
    if uncertain != "ignore":
        found.pop("E_NOT_LISTED", None)
    expected = {
        code: [f"x/CheXpert-v1.0-small/train/patient{i:05}/study1/view1.jpg" for i in patients]
        for code, patients in dropped.items()
    }
    assert {code: names for code, names in found.items() if code != "E_NOT_LISTED"} == expected


def test_chexpert_views_patients_and_the_table_alone(tmp_path: Path) -> None:
    rows = read_source("x", make_chexpert(tmp_path), uncertain="positive", require_files=False)
    assert column(rows, "view") == ["AP", "PA", "lateral", "AP"]
    assert column(rows, "patient_id") == [f"chexpert:patient{i:05}" for i in (1, 2, 3, 5)]
    assert set(reasons(rows)) == {"E_NO_LABEL"}
    with pytest.raises(CohortError, match="uncertain findings cannot be 'maybe'"):
        read_source("x", tmp_path, uncertain="maybe")


def test_hannover_is_all_covid_with_projections(tmp_path: Path) -> None:
    rows = read_source("h", make_hannover(tmp_path))
    assert column(rows, "finding") == ["COVID-19", "COVID-19"]
    assert column(rows, "view") == ["AP", "PA"]
    assert column(rows, "patient_id") == ["hannover:042f", "hannover:007"]
    assert reasons(rows) == {"E_MISSING": ["h/none"]}


def test_medmnist_members_carry_their_array_and_index(tmp_path: Path) -> None:
    root = make_medmnist(tmp_path)
    rows = read_source("m", root / "pneumoniamnist.npz")
    frame = rows.frame
    assert frame["split"].value_counts().to_dict() == {"train": 5, "test": 3, "val": 2}
    assert frame["label"].tolist()[:3] == ["normal", "pneumonia", "normal"]
    assert frame["path"].iloc[4] == f"{root}/pneumoniamnist.npz::train_images::4"
    os.rename(root / "pneumoniamnist.npz", root / "bloodmnist.npz")
    assert set(read_source("m", root).frame["label"]) == {"0", "1"}


def test_medmnist_with_several_labels_joins_them(tmp_path: Path) -> None:
    labels = np.zeros((2, 14), np.uint8)
    labels[0, [0, 6]] = 1
    np.savez(tmp_path / "chestmnist.npz", test_images=np.zeros((2, 28, 28), np.uint8), test_labels=labels)
    assert read_source("m", tmp_path).frame["finding"].tolist() == ["Atelectasis|Pneumonia", "No Finding"]


def test_a_broken_archive_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04broken")
    with pytest.raises(CohortError, match="is not a MedMNIST archive"):
        read_source("m", tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", train_images=np.zeros((2, 28, 28)), train_labels=np.zeros(3))
    with pytest.raises(CohortError, match="2 train pictures but 3 labels"):
        read_source("m", tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", train_images=np.array([None, "x"], dtype=object), train_labels=np.zeros(2))
    with pytest.raises(CohortError, match="is not a MedMNIST archive"):
        read_source("m", tmp_path / "c.npz")


def test_a_table_keeps_ids_labels_and_dropped_lines(tmp_path: Path) -> None:
    root = make_table(tmp_path)
    (root / "own.csv").write_bytes(
        b"\xef\xbb\xbfPath;Label;patient_id;view;sex;age;split;mask_path;scanner\n"
        b".\\pics\\1.png;NA;007;ap;f;34,5;training;pics/2.png;A\n"
        b"../secret.png;x;1;;;;test;;A\n"
        b"pics/2.png;;1;;;;test;;A\n"
        b"pics//2.png;None;NA;PA;;;valid;none.png;B\n"
        b"pics/1.png;NA;007;ap;f;34;train;;A\n"
        b"C:\\abs\\3.png;y;2;;;;test;;A\n"
    )
    rows = read_source("t", root / "own.csv")
    frame = conform(rows.frame)
    assert frame["path"].tolist() == [f"{root}/pics/1.png", f"{root}/pics/2.png", "/abs/3.png"]
    assert frame["label"].tolist() == ["NA", "None", "y"]
    assert frame["patient_id"].fillna("-").tolist() == ["t:007", "-", "t:2"]
    assert frame["split"].tolist() == ["train", "val", "test"]
    assert frame["age"].iloc[0] == 34.5
    assert frame["mask_path"].fillna("-").tolist() == [f"{root}/pics/2.png", "-", "-"]
    assert rows.frame["scanner"].tolist() == ["A", "B", "A"]
    assert dict(rows.dropped[["detail", "reason"]].to_numpy().tolist()) == {
        "row 2 of own.csv": "E_PATH_ESCAPE: the path leaves its folder",
        "row 3 of own.csv": "E_NO_LABEL: no label",
        "row 5 of own.csv": "E_DUPLICATE_ROW: an earlier row names the same picture",
    }
    assert any("semicolons" in note for note in rows.notes)
    assert any("1 rows name a mask" in note for note in rows.notes)


def test_names_that_no_file_can_have_are_dropped(tmp_path: Path) -> None:
    root = make_table(tmp_path)
    lines = [
        "pics/1.png,a",
        "pics/2.png,b",
        f"{'x' * 300}.png,a",
        f"{'d/' * 2000}x.png,a",
        '"a\x07b.png",a',
        '"a\nb.png",a',
    ]
    (root / "table.csv").write_text("\n".join(["path,label", *lines]))
    rows = read_source("t", root)
    assert column(rows, "image_id") == ["t/pics/1.png", "t/pics/2.png"]
    assert {code: len(names) for code, names in reasons(rows).items()} == {"E_FILENAME": 4}


def test_a_source_whose_path_is_not_utf8_is_refused(tmp_path: Path) -> None:
    root = make_class_folders(tmp_path / "data")
    odd = os.fsencode(tmp_path) + b"/\xff"
    os.rename(root, odd)
    with pytest.raises(CohortError, match="its path is not UTF-8") as caught:
        read_source("a", os.fsdecode(odd))
    assert str(caught.value).encode("utf-8")


def test_a_picture_under_two_labels_in_one_table_is_dropped_whole(tmp_path: Path) -> None:
    root = make_table(tmp_path)
    (root / "table.csv").write_text("path,label\npics/1.png,a\npics/2.png,b\npics/1.png,b\n")
    rows = read_source("t", root)
    assert column(rows, "image_id") == ["t/pics/2.png"]
    assert reasons(rows) == {"E_LABEL_CONFLICT": ["t/pics/1.png", "t/pics/1.png"]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("file,label\na.png,x\n", "lacks the columns path"),
        ("path,label,split\na.png,x,fold1\n", "the column split holds other values"),
        ("path,label\n../a.png,x\n", "none of the 1 rows"),
        ("path,label\n", "none of the 0 rows"),
    ],
)
def test_a_table_that_cannot_be_used_is_one_error(tmp_path: Path, content: str, words: str) -> None:
    file = tmp_path / "t.csv"
    file.write_text(content)
    with pytest.raises((TableError, CohortError), match=words):
        read_source("t", file)


def test_the_registry_explains_what_it_cannot_do(tmp_path: Path) -> None:
    root = make_class_folders(tmp_path / "data")
    with pytest.raises(CohortError, match="cannot name a source"):
        read_source("a/b", root)
    with pytest.raises(CohortError, match="there is nothing at"):
        read_source("a", tmp_path / "none")
    with pytest.raises(CohortError, match="did you mean 'masks'"):
        read_source("a", root, mask="x")
    with pytest.raises(CohortError, match="did you mean 'cohen'"):
        read_source("a", root, kind="cohn")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CohortError, match="no reader knows") as caught:
        read_source("a", tmp_path / "empty")
    assert caught.value.code == "E_SOURCE"


def test_the_name_helps_where_two_layouts_fit(tmp_path: Path) -> None:
    root = make_table(make_class_folders(tmp_path))
    assert find_source("x", root).kind == "table"
    assert find_source("class_folders2", root).kind == "class_folders"
    assert find_source("x", root, "class_folders").kind == "class_folders"


def test_columns_are_those_of_the_contract() -> None:
    assert " ".join(COLUMNS) == (
        "image_id path label patient_id group_id source view view_detail sex age finding split fold width height "
        "sha256 phash mask_path licence"
    )
