"""Batches from the picture store, in an order that the seed and the epoch alone decide."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pulmoscope.imaging import PictureStore
from pulmoscope.training.sampling import Sampler


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Labelled pictures in a store.

    Attributes:
        store: Decoded pictures on the disk.
        rows: Their places in the store, (N,).
        labels: Class indices, (N,).
    """

    store: PictureStore
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, chosen: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        """Pictures (n, S, S) uint8 and labels (n,) at positions ``chosen``."""
        pictures = np.asarray(self.store.pixels[self.rows[chosen]])
        return torch.from_numpy(pictures), torch.from_numpy(self.labels[chosen])

    def part(self, chosen: NDArray[np.int64]) -> Examples:
        """The examples at positions ``chosen``."""
        return Examples(store=self.store, rows=self.rows[chosen], labels=self.labels[chosen])

    def joined(self, other: Examples) -> Examples:
        """These examples, then the others, which must be of the same store.

        Raises:
            ValueError: They are of another.
        """
        if self.store is not other.store:
            raise ValueError("examples of two stores cannot be joined")
        return Examples(
            store=self.store,
            rows=np.concatenate([self.rows, other.rows]),
            labels=np.concatenate([self.labels, other.labels]),
        )


@dataclass(frozen=True)
class Batch:
    """What one training or validation step sees.

    Attributes:
        pictures: (n, S, S) uint8.
        labels: Class indices, (n,).
        epoch: With ``index`` it seeds the augmentation.
        index: Of the batch in its epoch, from 0.
        positions: Of the pictures among the examples, (n,); they stay on the CPU.
        changes: Which pictures augmentation may change, (n,) bool; None lets it change all.
    """

    pictures: torch.Tensor
    labels: torch.Tensor
    epoch: int
    index: int
    positions: NDArray[np.int64]
    changes: torch.Tensor | None = None

    def to(self, device: torch.device, non_blocking: bool = False) -> Batch:
        """The same batch on another device (Lightning calls this)."""
        return Batch(
            self.pictures.to(device, non_blocking=non_blocking),
            self.labels.to(device, non_blocking=non_blocking),
            self.epoch,
            self.index,
            self.positions,
            None if self.changes is None else self.changes.to(device, non_blocking=non_blocking),
        )


class TrainingBatches:
    """One epoch of the sampler each time it is iterated.

    It counts its own epochs, because Lightning builds the iterator of a resumed run before it tells
    anyone the epoch. Batches differ in size by one at most, so that none is too small for batch normalisation: each
    process gets two pictures or more, where there are so many. With several processes each takes its share of every
    batch.
    """

    def __init__(
        self,
        examples: Examples,
        sampler: Sampler,
        *,
        batch: int,
        seed: int,
        processes: int = 1,
    ) -> None:
        self.examples = examples
        self.sampler = sampler
        self.seed = seed
        self.next_epoch = 1
        self.rank, self.world = 0, 1
        self.pictures = len(sampler)
        self._count = max(1, min(math.ceil(self.pictures / batch), self.pictures // (2 * processes)))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Batch]:
        epoch = self.next_epoch
        self.next_epoch += 1
        drawn = self.sampler.draw(np.random.default_rng([self.seed, epoch]))
        for index, whole in enumerate(np.array_split(np.arange(len(drawn.positions)), self._count)):
            share = np.array_split(whole, self.world)[self.rank]
            chosen = drawn.positions[share]
            changes = None if drawn.changes is None else torch.from_numpy(drawn.changes[share])
            yield Batch(*self.examples.take(chosen), epoch, index, chosen, changes)


class ValidationBatches:
    """The examples in order, the same each time."""

    def __init__(self, examples: Examples, *, batch: int) -> None:
        self.examples = examples
        self.batch = batch

    def __len__(self) -> int:
        return math.ceil(len(self.examples) / self.batch)

    def __iter__(self) -> Iterator[Batch]:
        positions = np.arange(len(self.examples))
        for index in range(len(self)):
            chosen = positions[index * self.batch : (index + 1) * self.batch]
            yield Batch(*self.examples.take(chosen), 0, index, chosen)
