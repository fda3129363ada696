"""Networks with fewer channels: those of the smallest norm are taken out, or, where that cannot be, silenced.

Structured pruning by norm (Li et al. 2017, "Pruning Filters for Efficient ConvNets", ICLR): in every layer the same
share of channels, those whose filters have the smallest sum of absolute weights. A filter counts times its channel's
scale in the batch normalisation that follows it. Our own convolutional networks come out smaller; of other backbones,
whose channels are tied together in ways of their own, channels are only set to zero: a mask, which makes nothing
smaller or faster.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import nn

from pulmoscope.errors import PulmoscopeError
from pulmoscope.explanation.dead import effective_weights
from pulmoscope.explanation.following import weight_layers
from pulmoscope.models import Bundle, CascadeClassifier, Classifier, ModelSpec
from pulmoscope.models.custom import MapNetwork, ResidualPair

Kind = Literal["smaller", "masks"]


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """A network without a share of its channels.

    Attributes:
        bundle: Without calibration and operating points, which are of the whole network.
        kind: ``smaller``: the channels are gone; ``masks``: they are zeros, and the network is as large as before.
        removed: Channels taken out or silenced.
        channels: Of the whole network's convolutions that could be.
        parameters: Weights that it has; masks leave them as many.
    """

    bundle: Bundle
    kind: Kind
    removed: int
    channels: int
    parameters: int


@dataclass
class _Group:
    """Channels that can only be kept or removed together.

    Attributes:
        producers: Path of each convolution that puts them out, with the path of its normalisation or None.
        consumers: Convolutions that take them in.
        to_head: Whether the head takes them in.
    """

    producers: list[tuple[str, str | None]] = field(default_factory=list)
    consumers: list[str] = field(default_factory=list)
    to_head: bool = False


def prune(bundle: Bundle, share: float) -> Pruned:
    """Take out, or silence, a share of the channels of every layer; at least one channel of each stays.

    Args:
        bundle: One classifier or a cascade, both of whose stages are then pruned.
        share: Of every layer's channels, rounded down, in [0, 1).

    Raises:
        PulmoscopeError: The share is out of range.
    """
    if not 0 <= share < 1:
        raise PulmoscopeError(
            "the share is out of range", code="E_OPTION", expected="in [0, 1)", got=str(share)
        )
    network = bundle.network()
    stages = _stages(network)
    kind: Kind = (
        "smaller" if all(isinstance(one.backbone, MapNetwork) for one in stages.values()) else "masks"
    )
    weights: dict[str, torch.Tensor] = {}
    specs: dict[str, ModelSpec] = {}
    removed = channels = 0
    for prefix, stage in stages.items():
        if kind == "smaller":
            specs[prefix], state, gone, of = _smaller(stage, share)
        else:
            specs[prefix], (state, gone, of) = stage.spec, _masked(stage, share, bundle.preprocess.size)
        weights |= {prefix + name: value.contiguous() for name, value in state.items()}
        removed, channels = removed + gone, channels + of
    spec = specs[""] if isinstance(network, Classifier) else network.spec.model_copy(
        update={"first": specs["first."], "second": specs["second."]}
    )  # fmt: skip
    made = replace(bundle, spec=spec, weights=weights, calibration=None, operating_points=())
    parameters = sum(one.numel() for one in made.network().parameters())
    return Pruned(bundle=made, kind=kind, removed=removed, channels=channels, parameters=parameters)


def recentred(pruned: Bundle, whole: Bundle, batches: Sequence[torch.Tensor]) -> Bundle:
    """The pruned network with its means set right: no weight is trained and no label is looked at.

    Where channels are gone, the layers after them see other values. The running statistics of every batch normalisation
    become their mean over the batches, each batch counting alike. The first dense layer has no normalisation: its bias
    moves so that its mean output is the whole network's again (as Nagel et al. 2019, ICCV, correct the bias of
    quantised layers). Convolutions without normalisation are left as they are.

    Args:
        pruned: The smaller network.
        whole: The one that it was made of.
        batches: Training pictures (N, C, S, S) as the network takes them, at least one batch, of two pictures or more.
    """
    network, before = pruned.network(), whole.network()
    norms = [one for one in network.modules() if isinstance(one, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        # None makes the running values the plain mean over all batches.
        norm.momentum = None
        norm.train()
    with torch.no_grad():
        for batch in batches if norms else ():
            network(batch)
    network.eval()
    for stage, other in zip(_stages(network).values(), _stages(before).values(), strict=True):
        with torch.no_grad():
            bias = _first_dense(stage).bias
            bias.add_(_mean_dense(other, batches) - _mean_dense(stage, batches))
    return replace(
        pruned, weights={name: value.detach().clone() for name, value in network.state_dict().items()}
    )


def _mean_dense(network: Classifier, batches: Sequence[torch.Tensor]) -> torch.Tensor:
    """Mean output (H,) of the first dense layer over all pictures."""
    dense = _first_dense(network)
    sums = torch.zeros(dense.out_features, dtype=torch.float64)
    for batch in batches:
        sums += dense(network.features(batch)).double().sum(dim=0)
    return (sums / sum(len(batch) for batch in batches)).float()


def _stages(network: Classifier | CascadeClassifier) -> dict[str, Classifier]:
    if isinstance(network, CascadeClassifier):
        return {"first.": network.first, "second.": network.second}
    return {"": network}


def _smaller(network: Classifier, share: float) -> tuple[ModelSpec, dict[str, torch.Tensor], int, int]:
    """Spec and weights of the network without its weakest channels, how many went, and of how many."""
    state = dict(network.state_dict())
    groups = _groups(network)
    widths, before = [], []
    for group in groups:
        score = torch.stack([_norms(network, path, norm) for path, norm in group.producers]).sum(dim=0)
        kept = _strongest(score, share)
        widths.append(len(kept))
        before.append(len(score))
        for path, norm in group.producers:
            for name in _tensors(state, path):
                state[name] = state[name][kept]
            for name in () if norm is None else _tensors(state, norm):
                state[name] = state[name][kept]
        for path in group.consumers:
            state[f"{path}.weight"] = state[f"{path}.weight"][:, kept]
        if group.to_head:
            dense = _first_dense(network)
            name = next(f"head.{path}.weight" for path, one in network.head.named_modules() if one is dense)
            # Flattened maps have all places of a channel side by side.
            places = torch.arange(state[name].shape[1]).view(len(score), -1)
            state[name] = state[name][:, places[kept].flatten()]
    options = {**network.spec.options, "widths": ",".join(map(str, widths))}
    spec = network.spec.model_copy(update={"options": options})
    return spec, state, sum(before) - sum(widths), sum(before)


def _masked(network: Classifier, share: float, side: int) -> tuple[dict[str, torch.Tensor], int, int]:
    """Weights with the weakest channels of every convolution of the backbone at zero, how many, and of how many."""
    state = {name: value.clone() for name, value in network.state_dict().items()}
    layers = weight_layers(network, torch.zeros(1, network.spec.channels, side, side))
    gone = of = 0
    for layer in layers:
        if layer.kind != "convolution" or not layer.path.startswith("backbone."):
            continue
        kept = _strongest(_norms(network, layer.path, layer.norm), share)
        mask = torch.zeros(layer.channels)
        mask[kept] = 1
        # The normalisation's shift would give a silenced channel a voice.
        for path in (layer.path, layer.norm):
            for name in ("weight", "bias"):
                if path is not None and f"{path}.{name}" in state:
                    value = state[f"{path}.{name}"]
                    value *= mask.view(-1, *[1] * (value.ndim - 1))
        gone, of = gone + layer.channels - len(kept), of + layer.channels
    return state, gone, of


def _norms(network: nn.Module, path: str, norm: str | None) -> torch.Tensor:
    """Sum of absolute effective weights of each filter, (D,)."""
    return effective_weights(network, path, norm).flatten(1).sum(dim=1)


def _strongest(score: torch.Tensor, share: float) -> torch.Tensor:
    """Indices of what is kept, rising; of equal scores the earlier stays."""
    # 0.7 * 10 is 7.000000000000001 and 0.29 * 100 is 28.999999999999996: both mean whole channels.
    count = max(1, len(score) - math.floor(round(share * len(score), 9)))
    return score.argsort(descending=True, stable=True)[:count].sort().values


def _tensors(state: dict[str, torch.Tensor], path: str) -> list[str]:
    """The tensors of a module that have one entry a channel."""
    names = [f"{path}.{name}" for name in ("weight", "bias", "running_mean", "running_var")]
    return [name for name in names if name in state]


def _first_dense(network: Classifier) -> nn.Linear:
    return next(one for one in network.head.modules() if isinstance(one, nn.Linear))


def _groups(network: Classifier) -> list[_Group]:
    """Groups of channels of one of our own networks, in the order of its ``widths``."""
    blocks = network.get_submodule("backbone.blocks")
    groups: list[_Group] = []

    def walk(module: nn.Module, path: str, current: _Group | None) -> _Group | None:
        if isinstance(module, nn.Conv2d):
            if current is not None:
                current.consumers.append(path)
            groups.append(_Group(producers=[(path, None)]))
            return groups[-1]
        if isinstance(module, nn.BatchNorm2d) and current is not None:
            current.producers[-1] = (current.producers[-1][0], path)
            return current
        if isinstance(module, ResidualPair) and current is not None:
            middle = walk(module.first, f"{path}.first", current)
            # The pair adds to the path that it came from: what it puts out stays with that path's channels.
            convolution, *norm = [f"{path}.second.{name}" for name, _ in module.second.named_children()]
            if middle is not None:
                middle.consumers.append(convolution)
            current.producers.append((convolution, norm[0] if norm else None))
            return current
        for name, child in module.named_children():
            current = walk(child, f"{path}.{name}", current)
        return current

    last = walk(blocks, "backbone.blocks", None)
    if last is not None:
        last.to_head = True
    return groups
