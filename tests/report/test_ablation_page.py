"""The page of an ablation and its forest plot."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pulmoscope.evaluation import Predictions
from pulmoscope.report.ablation_page import (
    AblationPage,
    cells_table,
    effects_table,
    forest_rows,
    write_ablation_page,
)
from pulmoscope.report.figures.effects import ForestRow, draw_effects
from pulmoscope.search.ablation import Ablation, ablation_effects
from pulmoscope.search.ablation_words import sentences
from pulmoscope.search.factors import Factor, Level, design_cells

HOSTILE = "<script>alert(1)</script>"
SHARE = {"a": 40, "ab": 41, "b": 70}


def ablation(seeds: tuple[int, ...] = (0,), name: str = "size") -> Ablation:
    """One factor that helps, one that does nothing to be told."""
    factors = tuple(
        Factor(name=one, levels=(Level(name="small", changes={}), Level(name="large", changes={"x": 1})))
        for one in (name, "head")
    )

    def predictions(cell: tuple[str, ...], seed: int) -> Predictions:
        rows = []
        for split in ("val", "test"):
            for index in range(100):
                right = index * 7 % 100 < 50 + 30 * (cell[0] == "large") + (cell[1] == "large") + seed
                rows.append((f"{split}{index}", "yn"[index % 2], "yn"[(index + 1 - right) % 2], split))
        return Predictions(pd.DataFrame(rows, columns=["image_id", "label", "prediction", "split"]))

    return ablation_effects(
        {cell: {seed: predictions(cell, seed) for seed in seeds} for cell in design_cells(factors, "factorial")},
        factors, design="factorial", replicates=100,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _small_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulmoscope.report.style.DPI", 30)


def test_the_page_says_every_sentence_and_asks_for_nothing(tmp_path: Path) -> None:
    found = ablation()
    page = AblationPage(
        title="system_x", subtitle="quick", quick=True, leaked="LEAKED", facts=[("Seeds", "0")]
    )
    text = (
        write_ablation_page(tmp_path / "ablation.html", found, page)
        .read_text("utf-8")
        .replace("\N{NO-BREAK SPACE}", " ")
    )
    said = [
        *sentences(found),
        "The test part is read here to estimate effects, not to choose a setting",
        "LEAKED",
    ]
    for words in (
        *said,
        "Combinations, beyond the sum of their parts",
        "Each cell against the plain one",
        "quick:",
    ):
        assert words.replace("&", "&amp;").replace("<", "&lt;") in text
    assert (tmp_path / "figures" / "effects.png").is_file()
    assert text.count('<li class="above">') == 3  # of size, of its cell, of both together
    assert "default-src 'none'" in text
    assert "://" not in text
    assert not re.search(r"<script|<link|\son\w+=", text)


def test_names_are_escaped(tmp_path: Path) -> None:
    page = AblationPage(title=HOSTILE, subtitle="", changes=[(HOSTILE, HOSTILE)], caveats=[HOSTILE])
    text = write_ablation_page(tmp_path / "a.html", ablation(name=HOSTILE), page).read_text("utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_the_tables_hold_both_parts_and_each_seed() -> None:
    found = ablation(seeds=(0, 4))
    effects = effects_table(found.effects, "effects")
    assert effects.header == ["Effect", "Accuracy, points", "On validation", "p", "After Holm", "Verdict"]
    assert effects.rows[0][0] == "size large"
    assert effects.rows[0][1].startswith("+30.00 (")
    assert effects.rows[0][1] == effects.rows[0][2]  # both parts are made alike
    assert effects.rows[0][3:5] == ["<\N{NO-BREAK SPACE}.001"] * 2
    compared = effects_table(found.comparisons, "cells")
    assert compared.header[-2:] == ["Plain : changed, McNemar", "Verdict"]
    assert compared.rows[0][5].replace("\N{NO-BREAK SPACE}", " ") == "0 : 30, p < .001; 0 : 30, p < .001"
    cells = cells_table(found)
    assert cells.header == ["Cell", "Accuracy", "On validation", "Seed 0", "Seed 4"]
    assert cells.rows[0][3:] == ["50.00%", "54.00%"]
    assert cells.rows[0][1].startswith("52.00% (")
    assert "test part, 100 pictures of 100 groups, 2 seeds, factorial" in cells.caption


def test_the_forest_draws_each_effect_where_it_is() -> None:
    rows = forest_rows(ablation())
    figure = draw_effects(rows)
    axes = figure.axes[0]
    points = [one for one in axes.lines if one.get_marker() in ("o", "^", "v")]
    assert [float(np.asarray(one.get_xdata())[0]) for one in points] == pytest.approx(
        [row.value for row in rows]
    )
    depths = [float(np.asarray(one.get_ydata())[0]) for one in points]
    assert depths == sorted(depths)
    bottom, top = axes.get_ylim()
    assert bottom > depths[-1] > depths[0] > top
    low, high = axes.get_xlim()
    assert low < min(row.low for row in rows)
    assert high > max(row.high for row in rows)
    assert [one.get_text() for one in axes.get_yticklabels()] == [row.label for row in rows]
    shapes = {row.verdict: one.get_marker() for row, one in zip(rows, points, strict=True)}
    assert shapes == {"helps": "^", "cannot be told apart": "o"}
    hollow = [one.get_markerfacecolor() for one in points if one.get_marker() == "o"]
    assert set(hollow) == {"white"}
    headings = [row.heading for row in rows if row.heading]
    assert len(headings) == 3
    drawn = [text.get_text() for text in axes.texts]
    assert set(headings) <= set(drawn)


def test_what_is_undefined_is_not_drawn() -> None:
    nan = math.nan
    row = ForestRow(label="a", value=nan, low=nan, high=nan, verdict="cannot be told apart", text="undefined")
    assert [one for one in draw_effects([row]).axes[0].lines if one.get_marker() == "o"] == []
