"""Class activation maps without gradients: Eigen-CAM and Score-CAM."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from pulmoscope.explanation.hooks import recording

_MASKED_AT_ONCE = 64


def eigen_cam(network: nn.Module, inputs: torch.Tensor, targets: torch.Tensor, layer: str) -> torch.Tensor:
    """Eigen-CAM: the layer's output on its own first principal direction (Muhammad and Yeasin 2020).

    Channels are centred over the picture, as pytorch-grad-cam does. A direction has no sign; it is turned so that the
    map agrees with the mean of the channels. The class has no part in it: every class has the same map.

    Args:
        network: Pictures to logits.
        inputs: (N, C, S, S) float.
        targets: (N,) not used.
        layer: Path of the module.

    Returns:
        (N, h, w) float32 with mean 0; zero where the layer is constant.
    """
    del targets
    with recording(network, [layer]) as seen:
        network(inputs)
    maps = seen.activations[layer].flatten(2)
    centred = (maps - maps.mean(dim=2, keepdim=True)).double()
    # The smaller of the two Gram matrices has the same first direction, and is of 49 x 49 instead of 1280 x 1280.
    if centred.shape[2] <= centred.shape[1]:
        values, vectors = torch.linalg.eigh(centred.transpose(1, 2) @ centred)
        projected = vectors[:, :, -1] * values[:, -1:].clamp_min(0).sqrt()
    else:
        _, vectors = torch.linalg.eigh(centred @ centred.transpose(1, 2))
        projected = torch.einsum("nd,ndp->np", vectors[:, :, -1], centred)
    agrees = (projected * centred.mean(dim=1)).sum(dim=1, keepdim=True) >= 0
    signed = torch.where(agrees, projected, -projected)
    return signed.float().reshape(len(inputs), *seen.activations[layer].shape[2:])


def score_cam(network: nn.Module, inputs: torch.Tensor, targets: torch.Tensor, layer: str) -> torch.Tensor:
    """Score-CAM: relu(sum over D of w A), w the softmax over channels of what each alone scores (Wang et al. 2020).

    A channel's map, enlarged to the picture and stretched to [0, 1], masks the input, and the class's logit is read:
    one forward pass a channel. A mask of 0 leaves the input 0, which is the mean grey of the normalisation. Channels
    that are constant over a picture mask all of it, so they share one pass.

    Args:
        network: Pictures to logits.
        inputs: (N, C, S, S) float.
        targets: (N,) the class of each.
        layer: Path of the module.

    Returns:
        (N, h, w) float32, at least 0.
    """
    with recording(network, [layer]) as seen:
        network(inputs)
        activations = seen.activations[layer]
        blank = network(torch.zeros_like(inputs[:1]))[0]
        found = [
            _weights(network, picture, maps, int(target), float(blank[target]))
            for picture, maps, target in zip(inputs, activations, targets, strict=True)
        ]
    return torch.einsum("nd,ndhw->nhw", torch.stack(found), activations).relu()


def _weights(
    network: nn.Module, picture: torch.Tensor, maps: torch.Tensor, target: int, blank: float
) -> torch.Tensor:
    """Weight (D,) of each channel of one picture (C, S, S) with the maps (D, h, w); they sum to 1."""
    scores = torch.full((len(maps),), blank, device=maps.device)
    low, high = maps.amin(dim=(1, 2)), maps.amax(dim=(1, 2))
    for channels in torch.split(torch.nonzero(high > low).flatten(), _MASKED_AT_ONCE):
        large = functional.interpolate(maps[channels][:, None], size=picture.shape[1:], mode="bilinear")
        least, most = large.amin(dim=(2, 3), keepdim=True), large.amax(dim=(2, 3), keepdim=True)
        mask = (large - least) / (most - least).clamp_min(torch.finfo(large.dtype).tiny)
        scores[channels] = network(picture[None] * mask)[:, target]
    return scores.softmax(dim=0)
