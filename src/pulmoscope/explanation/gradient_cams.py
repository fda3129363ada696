"""Class activation maps from gradients: one forward pass of a batch, and the way back from the score to one layer.

Here ``A`` is the layer's output (N, D, h, w) and ``g`` the gradient of a class's logit by it. We compute them batched
by hooks of our own (:mod:`pulmoscope.explanation.hooks`): the usual loop over pytorch-grad-cam, one picture at a time,
differentiates by every weight too (``benchmarks/explain_speed.py`` has both). pytorch-grad-cam is the witness in the
tests.
"""

from __future__ import annotations

import torch
from torch import nn

from pulmoscope.explanation.hooks import recording


def grad_cam(network: nn.Module, inputs: torch.Tensor, targets: torch.Tensor, layer: str) -> torch.Tensor:
    """Grad-CAM: relu(sum over D of mean(g) A) (Selvaraju et al. 2017, equations 1 and 2).

    Args:
        network: Pictures to logits.
        inputs: (N, C, S, S) float.
        targets: (N,) the class of each.
        layer: Path of the module.

    Returns:
        (N, h, w) float32, at least 0.
    """
    activations, gradients = activations_and_gradients(network, inputs, targets, layer)
    return _weighted(gradients.mean(dim=(2, 3)), activations).relu()


def grad_cam_plus_plus(
    network: nn.Module, inputs: torch.Tensor, targets: torch.Tensor, layer: str
) -> torch.Tensor:
    """Grad-CAM++: weights sum(alpha relu(g)), alpha = g^2 / (2 g^2 + g^3 sum(A)) (Chattopadhay et al. 2018, eq. 19).

    The square is cancelled, so that alpha = 1 / (2 + g sum(A)) needs no small constant beneath it: gradients of a mean
    over a map are small, and a constant would decide alpha instead of them. Where that divisor is 0 or less, which
    takes a layer with negative output, equation 19 has no meaning and alpha is 0.

    Args:
        network: Pictures to logits.
        inputs: (N, C, S, S) float.
        targets: (N,) the class of each.
        layer: Path of the module.

    Returns:
        (N, h, w) float32, at least 0.
    """
    activations, gradients = activations_and_gradients(network, inputs, targets, layer)
    divisor = 2 + gradients * activations.sum(dim=(2, 3), keepdim=True)
    alpha = torch.where(divisor > 0, 1 / divisor.clamp_min(torch.finfo(divisor.dtype).tiny), 0.0)
    return _weighted((alpha * gradients.relu()).sum(dim=(2, 3)), activations).relu()


def layer_cam(network: nn.Module, inputs: torch.Tensor, targets: torch.Tensor, layer: str) -> torch.Tensor:
    """LayerCAM: relu(sum over D of relu(g) A), place by place (Jiang et al. 2021, equations 6 to 8); for any layer.

    Args:
        network: Pictures to logits.
        inputs: (N, C, S, S) float.
        targets: (N,) the class of each.
        layer: Path of the module.

    Returns:
        (N, h, w) float32, at least 0.
    """
    activations, gradients = activations_and_gradients(network, inputs, targets, layer)
    return (gradients.relu() * activations).sum(dim=1).relu()


def hires_cam(network: nn.Module, inputs: torch.Tensor, targets: torch.Tensor, layer: str) -> torch.Tensor:
    """HiResCAM: sum over D of g A, place by place (Draelos and Carin 2020, equation 4).

    Where only a mean and one dense layer follow, the map sums to the logit less its bias: it is what the network
    computed, not an estimate.

    Args:
        network: Pictures to logits.
        inputs: (N, C, S, S) float.
        targets: (N,) the class of each.
        layer: Path of the module.

    Returns:
        (N, h, w) float32; negative where the picture speaks against the class.
    """
    activations, gradients = activations_and_gradients(network, inputs, targets, layer)
    return (gradients * activations).sum(dim=1)


def activations_and_gradients(
    network: nn.Module, inputs: torch.Tensor, targets: torch.Tensor, layer: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """A layer's output (N, D, h, w), and the gradient of each picture's target logit by it, in the same shape."""
    with recording(network, [layer], gradients=True) as seen:
        logits = network(inputs)
        seen.differentiate(logits.gather(1, targets[:, None])[:, 0])
    return seen.activations[layer], seen.gradients[layer]


def _weighted(weights: torch.Tensor, activations: torch.Tensor) -> torch.Tensor:
    """Sum over D of weights (N, D) and maps (N, D, h, w)."""
    return torch.einsum("nd,ndhw->nhw", weights, activations)
