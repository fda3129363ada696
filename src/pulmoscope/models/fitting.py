"""Tensors into a network: by name or by order, each shape checked, the first convolution fitted to the channels."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from pulmoscope.errors import WeightsError


def fit_by_name(
    network: nn.Module, state: Mapping[str, torch.Tensor], what: str, *, exact: bool = False
) -> None:
    """Load the tensors that bear the network's names, in place.

    Args:
        network: A backbone.
        state: May hold more, such as the published classifier, unless ``exact``.
        what: Names the weights in the error.
        exact: Whether names that the network has not are a mistake.

    Raises:
        WeightsError: One is missing or of another shape.
    """
    wanted = network.state_dict()
    loaded, misfits = {}, []
    for name, target in wanted.items():
        if name not in state:
            # PyTorch adds this counter to old checkpoints by itself; it does not touch the outputs.
            if not name.endswith("num_batches_tracked"):
                misfits.append(f"{name} is missing")
            continue
        value = to_channels(state[name], target)
        if value.shape != target.shape:
            misfits.append(f"{name} is {tuple(value.shape)}, not {tuple(target.shape)}")
        loaded[name] = value
    misfits += [f"{name} has no place" for name in state if name not in wanted] if exact else []
    if misfits:
        shown = ", ".join(misfits[:3])
        raise WeightsError(
            f"{what} does not fit the backbone: {shown}",
            got=f"{len(misfits)} of {len(wanted)} tensors that do not fit",
            remedy="give weights of the same architecture",
        )
    network.load_state_dict(loaded, strict=False)


def fit_by_order(network: nn.Module, state: Mapping[str, torch.Tensor], what: str) -> None:
    """Load tensors that stand in the network's order under other names, in place; what follows them is dropped.

    Raises:
        WeightsError: There are too few, or one is of another shape.
    """
    wanted = network.state_dict()
    values = list(state.values())[: len(wanted)]
    if len(values) < len(wanted):
        raise WeightsError(f"{what} holds {len(values)} tensors", expected=f"{len(wanted)}")
    loaded = {}
    for (name, target), given in zip(wanted.items(), values, strict=True):
        value = to_channels(given, target)
        if value.shape != target.shape:
            raise WeightsError(
                f"{what} does not fit at {name}",
                expected=str(tuple(target.shape)),
                got=str(tuple(value.shape)),
            )
        loaded[name] = value
    network.load_state_dict(loaded, strict=True)


def to_channels(tensor: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """A first convolution (D, planes, k, k) for as many planes as ``wanted`` has; other tensors as they are.

    Three planes are summed to one, and one is divided equally among three: both are exact for a grey picture, given
    once or three times.
    """
    if tensor.ndim != 4 or wanted.ndim != 4:
        return tensor
    planes, needed = tensor.shape[1], wanted.shape[1]
    if (planes, needed) == (3, 1):
        return tensor.sum(dim=1, keepdim=True)
    if (planes, needed) == (1, 3):
        return tensor.expand(-1, 3, -1, -1) / 3
    return tensor
