"""Calibration at the end of a training and of a finished run; what it stores, and what it never touches."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

import pulmoscope as ps
import tiny
from commands import Command, contents
from pulmoscope.errors import RunError, TableError
from pulmoscope.evaluation import Platt, fit_calibrator
from pulmoscope.report.operating_section import operating_section
from pulmoscope.workflow.calibrate_run import calibrate
from pulmoscope.workflow.settle import settle, settle_or_say

REPLICATES = {"replicates": 100}
SHORT = {"head": {"epochs": 1}, "finetune": tiny.RECIPE["train"]["finetune"] | {"epochs": 2}}  # type: ignore[index, operator]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that is calibrated by its recipe, ``hot``, and one that is not, ``plain``; tests only read them."""
    folder = tmp_path_factory.mktemp("calibrate")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pulmoscope.workflow.training_run.write_report", lambda *_, **__: None)
        patch.setenv("PULMOSCOPE_CACHE", str(folder / "cache"))
        cohort = ps.Cohort.from_sources({"bars": tiny.draw_pictures(folder / "data")}, near_copies=False)
        cohort.write(folder / "cohort")
        for name, method in (("hot", "platt"), ("plain", "none")):
            recipe = tiny.write_recipe(folder, train=SHORT, evaluate=REPLICATES | {"calibration": method})
            ps.train(recipe, cohort, out=folder / name, seed=0)
    return folder


@pytest.fixture
def plain(home: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(home / "plain", tmp_path / "run"))


@pytest.fixture
def no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing the report costs seconds and is not what these tests are of."""
    for module in ("calibrate_run", "training_run"):
        monkeypatch.setattr(f"pulmoscope.workflow.{module}.write_report", lambda *_, **__: None)


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page is written, its pictures are not drawn."""
    monkeypatch.setattr("pulmoscope.report.page.draw_figures", lambda _: {})
    monkeypatch.setattr("pulmoscope.report.section.Section.draw", lambda *_: {})


def test_the_recipe_calibrates_on_validation_before_test_is_read(home: Path) -> None:
    hot, plain = ps.Run(home / "hot"), ps.Run(home / "plain")
    # The same training: only what follows it differs.
    raw = hot.raw_predictions
    assert np.array_equal(raw.probabilities, plain.predictions.probabilities)  # type: ignore[arg-type]
    stored = hot.model.calibration
    assert stored == fit_calibrator(raw, "platt")
    assert isinstance(stored, Platt)
    assert not np.allclose(hot.predictions.probabilities, raw.probabilities, atol=1e-3)  # type: ignore[arg-type]
    for part in ("val", "test"):
        wanted = stored.apply(raw.part(part).probabilities)  # type: ignore[arg-type]
        assert np.allclose(hot.predict(part).probabilities, wanted, atol=1e-12)  # type: ignore[arg-type]
    assert not (home / "plain" / "predictions_raw.parquet").exists()


def test_the_model_answers_as_its_predictions_say(home: Path) -> None:
    for name in ("hot", "plain"):
        run = ps.Run(home / name)
        row = run.predict("test").frame.iloc[0]
        path = run.cohort.frame.set_index("image_id").loc[row["image_id"], "path"]
        answer = next(ps.Predictor(run.model).predict_files([path]))
        for label in run.model.classes:
            assert answer.probabilities[label] == pytest.approx(row[f"p_{label}"], abs=1e-6)  # type: ignore[union-attr]


def test_operating_points_are_chosen_on_calibrated_validation(home: Path) -> None:
    run = ps.Run(home / "hot")
    validation = run.predict("val")
    assert len(run.model.operating_points) == 9
    for point in run.model.operating_points:
        index = run.model.classes.index(point.positive)
        scores = validation.probabilities[:, index]  # type: ignore[index]
        called = scores >= point.threshold
        truth = validation.labels == index
        assert point.chosen_on == "val"
        assert point.validation.true_positives == int((called & truth).sum())
        assert point.validation.false_positives == int((called & ~truth).sum())
    counted = np.bincount(validation.labels, minlength=3) / len(validation)
    assert run.model.validation_shares == pytest.approx(tuple(counted))


