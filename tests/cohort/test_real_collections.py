"""The published collections, where they are here: counts that can be checked against their papers."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from pulmoscope.cohort.sources import SourceRows, read_source


def counts(rows: SourceRows, column: str) -> dict[str, int]:
    return {str(key): int(value) for key, value in rows.frame[column].value_counts().items()}


def codes(rows: SourceRows) -> dict[str, int]:
    return {
        str(key): int(value)
        for key, value in rows.dropped["reason"].str.partition(":")[0].value_counts().items()
    }


def test_kermany(real_data: Path) -> None:
    rows = read_source("kermany150", real_data / "kermany150")
    table = pd.crosstab(rows.frame["split"], rows.frame["label"])
    assert table.loc[["train", "val", "test"], ["normal", "covid", "non-covid"]].to_numpy().tolist() == [
        [1341, 1345, 2530],
        [8, 9, 8],
        [234, 139, 242],
    ]
    assert set(rows.frame["finding"]) == {"normal", "infected/covid", "infected/non-covid"}
    assert rows.frame["patient_id"].isna().all()
    assert rows.notes[-1] == "5856 of 5856 pictures have no patient id"
    assert "in children from before 2020 (Kermany et al. 2018)" in rows.notes[0]
    assert rows.caveats == [f"source 'kermany150': {rows.notes[0]}"]


def test_cohen(real_data: Path) -> None:
    rows = read_source("cohen", real_data / "cohen")
    # 98 of 673 rows name CT or files that are not there; 5 more name a file a second time.
    assert codes(rows) == {"E_NOT_XRAY": 84, "E_MISSING": 14, "E_NOT_LISTED": 13, "E_DUPLICATE_ROW": 5}
    assert len(rows.frame) == 673 - 98 - 5
    assert counts(rows, "view") == {"PA": 293, "AP": 234, "lateral": 43}
    assert rows.frame["mask_path"].notna().sum() > 400


def test_hannover_and_nih(real_data: Path) -> None:
    hannover = read_source("hannover", real_data / "hannover")
    assert (len(hannover.frame), hannover.frame["patient_id"].nunique()) == (243, 71)
    assert counts(hannover, "view") == {"AP": 194, "PA": 49}
    nih = read_source("nih", real_data / "nih_sample")
    assert (len(nih.frame), nih.frame["patient_id"].nunique()) == (621, 621)
    assert codes(nih) == {"E_MISSING": 984}


def test_darkcovidnet_patients_from_names_and_metadata(real_data: Path) -> None:
    bare = read_source("darkcovidnet", real_data / "darkcovidnet")
    assert any(
        note.startswith("the patient ids of 124 pictures are taken from ../cohen/") for note in bare.notes
    )
    assert counts(bare, "label") == {"No_findings": 500, "Pneumonia": 500, "Covid-19": 124}
    assert bare.frame.groupby("label")["patient_id"].apply(lambda ids: int(ids.notna().sum())).to_dict() == {
        "Covid-19": 124,
        "No_findings": 500,
        "Pneumonia": 500,
    }
    rows = read_source(
        "darkcovidnet", real_data / "darkcovidnet", metadata=real_data / "cohen" / "metadata.csv"
    )
    assert rows.frame["patient_id"].notna().all()
    classes = rows.frame.groupby("patient_id")["label"].nunique()
    assert int((classes > 1).sum()) == 21
    cohen = read_source("cohen", real_data / "cohen")
    covid = set(rows.frame.loc[rows.frame["label"] == "Covid-19", "patient_id"])
    # The radiographs of three of its patients are not among the files of the June 2020 release.
    assert covid - set(cohen.frame["patient_id"]) == {"cohen:34", "cohen:35", "cohen:55"}


def test_pneumoniamnist(real_data: Path) -> None:
    rows = read_source("pneumoniamnist", real_data / "pneumoniamnist")
    assert counts(rows, "split") == {"train": 3882, "test": 624, "val": 524}
    assert counts(rows, "label") == {"pneumonia": 4273, "normal": 757}


@pytest.mark.parametrize("policy", ["ignore", "positive", "negative"])
def test_chexpert_policies(real_data: Path, policy: str) -> None:
    rows = read_source("chexpert", real_data / "chexpert_csv", uncertain=policy, require_files=False)
    assert len(rows.frame) + len(rows.dropped) == 4000
    assert rows.frame["patient_id"].str.fullmatch(r"chexpert:patient\d{5}").all()
    assert int((rows.frame["view"] == "lateral").sum()) <= 811
    pneumonia = int(rows.frame["finding"].str.contains("Pneumonia").sum())
    table = pd.read_csv(real_data / "chexpert_csv" / "train.csv")
    wanted = (table["Pneumonia"] == 1) | ((table["Pneumonia"] == -1) & (policy == "positive"))
    assert pneumonia == int(wanted.sum())
