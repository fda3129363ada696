"""Entropies of several answers: by hand, by SciPy, and their limits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy as scipy_entropy

from pulmoscope.evaluation.uncertainty import entropy, entropy_parts


def test_two_members_by_hand() -> None:
    # Means (0.5, 0.5): log 2. Own entropies of (0.9, 0.1): 0.325083, of (0.1, 0.9): the same.
    parts = entropy_parts([[[0.9, 0.1]], [[0.1, 0.9]]])
    assert parts.total == pytest.approx([np.log(2)])
    assert parts.expected == pytest.approx([0.3250829733914482])
    assert parts.mutual == pytest.approx([0.3680642071684971])


def test_members_that_agree_have_no_mutual_information() -> None:
    one = np.random.default_rng(0).dirichlet(np.ones(3), 50)
    parts = entropy_parts(np.stack([one] * 4))
    assert parts.mutual == pytest.approx(np.zeros(50), abs=1e-12)
    assert parts.total == pytest.approx(entropy(one))


def test_members_each_sure_of_another_class_disagree_as_much_as_can_be() -> None:
    parts = entropy_parts(np.eye(3)[:, None, :])
    assert parts.mutual == pytest.approx([np.log(3)])
    assert parts.expected.tolist() == [0.0]


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 6), st.integers(1, 5), st.integers(2, 5), st.integers(0, 1000))
def test_against_scipy_and_bounds(members: int, rows: int, classes: int, seed: int) -> None:
    values = np.random.default_rng(seed).dirichlet(np.full(classes, 0.3), (members, rows))
    parts = entropy_parts(values)
    assert parts.total == pytest.approx(scipy_entropy(values.mean(axis=0), axis=1), abs=1e-12)
    assert parts.expected == pytest.approx(scipy_entropy(values, axis=2).mean(axis=0), abs=1e-12)
    assert (parts.mutual >= 0).all()
    assert (parts.total <= np.log(classes) + 1e-12).all()
    # The mean of Kullback-Leibler divergences of the members from their mean is the same number.
    divergence = scipy_entropy(values, np.broadcast_to(values.mean(axis=0), values.shape), axis=2)
    assert parts.mutual == pytest.approx(divergence.mean(axis=0), abs=1e-10)


@pytest.mark.parametrize(
    "wrong", [np.ones((2, 3)), np.empty((0, 2, 2)), np.full((1, 1, 2), 1.5), [[[np.nan, 1]]]]
)
def test_what_are_no_members_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"expected members|no number"):
        entropy_parts(wrong)  # type: ignore[arg-type]