@pytest.mark.usefixtures("no_page")
def test_calibrating_again_is_as_for_the_first_time(home: Path, plain: Path) -> None:
    weights = (plain / "model" / "weights.safetensors").stat().st_mtime_ns
    first = calibrate(plain, "isotonic")
    assert first.was is None
    second = calibrate(plain, "platt")
    assert second.was == "isotonic"
    assert any("fitted on the raw probabilities and replaces it" in note for note in second.notes)
    hot, run = ps.Run(home / "hot"), ps.Run(plain)
    assert run.model.calibration == hot.model.calibration
    assert run.model.operating_points == hot.model.operating_points
    assert run.predictions.frame.equals(hot.predictions.frame)
    assert run.metrics == hot.metrics
    assert (plain / "model" / "weights.safetensors").stat().st_mtime_ns == weights
    away = calibrate(plain, "none")
    assert away.calibration is None
    assert any("taken away" in note for note in away.notes)
    assert ps.Run(plain).predictions.frame.equals(ps.Run(home / "plain").predictions.frame)
    assert not (plain / "predictions_raw.parquet").exists()


@pytest.mark.usefixtures("no_page")
def test_a_kill_after_the_model_was_written_is_mended_by_the_same_command(home: Path, plain: Path) -> None:
    calibrate(plain, "temperature")
    whole = contents(plain)
    # As a kill leaves it: the model is calibrated, the predictions are not yet.
    for name in ("predictions.parquet", "metrics.json"):
        shutil.copy(home / "plain" / name, plain / name)
    calibrate(plain, "temperature")
    again = contents(plain)
    assert whole == again


@pytest.mark.usefixtures("no_page")
def test_a_calibrated_run_without_its_raw_probabilities_is_refused(home: Path, plain: Path) -> None:
    calibrate(plain, "temperature")
    (plain / "predictions_raw.parquet").unlink()
    before = contents(plain)
    with pytest.raises(RunError, match=r"predictions_raw\.parquet with its raw probabilities is missing"):
        calibrate(plain, "platt")
    assert contents(plain) == before


