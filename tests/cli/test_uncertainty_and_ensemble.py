"""``pulmoscope uncertainty`` and ``pulmoscope ensemble`` through the command line, of tables and of a run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from commands import Command
from pulmoscope.cohort import Cohort
from pulmoscope.evaluation import Predictions, read_predictions
from pulmoscope.evaluation.uncertainty import entropy
from pulmoscope.imaging import Preprocess
from pulmoscope.inference import Predictor
from pulmoscope.models import Bundle, HeadSpec, ModelSpec, WeightsOrigin, build_classifier
from pulmoscope.workflow.parts import decode_all
from tiny import RECIPE, draw_pictures

CLASSES = ("normal", "pneumonia", "covid")


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


def table(path: Path, strength: float, *, seed: int, rows: int = 240) -> Path:
    rng = np.random.default_rng(seed)
    truth = np.arange(rows) % 3
    raised = np.exp(rng.normal(0, 1, (rows, 3)) + strength * np.eye(3)[truth])
    frame = pd.DataFrame(raised / raised.sum(axis=1, keepdims=True), columns=["p_a", "p_b", "p_c"])
    frame.insert(0, "image_id", [f"i{k}" for k in range(rows)])
    frame.insert(1, "label", np.array(list("abc"))[truth])
    frame.insert(2, "split", np.where(np.arange(rows) < rows // 2, "val", "test"))
    frame.to_csv(path, index=False)
    return path


def test_uncertainty_of_a_table(command: Command, tmp_path: Path) -> None:
    source = table(tmp_path / "one.csv", 2.0, seed=0)
    said = command.done("uncertainty", source, "--coverage", 0.7, "--level", 0.8, "--out", tmp_path / "out")
    assert "Conformal sets of level 0.8, fixed on val, judged on test" in said
    assert "Answer at least 0.7" in said
    assert "Research use only." in said
    pictures = pd.read_parquet(tmp_path / "out" / "pictures.parquet")
    found = json.loads((tmp_path / "out" / "uncertainty.json").read_text())
    held = [
        label in row.split("|")
        for label, row in zip(pictures["label"], pictures["set_by_class"], strict=True)
    ]
    kinds = found["conformal"]["kinds"]
    assert np.mean(held) == pytest.approx(kinds["by-class"]["overall"]["value"])
    test = read_predictions(source).part("test")
    assert pictures["entropy"].to_numpy() == pytest.approx(entropy(test.probabilities))  # type: ignore[arg-type]
    assert {one.name for one in (tmp_path / "out" / "figures").iterdir()} == {
        "conformal_coverage.png",
        "risk_coverage.png",
    }
    again = json.loads(command.done("uncertainty", source, "--coverage", 0.7, "--level", 0.8, "--json"))
    assert again == found


def test_what_uncertainty_refuses(command: Command, tmp_path: Path) -> None:
    source = table(tmp_path / "one.csv", 2.0, seed=0)
    assert "has no model to ask again" in command.refused("E_RUN", "uncertainty", source, "--views", 3)
    command.refused("E_OPTION", "uncertainty", source, "--level", 1.5)
    command.refused("E_OPTION", "uncertainty", source, "--error", 1.5)
    command.refused("E_OPTION", "uncertainty", source, "--views", -1)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("kept")
    command.refused("E_RUN_EXISTS", "uncertainty", source, "--out", tmp_path / "full")
    whole = pd.read_csv(source).drop(columns="split")
    whole.to_csv(tmp_path / "whole.csv", index=False)
    assert "no row of split val" in command.refused("E_TABLE", "uncertainty", tmp_path / "whole.csv")


def a_run(folder: Path) -> Path:
    """A run of an untrained network: recipe, cohort, model and its own predictions of val and test."""
    rows = pd.read_csv(draw_pictures(folder / "data", n=36))
    frame = pd.DataFrame(
        {
            "image_id": rows["path"], "path": [str(folder / "data" / one) for one in rows["path"]],
            "label": rows["label"], "patient_id": rows["patient_id"].astype(str),
            "group_id": rows["patient_id"].astype(str), "source": "s", "sha256": None,
            "split": np.repeat(["train", "val", "test"], 12),
        }
    )  # fmt: skip
    spec = ModelSpec(
        backbone="residual_cnn", options={"width": 4}, size=32, channels=1,
        head=HeadSpec(pool="flatten", dropout=0.4), classes=CLASSES,
    )  # fmt: skip
    network = build_classifier(spec, seed=1)
    preprocess = Preprocess(size=32, channels=1, mean=(0.5,), std=(0.5,))
    bundle = Bundle(
        spec=spec, preprocess=preprocess, weights=dict(network.state_dict()),
        origin=WeightsOrigin(name="random", source="test"),
    )  # fmt: skip
    run = folder / "run"
    bundle.save(run / "model")
    cohort = Cohort(frame, {"classes": list(CLASSES)})
    cohort.write(run)
    (run / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    store = decode_all(cohort, preprocess, progress=False).store
    held = frame[frame["split"] != "train"]
    Predictions.from_arrays(
        image_id=held["image_id"].tolist(), probabilities=Predictor(bundle).predict_store(store, held["image_id"]),
        classes=CLASSES, label=held["label"].tolist(), group_id=held["group_id"].tolist(),
        split=held["split"].tolist(),
    ).write(run / "predictions.parquet")  # fmt: skip
    return run


def test_a_run_is_asked_again(command: Command, tmp_path: Path) -> None:
    run = a_run(tmp_path)
    options = ("--dropout-samples", 4, "--views", 3, "--seed", 1)
    found = json.loads(command.done("uncertainty", run, *options, "--out", tmp_path / "out", "--json"))
    assert [(one["kind"], one["members"]) for one in found["members"]] == [("dropout", 4), ("views", 3)]
    pictures = pd.read_parquet(tmp_path / "out" / "pictures.parquet")
    assert len(pictures) == 12
    for kind in ("dropout", "views"):
        parts = [pictures[f"{kind}_{part}"].to_numpy() for part in ("total", "expected", "mutual")]
        assert parts[0] == pytest.approx(parts[1] + parts[2], abs=1e-12)
        assert (parts[2] > 0).any()
    again = json.loads(command.done("uncertainty", run, *options, "--json"))
    assert again == found
    said = command.done("uncertainty", run, "--views", 3)
    assert "mutual information of 3 fixed views" in said


def test_an_ensemble_against_its_members(command: Command, tmp_path: Path) -> None:
    members = [table(tmp_path / f"m{index}.csv", 1.2, seed=index) for index in range(3)]
    out = tmp_path / "out"
    said = command.done("ensemble", *members, "--method", "weighted", "--replicates", 200, "--out", out)
    assert "weights, fitted on val: m0 0." in said
    assert "the ensemble is better than m0 by macro AUROC" in said
    assert "the ensemble and m0 cannot be told apart by log loss" in said
    assert "Research use only." in said
    combined = read_predictions(out / "predictions.parquet")
    assert combined.splits == ("test", "val")
    found = json.loads((out / "ensemble.json").read_text())
    test = [read_predictions(one).part("test").probabilities for one in members]
    wanted = np.einsum("t,tnc->nc", found["combination"]["weights"], np.stack(test))  # type: ignore[arg-type]
    assert combined.part("test").probabilities == pytest.approx(wanted)
    assert [one["member"] for one in found["against_members"]] == ["m0", "m1", "m2"]
    # A model has one interval wherever it is judged.
    alone = json.loads(command.done("evaluate", "--predictions", members[0], "--json"))
    assert {name: found["judged"]["m0"][name] for name in ("accuracy", "macro_auroc")} == {
        name: alone[name] for name in ("accuracy", "macro_auroc")
    }
    row = found["judged"]["m1"]["calibration"]
    shown = [f"{row[name]['value']:.4f} ({row[name]['low']:.4f}" for name in ("log_loss", "ece_width")]
    assert re.search(rf"m1 .*{re.escape(shown[0])}.*{re.escape(shown[1])}", said)
    calibrated = {name: one["calibration"]["log_loss"] for name, one in found["judged"].items()}
    assert all(one["low"] < one["value"] < one["high"] for one in calibrated.values())
    losses = {name: one["value"] for name, one in calibrated.items()}
    # Holm over the three members: no corrected p is below its own.
    for one in found["against_members"]:
        assert all(two["holm_p"] >= two["p"] for two in one["differences"].values())
        difference = one["differences"]["log_loss"]
        assert difference["difference"] == pytest.approx(losses["ensemble"] - losses[one["member"]])
    # Its table serves like any other.
    assert "Conformal sets" in command.done("uncertainty", out)


def test_what_an_ensemble_refuses(command: Command, tmp_path: Path) -> None:
    one, other = (table(tmp_path / f"m{index}.csv", 1.2, seed=index) for index in range(2))
    command.refused("E_OPTION", "ensemble", one, other, "--method", "best")
    command.refused("E_TOO_FEW_MODELS", "ensemble", one)
    command.refused("E_USAGE", "ensemble", f"ensemble={one}", other)
    for index in range(2):
        fold = tmp_path / "cv" / "folds" / f"fold-{index}"
        fold.mkdir(parents=True)
        pd.read_csv(one).to_parquet(fold / "predictions.parquet")
    folds = sorted((tmp_path / "cv" / "folds").iterdir())
    assert "folds of one cross-validation, cv" in command.refused("E_FOLDS", "ensemble", *folds)
