"""Runs and tables read, named, compared and written."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pulmoscope.errors import RunError, TableError
from pulmoscope.workflow.compare_run import compare, leak_warnings, read_contenders

HOSTILE = "<script>alert(1)</script>"


pytestmark = pytest.mark.usefixtures("small_figures")


def table(path: Path, strength: float, *, models: tuple[str, ...] = (), rows: int = 60) -> Path:
    rng = np.random.default_rng(int(100 * strength))
    truth = np.arange(rows) % 3
    frames = []
    for model in models or ("",):
        scores = rng.dirichlet(np.ones(3), rows) + strength * np.eye(3)[truth]
        scores /= scores.sum(axis=1, keepdims=True)
        frame = pd.DataFrame(scores, columns=["p_a", "p_b", "p_c"])
        frame.insert(0, "image_id", [f"i{k}" for k in range(rows)])
        frame.insert(1, "label", np.array(list("abc"))[truth])
        frame.insert(2, "split", np.where(np.arange(rows) < 15, "val", "test"))
        frames.append(frame.assign(model=model) if model else frame)
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = pd.concat(frames)
    whole.to_csv(path, index=False) if path.suffix == ".csv" else whole.to_parquet(path, index=False)
    return path


def run(folder: Path, strength: float, *, leaked: bool = False) -> Path:
    table(folder / "predictions.parquet", strength)
    (folder / "recipe.yaml").write_text("name: x\n")
    (folder / "metrics.json").write_text(
        json.dumps({"test": {}} | ({"leaked_split": True} if leaked else {}))
    )
    return folder


def test_runs_and_tables_side_by_side(tmp_path: Path) -> None:
    sources = [
        run(tmp_path / "a", 0.3),
        table(tmp_path / "theirs.csv", 0.9),
        f"mine={run(tmp_path / 'b', 0.5)}",
    ]
    out = tmp_path / "out"
    found = compare(sources, margin=0.05, replicates=50, out=out)
    assert list(found.models) == ["a", "theirs", "mine"]
    assert (found.split, found.pictures) == ("test", 45)
    assert sorted(one.name for one in out.iterdir() if one.name != ".lock") == [
        "compare.html", "compare.json", "figures", "pairs.csv",
    ]  # fmt: skip
    held = json.loads((out / "compare.json").read_text())
    tables = held.pop("tables")
    assert held == json.loads(json.dumps(found.as_dict()))
    assert [one["table"] for one in tables] == [
        "a/predictions.parquet",
        f"{tmp_path.name}/theirs.csv",
        "b/predictions.parquet",
    ]
    with (out / "pairs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 4
    assert float(rows[0]["difference"]) == found.pairs[0].differences["accuracy"].difference
    assert int(rows[0]["only_second"]) == found.pairs[0].mcnemar.only_second
    # Once more into the same folder; never into another's.
    assert compare(sources, margin=0.05, replicates=50, out=out).as_dict() == found.as_dict()
    with pytest.raises(RunError, match="E_RUN_EXISTS"):
        compare(sources, replicates=50, out=tmp_path / "a")


def test_the_page_holds_all_and_asks_for_nothing(tmp_path: Path) -> None:
    sources = [f"{HOSTILE}={run(tmp_path / 'a', 0.3, leaked=True)}", table(tmp_path / "b.csv", 0.9)]
    compare(sources, margin=0.05, replicates=50, out=tmp_path / "out")
    text = (tmp_path / "out" / "compare.html").read_text("utf-8")
    for words in ("LEAKED SPLIT in &lt;script&gt;", "Leaderboard", "Non-inferiority", "McNemar", "DeLong",
                  "is better than", "Research use only"):  # fmt: skip
        assert words in text
    assert "<script" not in text
    assert "://" not in text
    assert not re.search(r"<link|\son\w+=", text)
    assert str(tmp_path) not in text
    assert (tmp_path / "out" / "figures" / "forest.png").is_file()


def test_every_model_of_a_table_is_a_contender(tmp_path: Path) -> None:
    file = table(tmp_path / "all.csv", 0.5, models=("x", "y", "z"))
    assert [one.name for one in read_contenders([file])] == ["x", "y", "z"]
    assert [one.name for one in read_contenders([file], ["z", "x"])] == ["x", "z"]
    both = [file, f"other={table(tmp_path / 'more.csv', 0.6, models=('x', 'w'))}"]
    assert [one.name for one in read_contenders(both)] == ["all:x", "y", "z", "other:x", "other:w"]
    with pytest.raises(TableError, match="E_NO_SUCH_MODEL.*'q'"):
        read_contenders([file], ["q"])


def test_names_are_the_shortest_ends_that_differ(tmp_path: Path) -> None:
    sources = [run(tmp_path / one / "seed-0", 0.3) for one in ("k", "l")] + [
        run(tmp_path / "k" / "seed-1", 0.3)
    ]
    assert [one.name for one in read_contenders(sources)] == ["k/seed-0", "l/seed-0", "seed-1"]
    with pytest.raises(TableError, match="two models are called"):
        read_contenders([sources[0], sources[0]])


def test_leaks_are_told(tmp_path: Path) -> None:
    found = read_contenders([run(tmp_path / "a", 0.3, leaked=True), run(tmp_path / "b", 0.3)])
    assert [one.leaked for one in found] == [True, False]
    assert [line.split(":")[0] for line in leak_warnings(found)] == ["LEAKED SPLIT in a"]


def test_folders_without_predictions_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="holds no predictions; expected"):
        read_contenders([tmp_path / "empty"])
    begun = run(tmp_path / "begun", 0.3)
    (begun / "predictions.parquet").unlink()
    with pytest.raises(RunError, match="has not ended"):
        read_contenders([begun])
    torn = run(tmp_path / "torn", 0.3)
    (torn / "metrics.json").write_text("{")
    with pytest.raises(RunError, match="torn"):
        read_contenders([torn])
