"""Maps of the picture's own pixels, which need no layer: integrated gradients and occlusion, by Captum."""

from __future__ import annotations

import torch
from torch import nn

from pulmoscope.explanation.hooks import recording

_STEPS = 32
_AT_ONCE = 16
# A window of an eighth of the side, moved by half of itself: 225 places.
_WINDOWS = 8


def integrated_gradients(
    network: nn.Module, inputs: torch.Tensor, targets: torch.Tensor, layer: str
) -> torch.Tensor:
    """Integrated gradients from the mean grey (Sundararajan et al. 2017, equation 1), 32 steps.

    The starting point is an input of 0: the mean of the normalisation, so that neither black nor white counts as
    nothing. A map sums to the picture's logit less the starting point's, up to the error of the steps.

    Args:
        network: Pictures to logits.
        inputs: (N, C, S, S) float.
        targets: (N,) the class of each.
        layer: Not used.

    Returns:
        (N, S, S) float32, channels summed; negative where a pixel speaks against the class.
    """
    del layer
    from captum.attr import IntegratedGradients  # type: ignore[import-untyped]

    # With no layer to record this keeps the network's mode and gradients as they are.
    with recording(network, [], gradients=True):
        way = IntegratedGradients(network)
        # All layers' outputs are kept for the way back: few pictures at once.
        found = [
            way.attribute(
                some.detach().clone().contiguous(), baselines=0.0, target=wanted, n_steps=_STEPS,
                internal_batch_size=_AT_ONCE,
            )
            for some, wanted in zip(torch.split(inputs, _AT_ONCE), torch.split(targets, _AT_ONCE), strict=True)
        ]  # fmt: skip
    summed: torch.Tensor = torch.cat(found).sum(dim=1).detach().float()
    return summed


def occlusion(network: nn.Module, inputs: torch.Tensor, targets: torch.Tensor, layer: str) -> torch.Tensor:
    """Occlusion: how much the logit falls when a window is made mean grey (Zeiler and Fergus 2014, section 4.2).

    The window is an eighth of the side and moves by half of itself; a pixel has the mean of the windows over it.

    Args:
        network: Pictures to logits.
        inputs: (N, C, S, S) float.
        targets: (N,) the class of each.
        layer: Not used.

    Returns:
        (N, S, S) float32; negative where the class gains by the window.
    """
    del layer
    from captum.attr import Occlusion

    channels, side = inputs.shape[1], inputs.shape[2]
    window = max(1, side // _WINDOWS)
    step = max(1, window // 2)
    with recording(network, []):
        found = Occlusion(network).attribute(
            inputs.detach().clone().contiguous(),
            sliding_window_shapes=(channels, window, window),
            strides=(channels, step, step),
            baselines=0.0,
            target=targets,
            perturbations_per_eval=max(1, _AT_ONCE // len(inputs)),
        )
    averaged: torch.Tensor = found.mean(dim=1).detach().float()
    return averaged
