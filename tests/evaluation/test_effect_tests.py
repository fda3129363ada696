"""Tests of effects against enumeration, McNemar and one-sample t tests."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from pulmoscope.evaluation import mcnemar
from pulmoscope.evaluation.effect_tests import sign_flip_p, two_way_p


@given(st.lists(st.integers(-6, 6), max_size=9))
def test_sign_flips_enumerated(sums: list[int]) -> None:
    reached = [
        abs(sum(sign * one for sign, one in zip(signs, sums, strict=True))) >= abs(sum(sums))
        for signs in itertools.product((-1, 1), repeat=len(sums))
    ]
    assert sign_flip_p(sums) == pytest.approx(np.mean(reached))
    assert sign_flip_p([12 * one for one in sums]) == pytest.approx(np.mean(reached))


@given(st.integers(0, 80), st.integers(0, 80), st.integers(0, 5))
def test_one_picture_a_group_is_mcnemar(first: int, second: int, neither: int) -> None:
    right = [True] * first + [False] * second + [True] * neither
    other = [False] * first + [True] * second + [True] * neither
    sums = np.array(other, int) - np.array(right, int)
    assert sign_flip_p(sums) == pytest.approx(mcnemar(right, other).exact_p)


def test_many_groups_are_normal() -> None:
    sums = np.random.default_rng(0).permutation(np.r_[np.ones(2000, int), -np.ones(2100, int)])
    exact = sign_flip_p(sums)
    normal = sign_flip_p(np.r_[sums, np.tile([1, -1], 500)])
    assert exact == pytest.approx(math.erfc(100 / math.sqrt(2 * 4100)), abs=0.005)
    assert normal == pytest.approx(math.erfc(100 / math.sqrt(2 * 5100)))


def test_seeds_alone_are_a_t_test_of_seeds() -> None:
    by_seed = np.array([0.02, 0.05, 0.01, 0.04])
    found = two_way_p(np.tile(by_seed, (50, 1)), np.ones(50))
    assert found == pytest.approx(ttest_1samp(by_seed, 0).pvalue)


def test_groups_alone_are_a_test_of_groups() -> None:
    generator = np.random.default_rng(2)
    effect = generator.normal(0.03, 1, (4000, 1))
    found = two_way_p(np.repeat(effect, 3, axis=1), np.ones(4000))
    assert found == pytest.approx(ttest_1samp(effect[:, 0], 0).pvalue, rel=0.02)


def test_the_null_is_kept_and_groups_of_many_pictures_count_as_one() -> None:
    generator = np.random.default_rng(3)
    below = []
    for _ in range(400):
        picture, seed = generator.normal(0, 0.3, (60, 1)), generator.normal(0, 0.05, (1, 3))
        below.append(two_way_p(picture + seed + generator.normal(0, 0.5, (60, 3)), np.ones(60)) < 0.05)
    assert 0.005 < np.mean(below) < 0.075
    sums = generator.normal(0.3, 1, (30, 3))
    assert two_way_p(7 * sums, np.full(30, 7)) == pytest.approx(two_way_p(sums, np.ones(30)))
    assert two_way_p(-sums, np.ones(30)) == pytest.approx(two_way_p(sums, np.ones(30)))


def test_where_there_is_no_test() -> None:
    assert two_way_p(np.zeros((5, 2)), np.ones(5)) == 1.0
    assert math.isnan(two_way_p(np.ones((5, 1)), np.ones(5)))
    assert math.isnan(two_way_p(np.ones((1, 3)), np.ones(1)))
    assert math.isnan(two_way_p(np.ones((5, 3)), np.ones(5)))
