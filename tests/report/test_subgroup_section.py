"""The report's section on subgroups: what it says, what it draws, when it is left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from pulmoscope.evaluation import Predictions
from pulmoscope.report.subgroup_section import subgroup_section


def judged(n: int = 240) -> tuple[Predictions, pd.DataFrame]:
    """The model is right on PA and half right on AP; nine pictures have no sex."""
    generator = np.random.default_rng(3)
    ids = [f"i{at}" for at in range(n)]
    truth = generator.integers(0, 3, n)
    view = np.where(np.arange(n) % 2, "AP", "PA")
    said = np.where((view == "AP") & (generator.random(n) < 0.5), (truth + 1) % 3, truth)
    probabilities = np.full((n, 3), 0.1)
    probabilities[np.arange(n), said] = 0.8
    classes = ("covid", "normal", "$other_")
    predictions = Predictions.from_arrays(
        image_id=ids,
        probabilities=probabilities,
        classes=classes,
        label=[classes[at] for at in truth],
        split="test",
    )
    sex = np.where(np.arange(n) < 9, None, np.where(np.arange(n) % 3 == 0, "F", "M"))
    frame = pd.DataFrame(
        {"image_id": ids[::-1], "view": view[::-1], "sex": sex[::-1], "age": np.nan, "source": "one"}
    )
    return predictions, frame


def test_the_section_says_what_differs_and_draws_it(tmp_path: Path) -> None:
    section = subgroup_section(*judged())
    assert section is not None
    assert section.sentences[0].startswith("By view, accuracy differs: lowest AP")
    assert any("cannot be told apart from chance" in one for one in section.sentences)
    # On PA every answer is right: the means over the classes have no spread there.
    assert any(one.startswith("By view, balanced accuracy cannot be tested") for one in section.sentences)
    verdicts = {(row[0], row[1]): row[-1] for row in section.tables[2].rows}
    assert verdicts["view", "balanced accuracy"] == "not tested"
    assert verdicts["view", "accuracy"] == "differs"
    assert [table.caption.split(",")[0] for table in section.tables[:2]] == ["By view", "By sex"]
    by_sex = section.tables[1]
    assert by_sex.header == ["", "All", "F", "M", "unknown"]
    assert by_sex.rows[0][-1] == "9"
    assert all(row[-1].startswith("*") for row in by_sex.rows[4:])
    assert all(len(row) == len(table.header) for table in section.tables for row in table.rows)
    files = section.draw(tmp_path)
    assert (
        list(files)
        == list(section.captions)
        == [f"subgroups_{one}" for one in ("overall", "sensitivity", "specificity")]
    )
    for file in files.values():
        with Image.open(file) as picture:
            assert min(picture.size) > 300


def test_the_mark_of_the_worse_view_lies_left_of_all_pictures() -> None:
    from pulmoscope.report.figures.subgroups import ForestLine, ForestPanel, draw_subgroups

    nan = float("nan")
    lines = [
        ForestLine(value=0.6, low=0.5, high=0.7, small=False), ForestLine(value=0.9, low=0.8, high=0.95, small=False),
        ForestLine(value=0.0, low=0.0, high=0.8, small=True), ForestLine(value=nan, low=nan, high=nan, small=True),
    ]  # fmt: skip
    rows = [("view", "AP"), ("view", "PA"), ("sex", "F"), ("sex", "M")]
    figure = draw_subgroups(rows, [ForestPanel(title="Accuracy", overall=0.75, lines=lines)])
    axes = figure.axes[0]
    marks = [line for line in axes.lines if line.get_linestyle() == "None"]
    assert [line.get_marker() for line in marks] == ["o", "o", "<"]
    assert [line.get_markerfacecolor() == "white" for line in marks] == [False, False, True]
    # AP, PA, a heading, F: each level has its own line.
    assert [line.get_ydata()[0] for line in marks] == [1, 2, 4]
    assert marks[2].get_xdata()[0] == axes.get_xlim()[0] > 0.4
    assert [text.get_text() for text in axes.texts] == ["×"]


def test_nothing_to_compare_is_no_section() -> None:
    predictions, frame = judged()
    assert subgroup_section(predictions, frame[["image_id", "source", "age"]]) is None
    assert subgroup_section(predictions, frame[["image_id"]]) is None
    assert subgroup_section(predictions, frame.assign(image_id="x" + frame["image_id"])) is None
    # A column of identifiers is no subgroup and no error.
    assert subgroup_section(predictions, frame.assign(view=frame["image_id"], sex=None)) is None
