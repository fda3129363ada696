"""The page and the figures of a sweep."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.container import ErrorbarContainer

from pulmoscope.report.figures.sweep import draw_boxes, draw_importance, draw_parallel
from pulmoscope.report.style import save_png
from pulmoscope.report.sweep_page import SweepPage, write_sweep_page
from pulmoscope.report.tables import Table


def trials(count: int = 40) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    optimiser = np.where(np.arange(count) % 2 == 0, "adam", "sgd")
    frame = pd.DataFrame(
        {
            "state": ["complete"] * (count - 1) + ["failed"],
            "learning rate": 10 ** generator.uniform(-4, -1, count),
            "optimiser": optimiser,
            "momentum": pd.array([None if one == "adam" else 0.9 for one in optimiser], "Float64"),
            "a <b>$x$": pd.array([index % 3 == 0 for index in range(count)], "boolean"),
            "objective": [*generator.uniform(0.6, 0.9, count - 1), np.nan],
        }
    )
    frame["rank"] = (-frame["objective"]).rank(method="first").astype("Int64")
    return frame


AXES = ["learning rate", "optimiser", "momentum", "a <b>$x$"]


@pytest.mark.parametrize("maximise", [True, False])
def test_figures_draw_every_completed_trial(maximise: bool, tmp_path: Path) -> None:
    frame = trials()
    figure = draw_parallel(frame, AXES, label="accuracy", maximise=maximise)
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) == len(AXES) + 1]
    assert len(lines) == 39
    top = max(lines, key=lambda line: line.get_linewidth())
    best = int(np.nanargmin(frame["rank"].to_numpy(float, na_value=np.nan)))
    expected = (frame["objective"][best] - frame["objective"].min()) / np.ptp(frame["objective"].dropna())
    assert top.get_ydata()[-1] == pytest.approx(expected if maximise else 1 - expected)
    save_png(figure, tmp_path / "parallel.png")


def test_boxes_hold_the_quartiles_means_and_deviations(tmp_path: Path) -> None:
    frame = trials()
    figure = draw_boxes(frame, AXES, label="accuracy")
    panel = figure.axes[1]
    assert [text.get_text() for text in panel.get_xticklabels()] == ["adam", "sgd"]
    adam = frame.query("state == 'complete' and optimiser == 'adam'")["objective"]
    box = panel.patches[0]
    assert box.get_y() == pytest.approx(adam.quantile(0.25))
    assert box.get_y() + box.get_height() == pytest.approx(adam.quantile(0.75))
    mean = next(one for one in panel.containers if isinstance(one, ErrorbarContainer)).lines[0]
    assert mean.get_ydata()[0] == pytest.approx(adam.mean())
    # Many rates are points over their range, on a logarithmic scale.
    assert figure.axes[0].get_xscale() == "log"
    save_png(figure, tmp_path / "boxes.png")


def test_importance_has_the_largest_on_top(tmp_path: Path) -> None:
    figure = draw_importance({"batch": 0.1, "rate": 0.7, "dropout": 0.2})
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["batch", "dropout", "rate"]
    save_png(figure, tmp_path / "importance.png")


def test_one_trial_can_be_drawn(tmp_path: Path) -> None:
    one = trials().iloc[[1]]
    save_png(draw_boxes(one, AXES, label="accuracy"), tmp_path / "boxes.png")
    save_png(draw_parallel(one, AXES, label="accuracy", maximise=True), tmp_path / "parallel.png")


def test_the_page_escapes_what_it_is_told_and_runs_nothing(tmp_path: Path) -> None:
    wicked = "<script>alert(1)</script>"
    table = Table(caption=wicked, header=["Trial", "accuracy"], rows=[["0", wicked]])
    page = SweepPage(
        title=wicked, subtitle=wicked, leaked=wicked, description=wicked, changed=[wicked], says=[wicked],
        chosen=[(wicked, wicked)],
        top=table, by_value=table, importance=wicked, test=[table], nested=table, failures=[(wicked, wicked)],
        caveats=[wicked],
        facts=[(wicked, wicked)],
    )  # fmt: skip
    picture = save_png(draw_importance({"batch": 1.0}), tmp_path / "importance.png")
    text = write_sweep_page(tmp_path / "sweep.html", page, {"importance": picture}).read_text()
    assert "<script" not in text
    assert text.count("&lt;script&gt;") >= 12
    assert "default-src 'none'" in text
    assert text.count("Research use only") == 2
    assert text.count("data:image/png;base64,") == 1
    assert "http" not in text.replace("http-equiv", "")
