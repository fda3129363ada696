"""The many ways to lay out class folders."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from pictures import write_picture, write_tree
from pulmoscope.cohort import Cohort
from pulmoscope.cohort.sources import SourceRows, read_source
from pulmoscope.errors import CohortError, TableError


def read(root: Path, **options: object) -> SourceRows:
    return read_source("s", root, kind="class_folders", **options)


def table(rows: SourceRows, *columns: str) -> dict[str, tuple[object, ...]]:
    frame = rows.frame.set_index(rows.frame["image_id"].str.removeprefix("s/"))
    return {
        str(name): tuple(None if pd.isna(value) else value for value in row)
        for name, row in zip(frame.index, frame[list(columns)].to_numpy(), strict=True)
    }


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (
            ["normal/1.png", "covid/1.png"],
            {"normal/1.png": ("normal", "normal", None), "covid/1.png": ("covid", "covid", None)},
        ),
        (
            ["train/normal/1.png", "val/infected/covid/1.png", "test/infected/non-covid/1.png"],
            {
                "train/normal/1.png": ("normal", "normal", "train"),
                "val/infected/covid/1.png": ("covid", "infected/covid", "val"),
                "test/infected/non-covid/1.png": ("non-covid", "infected/non-covid", "test"),
            },
        ),
        (
            ["chest/Training/A/1.png", "chest/validation/B/1.png"],
            {"chest/Training/A/1.png": ("A", "A", "train"), "chest/validation/B/1.png": ("B", "B", "val")},
        ),
        (
            ["A/train/1.png", "B/test/1.png"],
            {"A/train/1.png": ("A", "A", "train"), "B/test/1.png": ("B", "B", "test")},
        ),
        (
            ["COVID/images/1.png", "Normal/images/1.png", "COVID/masks/1.png"],
            {
                "COVID/images/1.png": ("COVID", "COVID", None),
                "Normal/images/1.png": ("Normal", "Normal", None),
            },
        ),
        (
            ["data/x/A/1.png", "data/x/B/1.png"],
            {"data/x/A/1.png": ("A", "A", None), "data/x/B/1.png": ("B", "B", None)},
        ),
        (["covid/1.png"], {"covid/1.png": ("covid", "covid", None)}),
        (
            ["h1/normal/1.png", "h2/normal/1.png", "h2/covid/1.png"],
            {
                "h1/normal/1.png": ("h1/normal", "h1/normal", None),
                "h2/normal/1.png": ("h2/normal", "h2/normal", None),
                "h2/covid/1.png": ("h2/covid", "h2/covid", None),
            },
        ),
    ],
    ids=[
        "flat",
        "nested-split",
        "wrapped",
        "split-inside",
        "kaggle",
        "deep-wrapping",
        "one-class",
        "same-leaf",
    ],
)
def test_label_finding_and_split(
    tmp_path: Path, names: list[str], expected: dict[str, tuple[object, ...]]
) -> None:
    assert table(read(write_tree(tmp_path, names)), "label", "finding", "split") == expected


def test_masks_stand_beside_their_pictures(tmp_path: Path) -> None:
    write_tree(
        tmp_path, ["A/images/1.png", "A/images/2.png", "B/images/1.png", "A/masks/1.png", "B/masks/9.png"]
    )
    rows = read(tmp_path)
    assert table(rows, "mask_path") == {
        "A/images/1.png": (f"{tmp_path}/A/masks/1.png",),
        "A/images/2.png": (None,),
        "B/images/1.png": (None,),
    }
    assert rows.dropped[["image_id", "reason"]].to_numpy().tolist() == [
        ["s/B/masks/9.png", "E_MASK: a mask without its picture"]
    ]


def test_a_class_called_masks_is_a_class(tmp_path: Path) -> None:
    rows = read(write_tree(tmp_path, ["people/masks/1.png", "people/none/2.png"]))
    assert set(rows.frame["label"]) == {"masks", "none"}


def test_pictures_outside_the_class_folders_and_strangers_are_reported(tmp_path: Path) -> None:
    write_tree(tmp_path, ["A/1.png", "B/1.png", "stray.png"])
    (tmp_path / "A" / "note.txt").write_text("x")
    rows = read(tmp_path)
    assert rows.dropped[["image_id", "reason"]].to_numpy().tolist() == [
        ["s/A/note.txt", "E_NOT_PICTURE: not a picture"],
        ["s/stray.png", "E_NO_LABEL: no label"],
    ]
    assert set(rows.frame["label"]) == {"A", "B"}


def test_folders_beside_the_split_are_noted(tmp_path: Path) -> None:
    rows = read(write_tree(tmp_path, ["train/A/1.png", "test/A/2.png", "more/B/3.png"]))
    assert any("belong to no part: more" in note for note in rows.notes)
    assert rows.frame.set_index("image_id")["split"].isna()["s/more/B/3.png"]


def test_an_empty_class_folder_is_refused(tmp_path: Path) -> None:
    write_tree(tmp_path, ["normal/1.png", "pneumonia/1.png"])
    (tmp_path / "covid").mkdir()
    with pytest.raises(CohortError, match="'covid' holds no picture") as caught:
        read(tmp_path)
    assert caught.value.code == "E_EMPTY_CLASS"


def test_an_empty_folder_of_one_part_is_no_empty_class(tmp_path: Path) -> None:
    write_tree(tmp_path, ["train/A/1.png", "train/B/1.png", "test/A/2.png"])
    (tmp_path / "test" / "B").mkdir()
    assert len(read(tmp_path).frame) == 3


def test_no_class_folders_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="there are no class folders"):
        read(write_tree(tmp_path, ["1.png", "2.png"]))


def test_a_tree_of_links_that_leave_it_says_so(tmp_path: Path) -> None:
    outside = write_tree(tmp_path / "else", ["1.png"])
    (tmp_path / "tree" / "A").mkdir(parents=True)
    (tmp_path / "tree" / "A" / "1.png").symlink_to(outside / "1.png")
    with pytest.raises(CohortError, match="a link that leaves the folder"):
        read(tmp_path / "tree")


def test_known_metadata_tells_patient_view_and_age_by_stem(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", ["covid/one.jpg", "covid/two.jpg", "normal/00000061_012.png"])
    cohen = tmp_path / "metadata.csv"
    cohen.write_text(
        "patientid,sex,age,finding,view,modality,filename\n7,M,65,COVID-19,AP Supine,X-ray,one.png\n"
    )
    nih = tmp_path / "Data_Entry.csv"
    nih.write_text(
        "Image Index,Finding Labels,Patient ID,Patient Age,Patient Gender,View Position\n"
        "00000061_012.png,No Finding,61,77,F,PA\n"
    )
    rows = read(root, metadata=[cohen, nih])
    assert table(rows, "patient_id", "view", "age", "label") == {
        "covid/one.jpg": ("cohen:7", "AP", 65.0, "covid"),
        "covid/two.jpg": (None, None, None, "covid"),
        "normal/00000061_012.png": ("nih:00000061", "PA", 77.0, "normal"),
    }
    assert "1 of 3 pictures have no patient id" in rows.notes
    write_picture(root / "covid" / "three.jpg", 9)
    (root / "metadata.csv").write_bytes(cohen.read_bytes())
    assert table(read(root), "patient_id")["covid/one.jpg"] == ("cohen:7",)
    with pytest.raises(TableError, match="tells nothing about class folders"):
        read(root, metadata=tmp_path / "none.csv")


def test_a_pattern_names_patients(tmp_path: Path) -> None:
    root = write_tree(tmp_path, ["sick/person12_virus_1.png", "sick/person12_virus_2.png", "well/IM-1.png"])
    rows = read(root, patient_pattern=r"person(?P<patient>\d+)_")
    assert list(table(rows, "patient_id").values()) == [("s:12",), ("s:12",), (None,)]
    with pytest.raises(CohortError, match="no group"):
        read(root, patient_pattern="person")
    with pytest.raises(CohortError, match="no regular expression"):
        read(root, patient_pattern="(")


KERMANY = [
    f"train/{name}/{i}.png" for name in ("infected/covid", "infected/non-covid", "normal") for i in (1, 2)
]


def test_covid_of_the_paediatric_release_is_said_to_be_viral_pneumonia(tmp_path: Path) -> None:
    rows = read(write_tree(tmp_path / "all", KERMANY))
    said = (
        "'covid' may not be COVID-19: in the public release with this layout, 'covid' is viral pneumonia in children "
        "from before 2020 (Kermany et al. 2018)"
    )
    assert said in rows.notes
    assert rows.caveats == [f"source 's': {said}"]
    others = {
        "flat": ["covid/1.png", "non-covid/1.png", "normal/1.png"],
        "fewer": [name for name in KERMANY if "non-covid" not in name],
        "more": [*KERMANY, "train/tb/1.png"],
    }
    for name, names in others.items():
        rows = read(write_tree(tmp_path / name, names))
        assert (rows.caveats, [note for note in rows.notes if "Kermany" in note]) == ([], [])


def darkcovidnet(root: Path) -> Path:
    return write_tree(
        root,
        [
            "Covid-19/one.jpg",
            "Covid-19/two.jpg",
            "No_findings/00000061_012.jpg",
            "Pneumonia/00000062_000.jpg",
        ],
    )


def cohen_table(folder: Path, patients: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        f"{patient},M,65,COVID-19,PA,X-ray,{stem}.png\n"
        for patient, stem in zip(patients, ("one", "two"), strict=False)
    ]
    table = folder / "metadata.csv"
    table.write_text("patientid,sex,age,finding,view,modality,filename\n" + "".join(rows))
    return table


def ids(rows: SourceRows) -> list[object]:
    return [None if pd.isna(one) else one for one in rows.frame["patient_id"]]


def test_patients_of_darkcovidnet_are_taken_from_cohen_beside_it(tmp_path: Path) -> None:
    root = darkcovidnet(tmp_path / "dark")
    nih = ["nih:00000061", "nih:00000062"]
    assert ids(read(root)) == [None, None, *nih]
    cohen_table(tmp_path / "cohen", "7")
    rows = read(root)
    assert ids(rows) == ["cohen:7", None, *nih]
    assert (
        "the patient ids of 1 pictures are taken from ../cohen/metadata.csv, which was found beside the folder and "
        "not given, by the files' stems; 1 stay without"
    ) in rows.notes
    # What is given, or lies in the folder, comes before what was found.
    assert ids(read(root, metadata=cohen_table(tmp_path / "given", "12"))) == ["cohen:1", "cohen:2", *nih]
    cohen_table(root, "34")
    rows = read(root)
    assert ids(rows) == ["cohen:3", "cohen:4", *nih]
    assert not any("beside the folder" in note for note in rows.notes)


def test_patients_of_darkcovidnet_are_taken_from_the_cohorts_cohen_source(tmp_path: Path) -> None:
    root = darkcovidnet(tmp_path / "dark")
    cohen_table(tmp_path / "cohen", "77")
    table = cohen_table(tmp_path / "elsewhere", "12")
    write_tree(table.parent / "images", ["one.png", "three.png"])
    rows = read_source("s", root, {"june2020": table.parent, "x": tmp_path})
    assert ids(rows)[:2] == ["cohen:1", "cohen:2"]
    assert any("of 2 pictures are taken from the metadata.csv of this cohort's source 'june2020'" in note
               for note in rows.notes)  # fmt: skip
    sources = {"s": root, "june2020": table.parent}
    frame = Cohort.from_sources(sources, near_copies=False, split="none").frame.set_index("image_id")
    assert frame["group_id"]["s/Covid-19/one.jpg"] == frame["group_id"]["june2020/images/one.png"]


def test_a_broken_table_beside_the_folder_is_said_and_other_trees_ask_none(tmp_path: Path) -> None:
    root = darkcovidnet(tmp_path / "dark")
    table = cohen_table(tmp_path / "cohen", "12")
    other = write_tree(tmp_path / "other", ["covid/one.jpg", "normal/two.jpg"])
    assert ids(read(other)) == [None, None]
    table.write_text(table.read_text().replace("sex,", "sex,sex,"))
    rows = read(root)
    assert ids(rows)[:2] == [None, None]
    assert any("was not asked for patient ids: E_COLUMNS" in note for note in rows.notes)
    with pytest.raises(CohortError, match="no option others"):
        read(root, others={"cohen": tmp_path})
