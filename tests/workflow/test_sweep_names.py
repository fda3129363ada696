"""What a sweep's page calls starting weights, and what it says was changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

import tiny
from pulmoscope.search.objective import Validation
from pulmoscope.search.space import parse_space
from pulmoscope.search.trial_files import TrialResult
from pulmoscope.training import load_recipe
from pulmoscope.workflow.sweep_findings import Findings, analyse
from pulmoscope.workflow.sweep_names import changed_settings, for_people, short_sources
from pulmoscope.workflow.sweep_report import sentences, top_table

SOURCES = ["imagenet", "run=/home/me/runs/cxr"]
SPACE = parse_space({"axes": {"model.weights": SOURCES, "train.head.batch": [8, 16]}}, "my.yaml")


def found() -> Findings:
    """Four trials on 40 pictures, of which 36, 34, 32 and 30 are right."""
    labels = np.arange(40) % 2
    validation = Validation.of(("normal", "covid"), labels, np.arange(40), np.ones(2))
    results = []
    for number in range(4):
        wrong = np.arange(40) < 4 + 2 * number
        results.append(
            TrialResult(
                number=number, params={"model.weights": SOURCES[number // 2], "train.head.batch": [8, 16][number % 2]},
                state="complete", objective=float((~wrong).mean()), stage="head", epoch=1,
                rows=[{"epoch": 1, "val_loss": 1.0}], probabilities=np.eye(2)[(labels + wrong) % 2],
            )
        )  # fmt: skip
    return analyse(results, space=SPACE, objective="val_accuracy", validation=validation, seed=0)


def test_weights_go_by_short_names_and_nothing_else_changes() -> None:
    whole = found()
    shown = for_people(whole)
    assert [row[4] for row in top_table(shown).rows] == ["imagenet", "imagenet", "run=cxr", "run=cxr"]
    assert shown.frame["model.weights"].tolist() == ["imagenet"] * 2 + ["run=cxr"] * 2
    assert shown.frame.drop(columns="model.weights").equals(whole.frame.drop(columns="model.weights"))
    assert list(shown.by_value()["value"][:2]) == ["imagenet", "run=cxr"]
    said = " ".join(sentences(shown, None))
    assert "from imagenet is higher than that from run=cxr: +0.100" in said
    assert "/home" not in said
    # What is written to be worked with keeps the whole path.
    assert whole.frame["model.weights"][3] == SOURCES[1]


def test_names_stay_apart() -> None:
    several = ["run=/a/one/cxr", "run=/b/one/cxr", "xrv:file:/w/d.pt", "imagenet"]
    assert list(short_sources(several).values()) == [
        "run=a/one/cxr",
        "run=b/one/cxr",
        "xrv:file:/w/d.pt",
        "imagenet",
    ]
    assert short_sources([]) == {}


def test_a_changed_recipe_is_told_with_its_own_settings() -> None:
    assert changed_settings(load_recipe("system_b")) == []
    changes = ("model.backbone=efficientnet_lite0", "train.limit=150", "model.weights=run=/home/me/cxr")
    assert changed_settings(load_recipe("system_b", changes)) == [
        "model.backbone efficientnet_lite0 (densenet121)",
        "model.weights run=cxr (imagenet)",
        "train.limit 150 (none)",
    ]


def test_a_recipe_of_ones_own_has_nothing_to_be_told_from(tmp_path: Path) -> None:
    assert changed_settings(load_recipe(tiny.write_recipe(tmp_path))) == []


def test_a_saved_model_that_answers_otherwise_is_told() -> None:
    whole = found()
    assert "As it was saved" not in " ".join(sentences(whole, None))
    assert whole.as_dict()["best_as_saved"] is None
    said = sentences(replace(whole, saved=0.875), None)
    assert "As it was saved, trial 0 reaches 0.8750 on these pictures, not 0.9000" in " ".join(said)
