"""The maps that a network makes of a picture, layer by layer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pulmoscope.errors import PulmoscopeError, did_you_mean, near_names
from pulmoscope.explanation.following import WeightLayer, weight_layers
from pulmoscope.explanation.hooks import recording
from pulmoscope.explanation.layers import output_map, stages

_NUMBERED = re.compile(r"(?P<stage>first\.|second\.)?conv(?P<number>\d+)")


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerMaps:
    """One layer's maps of N pictures.

    Attributes:
        name: As asked for, such as ``conv4`` or ``stage2``.
        path: The module whose output this is.
        values: (N, D, h, w) float32, as the network computes them.
    """

    name: str
    path: str
    values: NDArray[np.float32]


def feature_maps(
    network: nn.Module, inputs: torch.Tensor, layers: Sequence[str] = ()
) -> tuple[LayerMaps, ...]:
    """What layers put out.

    Args:
        network: A classifier or a cascade; left as it was.
        inputs: (N, C, S, S) as it takes them.
        layers: ``conv4`` is the fourth convolution in the order of running, of a cascade ``second.conv4``, after the
            normalisation and activation that follow it; ``stage2`` is a stage; anything else the path of a module.
            All stages by default.

    Raises:
        PulmoscopeError: There is no such layer, or it puts out no map.
    """
    known = {one.name: one.path for one in stages(network, inputs)}
    convolutions = [one for one in weight_layers(network, inputs) if one.kind == "convolution"]
    paths = {name: _path(network, name, known, convolutions) for name in layers} if layers else known
    with recording(network, list(dict.fromkeys(paths.values()))) as seen:
        network(inputs)
    found = []
    for name, path in paths.items():
        maps = output_map(seen.activations.get(path), name, lacking="puts out no map")
        found.append(LayerMaps(name=name, path=path, values=maps.float().cpu().numpy()))
    return tuple(found)


def convolution_named(name: str, convolutions: Sequence[WeightLayer]) -> WeightLayer | None:
    """The convolution that ``conv4`` or ``second.conv4`` means; None where the name is not of that form.

    Raises:
        PulmoscopeError: There are fewer convolutions.
    """
    match = _NUMBERED.fullmatch(name)
    if match is None:
        return None
    # A cascade's stages are told apart by the path; one classifier has neither prefix.
    prefix = match["stage"] or ("" if convolutions[0].path.startswith("backbone.") else "first.")
    own = [one for one in convolutions if one.path.startswith(f"{prefix}backbone.")]
    number = int(match["number"])
    if not 1 <= number <= len(own):
        raise PulmoscopeError(
            f"the network has no {name}",
            code="E_LAYER",
            expected=f"{prefix}conv1 to {prefix}conv{len(own)}" if own else "a network with convolutions",
        )
    return own[number - 1]


def _path(network: nn.Module, name: str, known: dict[str, str], convolutions: Sequence[WeightLayer]) -> str:
    numbered = convolution_named(name, convolutions)
    if numbered is not None:
        return numbered.last
    modules = dict(network.named_modules())
    path = known.get(name, name)
    if path and path in modules:
        return path
    near = near_names(name, [*known, *modules], most=3)
    raise PulmoscopeError(
        f"the network has no layer {name!r}",
        code="E_LAYER",
        expected=f"{', '.join(known)}, conv1 to conv{len(convolutions)}, or the path of a module",
        remedy=did_you_mean(near),
    )
