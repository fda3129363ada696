"""``pulmoscope subgroups`` on tables of any program."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from commands import Command


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """160 test pictures of two a patient, wrong on half of scanner B's covid; 10 validation rows that are all wrong."""
    rows = []
    for at in range(160):
        truth, scanner = ("covid", "normal")[at // 2 % 2], "AB"[at // 4 % 2]
        wrong = scanner == "B" and truth == "covid" and at % 16 < 10
        said = 0.1 if wrong else 0.9
        chances = {truth: said, "normal" if truth == "covid" else "covid": 1 - said}
        rows.append({"image_id": f"{at:03}", "patient_id": at // 2, "label": truth, "split": "test", "scanner": scanner,
                     "age": at % 90, **{f"p_{name}": chance for name, chance in chances.items()}})  # fmt: skip
    frame = pd.DataFrame(rows)
    val = frame.head(10).assign(
        image_id=[f"v{at}" for at in range(10)], split="val", p_covid=0.5, p_normal=0.5
    )
    pd.concat([frame, val]).to_csv(tmp_path / "peer.csv", index=False)
    return tmp_path / "peer.csv"


def test_any_column_of_the_table(command: Command, table: Path) -> None:
    found = json.loads(
        command.done("subgroups", table, "--by", "scanner,age", "--age-bands", "30,60", "--json")
    )
    assert (found["n"], found["groups"], found["split"]) == (160, 80, "test")
    assert [one["level"] for one in found["columns"]["scanner"]] == ["A", "B"]
    assert [one["level"] for one in found["columns"]["age"]] == ["0-29", "30-59", "60+"]
    frame = pd.read_csv(table).query("split == 'test'")
    for level in found["columns"]["scanner"]:
        rows = frame[frame["scanner"] == level["level"]]
        right = (rows["p_covid"] > 0.5) == (rows["label"] == "covid")
        assert level["metrics"]["accuracy"]["value"] == pytest.approx(right.mean())
    assert found["lowest"]["scanner"]["sensitivity:covid"] == "B"
    worst = {(one["column"], one["metric"]): one for one in found["gaps"]}
    assert worst["scanner", "sensitivity:covid"]["differs"]
    assert found["research_use_only"]
    text = command.done("subgroups", table, "--by", "scanner")
    assert "By scanner, sensitivity of covid differs: lowest B" in text
    assert text.rstrip().endswith("Research use only.")


def test_a_cohort_beside_the_table_and_the_files(command: Command, table: Path, tmp_path: Path) -> None:
    known = pd.DataFrame({"image_id": [f"{at:03}" for at in range(150)], "sex": np.tile(["F", "M"], 75)})
    known.to_csv(tmp_path / "known.csv", index=False)
    found = json.loads(
        command.done("subgroups", table, "--by", "sex", "--cohort", tmp_path / "known.csv", "--json")
    )
    assert {one["level"]: one["n"] for one in found["columns"]["sex"]} == {"F": 75, "M": 75, "unknown": 10}
    out = tmp_path / "out"
    command.done("subgroups", table, "--by", "scanner", "--out", out)
    assert json.loads((out / "subgroups.json").read_text())["n"] == 160
    assert sorted(one.name for one in (out / "figures").iterdir()) == [
        "subgroups_overall.png", "subgroups_sensitivity.png",
    ]  # fmt: skip


def test_a_folder_with_its_cohort_and_a_split(command: Command, table: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    frame = pd.read_csv(table, dtype={"image_id": "str", "patient_id": "str"})
    frame.drop(columns=["scanner", "age"]).to_parquet(folder / "predictions.parquet")
    frame.assign(view=np.where(frame["scanner"] == "A", "PA", "AP"), path="x")[
        ["image_id", "path", "label", "view", "age"]
    ].to_parquet(folder / "cohort.parquet")
    found = json.loads(command.done("subgroups", folder, "--json"))
    assert list(found["columns"]) == ["view", "age"]
    assert json.loads(command.done("subgroups", folder, "--split", "all", "--json"))["n"] == 170
    assert json.loads(command.done("subgroups", folder, "--split", "val", "--json"))["n"] == 10


def test_mistakes_end_in_one_line(command: Command, table: Path, tmp_path: Path) -> None:
    assert "'scaner'" in command.refused("E_TABLE", "subgroups", table, "--by", "scaner")
    command.refused("E_USAGE", "subgroups", table, "--age-bands", "young,old")
    command.refused("E_OPTION", "subgroups", table, "--by", "age", "--age-bands", "40,18")
    command.refused("E_OPTION", "subgroups", table, "--by", "scanner", "--intervals", "narrow")
    command.refused("E_MISSING", "subgroups", tmp_path / "none.csv")
    command.refused("E_TABLE", "subgroups", table, "--split", "train")
    pd.DataFrame({"image_id": ["z"], "sex": ["F"]}).to_csv(tmp_path / "other.csv", index=False)
    command.refused("E_TABLE", "subgroups", table, "--cohort", tmp_path / "other.csv", "--by", "sex")
    pd.concat([pd.read_csv(table).assign(model=name) for name in "ab"]).to_csv(
        tmp_path / "two.csv", index=False
    )
    assert "--model" in command.refused("E_TABLE", "subgroups", tmp_path / "two.csv", "--by", "scanner")
    assert "sensitivity of covid" in command.done(
        "subgroups", tmp_path / "two.csv", "--by", "scanner", "--model", "b"
    )
