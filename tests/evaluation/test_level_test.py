"""The permutation test against Fisher's and Pearson's tests, and on patients."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, fisher_exact

from pulmoscope.evaluation.level_test import level_test


def test_two_levels_give_fishers_exact_p_but_for_the_drawing() -> None:
    right = [1] * 8 + [0] * 2 + [1] * 3 + [0] * 7
    p = level_test(right, [0] * 10 + [1] * 10, range(20), permutations=20000, seed=4)
    assert p == pytest.approx(fisher_exact([[8, 2], [3, 7]]).pvalue, abs=0.006)


def test_many_pictures_in_three_levels_give_pearsons_p() -> None:
    hits = {0: (250, 300), 1: (205, 260), 2: (180, 240)}
    right = [one for k, n in hits.values() for one in [1] * k + [0] * (n - k)]
    levels = [level for level, (_, n) in hits.items() for _ in range(n)]
    p = level_test(right, levels, range(len(right)), permutations=20000, seed=1)
    table = [[k, n - k] for k, n in hits.values()]
    assert p == pytest.approx(chi2_contingency(table, correction=False).pvalue, abs=0.01)


def test_a_patients_pictures_count_as_one() -> None:
    # 4 patients a side, 25 pictures each, all alike: 200 pictures, but 8 things that could be otherwise.
    groups = np.repeat(np.arange(8), 25)
    right, levels = np.isin(groups, [0, 1, 2, 3, 4]), groups >= 4
    of_patients = level_test(right, levels, groups, permutations=20000)
    assert of_patients == pytest.approx(fisher_exact([[4, 0], [1, 3]]).pvalue, abs=0.01)
    assert level_test(right, levels, np.arange(200), permutations=999) == 0.001


def test_it_rejects_as_often_as_it_says_with_clusters() -> None:
    generator = np.random.default_rng(5)
    groups = np.repeat(np.arange(60), 4)
    rejected = []
    for seed in range(400):
        right = generator.random(240) < generator.beta(2, 0.5, 60)[groups]
        rejected.append(level_test(right, groups >= 20, groups, permutations=199, seed=seed) <= 0.05)
    assert 0.02 < np.mean(rejected) < 0.08


def test_what_cannot_differ() -> None:
    assert level_test([1, 1, 1], [0, 1, 1], range(3)) == 1.0
    assert level_test([0, 0, 0], [0, 1, 1], range(3)) == 1.0
    assert np.isnan(level_test([0, 1], [3, 3], [0, 1]))
    with pytest.raises(ValueError, match="three arrays"):
        level_test([0, 1], [0], [0, 1])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 8)), min_size=2, max_size=40))
def test_names_and_order_change_nothing(rows: list[tuple[bool, int, int]]) -> None:
    right, levels, groups = (np.array(one) for one in zip(*rows, strict=True))
    p = level_test(right, levels, groups, permutations=49)
    assert np.isnan(p) or 0 < p <= 1
    order = np.random.default_rng(0).permutation(len(rows))
    again = level_test(right[order], levels[order], groups[order], permutations=49)
    other = level_test(~right, levels + 7, groups * 2, permutations=49)
    assert np.isnan(p) or (again == p and 0 < other <= 1)


def test_levels_whose_patients_have_other_numbers_of_pictures_do_not_differ_by_that() -> None:
    # 20 patients of one picture against 16 of three; one picture in 20 is wrong, whoever's it is.
    groups = np.r_[np.arange(20), np.repeat(np.arange(20, 36), 3)]
    levels = (groups >= 20).astype(int)
    rng = np.random.default_rng(0)
    found = [
        level_test(rng.random(68) < 0.95, levels, groups, permutations=499, seed=at) for at in range(400)
    ]
    assert np.mean(np.array(found) <= 0.01) < 0.02
    # Of the demo: 3 of 20 wrong against 0 of 47. Fisher's exact test of the pictures has p = .024.
    few = np.r_[np.zeros(3), np.ones(17), np.ones(47)]
    of = np.r_[
        np.arange(14), np.repeat(np.arange(14, 17), 2), 17 + np.arange(23), np.repeat(np.arange(40, 52), 2)
    ]
    assert level_test(few, np.repeat([0, 1], [20, 47]), of, permutations=9999) > 0.02
