"""``pulmoscope operating`` and ``pulmoscope plan`` as a user types them, on tables of any program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from pulmoscope.cli.operating import operating
from pulmoscope.cli.plan import plan
from pulmoscope.errors import PulmoscopeError

app = typer.Typer()
app.command()(operating)
app.command()(plan)


def run(*arguments: object) -> str:
    found = CliRunner().invoke(app, [str(one) for one in arguments], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.output


def refused(*arguments: object) -> str:
    with pytest.raises(PulmoscopeError) as error:
        run(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    truth = rng.random(300) < 0.3
    covid = np.round(np.clip(rng.normal(0.3 + 0.35 * truth, 0.15), 0.01, 0.99), 4)
    frame = pd.DataFrame({
        "image_id": [f"i{row}" for row in range(300)], "label": np.where(truth, "covid", "normal"),
        "p_covid": covid, "p_normal": 1 - covid, "split": ["val" if row % 2 else "test" for row in range(300)],
    })  # fmt: skip
    frame.to_csv(tmp_path / "table.csv", index=False)
    return tmp_path / "table.csv"


def test_thresholds_of_a_table(table: Path) -> None:
    said: dict[str, Any] = json.loads(
        run(
            "operating",
            table,
            "--positive",
            "covid",
            "--target-sensitivity",
            0.95,
            "--prevalence",
            0.1,
            "--json",
        )
    )
    (point,) = said["points"]
    frame = pd.read_csv(table)
    test = frame[frame["split"] == "test"]
    called, ill = test["p_covid"] >= point["threshold"], test["label"] == "covid"
    assert point["test"]["counts"]["true_positives"] == int((called & ill).sum())
    assert point["test"]["sensitivity"]["value"] == pytest.approx(called[ill].mean())
    val = frame[frame["split"] == "val"]
    assert (val["p_covid"] >= point["threshold"])[val["label"] == "covid"].mean() >= 0.95
    assert point["per_thousand"]["found"]["value"] == pytest.approx(100 * called[ill].mean())
    text = run("operating", table, "--positive", "covid", "--youden", "--costs", "10:1", "--prevalence", 0.1)
    assert "least cost, 10 a miss and 1 a false alarm" in text
    assert "Research use only." in text
    assert run("operating", table).count("call when p >=") == 6


def test_operating_refuses_in_one_line(table: Path, tmp_path: Path) -> None:
    assert "no class 'flu'" in refused("operating", table, "--positive", "flu")
    assert "MISS:ALARM" in refused("operating", table, "--costs", "ten")
    assert "prevalence" in refused("operating", table, "--costs", "10:1")
    assert "(0, 1]" in refused("operating", table, "--target-sensitivity", 95)
    frame = pd.read_csv(table).drop(columns="split")
    frame.to_csv(tmp_path / "bare.csv", index=False)
    assert "chosen on validation and judged on test" in refused("operating", tmp_path / "bare.csv")


def test_hard_labels_say_that_there_is_no_threshold(table: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(table).drop(columns=["p_covid", "p_normal"]).assign(prediction="covid")
    frame.to_csv(tmp_path / "hard.csv", index=False)
    said = json.loads(run("operating", tmp_path / "hard.csv", "--json"))
    assert said["points"] is None
    assert "no probabilities" in said["notes"][0]


def test_plan() -> None:
    arguments = (
        "plan",
        "--sensitivity",
        0.9,
        "--specificity",
        0.9,
        "--half-width",
        0.05,
        "--prevalence",
        0.2,
    )
    said = json.loads(run(*arguments, "--json"))
    assert said["buderer"]["total"] == 695
    assert said["wilson"]["diseased"] == 141
    assert "695" in run(*arguments)
    assert "also --prevalence" in refused(*arguments[:-2])
    assert "prevalence out of range" in refused(*arguments[:-1], 20)


def test_plan_with_a_learning_curve(tmp_path: Path) -> None:
    sizes = np.array([100, 200, 400, 800, 1600])
    pd.DataFrame({"n": sizes, "error": 0.05 + 2.5 * sizes**-0.5}).to_csv(tmp_path / "curve.csv", index=False)
    said = json.loads(run("plan", "--learning-curve", tmp_path / "curve.csv", "--at", 2500, "--json"))
    assert said["learning_curve"]["foretold"][0]["error"] == pytest.approx(0.1)
    assert "beyond what was tried" in run("plan", "--learning-curve", tmp_path / "curve.csv")
    (tmp_path / "few.csv").write_text("n,error\n10,0.3\n20,0.2\n")
    assert "undefined: 2 pairs" in run("plan", "--learning-curve", tmp_path / "few.csv")
    (tmp_path / "bad.csv").write_text("n,err\n10,0.3\n")
    assert "no column error" in refused("plan", "--learning-curve", tmp_path / "bad.csv")