def test_what_validation_lacks_stops_the_command_and_not_a_training(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bundle, raw = ps.Run(home / "plain").model, ps.Run(home / "plain").predictions
    frame = raw.frame
    lacking = ps.Predictions(frame[(frame["split"] != "val") | (frame["label"] != "covid")], raw.classes)
    with pytest.raises(TableError, match="of class covid"):
        settle(bundle, lacking, "platt")
    with caplog.at_level("WARNING", logger="pulmoscope"):
        settled = settle_or_say(bundle, lacking, "platt")
    assert settled.calibration is None
    assert "of class covid" in settled.notes["calibration"]
    undefined = [point.positive for point in settled.operating_points if np.isnan(point.threshold)]
    assert set(undefined) == {"covid"}
    assert "the probabilities are left as the network gives them" in caplog.text
    assert caplog.text.count("no picture of the val part is of class covid") == 1


@pytest.mark.usefixtures("no_page")
def test_a_run_begun_before_a_field_was_there_goes_on(
    home: Path, plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULMOSCOPE_CACHE", str(home / "cache"))
    content = yaml.safe_load((plain / "recipe.yaml").read_text())
    del content["evaluate"]["calibration"], content["predict"]
    (plain / "recipe.yaml").write_text(yaml.safe_dump(content))
    cohort = ps.Cohort.read(home / "cohort")
    same = tiny.write_recipe(plain.parent, train=SHORT, evaluate=REPLICATES)
    before = {name: held for name, held in contents(plain).items() if name != "log.jsonl"}
    assert ps.train(same, cohort, out=plain, seed=0, resume=True).metrics == ps.Run(home / "plain").metrics
    assert {name: held for name, held in contents(plain).items() if name != "log.jsonl"} == before
    other = tiny.write_recipe(plain.parent, train=SHORT, evaluate=REPLICATES | {"calibration": "platt"})
    with pytest.raises(RunError, match="evaluate.calibration: 'none' before, 'platt' now"):
        ps.train(other, cohort, out=plain, seed=0, resume=True)


@pytest.mark.usefixtures("no_figures")
def test_the_command(home: Path, plain: Path, command: Command) -> None:
    said = command.done("calibrate", plain)
    assert "temperature" in said
    assert "ECE, equal mass" in said
    assert "Research use only." in said
    found = json.loads(command.done("calibrate", plain, "--method", "platt", "--json"))
    assert (found["method"], found["was"]) == ("platt", "temperature")
    assert set(found["parts"]) == {"val", "test"}
    assert found["parts"]["test"]["before"]["n"] == len(ps.Run(plain).predict("test"))
    command.refused("E_RUN", "calibrate", home / "cohort")
    command.refused("E_USAGE", "calibrate", plain, "--method", "magic")
    page = (plain / "report.html").read_text()
    assert "answers with calibrated probabilities (platt)" in page


def test_predict_at_a_rule_and_a_prevalence(home: Path, command: Command, tmp_path: Path) -> None:
    pictures = sorted((home / "data" / "images").glob("*.png"))[:3]
    run = ps.Run(home / "hot")
    line = json.loads(command.done("predict", run.folder, pictures[0], "--json", "--at", "sensitivity>=0.95"))
    for point in run.model.operating_points:
        if point.rule.code == "sensitivity>=0.95":
            wanted = line["probabilities"][point.positive] >= point.threshold
            assert line["called"]["classes"][point.positive] is wanted
    text = command.done("predict", run.folder, *pictures, "--at", "youden")
    assert "called at youden" in text
    assert "Research use only." in text
    command.done("predict", run.folder, *pictures, "--at", "youden", "--csv", tmp_path / "x.csv")
    head = (tmp_path / "x.csv").read_text().splitlines()[0].split(",")
    assert head[-4:] == [*(f"called_{name}" for name in run.model.classes), "error"]
    shares = ",".join(
        f"{name}={share}" for name, share in zip(run.model.classes, (0.01, 0.09, 0.9), strict=True)
    )
    moved = json.loads(command.done("predict", run.folder, pictures[0], "--json", "--prevalence", shares))
    first = run.model.classes[0]
    assert moved["probabilities"][first] < line["probabilities"][first]
    command.refused("E_OPTION", "predict", run.folder, pictures[0], "--at", "cost")
    command.refused("E_USAGE", "predict", run.folder, pictures[0], "--prevalence", "covid")
    command.refused("E_USAGE", "predict", run.folder, pictures[0], "--at", "youden", "--prevalence", shares)
    command.refused("E_CALIBRATION", "predict", home / "plain", pictures[0], "--prevalence", shares)


@pytest.mark.usefixtures("no_page")
def test_each_fold_keeps_its_own_calibration(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULMOSCOPE_CACHE", str(home / "cache"))
    cohort = ps.Cohort.from_sources({"bars": home / "data" / "table.csv"}, split="kfold:2", near_copies=False)
    recipe = tiny.write_recipe(tmp_path, train=SHORT, evaluate=REPLICATES | {"calibration": "temperature"})
    run = ps.train(recipe, cohort, out=tmp_path / "run", seed=0)
    folds = [ps.Run(tmp_path / "run" / "folds" / f"fold-{fold}") for fold in range(2)]
    assert folds[0].model.calibration != folds[1].model.calibration
    raw, mended = run.raw_predictions, run.predictions
    start = 0
    for fold in folds:
        rows = slice(start, start + len(fold.predict("test")))
        wanted = fold.model.calibration.apply(raw.probabilities[rows])  # type: ignore[union-attr, index]
        assert np.allclose(mended.probabilities[rows], wanted)  # type: ignore[index]
        start = rows.stop
    section = operating_section([fold.predictions for fold in folds])
    assert section is not None
    assert any("Each fold chose its own thresholds" in said for said in section.sentences)
    with pytest.raises(RunError, match="one model a fold"):
        calibrate(run.folder)
