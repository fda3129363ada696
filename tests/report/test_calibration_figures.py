"""The calibration pair and the decision curve: what is written in them, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pulmoscope.evaluation.calibration import expected_calibration_error
from pulmoscope.evaluation.decision import decision_curve
from pulmoscope.evaluation.temperature import Temperature
from pulmoscope.report.figures.calibration_pair import draw_calibration_pair
from pulmoscope.report.figures.decision_curve import draw_decision_curve
from pulmoscope.report.style import save_png


def texts(axes: Any) -> str:
    return "\n".join(text.get_text() for text in axes.texts)


def test_calibration_pair_gives_both_errors(tmp_path: Any) -> None:
    rng = np.random.default_rng(0)
    truth, before = rng.integers(0, 3, 300), rng.dirichlet(np.ones(3) / 3, 300)
    after = Temperature(value=3.0, classes=3).apply(before)
    figure = draw_calibration_pair(truth, before, after, titles=("as trained", "temperature 3"))
    for axes, scores in zip(figure.axes[:2], (before, after), strict=True):
        assert f"ECE, equal mass {expected_calibration_error(truth, scores, binning='mass'):.3f}" in texts(
            axes
        )
        assert f"ECE, equal width {expected_calibration_error(truth, scores):.3f}" in texts(axes)
    assert [axes.get_title(loc="left") for axes in figure.axes[:2]] == ["as trained", "temperature 3"]
    assert save_png(figure, tmp_path / "pair.png").stat().st_size > 10_000


def test_calibration_pair_without_pictures() -> None:
    figure = draw_calibration_pair([], np.empty((0, 2)), np.empty((0, 2)))
    assert "undefined" in texts(figure.axes[0])


def test_decision_curve_shows_both_alternatives(tmp_path: Any) -> None:
    rng = np.random.default_rng(1)
    scores = rng.random(300)
    truth = rng.random(300) < scores
    curves = {
        name: decision_curve(truth, one, replicates=20) for name, one in (("a", scores), ("b", scores**2))
    }
    figure = draw_decision_curve(curves, disease="covid")
    labels = figure.axes[0].get_legend_handles_labels()[1]
    assert labels == ["treat all", "treat none", "a", "b"]
    assert "p(covid)" in figure.axes[0].get_xlabel()
    low, high = figure.axes[0].get_ylim()
    assert low > -0.6 * high  # the dive of treating all does not flatten the rest
    assert "95% interval" in draw_decision_curve({"a": curves["a"]}).axes[0].get_legend_handles_labels()[1]
    assert save_png(figure, tmp_path / "decision.png").stat().st_size > 10_000


def test_decision_curves_of_different_prevalences_are_refused() -> None:
    one = decision_curve([1, 0], [0.8, 0.2], replicates=0)
    two = decision_curve([1, 0], [0.8, 0.2], replicates=0, prevalence=0.1)
    with pytest.raises(ValueError, match="different prevalences"):
        draw_decision_curve({"one": one, "two": two})
    with pytest.raises(ValueError, match="no curve"):
        draw_decision_curve({})
