"""``pulmoscope evaluate RUN --cohort OTHER``: beside the internal test, and classes summed to another scheme."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import tiny
from commands import Command, build
from pulmoscope.evaluation import clopper_pearson, diagnostic
from pulmoscope.evaluation.clustered import clustered_share
from pulmoscope.models import load_bundle


@pytest.fixture
def elsewhere(command: Command, tmp_path: Path) -> Path:
    """A table of pictures of other patients than those of ``home``."""
    table = tiny.draw_pictures(tmp_path / "data", n=60, seed=9)
    table.write_text(table.read_text().replace(",0", ",other-0"))
    return table


def test_internal_and_external_stand_side_by_side(
    command: Command, home: Path, elsewhere: Path, tmp_path: Path
) -> None:
    command.done(*build(elsewhere, tmp_path / "cohort"))
    out = tmp_path / "external"
    text = command.done("evaluate", home / "run", "--cohort", tmp_path / "cohort", "--out", out)
    assert "Internal test and external cohort" in text
    assert "class mix" in text
    assert text.rstrip().endswith("Research use only.")
    written = json.loads((out / "metrics.json").read_text())
    internal = json.loads((home / "run" / "metrics.json").read_text())["test"]
    accuracy = written["transport"]["metrics"]["accuracy"]
    assert accuracy["internal"] == internal["accuracy"]
    assert accuracy["external"] == written["test"]["accuracy"]
    assert accuracy["difference"]["value"] == pytest.approx(
        written["test"]["accuracy"]["value"] - internal["accuracy"]["value"]
    )
    assert sum(one["external"] for one in written["transport"]["shares"].values()) == pytest.approx(1)
    shown = json.loads(
        command.done("evaluate", home / "run", "--cohort", tmp_path / "cohort", "--out", out, "--json")
    )
    assert shown["transport"] == written["transport"]
    assert shown["operating_points"] == written["operating_points"]
    # The stored thresholds, on these pictures.
    table = pd.read_parquet(out / "predictions.parquet")
    kept = load_bundle(home / "run" / "model").operating_points
    assert len(kept) == len(written["operating_points"]) == 9
    for point, judged in zip(kept, written["operating_points"], strict=True):
        called = table[f"p_{point.positive}"] >= point.threshold
        wanted = diagnostic(called, table["label"] == point.positive, table["group_id"])
        assert judged["threshold"] == point.threshold
        assert judged["test"]["counts"] == wanted.as_dict()["counts"]
        assert judged["test"]["sensitivity"] == pytest.approx(wanted.sensitivity.as_dict())
    assert "The model's operating points" in text
    # Again as the report reads it, without the run beside it.
    command.done("report", out)
    page = (out / "report.html").read_text()
    assert "kept in the model; this cohort only judges it" in " ".join(page.split())
    assert "called against all others on the external cohort" in page


def test_classes_are_summed_to_those_of_the_cohort(
    command: Command, home: Path, elsewhere: Path, tmp_path: Path
) -> None:
    command.done(*build(elsewhere, tmp_path / "plain"))
    elsewhere.write_text(elsewhere.read_text().replace("covid", "infected").replace("pneumonia", "infected"))
    command.done(*build(elsewhere, tmp_path / "cohort"))
    judge = ("evaluate", home / "run", "--cohort")
    said = command.refused("E_LABEL", *judge, tmp_path / "cohort")
    assert "infected" in said
    assert "--map" in said
    command.done(*judge, tmp_path / "plain", "--out", tmp_path / "fine")
    summed = ("--map", "covid=infected,pneumonia=infected")
    found = json.loads(
        command.done(*judge, tmp_path / "cohort", *summed, "--out", tmp_path / "coarse", "--json")
    )
    assert list(found["classes"]) == found["transport"]["compared"]
    assert set(found["classes"]) == {"infected", "normal"}
    fine = pd.read_parquet(tmp_path / "fine" / "predictions.parquet").set_index("image_id")
    coarse = (
        pd.read_parquet(tmp_path / "coarse" / "predictions.parquet").set_index("image_id").loc[fine.index]
    )
    np.testing.assert_allclose(coarse["p_infected"], fine["p_covid"] + fine["p_pneumonia"], atol=1e-12)
    assert (coarse["label"] == "normal").equals(fine["label"] == "normal")
    internal = pd.read_parquet(home / "run" / "predictions.parquet").query("split == 'test'")
    right = (internal["p_normal"] > 0.5) == (internal["label"] == "normal")
    assert found["transport"]["metrics"]["accuracy"]["internal"]["value"] == pytest.approx(right.mean())
    # Thresholds of classes that were summed mean nothing.
    assert {one["positive"] for one in found["operating_points"]} == {"normal"}
    assert "summed to this cohort" in (tmp_path / "coarse" / "report.html").read_text()


def test_maps_that_cannot_be(command: Command, home: Path, elsewhere: Path, tmp_path: Path) -> None:
    command.refused("E_USAGE", "evaluate", home / "run", "--map", "covid=infected")
    command.done(*build(elsewhere, tmp_path / "cohort"))
    judge = ("evaluate", home / "run", "--cohort", tmp_path / "cohort", "--map")
    command.refused("E_USAGE", *judge, "covid")
    command.refused("E_USAGE", *judge, "covid=normal,covid=pneumonia")
    command.refused("E_LABEL", *judge, "covid=edema")
    command.refused("E_LABEL", *judge, "flu=normal")
    assert "covid=covid" in command.refused("E_LABEL", *judge, "pneumonia=covid")


def test_exact_intervals_are_an_option(command: Command, home: Path) -> None:
    found = json.loads(command.done("evaluate", home / "run", "--intervals", "exact", "--json"))
    table = pd.read_parquet(home / "run" / "predictions.parquet").query("split == 'test'")
    said = table[[name for name in table if name.startswith("p_")]].idxmax(axis=1).str[2:]
    exact = clustered_share(clopper_pearson, said == table["label"], table["group_id"])
    assert (found["accuracy"]["low"], found["accuracy"]["high"]) == pytest.approx((exact.low, exact.high))
    assert "exact" in command.refused("E_OPTION", "evaluate", home / "run", "--intervals", "narrow")
