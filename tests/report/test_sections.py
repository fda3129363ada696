"""The sections on calibration, operating points and decision curves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pulmoscope.evaluation import (
    Predictions,
    Rule,
    Temperature,
    choose_threshold,
    decision_curve,
    expected_calibration_error,
    read_predictions,
)
from pulmoscope.report import write_report
from pulmoscope.report.calibration_section import calibration_section
from pulmoscope.report.decision_section import decision_section
from pulmoscope.report.inputs import ModelPredictions
from pulmoscope.report.operating_section import operating_section
from pulmoscope.report.section import Section

MakeRun = Callable[..., Path]
CLASSES = ("covid", "normal")


def two_classes(scores: np.ndarray, truth: np.ndarray, split: list[str]) -> Predictions:
    return Predictions.from_arrays(
        image_id=[f"i{row}" for row in range(len(truth))], probabilities=np.column_stack([scores, 1 - scores]),
        classes=CLASSES, label=["covid" if one else "normal" for one in truth], split=split,
    )  # fmt: skip


@pytest.fixture(scope="module")
def table() -> Predictions:
    """3,000 pictures, half of them validation; the forecasts are too sure of themselves."""
    random = np.random.default_rng(0)
    risk = random.beta(1, 2, 3000)
    truth = random.random(3000) < risk
    sure = risk**2 / (risk**2 + (1 - risk) ** 2)
    return two_classes(sure, truth, ["val", "test"] * 1500)


def cells(section: Section, caption: str) -> dict[str, list[str]]:
    """Rows of the one table whose caption starts so, by their first cell."""
    found = [one for one in section.tables if one.caption.startswith(caption)]
    assert len(found) == 1, [one.caption for one in section.tables]
    return {row[0]: list(row[1:]) for row in found[0].rows}


def test_a_temperature_is_shown_but_not_applied_where_none_is_stored(table: Predictions) -> None:
    test = table.part("test")
    section = calibration_section(test, [ModelPredictions(table=table)])
    assert section is not None
    rows = cells(section, "Calibration")
    before, after = rows["ECE, bins of equal mass"]
    raw = expected_calibration_error(test.labels, test.probabilities, binning="mass")  # type: ignore[arg-type]
    assert before.startswith(f"{raw:.3f} (")
    assert float(after.split()[0]) < raw / 2
    assert "The model is not calibrated" in section.sentences[0]
    assert list(section.captions) == ["calibration_pair"]


def test_a_stored_calibration_is_before_and_after(table: Predictions) -> None:
    frame = table.frame
    frame[["p_covid", "p_normal"]] = Temperature(value=2.0, classes=2).apply(table.probabilities)  # type: ignore[arg-type]
    mended = Predictions(frame, CLASSES)
    model = ModelPredictions(table=mended, raw=table, method="temperature")
    section = calibration_section(mended.part("test"), [model])
    assert section is not None
    assert "answers with calibrated probabilities (temperature)" in section.sentences[0]
    pair = cells(section, "Calibration")["Brier score, all classes"]
    scores = [((one.part("test").probabilities - np.eye(2)[one.part("test").labels]) ** 2).sum(axis=1).mean()
              for one in (table, mended)]  # fmt: skip
    assert [cell.split()[0] for cell in pair] == [f"{one:.3f}" for one in scores]
    assert float(cells(section, "Brier score of each")["covid"][0]) == pytest.approx(scores[1] / 2, abs=6e-5)


def test_a_calibration_that_harms_is_said() -> None:
    random = np.random.default_rng(1)
    risk = random.beta(1, 2, 800)
    truth = random.random(800) < risk
    shown = np.where(np.arange(800) % 2, risk, risk**3 / (risk**3 + (1 - risk) ** 3))
    table = two_classes(shown, truth, ["val", "test"] * 400)  # validation is far too sure, test is exact
    table = Predictions(table.frame, CLASSES)
    section = calibration_section(table.part("test"), [ModelPredictions(table=table)])
    assert section is not None
    assert any("does not carry over" in one for one in section.sentences)


def test_validation_alone_has_no_calibration_fitted_on_itself(table: Predictions) -> None:
    section = calibration_section(table.part("val"), [ModelPredictions(table=table)], part="val")
    assert section is not None
    assert not section.captions
    assert "it is the part that it would be fitted on" in section.sentences[0]


def test_operating_points_on_the_page(table: Predictions) -> None:
    section = operating_section([table])
    assert section is not None
    test, chosen = table.part("test"), table.part("val")
    scores = chosen.probabilities[:, 0]  # type: ignore[index]
    threshold = choose_threshold(chosen.labels == 0, scores, Rule(kind="sensitivity", target=0.95)).threshold
    assert cells(section, "Thresholds")["covid, sensitivity ≥ 0.95"][0] == f"{threshold:.3f}"
    called, truth = test.probabilities[:, 0] >= threshold, test.labels == 0  # type: ignore[index]
    rates = cells(section, "covid called")["sensitivity ≥ 0.95"]
    assert rates[0].startswith(f"{(called & truth).sum() / truth.sum():.3f} (")
    assert rates[1].startswith(f"{(~called & ~truth).sum() / (~truth).sum():.3f} (")
    found = [one for one in section.tables if one.caption.startswith("Of a thousand")]
    shares = [row[1] for row in found[0].rows if row[0] == "Youden"]
    assert shares == [f"{100 * truth.mean():.1f}% (test)", "1%", "10%"]
    for row in found[0].rows:
        counts = [float(cell.split()[0]) for cell in row[2:6]]
        assert sum(counts) == pytest.approx(1000, abs=2)
    assert "Not shown as a class to call: normal" in " ".join(section.sentences)
    assert operating_section([table.part("test")]) is None
    assert operating_section([]) is None


def test_a_target_that_test_does_not_keep_is_said() -> None:
    truth = np.array([True, False] * 100)
    scores = np.where(truth, 0.8, 0.2)
    scores[100:][truth[100:]] = 0.3  # covid looks otherwise on test
    table = two_classes(scores + np.linspace(0, 0.01, 200), truth, ["val"] * 100 + ["test"] * 100)
    section = operating_section([table])
    assert section is not None
    assert any("sensitivity of at least 0.95 that was chosen on validation is not kept on the test part: 0.000" in one
               for one in section.sentences)  # fmt: skip


def test_decision_curves_on_the_page(table: Predictions, tmp_path: Path) -> None:
    test = table.part("test")
    section = decision_section(test)
    assert section is not None
    assert list(section.captions) == ["decision_curve_0"]  # normal is nothing to act on
    curve = decision_curve(test.labels == 0, test.probabilities[:, 0], replicates=0)  # type: ignore[index]
    row = cells(section, "Net benefit")["covid, 0.20"]
    assert row[0].startswith(f"{curve.model[19]:.3f} (")
    assert row[1:] == [f"{curve.treat_all[19]:.3f}", "0.000"]
    assert (tmp_path / "decision_curve_0.png") in section.draw(tmp_path).values()
    one_side = two_classes(np.array([0.2, 0.4]), np.array([True, True]), ["test", "test"])
    assert decision_section(one_side) is None


def test_folds_are_judged_by_their_own_thresholds(make_run: MakeRun) -> None:
    folder = make_run()
    for fold in range(2):
        part = folder / "folds" / f"fold-{fold}"
        part.mkdir(parents=True)
        frame = read_predictions(folder / "predictions.parquet").frame
        held = (np.arange(len(frame)) % 2 == fold) | (frame["split"] == "val")
        Predictions(frame[held]).write(part / "predictions.parquet")

    metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    del metrics["val"]
    metrics["folds"] = [{"fold": fold, "test": metrics["test"]} for fold in range(2)]
    (folder / "metrics.json").write_text(json.dumps(metrics))
    page = write_report(folder).read_text()
    assert "Each fold chose its own thresholds on its own validation part" in page
    assert 'id="operating"' in page
