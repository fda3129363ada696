"""Does the map depend on what the network has learnt? Weights, then labels, are made random (Adebayo et al. 2018).

A map that stays the same when the weights are random shows the picture, not the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from pulmoscope.explanation.group_mean import GroupMean, mean_over_groups
from pulmoscope.explanation.similarity import empty, spearman, ssim
from pulmoscope.files import or_null
from pulmoscope.models import CascadeClassifier

_BACKBONE_STEPS = 5
_HEAD = "head"


@dataclass(frozen=True, kw_only=True)
class Level:
    """What is random at one step of the cascade.

    Attributes:
        name: ``head``, then ``head and top 20% of layers`` and so on to ``all layers``.
        paths: Modules whose weights are random; those of the levels before are among them.
    """

    name: str
    paths: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Changed:
    """Maps of a changed network beside those of the network itself.

    Attributes:
        name: What was changed.
        spearman: Rank correlation with the true map; pictures whose map is empty in either are left out.
        ssim: Structural similarity with it, likewise.
        vanished: Share of the pictures with a map whose map is empty once the network is changed; NaN without any.
    """

    name: str
    spearman: GroupMean
    ssim: GroupMean
    vanished: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name, "spearman": self.spearman.as_dict(), "ssim": self.ssim.as_dict(),
            "vanished": or_null(self.vanished),
        }  # fmt: skip


def levels(network: nn.Module) -> tuple[Level, ...]:
    """The cascade's steps from the head down, in the order in which the network names its modules.

    Of a cascade of two classifiers both are made random side by side.
    """
    if isinstance(network, CascadeClassifier):
        both = [
            [_under(which, one) for one in levels(getattr(network, which))] for which in ("first", "second")
        ]
        return tuple(
            Level(name=a.name, paths=a.paths + b.paths) for a, b in zip(*both, strict=True)
        )  # fmt: skip
    weighted = [
        path
        for path, module in network.named_modules()
        if any(True for _ in module.parameters(recurse=False))
    ]
    backbone = [path for path in weighted if path.split(".")[0] == "backbone"]
    head = tuple(path for path in weighted if path not in set(backbone))
    found = [Level(name=_HEAD, paths=head)]
    for step in range(1, _BACKBONE_STEPS + 1):
        first = round(len(backbone) * (1 - step / _BACKBONE_STEPS))
        name = (
            "all layers"
            if step == _BACKBONE_STEPS
            else f"head and top {step / _BACKBONE_STEPS:.0%} of layers"
        )
        found.append(Level(name=name, paths=(*head, *backbone[first:])))
    return tuple(found)


@contextmanager
def randomised(network: nn.Module, paths: Sequence[str], *, seed: int) -> Iterator[None]:
    """Draw the modules' own weights anew inside the ``with`` block; afterwards they are as they were.

    Each tensor comes from a normal distribution with the mean and standard deviation that it had, so that signals
    neither die nor overflow on their way. A module's draw depends on the seed and its path only: a longer cascade has
    the shorter one's weights. Running means and variances are left.

    Args:
        network: Any network.
        paths: Modules by name.
        seed: Of the draw.
    """
    modules = dict(network.named_modules())
    kept = {
        weight: weight.detach().clone()
        for path in paths
        for weight in modules[path].parameters(recurse=False)
    }
    try:
        with torch.no_grad():
            for path in paths:
                generator = torch.Generator().manual_seed(_number(path, seed))
                for weight in modules[path].parameters(recurse=False):
                    spread = float(weight.std()) if weight.numel() > 1 else abs(float(weight))
                    drawn = torch.randn(weight.shape, generator=generator) * spread
                    weight.copy_(drawn.to(weight.device) + (weight.mean() if weight.numel() > 1 else 0.0))
        yield
    finally:
        with torch.no_grad():
            for weight, old in kept.items():
                weight.copy_(old)


def randomisation_check(
    network: nn.Module,
    explain: Callable[[], NDArray[np.float32]],
    *,
    groups: ArrayLike,
    draws: int = 3,
    seed: int = 0,
) -> tuple[Changed, ...]:
    """Maps beside those of the network with more and more random weights.

    Args:
        network: What ``explain`` explains.
        explain: Gives maps (N, S, S) in [0, 1] of the same pictures and the same classes with the network as it is.
        groups: (N,) of the pictures.
        draws: Random networks a level; a picture's similarity is the mean over them.
        seed: Of the draws.

    Returns:
        One entry a level, from the head to all layers.
    """
    true = explain()
    found = []
    for level in levels(network):
        maps = []
        for draw in range(draws):
            with randomised(network, level.paths, seed=seed + draw):
                maps.append(explain())
        found.append(changed(level.name, true, maps, groups))
    return tuple(found)


def changed(
    name: str, true: NDArray[np.float32], others: Sequence[NDArray[np.float32]], groups: ArrayLike
) -> Changed:
    """Compare maps (N, S, S) with those of other networks of the same pictures, such as one trained on shuffled labels.

    Args:
        name: What is different about the others.
        true: Maps of the network itself.
        others: One or more sets of maps.
        groups: (N,).
    """
    there = ~empty(true)
    gone = np.mean([empty(one)[there] for one in others]) if there.any() else np.nan
    return Changed(
        name=name,
        spearman=mean_over_groups(_mean([spearman(true, one) for one in others]), groups),
        ssim=mean_over_groups(_mean([ssim(true, one) for one in others]), groups),
        vanished=float(gone),
    )


def _mean(drawn: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Mean over draws (N,) where defined."""
    table = np.stack(drawn)
    there = ~np.isnan(table)
    count = there.sum(axis=0)
    return np.where(count > 0, np.where(there, table, 0).sum(axis=0) / np.maximum(count, 1), np.nan)


def _under(which: str, level: Level) -> Level:
    return Level(name=level.name, paths=tuple(f"{which}.{path}" for path in level.paths))


def _number(path: str, seed: int) -> int:
    import zlib

    return zlib.crc32(f"{seed}:{path}".encode())
