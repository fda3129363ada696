"""Maps beside maps: ranks, structure and tops against other libraries and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torchmetrics.functional.image import structural_similarity_index_measure

from pulmoscope.explanation.agreement import between_methods
from pulmoscope.explanation.similarity import empty, spearman, ssim, top_overlap, top_weights

GENERATOR = np.random.default_rng(0)
A = GENERATOR.random((5, 40, 40)).astype(np.float32)
B = (0.6 * A + 0.4 * GENERATOR.random((5, 40, 40))).astype(np.float32)


def test_spearman_beside_scipy() -> None:
    tied = np.round(B, 1)
    expected = [spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(A, tied, strict=True)]
    np.testing.assert_allclose(spearman(A, tied), expected)
    np.testing.assert_allclose(spearman(A, np.exp(3 * A)), 1)
    np.testing.assert_allclose(spearman(A, -A), -1)
    assert np.isnan(spearman(A, A * 0)).all()


def test_ssim_beside_torchmetrics() -> None:
    theirs = [
        float(
            structural_similarity_index_measure(
                torch.from_numpy(a)[None, None].double(),
                torch.from_numpy(b)[None, None].double(),
                data_range=1.0,
            )
        )
        for a, b in zip(A, B, strict=True)
    ]
    np.testing.assert_allclose(ssim(A, B), theirs, atol=1e-6)
    np.testing.assert_allclose(ssim(A, A), 1)
    assert np.isnan(ssim(A, A * 0)).all()


def test_tops_by_hand() -> None:
    first = np.arange(100, dtype=np.float32).reshape(1, 10, 10)
    moved = np.roll(first, 5).reshape(1, 10, 10)
    # Highest ten of the first are 90 to 99; rolled by five, its own lie at 95 to 99 and 0 to 4.
    assert top_overlap(first, moved)[0] == pytest.approx(0.5)
    assert top_overlap(first, first)[0] == 1
    assert top_overlap(first, -first)[0] == 0
    flat = np.zeros((2, 2), np.float32)
    np.testing.assert_array_equal(top_weights(flat, 1), np.full((2, 2), 0.25))
    flat[0, 0] = 1
    np.testing.assert_allclose(top_weights(flat, 2), [[1, 1 / 3], [1 / 3, 1 / 3]])
    assert np.isnan(top_overlap(first, first * 0)[0])
    assert empty(np.stack([first[0], first[0] * 0])).tolist() == [False, True]


def test_chance_is_a_tenth() -> None:
    a, b = (np.random.default_rng(seed).random((50, 40, 40)).astype(np.float32) for seed in (1, 2))
    assert top_overlap(a, b).mean() == pytest.approx(0.1, abs=0.01)


def test_every_pair_of_methods_once() -> None:
    found = between_methods({"one": A, "two": B, "three": -A}, np.arange(5))
    assert list(found) == [("one", "two"), ("one", "three"), ("two", "three")]
    assert found["one", "three"].spearman.value == pytest.approx(-1)
    assert found["one", "two"].spearman.value == pytest.approx(float(spearman(A, B).mean()))
    assert found["one", "two"].top_overlap.pictures == 5
