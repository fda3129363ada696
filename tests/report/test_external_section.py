"""The report's section on an external validation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pulmoscope.errors import RunError
from pulmoscope.evaluation import Predictions
from pulmoscope.evaluation.transport import compare_transport
from pulmoscope.report.external_section import external_section
from pulmoscope.report.figures.transport import draw_transport


def side(counts: tuple[int, int, int], *, signal: float, seed: int, classes: int = 3) -> Predictions:
    generator = np.random.default_rng(seed)
    truth = np.repeat(np.arange(classes), counts[:classes])
    logits = generator.normal(size=(len(truth), classes)) + signal * np.eye(classes)[truth]
    names = ("covid", "<other>", "normal")[:classes]
    return Predictions.from_arrays(
        image_id=[f"{seed}-{at}" for at in range(len(truth))], classes=names, label=[names[at] for at in truth],
        probabilities=np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True),
    )  # fmt: skip


@pytest.fixture(scope="module")
def metrics() -> dict[str, object]:
    found = compare_transport(
        side((60, 60, 80), signal=2.5, seed=1), side((100, 20, 40), signal=0.8, seed=2), replicates=100
    )
    content: dict[str, object] = json.loads(
        json.dumps({"test": {}, "transport": found.as_dict()}, allow_nan=False)
    )
    return content


def test_the_section_is_read_from_metrics_json_and_drawn(metrics: dict[str, object], tmp_path: Path) -> None:
    section = external_section(metrics)
    assert section is not None
    assert section.sentences[0].startswith("Discrimination is lost there")
    assert any(
        one.startswith("Accuracy is lower there") and "of which class mix" in one for one in section.sentences
    )
    by_metric, by_class = section.tables
    assert [row[0] for row in by_metric.rows[:3]] == ["Pictures compared", "Accuracy", "Balanced accuracy"]
    assert by_metric.rows[0][1:3] == ["200", "160"]
    assert [row[0] for row in by_class.rows] == ["covid", "<other>", "normal"]
    assert all(len(row) == len(table.header) for table in section.tables for row in table.rows)
    files = section.draw(tmp_path)
    assert list(files) == list(section.captions) == ["external"]
    with Image.open(files["external"]) as picture:
        assert picture.width > picture.height > 500


def test_the_marks_stand_at_their_values() -> None:
    found = compare_transport(
        side((60, 60, 0), signal=2.5, seed=1, classes=2),
        side((100, 20, 0), signal=0.8, seed=2, classes=2),
        replicates=50,
    )
    one = found.shift("accuracy")
    assert one is not None
    left, right = draw_transport([one]).axes
    values = [line.get_xdata()[0] for line in left.lines if line.get_linestyle() == "None"]
    assert values == [one.internal.value, one.external.value]
    parts = {line.get_label(): line.get_xdata()[0] for line in right.lines if line.get_linestyle() == "None"}
    assert parts["of it class mix"] + parts["of it the rest"] == pytest.approx(one.difference.value)


def test_of_two_classes_nothing_is_said_twice() -> None:
    found = compare_transport(
        side((60, 60, 0), signal=2.5, seed=1, classes=2),
        side((100, 20, 0), signal=0.8, seed=2, classes=2),
        replicates=50,
    )
    section = external_section({"transport": found.as_dict()})
    assert section is not None
    assert not any(one.startswith("AUROC of") for one in section.sentences)


def test_a_run_of_its_own_has_no_such_section_and_a_torn_one_is_refused(metrics: dict[str, object]) -> None:
    assert external_section({"test": {}}) is None
    with pytest.raises(RunError, match="transport"):
        external_section({"transport": {"compared": []}})
    with pytest.raises(RunError, match="transport"):
        external_section({"transport": [1]})
