"""Batches from the picture store, in an order that the seed and the epoch alone decide."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pulmoscope.imaging import PictureStore


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


@dataclass(frozen=True)
class Batch:
    """What one training or validation step sees; ``epoch`` and ``index`` seed its augmentation."""

    pictures: torch.Tensor
    labels: torch.Tensor
    epoch: int
    index: int

    def to(self, device: torch.device, non_blocking: bool = False) -> Batch:
        """The same batch on another device (Lightning calls this)."""
        return Batch(
            self.pictures.to(device, non_blocking=non_blocking),
            self.labels.to(device, non_blocking=non_blocking),
            self.epoch,
            self.index,
        )


class TrainingBatches:
    """One shuffled pass over the examples each time it is iterated.

    It counts its own epochs, because Lightning builds the iterator of a resumed run before it tells
    anyone the epoch. Batches differ in size by one at most, so that none is too small for batch normalisation. With
    several processes each takes its share of every batch.
    """

    def __init__(self, examples: Examples, *, batch: int, seed: int, first_epoch: int = 1) -> None:
        self.examples = examples
        self.seed = seed
        self.next_epoch = first_epoch
        self.rank, self.world = 0, 1
        self._count = max(1, math.ceil(len(examples) / batch))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Batch]:
        epoch = self.next_epoch
        self.next_epoch += 1
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.examples))
        for index, whole in enumerate(np.array_split(order, self._count)):
            share = np.array_split(whole, self.world)[self.rank]
            yield Batch(*self.examples.take(share), epoch, index)


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
            yield Batch(*self.examples.take(chosen), 0, index)
