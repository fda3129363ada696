from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pulmoscope.errors import RunError
from pulmoscope.report import (
    draw_class_distribution,
    draw_confusion,
    draw_prediction_grid,
    draw_reliability,
    draw_roc,
    draw_training_curves,
    save_figures,
)
from pulmoscope.report.figures import GridCell, chosen_epoch, explain_choice, select_cells
from pulmoscope.report.style import plain, save_png

Frame = Callable[..., pd.DataFrame]


def texts(figure: Any) -> str:
    """Everything that is written in a figure."""
    found = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    for axes in figure.axes:
        pieces = [
            axes.title,
            axes.xaxis.label,
            axes.yaxis.label,
            *axes.texts,
            *axes.get_xticklabels(),
            *axes.get_yticklabels(),
        ]
        pieces += [child for child in axes.get_children() if type(child).__name__ == "Annotation"]
        legends = [child for child in axes.get_children() if type(child).__name__ == "Legend"]
        for legend in legends:
            pieces += legend.get_texts()
        found += [piece.get_text() for piece in pieces]
    return "\n".join(found)


def test_class_distribution_gives_every_count(make_frame: Frame) -> None:
    said = texts(draw_class_distribution(make_frame(), ["covid", "non-covid", "normal", "absent"]))
    for count in ("160", "90", "70", "40", "n = 340", "absent", "alpha", "beta"):
        assert count in said


def test_class_distribution_by_fold(make_frame: Frame) -> None:
    frame = make_frame().assign(split="test")
    frame["fold"] = pd.array(np.arange(len(frame)) % 3, dtype="Int64")
    said = texts(draw_class_distribution(frame))
    assert "fold 0" in said
    assert "fold 2" in said
    assert "test" not in said


def test_confusion_shows_counts_and_row_shares() -> None:
    said = texts(draw_confusion([[8, 2, 0], [0, 5, 5], [0, 0, 0]], ["a", "b", "none"]))
    assert "80.0%" in said
    assert "n = 10" in said
    assert said.count("–") == 3  # a class without pictures has no shares


def test_training_curves_mark_the_chosen_epoch(history: pd.DataFrame) -> None:
    assert chosen_epoch(history) == ("finetune", 3)
    figure = draw_training_curves(history, [("finetune", 3)])
    said = texts(figure)
    assert "fine-tuning" in said
    assert "chosen epoch" in said
    lines = [line for line in figure.axes[0].lines if line.get_label() == "chosen epoch"]
    assert lines[0].get_xdata()[0] == 8 + 3


def test_training_curves_stand_missing_columns() -> None:
    history = pd.DataFrame({"stage": ["head", "head"], "epoch": [1, 2], "val_loss": [np.nan, np.nan]})
    assert chosen_epoch(history) is None
    assert "not recorded" in texts(draw_training_curves(history))


def test_roc_legend_has_interval_chance_and_undefined() -> None:
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(3), 50)
    rates = {
        "a": {"auroc": {"value": 0.9431, "low": 0.9, "high": 0.97}},
        "b": {"auroc": {"value": 0.5, "low": 0.4, "high": 0.6}},
        "c": {"auroc": {"value": None}},
    }
    said = texts(draw_roc(random.integers(0, 2, 50), probabilities, ["a", "b", "c"], rates))
    assert "a: 0.943 (0.900-0.970)" in said
    assert "chance" in said
    assert "c: undefined" in said


def test_reliability_says_ece_and_counts() -> None:
    probabilities = np.tile([0.75, 0.25], (8, 1))
    said = texts(draw_reliability([0, 0, 0, 0, 0, 0, 1, 1], probabilities))
    assert "ECE 0.000" in said
    assert "8" in said.split("\n")


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 120), st.integers(2, 5), st.integers(0, 99), st.randoms(use_true_random=False))
def test_selection_is_balanced_and_blind_to_order(total: int, classes: int, seed: int, random: Any) -> None:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, total)
    probabilities = generator.dirichlet(np.ones(classes), total)
    names, ids = [f"c{n}" for n in range(classes)], [f"i{n}" for n in range(total)]
    cells = select_cells(ids, labels, probabilities, names, seed=seed)
    assert len(cells) == min(total, 25)
    assert len({cell.image_id for cell in cells}) == len(cells)
    order = list(range(total))
    random.shuffle(order)
    again = select_cells([ids[i] for i in order], labels[order], probabilities[order], names, seed=seed)
    assert again == cells
    errors = int((probabilities.argmax(1) != labels).sum())
    wrong = sum(cell.wrong for cell in cells)
    assert wrong >= min(errors, 10)
    per_class = [sum(cell.label == name and not cell.wrong for cell in cells) for name in names]
    available = [int(((probabilities.argmax(1) == labels) & (labels == n)).sum()) for n in range(classes)]
    for n in range(
        classes
    ):  # a class has fewer places than another by more than one only if it has no more pictures
        assert per_class[n] >= max(per_class) - 1 or per_class[n] == available[n]


def test_grid_marks_wrong_ones_by_more_than_colour() -> None:
    pixels = np.full((30, 50), 0.5, np.float32)
    right = GridCell(image_id="secret-name", label="a", predicted="a", probability=0.9, pixels=pixels)
    wrong = GridCell(image_id="other-name", label="a", predicted="b", probability=0.6, pixels=None)
    figure = draw_prediction_grid([right, wrong])
    said = texts(figure)
    assert said.count("✗") == 1
    assert "→ b (0.60)" in said
    assert "not readable" in said
    assert "name" not in said
    widths = [axes.spines["left"].get_linewidth() for axes in figure.axes[:2]]
    assert widths[1] > 3 * widths[0]
    assert "1 of them from the 7 wrong" in explain_choice([right, wrong], 7, 100)


def test_hostile_names_are_drawn_as_text(tmp_path: Path) -> None:
    names = ["$\\frac{1}{", "_hidden", "a\nb\x00\u202e", "x" * 400, "肺炎"]
    figure = draw_confusion(np.eye(5, dtype=int), names)
    save_png(figure, tmp_path / "a.png")
    save_png(draw_roc(np.arange(5), np.eye(5), names), tmp_path / "b.png")
    assert plain("_x").strip() == "_x"
    assert len(plain("x" * 400)) == 32
    assert "\n" not in plain("a\nb\x00\u202e")


def test_save_figures_makes_readable_pngs(make_run: Callable[..., Path]) -> None:
    folder = make_run()
    saved = save_figures(folder)
    assert set(saved) == {
        "class_distribution",
        "training_curves",
        "confusion_matrix",
        "roc",
        "reliability",
        "predictions_grid",
    }
    for path in saved.values():
        with Image.open(path) as picture:
            picture.load()
            assert picture.format == "PNG"
            assert picture.width > 600
    assert not [name for name in os.listdir(folder / "figures") if name.startswith(".")]
    table = pd.read_csv(folder / "figures" / "predictions_grid.csv")
    assert len(table) == 25
    before = saved["roc"].read_bytes()
    assert save_figures(folder)["roc"].read_bytes() == before


def test_a_folder_without_metrics_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"metrics\.json is missing"):
        save_figures(tmp_path)


def test_matplotlib_waits_until_it_is_needed() -> None:
    code = "import sys, pulmoscope.report; sys.exit('matplotlib' in sys.modules or 'jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
