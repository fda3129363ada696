"""Do methods, or two trainings of the same network, point at the same place?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pulmoscope.explanation.group_mean import GroupMean, mean_over_groups
from pulmoscope.explanation.similarity import spearman, top_overlap


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How alike two sets of maps of the same pictures are.

    Attributes:
        spearman: Rank correlation, mean over pictures whose two maps are not empty.
        top_overlap: Share of the highest 10% of pixels that both have; 0.1 is chance.
    """

    spearman: GroupMean
    top_overlap: GroupMean

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"spearman": self.spearman.as_dict(), "top_overlap": self.top_overlap.as_dict()}


def agreement(first: NDArray[np.float32], second: NDArray[np.float32], groups: ArrayLike) -> Agreement:
    """Compare maps (N, S, S) with others of the same pictures; ``groups`` (N,)."""
    return Agreement(
        spearman=mean_over_groups(spearman(first, second), groups),
        top_overlap=mean_over_groups(top_overlap(first, second), groups),
    )


def between_methods(
    maps: Mapping[str, NDArray[np.float32]], groups: ArrayLike
) -> dict[tuple[str, str], Agreement]:
    """Every pair of methods once.

    Args:
        maps: Method to its maps (N, S, S) of the same pictures and classes.
        groups: (N,).
    """
    return {(a, b): agreement(maps[a], maps[b], groups) for a, b in combinations(maps, 2)}
