"""The report's section on uncertainty: what it says, what it draws, and when it is left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pulmoscope.evaluation import Predictions
from pulmoscope.evaluation.conformal_table import conformal_report
from pulmoscope.evaluation.selective import risk_coverage
from pulmoscope.report.figures.coverage_by_class import draw_coverage
from pulmoscope.report.figures.risk_coverage import CurvePoint, draw_risk_coverage
from pulmoscope.report.uncertainty_section import coverage_sentences, uncertainty_section


@pytest.fixture(autouse=True)
def _small_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulmoscope.report.style.DPI", 30)


CLASSES = ("covid", "non-covid", "normal")


@pytest.fixture(scope="module")
def predictions() -> Predictions:
    """100 validation and 160 test pictures, right about nine times in ten."""
    rng = np.random.default_rng(1)
    truth = np.repeat([0, 1, 2, 0, 1, 2], [25, 50, 25, 40, 70, 50])
    raised = np.exp(rng.normal(0, 1, (260, 3)) + 2.4 * np.eye(3)[truth])
    return Predictions.from_arrays(
        image_id=[f"i{row}" for row in range(260)], probabilities=raised / raised.sum(axis=1, keepdims=True),
        classes=CLASSES, label=[CLASSES[one] for one in truth], split=["val"] * 100 + ["test"] * 160,
    )  # fmt: skip


def test_the_section_has_the_numbers_of_the_table(predictions: Predictions, tmp_path: Path) -> None:
    section = uncertainty_section(predictions)
    assert section is not None
    coverage, abstention = section.tables
    found = conformal_report(predictions)
    assert [row[0] for row in coverage.rows] == ["All", "covid", "non-covid", "normal"]
    seen = found.kinds["marginal"].overall.seen
    assert coverage.rows[0][2] == f"{seen.value:.3f} ({seen.low:.3f}-{seen.high:.3f})"
    # A class has no promise under one threshold for all, and all pictures none under one a class.
    assert coverage.rows[1][3] == ""
    assert coverage.rows[0][6] == ""
    assert all(len(row) == len(table.header) for table in section.tables for row in table.rows)
    assert [row[0] for row in abstention.rows] == [
        "Answer at least 0.9",
        "Answer at least 0.8",
        "At most 0.02 wrong among the answered",
    ]
    assert f"hold it in {seen.value:.1%}" in section.sentences[0]
    drawn = section.draw(tmp_path)
    assert set(drawn) == set(section.captions) == {"conformal_coverage", "risk_coverage"}
    assert all(path.stat().st_size > 1_000 for path in drawn.values())


def test_a_class_that_changed_between_the_parts_is_named(predictions: Predictions) -> None:
    frame = predictions.frame
    moved = (frame["split"] == "test") & (frame["label"] == "normal")
    frame.loc[moved, ["p_covid", "p_non-covid", "p_normal"]] = [0.6, 0.39, 0.01]
    said = " ".join(coverage_sentences(conformal_report(Predictions(frame))))
    assert "that does not hold: normal gets 0.0% (0.0%-7.1%), where " in said
    assert "pictures of normal do not look alike to the model" in said
    assert "With a threshold of its own covid, non-covid may well have the coverage promised, but" in said


@pytest.mark.parametrize("lacking", ["split", "probabilities", "labels", "val"])
def test_without_what_it_needs_there_is_no_section(predictions: Predictions, lacking: str) -> None:
    frame = predictions.frame
    if lacking == "split":
        frame["split"] = None
    elif lacking == "val":
        frame = frame[frame["split"] == "test"]
    elif lacking == "labels":
        frame = frame.drop(columns="label")
    else:
        frame = frame[["image_id", "label", "split"]].assign(prediction="covid")
    classes = predictions.classes if lacking == "probabilities" else None
    assert uncertainty_section(Predictions(frame, classes)) is None


def test_figures_show_target_reference_and_marks(predictions: Predictions) -> None:
    report = conformal_report(predictions, level=0.8)
    axes = draw_coverage(report).axes[0]
    assert "target 0.8" in axes.get_legend_handles_labels()[1]
    assert axes.get_yticklabels()[0].get_text() == "all (160)"
    right, sure = np.arange(50) % 5 > 0, np.linspace(0.4, 1, 50)
    point = CurvePoint(label="a $ mark", coverage=0.5, risk=0.1)
    none = CurvePoint(label="nothing", coverage=0.0, risk=float("nan"))
    figure = draw_risk_coverage(risk_coverage(right, sure), pictures=50, points=[point, none])
    labels = figure.axes[0].get_legend_handles_labels()[1]
    assert "answering at random (0.200)" in labels
    assert r"a \$ mark" in labels
    assert "nothing" not in labels
    assert "undefined" in draw_risk_coverage(risk_coverage([], []), pictures=0).axes[0].texts[0].get_text()
