"""Feature maps, filters and embeddings of a run: what is computed, written and said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pulmoscope.cli.app import app
from pulmoscope.errors import PulmoscopeError, RunError
from pulmoscope.evaluation import Predictions, compare_predictions
from pulmoscope.workflow import Run
from pulmoscope.workflow.embed_run import SourceGuess, embed_run
from pulmoscope.workflow.filters_run import look_at_filters
from pulmoscope.workflow.look_run import look_at
from small_run import SEED, write_small_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_run(tmp_path_factory.mktemp("looked") / "run", batch_norm=True)


def test_sheets_of_two_pictures(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = sorted((run.parent / "pictures").iterdir())[:2]
    given = [word for path in pictures for word in ("--images", str(path))]
    app(
        ["features", str(run), *given, "--layers", "conv2,stage4", "--out", str(tmp_path / "f"), "--json"],
        standalone_mode=False,
    )
    said = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in said["layers"]] == ["conv2", "stage4"]
    assert [one["channels"] for one in said["layers"]] == [8, 32]
    assert [one["sheet"] for one in said["pictures"]] == ["0001.png", "0002.png"]
    with np.load(tmp_path / "f" / "features.npz", allow_pickle=False) as arrays:
        assert arrays["maps.conv2"].shape == (2, 8, 8, 8)
        silent = (np.ptp(arrays["maps.conv2"], axis=(2, 3)) == 0).sum(axis=1)
    assert said["layers"][0]["silent_channels"] == silent.tolist()
    # Fewer pictures leave no old sheet behind.
    found = look_at(run, pictures[:1], out=tmp_path / "f")
    assert sorted(path.name for path in (tmp_path / "f").glob("*.png")) == ["0001.png"]
    assert [one.name for one in found.layers] == ["stage1", "stage2", "stage3", "stage4"]
    with pytest.raises(RunError, match="no picture"):
        look_at(run, [], out=tmp_path / "g")


def test_filters_since_the_start(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="pulmoscope"):
        found = look_at_filters(run, before="start", layers=["conv3"], out=tmp_path / "f")
    assert "layer 1 of 1" in caplog.text
    changes = {one.name: one for one in found.changes}
    # The run's seed gives the weights that it was made of, but for the last layer, which was tripled.
    assert SEED == 3
    assert changes["head.1.weight"].relative == pytest.approx(2)
    assert {one.relative for name, one in changes.items() if name.startswith("backbone")} == {0.0}
    assert len(changes) == 11
    assert found.watched == 16
    assert [one.kind for one in found.layers] == ["convolution"] * 10 + ["dense"]
    (excited,) = found.excited
    assert excited.before is not None
    np.testing.assert_array_equal(excited.before, excited.after)
    names = sorted(path.name for path in (tmp_path / "f").glob("*.png"))
    assert names == ["excited_backbone_blocks_1_1_first_0.png", "kernels.png"]
    app(
        ["filters", str(run), "--before", str(run), "--layers", "conv1", "--out", str(tmp_path / "f")],
        standalone_mode=False,
    )
    text = capsys.readouterr().out
    assert "never active" in text
    assert "change from run run" in text
    assert not (tmp_path / "f" / names[0]).exists()
    with pytest.raises(PulmoscopeError, match="conv1 to"):
        look_at_filters(run, layers=["conv99"], out=tmp_path / "f")


def test_an_embedding_and_the_source(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app(
        ["embed", str(run), "--method", "pca,tsne", "--out", str(tmp_path / "e"), "--json"],
        standalone_mode=False,
    )
    said = json.loads(capsys.readouterr().out)
    test = Run(run).predict("test")
    assert said["wrong"] == int((test.predicted != test.labels).sum())
    assert (said["pictures"], said["features"]) == (16, 32)
    guess = said["source_guess"]
    assert guess["sources"] == {"north": 8, "south": 8}
    assert guess["commonest"] == 0.5
    assert guess["groups"] == 8
    table = pd.read_csv(tmp_path / "e" / "embedding.csv")
    assert table.columns.tolist() == [
        "image_id",
        "label",
        "source",
        "wrong",
        "pca_1",
        "pca_2",
        "tsne_1",
        "tsne_2",
    ]
    assert set(table["image_id"]) == set(test.frame["image_id"])
    assert int(table["wrong"].sum()) == said["wrong"]
    assert (tmp_path / "e" / "source.png").is_file()
    found = embed_run(run, methods=["pca"], split="val", out=tmp_path / "e")
    assert "does the model know the source" in str(found)
    with pytest.raises(PulmoscopeError, match="pca, tsne, umap"):
        embed_run(run, methods=["som"], out=tmp_path / "e")


def test_where_class_and_source_are_one_the_guess_says_so() -> None:
    """The guess is always right, so its interval has nothing to go by: it is left out, and the conclusion stands."""
    count = 40
    sources = np.array(["cohen", "nih"])[np.arange(count) % 2]
    sure = np.where(sources[:, None] == np.array(["cohen", "nih"]), 0.9, 0.1)
    tables = {
        name: Predictions.from_arrays(
            image_id=[f"i{at}" for at in range(count)], probabilities=sure, classes=["cohen", "nih"],
            label=sources.tolist(), group_id=[f"g{at}" for at in range(count)],
        )
        for name in ("true class alone", "the model's features")
    }  # fmt: skip
    comparison = compare_predictions(tables, split=None, metrics=("accuracy", "balanced_accuracy"))
    guess = SourceGuess(sources={"cohen": 20, "nih": 20}, commonest=0.5, comparison=comparison)
    assert "the class itself gives much of the source away here" in str(guess)
    assert "nan" not in str(guess)
