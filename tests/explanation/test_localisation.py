"""Where a map lies, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulmoscope.explanation.localisation import (
    area_share,
    iou_by_chance,
    pointing,
    pointing_by_chance,
    share_inside,
    top_iou,
    widened,
)

SIDE = 10


def one_lesion() -> np.ndarray:
    target = np.zeros((1, SIDE, SIDE), bool)
    target[0, 2:4, 2:6] = True  # 8 pixels of 100
    return target


def peak(y: int, x: int) -> np.ndarray:
    values = np.zeros((1, SIDE, SIDE), np.float32)
    values[0, y, x] = 1
    return values


def test_pointing_by_hand() -> None:
    target = one_lesion()
    assert pointing(peak(3, 5), target)[0] == 1
    assert pointing(peak(4, 5), target)[0] == 0
    assert pointing(peak(4, 5), target, tolerance=0.1)[0] == 1  # one pixel of ten is forgiven
    assert pointing(peak(5, 5), target, tolerance=0.1)[0] == 0
    assert pointing(peak(3, 5) + peak(9, 9), target)[0] == 0.5
    assert pointing_by_chance(peak(0, 0), target)[0] == pytest.approx(0.08)
    assert widened(target, 0.1).sum() == 8 + 2 * 4 + 2 * 2  # a rim without its corners


def test_shares_by_hand() -> None:
    target = one_lesion()
    even = np.ones((1, SIDE, SIDE), np.float32)
    even[0, 0, 0] = 0.999
    assert share_inside(even, target)[0] == pytest.approx(0.08, abs=1e-4)
    assert area_share(even, target)[0] == pytest.approx(0.08)
    assert share_inside(3 * peak(2, 2) + peak(9, 9), target)[0] == 0.75
    assert top_iou(target.astype(np.float32), target)[0] == 1
    half = np.zeros((1, SIDE, SIDE), np.float32)
    half[0, 2:4, 4:8] = 1  # 4 of its 8 pixels lie in the lesion
    assert top_iou(half, target)[0] == pytest.approx(4 / 12)
    assert iou_by_chance(even, target)[0] == pytest.approx(0.08 / 1.92)


def test_what_cannot_be_judged_is_undefined() -> None:
    target, none = one_lesion(), np.zeros((1, SIDE, SIDE), bool)
    for measure in (pointing, pointing_by_chance, share_inside, area_share, top_iou):
        assert np.isnan(measure(peak(0, 0) * 0, target)[0]), measure.__name__
        assert np.isnan(measure(peak(0, 0), none)[0]), measure.__name__
        assert np.isnan(measure(peak(0, 0), ~none)[0]), measure.__name__


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_random_maps_are_at_chance_and_scale_does_not_matter(seed: int) -> None:
    generator = np.random.default_rng(seed)
    values = generator.random((200, SIDE, SIDE)).astype(np.float32)
    target = np.repeat(one_lesion(), 200, axis=0)
    assert share_inside(values, target).mean() == pytest.approx(0.08, abs=0.02)
    assert top_iou(values, target).mean() == pytest.approx(float(iou_by_chance(values, target)[0]), abs=0.03)
    assert abs(pointing(values, target, tolerance=0).mean() - 0.08) < 0.1
    for measure in (pointing, share_inside, top_iou):
        np.testing.assert_allclose(measure(values, target), measure(values / 4, target), rtol=1e-5)
