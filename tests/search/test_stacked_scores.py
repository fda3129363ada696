from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pulmoscope.evaluation import auroc
from pulmoscope.search.stacked_scores import stacked_auroc, stacked_cross_entropy, stacked_scores
from pulmoscope.training.history import validation_scores, weighted_cross_entropy
from pulmoscope.training.selection import ClassMetric


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    heads=st.integers(1, 4),
    pictures=st.integers(1, 40),
    classes=st.integers(2, 10),
    levels=st.sampled_from([2, 4, 1000]),
    metric=st.sampled_from(["val_f1", "val_auroc", "val_sensitivity", "val_specificity", None]),
)
def test_every_score_is_the_lone_heads_to_the_last_bit(
    seed: int, heads: int, pictures: int, classes: int, levels: int, metric: str | None
) -> None:
    """Few levels make ties, few pictures leave classes out."""
    generator = np.random.default_rng(seed)
    raw = generator.integers(1, levels + 1, (heads, pictures, classes)).astype(float)
    answers = np.log(raw / raw.sum(axis=2, keepdims=True))
    if heads > 2:
        answers[1, 0, 0] = np.nan
    labels = generator.integers(classes, size=pictures)
    weights = generator.random(classes) + 0.1
    selected = None if metric is None else ClassMetric(metric, classes - 1)
    found = stacked_scores(answers, labels, weights, selected)
    for one, lone in zip(found, answers, strict=True):
        expected = validation_scores(lone, labels, weights, selected)
        assert list(one) == list(expected)
        np.testing.assert_array_equal(list(one.values()), list(expected.values()))
    sums = stacked_cross_entropy(answers, labels, weights)
    np.testing.assert_array_equal(sums, [weighted_cross_entropy(lone, labels, weights) for lone in answers])


def test_the_area_by_hand_and_where_one_side_is_empty() -> None:
    scores = np.array([[0.9, 0.5, 0.5], [0.1, 0.2, 0.3], [0.5, 0.5, 0.5]])
    positive = np.array([True, True, False])
    assert stacked_auroc(positive, scores).tolist() == [0.75, 0.0, 0.5]
    assert stacked_auroc(positive, scores).tolist() == [auroc(positive, row) for row in scores]
    assert np.isnan(stacked_auroc(np.array([True] * 3), scores)).all()
