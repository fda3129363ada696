"""The curves of several models in one figure, and the page of a replay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from pulmoscope.report import ReplayPage, draw_curves, write_replay_page
from pulmoscope.report.tables import Table


def history(epochs: int, start: float) -> pd.DataFrame:
    rows = np.arange(1, epochs + 1)
    return pd.DataFrame(
        {
            "stage": ["head"] * 2 + ["finetune"] * (epochs - 2),
            "epoch": rows,
            "train_loss": start / rows,
            "val_loss": start / rows + 0.1,
            "train_accuracy": 1 - start / (2 * rows),
            "val_accuracy": 0.9 - start / (2 * rows),
        }
    )


def test_every_model_is_drawn_once_a_history_and_named_once() -> None:
    figure = draw_curves({"vgg16": [history(5, 1.0), history(4, 0.8)], "$x_y": [history(6, 0.5)]})
    panels = figure.axes
    assert [axes.get_title(loc="left") for axes in panels] == [
        "Training loss", "Validation loss", "Training accuracy", "Validation accuracy",
    ]  # fmt: skip
    assert [len(axes.lines) for axes in panels] == [3, 3, 3, 3]
    first = panels[1].lines[0]
    drawn = np.asarray(first.get_ydata(), float)
    # The line breaks between the stages, and nothing else is lost.
    assert np.isnan(drawn).tolist() == [False, False, True, False, False, False]
    assert drawn[~np.isnan(drawn)].tolist() == history(5, 1.0)["val_loss"].tolist()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["vgg16", r"\$x_y"]
    looks = {(line.get_color(), line.get_linestyle(), line.get_marker()) for line in panels[0].lines[::2]}
    assert len(looks) == 2


def test_a_loss_in_the_thousands_does_not_flatten_the_others() -> None:
    assert draw_curves({"a": [history(5, 1.0)]}).axes[0].get_yscale() == "linear"
    figure = draw_curves({"a": [history(5, 1.0)], "b": [history(5, 1000.0)]})
    assert [axes.get_yscale() for axes in figure.axes] == ["log", "log", "linear", "linear"]
    assert {float(tick) % 1 for tick in figure.axes[3].get_xticks()} == {0.0}


def test_no_history_is_said() -> None:
    assert "not recorded" in [text.get_text() for text in draw_curves({}).axes[0].texts]


def test_the_replays_page_escapes_and_stands_alone(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>"
    table = Table(
        caption=hostile, header=["Model", "Metric", "Verdict"], rows=[[hostile, hostile, "ours is below"]]
    )
    page = ReplayPage(
        title=hostile,
        subtitle="quick",
        quick=True,
        leaked="LEAKED",
        descriptions=[("a", hostile)],
        explanation=[hostile],
        caveats=[hostile],
        published=table,
        sources=[hostile],
        models=table,
        failures=[("b", hostile)],
        facts=[("c", hostile)],
    )
    text = write_replay_page(tmp_path / "replay.html", page).read_text()
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert '<span class="verdict below">ours is below</span>' in text
    assert "LEAKED" in text
    assert "quick: reduced size/number, not the report's setting" in text.replace("&#39;", "'")
    assert "default-src 'none'" in text
