"""A run's maps judged: files, page, command, masks and other runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from commands import Command
from pulmoscope.errors import RunError
from pulmoscope.imaging import Preprocess
from pulmoscope.models import Bundle, HeadSpec, ModelSpec, build_classifier
from pulmoscope.report.scorecard_section import explain_section, scorecard_section
from pulmoscope.workflow.scorecard_pictures import mask_in_square, stratified
from pulmoscope.workflow.scorecard_run import score_methods
from small_run import bundle_of, write_run_of

CLASSES = ("normal", "<b>covid")


def make_bundle(seed: int, classes: tuple[str, ...] = CLASSES) -> Bundle:
    spec = ModelSpec(
        backbone="plain_cnn", options={"blocks": 3, "width": 4}, channels=1, size=32, head=HeadSpec(dropout=0),
        classes=classes,
    )  # fmt: skip
    weights = build_classifier(spec, seed=seed).state_dict()
    # Every channel speaks for every class, so that no map is empty.
    weights["head.1.weight"] = weights["head.1.weight"].abs()
    return bundle_of(spec, weights)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as training leaves it, of a network that was not trained, on 16 pictures with a mask each."""
    folder = tmp_path_factory.mktemp("scored") / "run"
    pictures, masks = folder.parent / "pictures", folder.parent / "masks"
    for one in (folder, pictures, masks):
        one.mkdir()
    generator = np.random.default_rng(0)
    paths = []
    for index in range(16):
        coarse = generator.random((6, 9)).astype(np.float32)
        pixels = np.clip(cv2.resize(coarse, (60, 40), interpolation=cv2.INTER_CUBIC), 0, 1)
        paths.append(pictures / f"name_of_patient_{index:02}.png")
        Image.fromarray((pixels * 255).astype(np.uint8)).save(paths[-1])
        mask = np.zeros((20, 30), np.uint8)  # half the radiograph's size
        mask[:, :15] = 1
        Image.fromarray(mask).save(masks / paths[-1].name)
    ids = [f"s/{path.name}" for path in paths]
    labels = [CLASSES[index % 2] for index in range(16)]
    splits = ["val" if index < 4 else "test" for index in range(16)]
    frame = pd.DataFrame(
        {"image_id": ids, "path": [str(p) for p in paths], "label": labels, "split": splits,
         "mask_path": [str(masks / p.name) for p in paths]}
    )  # fmt: skip
    write_run_of(folder, make_bundle(3), frame)
    return folder


@pytest.fixture(scope="module")
def judged(run: Path) -> dict[str, Any]:
    other = run.parent / "other"
    make_bundle(4, CLASSES[::-1]).save(other)
    found = score_methods(
        run,
        methods=["grad-cam", "eigen-cam"],
        pictures=6,
        lesions=run.parent / "masks",
        other=other,
        shuffled=other,
    )
    said = json.loads((run / "scorecard" / "scorecard.json").read_text())
    assert said == json.loads(json.dumps(found.as_dict()))
    return said


def test_what_is_written(judged: dict[str, Any]) -> None:
    assert judged["pictures"] == {"normal": 3, "<b>covid": 3}
    assert judged["facts"] == {"lung_masks": 6, "lesion_masks": 6, "other": "other", "shuffled": "other"}
    grad, eigen = judged["methods"]
    assert [one["name"] for one in grad["randomised"]][::5] == ["head", "all layers"]
    # Eigen-CAM asks no class: a random head changes nothing, and the verdict says so.
    assert eigen["randomised"][0]["spearman"]["value"] == pytest.approx(1)
    assert not eigen["usable"]
    assert "does not depend on the class" in eigen["sentence"]
    assert grad["agreement"]["eigen-cam"] == eigen["agreement"]["grad-cam"]
    for row in (grad, eigen):
        assert row["usable"] == (not row["reasons"])
        # Lungs and lesions are the same masks here, the left half of a picture that fills two thirds of the square.
        assert row["lungs"]["chance"]["value"] == pytest.approx(1 / 3, abs=0.03)
        assert 0 <= row["lesions"]["pointing"]["value"]["value"] <= 1
        gain = row["lungs"]["gain"]["value"]
        assert gain == pytest.approx(row["lungs"]["value"]["value"] - row["lungs"]["chance"]["value"])
        assert -1 <= row["other"]["spearman"]["value"] <= 1
        assert row["shuffled"]["spearman"] == row["other"]["spearman"]


