"""``pulmoscope predict --manifest``: shards, resuming, refusals, and the same answers as for single files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from commands import Command, contents
from pulmoscope.errors import TableError
from pulmoscope.imaging import Preprocess
from pulmoscope.models import Bundle, HeadSpec, ModelSpec, WeightsOrigin, build_classifier
from pulmoscope.workflow.batch_manifest import Manifest

CLASSES = ("normal", "pneumonia", "covid")
ROWS, SHARD = 23, 8


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = ModelSpec(
        backbone="plain_cnn",
        options={"blocks": 2, "width": 4},
        channels=1,
        classes=CLASSES,
        head=HeadSpec(dropout=0.1),
    )
    bundle = Bundle(
        spec=spec,
        preprocess=Preprocess(size=32, channels=1),
        weights=build_classifier(spec, seed=3).state_dict(),
        origin=WeightsOrigin(name="random", source="drawn from a seed"),
    )
    return bundle.save(tmp_path_factory.mktemp("bundle") / "model")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """23 rows in row groups of 5: pictures, three that cannot be read, a column of its own, relative paths."""
    folder = tmp_path_factory.mktemp("files")
    generator = np.random.default_rng(0)
    paths: list[str | None] = []
    for index in range(ROWS - 3):
        name = f"{index:02}.png"
        Image.fromarray(generator.integers(0, 40 + 10 * index, (40, 40)).astype(np.uint8)).save(folder / name)
        paths.append(name if index % 2 else str(folder / name))
    (folder / "page.png").write_text("<html>")
    paths[3:3] = ["gone.png"]
    paths[10:10] = ["page.png"]
    paths[17:17] = [None]
    table = pd.DataFrame(
        {"site": np.arange(ROWS) % 4, "path": paths, "image_id": [f"i{n}" for n in range(ROWS)]}
    )
    table.to_parquet(folder / "list.parquet", row_group_size=5, index=False)
    return folder / "list.parquet"


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def answers(out: Path) -> pd.DataFrame:
    return pd.concat(
        [pd.read_parquet(path) for path in sorted(out.glob("part-*.parquet"))], ignore_index=True
    )


def score(model: Path, manifest: Path, out: Path, *more: object) -> tuple[object, ...]:
    return ("predict", model, "--manifest", manifest, "--out", out, "--shard", SHARD, *more)


@pytest.fixture(scope="module")
def whole(model: Path, manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from pulmoscope.search.engine import LocalEngine
    from pulmoscope.workflow.batch_predict import predict_manifest

    out = tmp_path_factory.mktemp("whole") / "out"
    predict_manifest(model, manifest, out, engine=LocalEngine(), shard=SHARD)
    return out


def test_a_row_a_file_in_the_manifests_order_and_each_unreadable_one_with_its_reason(
    model: Path, manifest: Path, tmp_path: Path, command: Command
) -> None:
    out = tmp_path / "out"
    assert command.run(*score(model, manifest, out)) == 3
    assert [pq.read_metadata(path).num_rows for path in sorted(out.glob("part-*.parquet"))] == [8, 8, 7]
    assert sorted(path.name for path in out.iterdir()) == [
        ".lock", "manifest.json", "part-00000.parquet", "part-00001.parquet", "part-00002.parquet",
    ]  # fmt: skip
    table, asked = answers(out), pd.read_parquet(manifest)
    assert list(table.columns) == [
        "image_id", "path", "site", "prediction", "p_normal", "p_pneumonia", "p_covid", "status", "reason",
    ]  # fmt: skip
    pd.testing.assert_frame_equal(table[["site", "path", "image_id"]], asked)
    unread = table[table["status"] == "unreadable"]
    assert unread.index.tolist() == [3, 10, 17]
    assert [reason.split(":")[0] for reason in unread["reason"]] == ["E_MISSING", "E_NOT_IMAGE", "E_MISSING"]
    assert unread[["prediction", "p_normal", "p_pneumonia", "p_covid"]].isna().all(axis=None)
    read = table[table["status"] == "read"]
    shares = read[["p_normal", "p_pneumonia", "p_covid"]]
    assert read["reason"].isna().all()
    assert shares.sum(axis=1).to_numpy() == pytest.approx(1)
    assert shares.idxmax(axis=1).str.removeprefix("p_").tolist() == read["prediction"].tolist()
    assert shares.round(4).drop_duplicates().shape == shares.shape
    assert "read        20" in command.out
    assert "unreadable  2  E_MISSING" in command.out
    assert "unreadable  1  E_NOT_IMAGE" in command.out
    assert "3 files could not be read" in command.err


def test_the_answers_are_those_of_single_files(
    model: Path, manifest: Path, whole: Path, command: Command
) -> None:
    table = answers(whole)
    read = table[table["status"] == "read"]
    out = command.done("predict", model, *[manifest.parent / path for path in read["path"]], "--json")
    single = [json.loads(line) for line in out.splitlines()]
    assert [one["label"] for one in single] == read["prediction"].tolist()
    for name in CLASSES:
        ours = [one["probabilities"][name] for one in single]
        assert ours == pytest.approx(read[f"p_{name}"].tolist(), abs=1e-2)


@pytest.mark.parametrize("engine", ["local", "ray"])
def test_processes_and_ray_give_the_same_bytes(
    model: Path, manifest: Path, whole: Path, tmp_path: Path, command: Command, engine: str
) -> None:
    if engine == "ray":
        pytest.importorskip("ray", reason="Ray is not installed: pip install 'pulmoscope[ray]'")
    # One thread each, as the run in this process: the cores are shared out.
    workers = max(2, len(os.sched_getaffinity(0)))
    torch.set_num_threads(1)
    assert command.run(*score(model, manifest, tmp_path / "here")) == 3
    assert (
        command.run(*score(model, manifest, tmp_path / "apart", "--engine", engine, "--workers", workers))
        == 3
    )
    here, apart = contents(tmp_path / "here"), contents(tmp_path / "apart")
    assert len(here) == 4
    assert here == apart


def test_only_what_is_missing_is_made_again(
    model: Path, manifest: Path, tmp_path: Path, command: Command
) -> None:
    out = tmp_path / "out"
    assert command.run(*score(model, manifest, out)) == 3
    before = contents(out)
    kept = (out / "part-00000.parquet").stat().st_mtime_ns
    (out / "part-00001.parquet").unlink()
    (out / "part-00002.parquet").write_bytes(before["part-00002.parquet"][:200])
    (out / ".part-00001.parquet.x.tmp.parquet").write_bytes(b"half")
    assert command.run(*score(model, manifest, out)) == 3
    assert "15 now" in command.out
    assert contents(out) == before
    assert (out / "part-00000.parquet").stat().st_mtime_ns == kept
    assert command.run(*score(model, manifest, out)) == 3
    assert "all were there already" in command.out
    assert "read        20" in command.out


def test_other_answers_are_never_mixed_in(
    model: Path, manifest: Path, whole: Path, tmp_path: Path, command: Command
) -> None:
    before = contents(whole)
    line = command.refused("E_OTHER_BATCH", *score(model, manifest, whole, "--shard", 9))
    assert "shard differ" in line
    other = tmp_path / "list.parquet"
    pd.read_parquet(manifest).iloc[:-1].to_parquet(other, index=False)
    assert "manifest_sha256, rows differ" in command.refused("E_OTHER_BATCH", *score(model, other, whole))
    changed = tmp_path / "model"
    changed.mkdir()
    for path in model.iterdir():
        (changed / path.name).write_bytes(path.read_bytes())
    content = json.loads((changed / "model.json").read_text())
    content["preprocess"]["aspect"] = "crop"
    (changed / "model.json").write_text(json.dumps(content))
    assert "model_sha256 differ" in command.refused("E_OTHER_BATCH", *score(changed, manifest, whole))
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "part-00000.parquet").write_bytes(before["part-00000.parquet"])
    command.refused("E_OTHER_BATCH", *score(model, manifest, tmp_path / "strange"))
    assert contents(whole) == before


def test_a_manifest_that_cannot_be_used_is_refused_in_one_line(
    model: Path, manifest: Path, tmp_path: Path, command: Command
) -> None:
    for name, frame, said in (
        ("no_path", pd.DataFrame({"file": ["a.png"]}), "no text column 'path'"),
        ("numbers", pd.DataFrame({"path": [1, 2]}), "no text column 'path'; got int64"),
        ("empty", pd.DataFrame({"path": pd.Series([], dtype="str")}), "holds no rows"),
        ("taken", pd.DataFrame({"path": ["a.png"], "status": [1], "p_covid": [1]}), "p_covid, status"),
    ):
        place = tmp_path / f"{name}.parquet"
        frame.to_parquet(place, index=False)
        assert said in command.refused("E_TABLE", *score(model, place, tmp_path / "out"))
    (tmp_path / "text.parquet").write_text("path\na.png\n")
    for place in (tmp_path / "text.parquet", tmp_path / "gone.parquet", tmp_path):
        assert "cannot be read" in command.refused("E_TABLE", *score(model, place, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_options_that_do_not_go_together(
    model: Path, manifest: Path, tmp_path: Path, command: Command
) -> None:
    command.refused("E_USAGE", "predict", model)
    command.refused("E_USAGE", "predict", model, "--manifest", manifest)
    command.refused("E_USAGE", *score(model, manifest, tmp_path / "out", "--json"))
    command.refused("E_USAGE", *score(model, manifest, tmp_path / "out", "--address", "auto"))
    command.refused("E_USAGE", *score(model, manifest, tmp_path / "out", "--workers", 0))
    command.refused("E_USAGE", *score(model, manifest, tmp_path / "out", "--shard", 0))
    assert "--out, --engine" in command.refused(
        "E_USAGE", "predict", model, "x.png", "--out", tmp_path, "--engine", "ray"
    )


@pytest.mark.parametrize("row_group", [1, 4, 23])
def test_ranges_of_rows_join_to_the_whole_table(manifest: Path, tmp_path: Path, row_group: int) -> None:
    place = tmp_path / "list.parquet"
    table = pd.read_parquet(manifest).drop(columns="image_id")
    table["path"] = table["path"].astype("category")
    table.to_parquet(place, row_group_size=row_group, index=False)
    read = Manifest(place)
    for size in (1, 5, 8, 30):
        parts = [
            read.rows(first, min(first + size, len(read))).to_pandas() for first in range(0, len(read), size)
        ]
        joined = pd.concat(parts, ignore_index=True)
        assert joined["path"].fillna("").tolist() == table["path"].astype("object").fillna("").tolist()
        assert joined["site"].tolist() == table["site"].tolist()
        assert joined["image_id"].fillna("").tolist() == joined["path"].fillna("").tolist()


def test_a_missing_manifest_is_a_table_error(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="cannot be read"):
        Manifest(tmp_path / "gone.parquet")
