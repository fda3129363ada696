"""The forest plot of a comparison."""

from __future__ import annotations

import math

import pytest

from pulmoscope.report.figures.forest import ForestModel, draw_forest


@pytest.fixture(autouse=True)
def _small_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulmoscope.report.style.DPI", 30)


def model(value: float, best: float, kind: str) -> ForestModel:
    return ForestModel(
        label=f"$m_{kind}", value=(value, value - 0.01, value + 0.01), kind=kind, text=f"{value:.4f}",
        to_best=None if kind == "best" else (value - best, value - best - 0.02, value - best + 0.02),
        difference="" if kind == "best" else f"{value - best:+.4f}",
    )  # fmt: skip


def test_marks_tell_the_kinds_apart_without_colour() -> None:
    rows = [model(0.9, 0.9, "best"), model(0.89, 0.9, "like"), model(0.7, 0.9, "worse")]
    left, right = draw_forest(rows, metric="accuracy", margin=0.05).axes
    marks = [line for line in left.lines if line.get_marker() not in ("", "None")]
    assert [(one.get_xdata()[0], one.get_marker()) for one in marks] == [(0.9, "D"), (0.89, "o"), (0.7, "v")]
    assert [one.get_markerfacecolor() == "white" for one in marks] == [False, False, True]
    assert [text.get_text() for text in left.texts][:3] == ["0.9000", "0.8900", "0.7000"]
    low, high = right.get_xlim()
    assert low < -0.22
    assert high > 0.01
    drawn = [tuple(line.get_xdata()) for line in right.lines]
    assert (0, 0) in drawn
    assert (-0.05, -0.05) in drawn


def test_one_failed_model_does_not_squash_the_rest() -> None:
    rows = (
        [model(0.9, 0.9, "best")]
        + [model(0.9 - 0.01 * k, 0.9, "like") for k in range(1, 9)]
        + [model(0.2, 0.9, "worse")]
    )
    left, right = draw_forest(rows, metric="accuracy").axes
    for axes in (left, right):
        low, high = axes.get_xlim()
        assert high - low < 0.3
        (arrow,) = [line for line in axes.lines if line.get_marker() == "<"]
        assert list(arrow.get_xdata()) == [low]
        assert list(arrow.get_ydata()) == [9]


def test_what_is_undefined_is_not_drawn() -> None:
    nan = math.nan
    row = ForestModel(
        label="a", value=(nan, nan, nan), to_best=None, kind="worse", text="undefined", difference=""
    )
    assert not draw_forest([row], metric="AUROC").axes[0].lines