def test_the_page_holds_all_it_shows(run: Path, judged: dict[str, Any]) -> None:
    page = (run / "scorecard" / "scorecard.html").read_text()
    assert page.count("Research use only") == 2
    assert "<script" not in page
    assert "<b>covid" not in page
    assert "name_of_patient" not in page
    assert not re.search(r"(?:src|href)=\"(?!data:image/)", page)
    assert page.count("<figure") == 3 + 2
    assert page.count('<li class="no">') + page.count('<li class="yes">') == len(judged["methods"])


def test_the_reports_sections(run: Path, judged: dict[str, Any], tmp_path: Path) -> None:
    section = scorecard_section(run)
    assert section is not None
    assert [row["sentence"] for row in judged["methods"]] == list(section.sentences[1:3])
    assert set(section.draw(tmp_path)) == set(section.captions) == set(section.figures)
    assert [len(table.rows) for table in section.tables] == [2, 2, 2, 2, 2]
    assert scorecard_section(tmp_path) is None
    assert explain_section(tmp_path) is None
    explain = tmp_path / "explain"
    (explain / "overlays").mkdir(parents=True)
    Image.new("RGB", (80, 40)).save(explain / "overlays" / "0002.png")
    entry = {"label": "normal", "predicted": "<b>covid"}
    content = {
        "methods": [{"name": "grad-cam"}],
        "galleries": [{"pictures": [1]}, {"pictures": [2, 1]}],
        "pictures": [
            {"number": 1, "overlay": "overlays/0001.png", **entry},
            {"number": 2, "overlay": "overlays/0002.png", **entry},
        ],
    }
    (explain / "explain.json").write_text(json.dumps(content))
    gallery = explain_section(tmp_path)
    assert gallery is not None
    assert (
        gallery.captions["explanation_maps"][0] == "The picture and its map. No. 2: normal, called <b>covid."
    )
    assert gallery.draw(tmp_path)["explanation_maps"].is_file()
    (explain / "explain.json").write_text("{")
    with pytest.raises(RunError, match="torn"):
        explain_section(tmp_path)


def test_the_command(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = Command(capsys)
    call = (
        "scorecard",
        run,
        "--method",
        "grad-cam",
        "--pictures",
        2,
        "--split",
        "val",
        "--out",
        tmp_path / "out",
    )
    text = command.done(*call)
    assert "Research use only." in text
    assert re.search(r"Grad-CAM may (not )?be used on this model", text)
    again = json.loads(command.done(*call, "--json"))
    assert again == json.loads((tmp_path / "out" / "scorecard.json").read_text())
    assert sum(again["pictures"].values()) == 2
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    command.refused("E_RUN_EXISTS", "scorecard", run, "--out", tmp_path / "mine")
    command.refused("E_MISSING", "scorecard", run, "--masks", tmp_path / "none", "--out", tmp_path / "o")
    command.refused("E_USAGE", "scorecard", run / "model", "--out", tmp_path / "o")


def test_another_run_must_see_the_same_classes(run: Path, tmp_path: Path) -> None:
    make_bundle(0, ("normal", "tuberculosis")).save(tmp_path / "third")
    with pytest.raises(RunError, match="other classes"):
        score_methods(run, methods=["grad-cam"], other=tmp_path / "third", out=tmp_path / "out")


def test_masks_go_the_way_of_their_pictures(tmp_path: Path) -> None:
    mask = np.zeros((10, 20), np.uint8)
    mask[:, 10:] = 3
    Image.fromarray(mask).save(tmp_path / "m.png")
    padded = mask_in_square(
        tmp_path / "m.png", (40, 80), Preprocess(size=16, aspect="pad", intensity="clahe")
    )
    expected = np.zeros((16, 16), bool)
    expected[4:12, 8:] = True
    np.testing.assert_array_equal(padded, expected)
    stretched = mask_in_square(tmp_path / "m.png", (40, 80), Preprocess(size=16, aspect="stretch"))
    assert stretched[:, 8:].all()
    assert not stretched[:, :8].any()


def test_the_sample_is_stratified_and_deterministic() -> None:
    labels = np.array([0] * 50 + [1] * 4 + [2] * 20)
    ids = [f"p{index}" for index in range(74)]
    rows = stratified(labels, ids, 24)
    assert np.bincount(labels[rows]).tolist() == [10, 4, 10]
    order = np.random.default_rng(1).permutation(74)
    again = stratified(labels[order], [ids[one] for one in order], 24)
    assert {ids[order[row]] for row in again} == {ids[row] for row in rows}
    assert stratified(labels, ids, 500) == list(range(74))
