"""Belief through the layers: a class's map at each stage, and how far the stage's evidence is that class's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pulmoscope.errors import PulmoscopeError
from pulmoscope.explanation.explainer import Explainer
from pulmoscope.explanation.geometry import grids
from pulmoscope.explanation.layers import Stage, stages
from pulmoscope.explanation.methods import Method, method_named
from pulmoscope.models import CascadeClassifier


@dataclass(frozen=True, kw_only=True, eq=False)
class Belief:
    """One picture's maps of one class at every stage of the network that decides the class.

    Attributes:
        stages: The L stages, in the order of running.
        values: (L, S, S) float32 in [0, 1], each scaled by itself.
        wins: (L, S, S) where the class has more evidence than any other, and has some.
        shares: (L,) in [0, 1]: the class's part of the evidence for all classes, summed over the stage's map; NaN
            where no class has any. Not a probability: it says how a stage's evidence is divided, and comparing it
            between methods means nothing.
        deciding: Of a cascade ``first`` or ``second``, else empty.
    """

    stages: tuple[Stage, ...]
    values: NDArray[np.float32]
    wins: NDArray[np.bool_]
    shares: NDArray[np.float64]
    deciding: str


def through_layers(
    explainer: Explainer, pictures: NDArray[np.uint8], targets: NDArray[np.int64]
) -> tuple[Belief, ...]:
    """The maps at each stage, of each of N pictures.

    Args:
        explainer: Its method must use layers, tell classes apart and be quick.
        pictures: (N, S, S) as the store holds them.
        targets: (N,) indices of the bundle's classes.

    Raises:
        PulmoscopeError: The method cannot do that.
    """
    method = method_named(explainer.method)
    if not (method.uses_layer and method.by_class and method.quick):
        raise PulmoscopeError(
            f"{method.title} cannot be followed through the layers",
            code="E_METHOD",
            expected="grad-cam, grad-cam++, layer-cam or hires-cam",
        )
    network = explainer.network
    found: list[Belief | None] = [None] * len(pictures)
    for which in ("first", "second") if isinstance(network, CascadeClassifier) else ("",):
        outputs = np.asarray(targets, np.int64)
        rows = np.arange(len(pictures))
        part: nn.Module = network
        if isinstance(network, CascadeClassifier):
            decided = [network.spec.stage_of(network.spec.classes[one]) for one in targets]
            rows = np.array([i for i, (stage, _) in enumerate(decided) if stage == which], np.int64)
            outputs = np.array([output for _, output in decided], np.int64)
            part = network.first if which == "first" else network.second
        for start in range(0, len(rows), explainer.batch):
            some = rows[start : start + explainer.batch]
            inputs = explainer.inputs(pictures[some])
            beliefs = _of_part(part, method, inputs, torch.from_numpy(outputs[some]), which)
            for row, belief in zip(some, beliefs, strict=True):
                found[row] = belief
    return tuple(one for one in found if one is not None)


def _of_part(
    network: nn.Module, method: Method, inputs: torch.Tensor, targets: torch.Tensor, which: str
) -> list[Belief]:
    known = stages(network, inputs)
    placed = grids(network, inputs[:1], [stage.path for stage in known])
    with torch.no_grad():
        classes = network(inputs[:1]).shape[1]
    targets = targets.to(inputs.device)
    side, rows = inputs.shape[-1], torch.arange(len(inputs), device=inputs.device)
    values, wins, shares = [], [], []
    for stage in known:
        maps = torch.stack(
            [
                method.raw(network, inputs, torch.full_like(targets, c), stage.path).relu()
                for c in range(classes)
            ]
        )
        own = maps[targets, rows]
        total = maps.sum(dim=(0, 2, 3)).double()
        shares.append(torch.where(total > 0, own.sum(dim=(1, 2)).double() / total, torch.nan))
        large = placed[stage.path].spread(maps, side)
        best = large[targets, rows]
        others = large.clone()
        others[targets, rows] = 0
        wins.append(best > others.amax(dim=0))
        values.append(method.scaled(own, side, placed[stage.path]))
    return [
        Belief(
            stages=known,
            values=torch.stack([one[row] for one in values]).cpu().numpy(),
            wins=torch.stack([one[row] for one in wins]).cpu().numpy(),
            shares=torch.stack([one[row] for one in shares]).cpu().numpy(),
            deciding=which,
        )
        for row in range(len(inputs))
    ]
