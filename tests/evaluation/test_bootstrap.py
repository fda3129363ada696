from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix as reference_confusion
from sklearn.metrics import roc_auc_score

from pulmoscope.evaluation import auroc, confusion_matrix, draw_weights, group_codes, resample

Data = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.int64]]


def _data(seed: int, *, rows: int = 120, groups: int = 40, ties: bool = True) -> Data:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, rows)
    scores = rng.dirichlet(np.ones(3), rows) + 0.3 * np.eye(3)[truth]
    scores = scores.round(1) if ties else scores
    codes, _ = group_codes(rng.integers(0, groups, rows))
    return truth, scores.argmax(axis=1), scores, codes


def _weights(groups: int, replicates: int, seed: int = 0) -> npt.NDArray[np.int64]:
    return np.array(list(draw_weights(groups, replicates, np.random.default_rng(seed))))


@pytest.mark.parametrize("ties", [True, False])
def test_equals_a_plain_loop_that_repeats_the_rows(ties: bool) -> None:
    truth, predicted, scores, codes = _data(1, ties=ties)
    weights = _weights(codes.max() + 1, 30)
    found = resample(weights, truth=truth, predicted=predicted, probabilities=scores, groups=codes, classes=3)
    for replicate, drawn in enumerate(weights):
        rows = np.repeat(np.arange(len(truth)), drawn[codes])
        assert np.array_equal(found.confusions[replicate], confusion_matrix(truth[rows], predicted[rows], 3))
        for index in range(3):
            plain = auroc(truth[rows] == index, scores[rows, index])
            assert found.aurocs[replicate, index] == pytest.approx(plain, abs=1e-12)


def test_agrees_with_scikit_learn_by_sample_weight() -> None:
    truth, predicted, scores, codes = _data(2)
    weights = _weights(codes.max() + 1, 20)
    found = resample(weights, truth=truth, predicted=predicted, probabilities=scores, groups=codes, classes=3)
    for replicate, drawn in enumerate(weights):
        counts = drawn[codes]
        other = reference_confusion(truth, predicted, labels=[0, 1, 2], sample_weight=counts)
        assert np.array_equal(found.confusions[replicate], other)
        for index in range(3):
            area = roc_auc_score(truth == index, scores[:, index], sample_weight=counts)
            assert found.aurocs[replicate, index] == pytest.approx(area, abs=1e-12)


def test_by_hand() -> None:
    # Group 0 holds a positive at .9 and a negative at .2, group 1 a positive at .2, group 2 a negative at .5.
    found = resample(
        np.array([[1, 1, 1], [2, 0, 1], [0, 3, 0]]),
        truth=[1, 0, 1, 0],
        predicted=[1, 0, 0, 1],
        probabilities=np.array([[0.1, 0.9], [0.8, 0.2], [0.8, 0.2], [0.5, 0.5]]),
        groups=[0, 0, 1, 2],
        classes=2,
    )
    assert found.confusions.tolist() == [[[1, 1], [1, 1]], [[2, 1], [0, 2]], [[0, 0], [3, 0]]]
    # .9 wins twice; .2 ties with .2 and loses to .5. Then group 1 is not drawn; then no negative is.
    assert found.aurocs[:2, 1].tolist() == [2.5 / 4, 1.0]
    assert np.isnan(found.aurocs[2]).all()


def test_every_draw_is_of_as_many_groups_as_there_are() -> None:
    weights = _weights(50, 4000)
    assert (weights.sum(axis=1) == 50).all()
    assert weights.min() == 0
    # Multinomial: each count has mean 1 and variance 1 - 1/G, and counts of two groups covariance -1/G.
    assert weights.mean(axis=0) == pytest.approx(np.ones(50), abs=0.08)
    assert weights.var() == pytest.approx(1 - 1 / 50, abs=0.03)
    assert len(np.unique(weights, axis=0)) == 4000


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_row_order_changes_no_replicate(seed: int) -> None:
    truth, predicted, scores, _ = _data(seed, rows=40)
    names = np.array(
        [f"patient-{number}" for number in np.random.default_rng(seed).integers(0, 12, 40)], dtype=object
    )
    order = np.random.default_rng(seed + 1).permutation(40)
    results = []
    for rows in (np.arange(40), order):
        codes, groups = group_codes(names[rows])
        results.append(resample(
            _weights(groups, 10), truth=truth[rows], predicted=predicted[rows], probabilities=scores[rows],
            groups=codes, classes=3,
        ))  # fmt: skip
    assert np.array_equal(results[0].confusions, results[1].confusions)
    assert np.array_equal(results[0].aurocs, results[1].aurocs, equal_nan=True)


def test_hard_labels_have_no_area() -> None:
    found = resample(
        _weights(3, 5), truth=[0, 1, 1], predicted=[0, 1, 0], probabilities=None, groups=[0, 1, 2], classes=2
    )
    assert found.confusions.sum(axis=(1, 2)).tolist() == [3] * 5
    assert found.aurocs.shape == (5, 2)
    assert np.isnan(found.aurocs).all()


def test_memory_does_not_grow_with_the_replicates() -> None:
    import tracemalloc

    truth, predicted, scores, codes = _data(4, rows=20_000, groups=20_000, ties=False)
    peaks = []
    for replicates in (10, 100):
        tracemalloc.start()
        resample(
            draw_weights(codes.max() + 1, replicates, np.random.default_rng(0)),
            truth=truth, predicted=predicted, probabilities=scores, groups=codes, classes=3,
        )  # fmt: skip
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # One more replicate keeps its nine counts and three areas; its weights (160 kB) are gone.
    assert peaks[1] - peaks[0] < 90 * 2_000


def test_two_thousand_replicates_of_a_hundred_thousand_pictures_take_seconds() -> None:
    import time

    random = np.random.default_rng(0)
    truth = random.integers(0, 3, 100_000)
    scores = random.dirichlet(np.ones(3), 100_000) + 0.5 * np.eye(3)[truth]
    codes, groups = group_codes(random.integers(0, 50_000, 100_000))
    began = time.process_time()
    resample(
        draw_weights(groups, 100, np.random.default_rng(0)),
        truth=truth, predicted=scores.argmax(axis=1), probabilities=scores, groups=codes, classes=3,
    )  # fmt: skip
    # The processor's time, which other programs do not lengthen: a twentieth of the job, about 0.2 s.
    assert time.process_time() - began < 10 / 20
