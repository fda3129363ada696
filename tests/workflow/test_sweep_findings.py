"""What a sweep finds in its trials: values keep their types, words keep to what was measured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pulmoscope.search.objective import Validation
from pulmoscope.search.space import Space, parse_space
from pulmoscope.search.trial_files import TrialResult
from pulmoscope.workflow.sweep_findings import Findings, analyse, write_ends
from pulmoscope.workflow.sweep_report import sentences, top_table

CLASSES = ("normal", "pneumonia", "covid")
VALIDATION = Validation.of(
    CLASSES, np.random.default_rng(0).integers(0, 3, 40), np.arange(40) // 2, np.ones(3)
)
SPACE = parse_space(
    {
        "axes": {
            "clip": [None, 0.5],
            "early": [True, 3],
            "depth": {"choices": [1, 2], "when": {"early": True}},
        }
    },
    "my.yaml",
)
PARAMS: list[dict[str, Any]] = [
    {"clip": None, "early": True, "depth": 1},
    {"clip": 0.5, "early": True, "depth": 2},
    {"clip": 0.5, "early": 3},
    {"clip": None, "early": 3},
    {"clip": 0.5, "early": True, "depth": 1},
]


def result(number: int, params: dict[str, Any], right: float) -> TrialResult:
    """A trial with this share of the pictures right; with 0 one that failed."""
    if not right:
        return TrialResult(number=number, params=params, state="failed", reason="E_X: it was lost")
    wrong = np.random.default_rng(number).permutation(40) >= round(40 * right)
    answer = (VALIDATION.labels + wrong) % 3
    return TrialResult(
        number=number, params=params, state="complete", objective=float((~wrong).mean()), stage="head", epoch=1,
        rows=[{"epoch": 1, "val_loss": 1.0}], probabilities=np.eye(3)[answer],
    )  # fmt: skip


RESULTS = [result(n, p, r) for n, (p, r) in enumerate(zip(PARAMS, (0.8, 0.9, 0.7, 0.75, 0), strict=True))]


def found_in(results: list[TrialResult] = RESULTS, space: Space = SPACE) -> Findings:
    return analyse(results, space=space, objective="val_accuracy", validation=VALIDATION, seed=0)


def test_values_are_those_that_were_given_with_their_types() -> None:
    findings = found_in()
    for number, params in enumerate(PARAMS):
        assert findings.params(number) == params
        assert [type(value) for value in findings.params(number).values()] == list(map(type, params.values()))
    written = json.loads(json.dumps(findings.as_dict()))
    assert written["best"]["params"] == {"clip": 0.5, "early": True, "depth": 2}
    by_value = {(row["axis"], json.dumps(row["value"])): row for row in written["by_value"]}
    assert list(by_value) == [
        ("clip", "null"), ("clip", "0.5"), ("early", "true"), ("early", "3"), ("depth", "1"), ("depth", "2")
    ]  # fmt: skip
    assert by_value["clip", "null"]["n"] == 2
    assert by_value["clip", "null"]["mean"] == pytest.approx(0.775)
    assert by_value["clip", "0.5"]["n"] == 2
    assert by_value["depth", "1"]["n"] == 1
    assert by_value["depth", "1"]["sd"] is None
    row = dict(zip(top_table(findings).header, top_table(findings).rows[2], strict=True))
    assert (row["Trial"], row["clip"], row["early"], row["depth"]) == ("3", "null", "3", "–")


def test_one_and_true_are_two_values() -> None:
    space = parse_space({"axes": {"early": [True, 1]}}, "my.yaml")
    results = [result(0, {"early": True}, 0.8), result(1, {"early": 1}, 0.9)]
    rows = found_in(results, space).by_value().to_dict("records")
    assert [(type(row["value"]), row["n"]) for row in rows] == [(bool, 1), (int, 1)]


def test_how_trials_ended_is_on_record_before_they_are_judged(tmp_path: Path) -> None:
    write_ends(RESULTS, SPACE, tmp_path)
    early = pd.read_parquet(tmp_path / "trials.parquet")
    whole = found_in().frame
    assert list(early) == list(whole)
    given = ["number", "key", "state", "clip", "early", "depth", "objective", "epoch", "seconds", "reason"]
    pd.testing.assert_frame_equal(early[given], whole[given])
    assert early["rank"].isna().all()
    assert len(pd.read_csv(tmp_path / "trials.csv")) == 5


@pytest.mark.parametrize(
    ("flatters", "said"),
    [
        (0.0312, "by about 0.031:"),
        (-0.012, "not measurably:"),
        (0.0, "not measurably:"),
        (0.0001, "not measurably:"),
    ],
)
def test_what_is_not_above_nothing_was_not_measured(flatters: float, said: str) -> None:
    findings = found_in()
    assert findings.optimism is not None
    told = sentences(replace(findings, optimism=replace(findings.optimism, flatters=flatters)), None)
    assert f"Picking the best of 4 on this validation set flatters it {said}" in " ".join(told)
    assert any("chose its own epoch" in one and "comes on top" in one for one in told)
    assert "-0.0" not in " ".join(told)


def test_how_often_the_best_is_the_best_again() -> None:
    findings = found_in()
    assert findings.best == 1
    assert findings.optimism is not None
    share = findings.optimism.again
    assert 0.5 < share < 1
    assert findings.as_dict()["optimism"]["best_again"] == share
    said = f"In {share:.0%} of bootstrap replicates of these pictures trial 1 is the best again"
    assert any(said in one for one in sentences(findings, None))


def test_a_single_trial_has_nothing_to_be_compared_with() -> None:
    told = sentences(found_in(RESULTS[:1]), None)
    assert told[1:] == ["There is no other trial to compare it with."]
