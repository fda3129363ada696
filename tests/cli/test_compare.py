"""``pulmoscope compare`` through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from commands import Command
from pulmoscope.workflow import compare_run

HEAD = "image_id,label,prediction"


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


def table(path: Path, wrong: set[int], *, rows: int = 40, head: str = HEAD, label: str = "xy") -> Path:
    lines = [head]
    for at in range(rows):
        lines.append(f"i{at},{label[at % 2]},{label[(at + (at in wrong)) % 2]}")
    path.write_text("\n".join(lines))
    return path


def test_as_text_and_as_json(command: Command, tmp_path: Path) -> None:
    first, second = table(tmp_path / "first.csv", {0, 1, 2, 3}), table(tmp_path / "second.csv", {3, 4})
    said = command.done(
        "compare", first, second, "--margin", 0.1, "--replicates", 50, "--out", tmp_path / "out"
    )
    assert "first and second cannot be told apart by accuracy" in said
    assert "right in one alone 1 : 3, McNemar exact p = .62" in said
    assert "second against first by accuracy: non-inferior" in said
    assert "Research use only." in said
    assert (tmp_path / "out" / "compare.html").is_file()
    found = json.loads(
        command.done("compare", first, second, "--metric", "f1:y", "--replicates", 50, "--json")
    )
    assert found["metrics"] == ["f1:y"]
    assert found["pairs"][0]["mcnemar"]["exact_p"] == pytest.approx(0.625)
    assert found["models"]["first"]["macro_auroc"]["value"] is None


def test_leaks_are_said_and_every_table_is_read_once(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "flattered"
    run.mkdir()
    table(tmp_path / "first.csv", {0})
    pd.read_csv(tmp_path / "first.csv").assign(split="test").to_parquet(run / "predictions.parquet")
    (run / "metrics.json").write_text(json.dumps({"leaked_split": True}))
    second = tmp_path / "second.parquet"
    pd.read_csv(table(tmp_path / "second.csv", {1})).assign(split="test").to_parquet(second)
    read, true = [], compare_run.read_predictions
    monkeypatch.setattr(
        compare_run, "read_predictions", lambda path, **given: read.append(path) or true(path, **given)
    )
    said = command.done("compare", run, second, "--replicates", 20)
    assert said.count("LEAKED SPLIT in flattered") == 1
    assert read == [run / "predictions.parquet", second]


def test_what_does_not_fit_is_one_line(command: Command, tmp_path: Path) -> None:
    first = table(tmp_path / "first.csv", {0})
    for code, other in (
        ("E_IMAGES_DIFFER", table(tmp_path / "fewer.csv", {0}, rows=39)),
        ("E_LABELS_DIFFER", table(tmp_path / "labels.csv", {0}, label="yx")),
        ("E_TABLE", table(tmp_path / "columns.csv", {0}, head="name,truth,said")),
        ("E_RUN", tmp_path),
    ):
        command.refused(code, "compare", first, other)
    command.refused("E_TOO_FEW_MODELS", "compare", first)
    second = table(tmp_path / "second.csv", {1})
    command.refused("E_OPTION", "compare", first, second, "--margin", 3)
    command.refused("E_OPTION", "compare", first, second, "--metric", "kappa")
