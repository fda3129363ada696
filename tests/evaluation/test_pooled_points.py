"""Operating points of several folds, judged together."""

from __future__ import annotations

import numpy as np
import pytest

from pulmoscope.evaluation import Predictions, Rule, operating_report
from pulmoscope.evaluation.pooled_points import pooled_points

RULE = (Rule(kind="sensitivity", target=0.95),)


def fold(scores: list[float], truth: str, *, name: str) -> Predictions:
    """Half of the pictures choose, half are judged; ``truth`` holds p for positive."""
    values = np.array(scores)
    return Predictions.from_arrays(
        image_id=[f"{name}{row}" for row in range(len(scores))],
        probabilities=np.column_stack([values, 1 - values]), classes=("covid", "normal"),
        label=["covid" if one == "p" else "normal" for one in truth],
        split=["val" if row < len(scores) // 2 else "test" for row in range(len(scores))],
    )  # fmt: skip


def test_each_fold_calls_by_its_own_threshold() -> None:
    one = fold(
        [0.9, 0.7, 0.2, 0.85, 0.5, 0.1], "ppnpnn", name="a"
    )  # chooses 0.45: calls 0.85 right, 0.5 wrongly
    two = fold(
        [0.5, 0.3, 0.1, 0.25, 0.15, 0.6], "ppnppn", name="b"
    )  # chooses 0.2: calls 0.25, misses 0.15, calls 0.6
    covid = next(point for point in pooled_points([one, two], rules=RULE) if point.positive == "covid")
    assert covid.thresholds == (pytest.approx(0.45), pytest.approx(0.2))
    judged = covid.judged
    assert judged is not None
    counts = (judged.true_positives, judged.false_negatives, judged.false_positives, judged.true_negatives)
    assert counts == (2, 1, 2, 1)
    assert (covid.validation.total, covid.validation.sensitivity.value) == (6, 1.0)


def test_one_table_gives_the_operating_report() -> None:
    random = np.random.default_rng(0)
    table = fold(list(random.random(80)), "".join(random.choice(["p", "n"], 80)), name="c")
    report = operating_report(table)
    assert report.points is not None
    for pooled, single in zip(pooled_points([table]), report.points, strict=True):
        assert pooled.judged is not None
        assert single.test is not None
        assert pooled.judged.as_dict() == single.test.as_dict()
        assert pooled.thresholds == (single.point.threshold,)


def test_a_fold_without_a_threshold_leaves_the_point_unjudged() -> None:
    good = fold([0.9, 0.7, 0.2, 0.8, 0.5, 0.1], "ppnpnn", name="a")
    lacking = fold([0.5, 0.3, 0.1, 0.25, 0.15, 0.6], "nnnppn", name="b")
    point = pooled_points([good, lacking], rules=RULE)[0]
    assert point.judged is None
    assert np.isnan(point.thresholds[1])
    assert "no picture of the val part is of class covid" in point.notes[0]
    with pytest.raises(ValueError, match="one table or more"):
        pooled_points([])
