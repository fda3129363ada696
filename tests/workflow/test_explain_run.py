"""A run's pictures explained: what is chosen, drawn, written and said."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pulmoscope.cli.app import app
from pulmoscope.errors import LabelError, PulmoscopeError, RunError
from pulmoscope.evaluation import Predictions
from pulmoscope.models import HeadSpec, ModelSpec, build_classifier
from pulmoscope.workflow.explain_files import as_dict
from pulmoscope.workflow.explain_run import explain_pictures
from small_run import bundle_of, write_run_of

CLASSES = ("normal", "pneumonia", "<b>covid")


def make_run(folder: Path) -> Path:
    """A run as training leaves it, of a network that was not trained, on 24 pictures."""
    folder.mkdir(parents=True)
    pictures = folder.parent / "pictures"
    pictures.mkdir()
    generator = np.random.default_rng(0)
    paths = []
    for index in range(24):
        pixels = generator.integers(0, 120, (60, 90)).astype(np.uint8)
        pixels[:, 10 + 20 * (index % 3) : 30 + 20 * (index % 3)] += 100
        paths.append(pictures / f"name_of_patient_{index:02}.png")
        Image.fromarray(pixels).save(paths[-1])
    spec = ModelSpec(
        backbone="residual_cnn",
        options={"width": 4},
        channels=1,
        size=64,
        head=HeadSpec(dropout=0),
        classes=CLASSES,
    )
    weights = build_classifier(spec, seed=2).state_dict()
    weights["head.1.weight"] = weights["head.1.weight"] * 3
    ids = [f"s/{path.name}" for path in paths]
    labels = [CLASSES[index % 3] for index in range(24)]
    splits = ["val" if index < 12 else "test" for index in range(24)]
    frame = pd.DataFrame({"image_id": ids, "path": [str(p) for p in paths], "label": labels, "split": splits})
    write_run_of(folder, bundle_of(spec, weights), frame)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("explained") / "run")


def test_everything_of_a_run(run: Path) -> None:
    found = explain_pictures(run, methods=["grad-cam", "eigen-cam"], layer="all", limit=2)
    folder = run / "explain"
    said = json.loads((folder / "explain.json").read_text())
    assert said == json.loads(json.dumps(as_dict(found)))
    predictions = Predictions(pd.read_parquet(run / "predictions.parquet")).part("test")
    by_id = predictions.frame.set_index("image_id")
    assert len(said["pictures"]) > 3
    for number, one in enumerate(said["pictures"], start=1):
        assert one["number"] == number
        row = by_id.loc[one["image_id"]]
        assert one["label"] == row["label"]
        for name in CLASSES:
            assert one["probabilities"][name] == pytest.approx(row[f"p_{name}"], abs=1e-4)
        assert one["predicted"] == one["explained"] == max(CLASSES, key=lambda name: row[f"p_{name}"])
        assert set(one["prediction_set"]) <= set(CLASSES)
        assert all(share is None or 0 <= share <= 1 for share in one["shares_of_evidence"].values())
        with Image.open(folder / one["overlay"]) as overlay:
            assert overlay.height > 320
        assert (folder / "layers" / f"{number:04}.png").is_file()
    titles = {pick.name: pick.title for pick, _ in found.subjects.galleries}
    off = [g for g in said["galleries"] if " taken for " in titles[g["pick"]]]
    wrong = int((predictions.predicted != predictions.labels).sum())
    assert sum(one["of"] for one in off) == wrong > 0
    with np.load(folder / "maps.npz", allow_pickle=False) as arrays:
        assert arrays["image_id"].tolist() == [one["image_id"] for one in said["pictures"]]
        assert arrays["raw.grad-cam"].shape == (len(said["pictures"]), 2, 2)
        assert arrays["shape"].tolist() == [[60, 90]] * len(said["pictures"])
        explained = [CLASSES.index(one["explained"]) for one in said["pictures"]]
        assert arrays["target"].tolist() == explained
        rows = arrays["true_class.rows"]
        assert all(said["pictures"][row]["label"] != said["pictures"][row]["predicted"] for row in rows)
        assert "true_class.raw.eigen-cam" not in arrays
    assert [one["of"] for one in said["galleries"] if one["pick"] == "least-sure"] == [12]
    assert [one["name"] for one in said["stages"]] == ["stage1", "stage2", "stage3", "stage4"]


def test_the_page_holds_all_it_shows(run: Path, tmp_path: Path) -> None:
    found = explain_pictures(run, picks=["errors"], limit=2, out=tmp_path / "out")
    page = (tmp_path / "out" / "gallery.html").read_text()
    assert "Research use only" in page
    assert "<script" not in page
    assert "<b>covid" not in page
    assert "&lt;b&gt;covid" in page
    assert "name_of_patient" not in page
    assert not re.search(r"(?:src|href)=\"(?!data:image/jpeg;base64,|#)", page)
    shown = sum(len(rows) for _, rows in found.subjects.galleries)
    assert page.count("<figure") == shown + len(found.means)
    assert page.count('<figure class="wrong"') == shown
    # A second, smaller explanation leaves nothing of the first behind.
    explain_pictures(run, picks=["confident-wrong"], limit=1, out=tmp_path / "out")
    assert [one.name for one in (tmp_path / "out" / "overlays").iterdir()] == ["0001.png"]


def test_files_a_target_and_a_bundle(run: Path, tmp_path: Path) -> None:
    pictures = sorted((run.parent / "pictures").iterdir())[:2]
    torn = tmp_path / "torn.png"
    torn.write_bytes(pictures[0].read_bytes()[:100])
    found = explain_pictures(
        run / "model", images=[*pictures, torn], target="pneumonia", methods=["hires-cam"], layer="stage2",
        out=tmp_path / "out",
    )  # fmt: skip
    said = as_dict(found)
    assert [one["explained"] for one in said["pictures"]] == ["pneumonia"] * 2
    assert [one["label"] for one in said["pictures"]] == [None, None]
    assert said["methods"][0]["layer"] == "backbone.blocks.1"
    assert [one["image"] for one in said["unread"]] == [str(torn)]
    assert said["prediction_sets"] is None
    with np.load(tmp_path / "out" / "maps.npz") as arrays:
        assert arrays["raw.hires-cam"].shape == (2, 8, 8)


def test_a_picture_that_has_changed_is_said(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    first = explain_pictures(run, picks=["least-sure"], limit=4)
    assert not first.moved
    changed = first.subjects.pictures[2].image_id
    path = tmp_path / "pictures" / changed.removeprefix("s/")
    Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    (tmp_path / "pictures" / first.subjects.pictures[0].image_id.removeprefix("s/")).unlink()
    again = explain_pictures(run, picks=["least-sure"], limit=4)
    assert len(again.subjects.pictures) == 3
    assert [name for name, _ in again.subjects.unread] == [first.subjects.pictures[0].image_id]
    assert [again.subjects.pictures[row].image_id for row in again.moved] == [changed]
    page = (run / "explain" / "gallery.html").read_text()
    assert "1 pictures have other probabilities now" in page


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"target": "flu"}, "no class 'flu'"),
        ({"methods": ["gradcam"]}, "did you mean grad-cam"),
        ({"methods": ["eigen-cam"], "layer": "all"}, "followed through the layers"),
        ({"picks": ["errors"], "images": [Path("x.png")]}, "exclude each other"),
        ({"images": [Path("x.png")]}, "no picture to explain"),
        ({"split": "train"}, "no predictions for 'train'"),
        ({"layer": "stage9"}, "no layer 'stage9'"),
    ],
)
def test_mistakes_are_one_line(run: Path, tmp_path: Path, options: dict[str, object], code: str) -> None:
    with pytest.raises(PulmoscopeError, match=code) as error:
        explain_pictures(run, out=tmp_path / "out", **options)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    assert isinstance(error.value, LabelError) == ("flu" in code)


def test_other_peoples_folders_are_left_alone(run: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(RunError, match="holds something else.*thesis.txt"):
        explain_pictures(run, out=tmp_path)
    with pytest.raises(RunError, match="a model without its run"):
        explain_pictures(run / "model", out=tmp_path / "out")


def test_the_command(run: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    arguments = ["explain", str(run), "--pick", "fn,fp", "--target", "<b>covid", "--limit", "1"]
    out = ["--out", str(tmp_path / "out")]
    text = CliRunner().invoke(app, [*arguments, *out], catch_exceptions=False)
    assert text.exit_code == 0
    assert text.output.rstrip().endswith("Research use only.")
    assert "False negatives of <b>covid" in text.output
    told = CliRunner().invoke(app, [*arguments, *out, "--json"], catch_exceptions=False)
    assert json.loads(told.output) == json.loads((tmp_path / "out" / "explain.json").read_text())
