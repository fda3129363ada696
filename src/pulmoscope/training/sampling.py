"""Which pictures an epoch shows, in which order, and which of them may be changed; all from a generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pulmoscope.errors import RecipeError, did_you_mean, near_names

# Keeps the draw of a limited training set apart from the draws of the epochs.
_LIMIT_STREAM = 0x11317


class Drawn(NamedTuple):
    """One epoch.

    Attributes:
        positions: Of the pictures among the examples, (L,), shuffled.
        changes: Whether augmentation may change each, (L,); None where it may change all.
    """

    positions: NDArray[np.int64]
    changes: NDArray[np.bool_] | None


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """Draws epochs.

    Attributes:
        labels: Class indices of all pictures, (N,).
        sampling: ``none`` takes each picture once. ``over`` takes the pictures of every class equally often, so often
            that the class has as many as the largest; what is left over is drawn without replacement. ``under`` draws
            from every class as many as the smallest has, without replacement.
        expand: Each picture that may be changed comes once plain and ``expand`` - 1 times changed; with 1 it comes
            once, changed.
        may_change: Whether pictures of each class may be changed, (C,); None lets all be. Pictures that may not come
            once, plain.
    """

    labels: NDArray[np.int64]
    sampling: Literal["none", "over", "under"] = "none"
    expand: int = 1
    may_change: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        """Pictures an epoch, the same in every epoch."""
        counts = self.class_counts()
        return int(counts.sum())

    def class_counts(self) -> NDArray[np.int64]:
        """Pictures of each class in an epoch, (C,) as far as labels go."""
        counts = np.bincount(self.labels).astype(np.int64)
        there = counts > 0
        if self.sampling == "over":
            counts = np.where(there, counts.max(), 0)
        elif self.sampling == "under":
            counts = np.where(there, counts[there].min(), 0)
        if self.expand > 1:
            copies = np.full(len(counts), self.expand)
            if self.may_change is not None:
                copies[~self.may_change[: len(counts)]] = 1
            counts = counts * copies
        return counts

    def draw(self, generator: np.random.Generator) -> Drawn:
        """One epoch."""
        taken = self._balanced(generator)
        may = None if self.may_change is None else self.may_change[self.labels[taken]]
        if self.expand > 1:
            again = np.tile(taken if may is None else taken[may], self.expand - 1)
            may = np.repeat([False, True], [len(taken), len(again)])
            taken = np.concatenate([taken, again])
        order = generator.permutation(len(taken))
        return Drawn(taken[order], None if may is None else may[order])

    def _balanced(self, generator: np.random.Generator) -> NDArray[np.int64]:
        if self.sampling == "none":
            return np.arange(len(self.labels))
        members = [np.flatnonzero(self.labels == index) for index in np.unique(self.labels)]
        sizes = [len(one) for one in members]
        wanted = max(sizes) if self.sampling == "over" else min(sizes)
        parts = []
        for one in members:
            whole, rest = divmod(wanted, len(one))
            parts += [np.tile(one, whole), generator.permutation(one)[:rest]]
        return np.concatenate(parts)


def classes_to_change(
    choice: Literal["minority"] | Sequence[str] | None, labels: NDArray[np.int64], classes: Sequence[str]
) -> NDArray[np.bool_] | None:
    """Whether pictures of each class may be changed, (C,); None lets all be.

    Args:
        choice: ``minority`` (the class with the fewest of ``labels``, the first of several), names, or None.
        labels: Class indices of the training pictures, (N,).
        classes: Their names.

    Raises:
        RecipeError: A name is no class.
    """
    if choice is None:
        return None
    if choice == "minority":
        counts = np.bincount(labels, minlength=len(classes)).astype(float)
        counts[counts == 0] = np.inf
        smallest = int(np.argmin(counts))
        return np.array([index == smallest for index in range(len(classes))])
    unknown = [name for name in choice if name not in classes]
    if unknown:
        near = [one for name in unknown for one in near_names(name, classes)]
        raise RecipeError(
            "train.augment_only names no class of this cohort",
            expected=f"minority, or some of {', '.join(classes)}",
            got=", ".join(unknown),
            remedy=did_you_mean(near),
        )
    return np.array([name in choice for name in classes])


def limited(labels: NDArray[np.int64], limit: int | None, *, seed: int) -> NDArray[np.int64]:
    """Positions, in order, of at most ``limit`` pictures, drawn by class shares with at least one of each class.

    A smaller limit draws some of the pictures of a larger one as far as the class shares allow.

    Args:
        labels: Class indices, (N,).
        limit: None takes all.
        seed: Of the draw.

    Raises:
        RecipeError: There are more classes than that.
    """
    if limit is None or limit >= len(labels):
        return np.arange(len(labels))
    members = [np.flatnonzero(labels == index) for index in np.unique(labels)]
    if limit < len(members):
        raise RecipeError(
            "train.limit is smaller than the number of classes",
            expected=f"at least {len(members)}",
            got=str(limit),
        )
    counts = np.array([len(one) for one in members])
    quotas = counts * limit / len(labels)
    taken = np.maximum(1, np.floor(quotas)).astype(np.int64)
    while taken.sum() < limit:
        taken[np.argmax(np.where(taken < counts, quotas - taken, -np.inf))] += 1
    while taken.sum() > limit:
        taken[np.argmax(np.where(taken > 1, taken - quotas, -np.inf))] -= 1
    parts = [
        np.random.default_rng([seed, _LIMIT_STREAM, index]).permutation(one)[:count]
        for index, (one, count) in enumerate(zip(members, taken, strict=True))
    ]
    return np.sort(np.concatenate(parts))
