"""How unsure several answers to one picture are: together, each by itself, and of each other.

Members are answers to the same pictures: networks trained from several seeds, passes with dropout, or views of the
picture. Entropies are in nats: 0 where one class has all the probability, log C where all are alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class EntropyParts:
    """The entropy of the mean answer, and its two parts; ``total = expected + mutual``.

    Attributes:
        total: Predictive entropy, that of the members' mean, (N,) in [0, log C].
        expected: Mean of the members' own entropies, (N,): what would stay if they all agreed on the mean.
        mutual: Mutual information of answer and member, (N,) in [0, log C]: how far the members disagree.
    """

    total: FloatArray
    expected: FloatArray
    mutual: FloatArray


def entropy(probabilities: npt.ArrayLike) -> FloatArray:
    """Entropy in nats of probabilities (..., C), of shape (...); a probability of 0 adds nothing.

    >>> entropy([[1, 0], [0.5, 0.5]]).round(4).tolist()
    [0.0, 0.6931]
    """
    values = np.asarray(probabilities, np.float64)
    logs = np.log(np.where(values > 0, values, 1.0))
    # Adding 0 turns a -0.0 into 0.0.
    return np.asarray(-(values * logs).sum(axis=-1) + 0.0, np.float64)


def entropy_parts(members: npt.ArrayLike) -> EntropyParts:
    """Part the uncertainty of members (Depeweg et al. 2018, ICML, section 3; Gal 2016, thesis, section 3.3.1).

    Args:
        members: Probabilities, (T, N, C) in [0, 1], each row summing to 1; T of at least 1.

    Raises:
        ValueError: Another shape, no member, or a number outside [0, 1].

    >>> parts = entropy_parts([[[1.0, 0.0]], [[0.0, 1.0]]])  # two members, each sure of another class
    >>> parts.total.round(4).tolist(), parts.expected.tolist(), parts.mutual.round(4).tolist()
    ([0.6931], [0.0], [0.6931])
    """
    values = checked_members(members)
    total = entropy(values.mean(axis=0))
    expected = entropy(values).mean(axis=0)
    # Entropy is concave, so the difference is never below 0 but by rounding.
    return EntropyParts(total=total, expected=expected, mutual=np.maximum(total - expected, 0.0))


def checked_members(members: npt.ArrayLike) -> FloatArray:
    """Members as (T, N, C) floats.

    Raises:
        ValueError: Another shape, no member, or a number outside [0, 1].
    """
    values = np.asarray(members, np.float64)
    if values.ndim != 3 or not len(values) or values.shape[2] < 2:
        raise ValueError(f"expected members of shape (T, N, C), T of 1 or more, C of 2, got {values.shape}")
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("a member's probability is no number in [0, 1]")
    return values
