"""What single filters look for: the first layer's kernels, and pictures that excite a deeper channel most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from pulmoscope.errors import PulmoscopeError
from pulmoscope.explanation.hooks import find_module, recording
from pulmoscope.imaging import Preprocess

_STEPS, _RATE = 96, 0.05
_TOTAL_VARIATION, _CONTRAST = 0.02, 0.01
_SHIFT, _SMALLEST, _LARGEST = 4, 64, 96


def first_kernels(network: nn.Module, path: str) -> NDArray[np.float32]:
    """The kernels of a convolution on the picture, (D, k, k): planes summed, as a grey picture meets them all.

    Args:
        network: Any network.
        path: Of a convolution whose inputs are the picture's 1 or 3 planes.

    Raises:
        PulmoscopeError: It is no such convolution.
    """
    layer = find_module(network, path)
    if not isinstance(layer, nn.Conv2d) or layer.in_channels not in {1, 3}:
        raise PulmoscopeError(
            f"{path!r} is no convolution on the picture",
            code="E_LAYER",
            expected="a convolution of 1 or 3 planes, as the first one is",
            got=type(layer).__name__,
        )
    return np.asarray(layer.weight.detach().float().sum(dim=1).cpu().numpy(), np.float32)


def exciting_pictures(
    network: nn.Module,
    preprocess: Preprocess,
    path: str,
    channels: Sequence[int],
    *,
    steps: int = _STEPS,
    seed: int = 0,
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Grey pictures, one a channel, that raise the mean of the channel's map: activation maximisation.

    Begun from faint noise about mid-grey, which ``seed`` draws, and climbed by Adam (Erhan et al. 2009, "Visualizing
    higher-layer features of a deep network"), with a penalty on total variation (Mahendran and Vedaldi 2015), one on
    the distance from mid-grey, and a random shift at every step, so that what comes out is no pattern of single pixels.
    Such a picture shows one thing that a channel answers to, not all, and nothing of how often it is met.

    Args:
        network: A classifier; left as it was.
        preprocess: Its input recipe: the picture is sought in [0, 1], before normalisation.
        path: The module whose channels are meant, with an output (N, D, h, w).
        channels: Which of the D.
        steps: Of the climb, at least 1.
        seed: Of the first picture and the shifts.

    Returns:
        Pictures (len(channels), s, s) in [0, 1], s being the network's side from 64 to 96, and by how many standard
        deviations the channel's mean answer to each lies above its answers to as many pictures of noise; NaN where
        noise has no spread.

    Raises:
        PulmoscopeError: No such layer or channel.
    """
    # A pattern does not need the whole picture; a network that flattens its map does.
    side = preprocess.size if _needs_its_size(network) else min(max(preprocess.size, _SMALLEST), _LARGEST)
    generator = torch.Generator().manual_seed(seed)
    device = next(network.parameters()).device
    noise = torch.rand((len(channels), 1, side, side), generator=generator)
    # Logits of pictures, so that no step leaves [0, 1].
    free = ((noise - 0.5) * 0.2).to(device).requires_grad_()
    answers_to_noise = _answers(network, preprocess, path, noise.to(device))
    wanted = torch.tensor(list(channels), device=device)
    if len(channels) and not 0 <= min(channels) <= max(channels) < answers_to_noise.shape[1]:
        raise PulmoscopeError(
            f"layer {path!r} has no such channel",
            code="E_LAYER",
            expected=f"0 to {answers_to_noise.shape[1] - 1}",
            got=f"{min(channels)} to {max(channels)}",
        )
    spread = answers_to_noise.std(dim=0)[wanted]
    scale = spread.clamp_min(1e-6)
    optimiser = torch.optim.Adam([free], lr=_RATE)
    learns = {weight: weight.requires_grad for weight in network.parameters()}
    try:
        network.requires_grad_(False)
        for _ in range(steps):
            down, right = (int(torch.randint(-_SHIFT, _SHIFT + 1, (), generator=generator)) for _ in range(2))
            pictures = torch.sigmoid(free)
            answers = _answers(
                network, preprocess, path, pictures.roll((down, right), dims=(2, 3)), gradients=True
            )
            excited = (answers.gather(1, wanted[:, None])[:, 0] / scale).sum()
            rough = (pictures.diff(dim=2).abs().sum() + pictures.diff(dim=3).abs().sum()) / side
            far = (pictures - 0.5).square().sum() / side
            optimiser.zero_grad()
            (-excited + _TOTAL_VARIATION * rough + _CONTRAST * far).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    finally:
        for weight, learnt in learns.items():
            weight.requires_grad_(learnt)
    found = torch.sigmoid(free).detach()
    own = _answers(network, preprocess, path, found).gather(1, wanted[:, None])[:, 0]
    above = (own - answers_to_noise.mean(dim=0)[wanted]) / torch.where(spread > 0, spread, torch.nan)
    return np.asarray(found[:, 0].cpu().numpy(), np.float32), above.double().cpu().numpy()


def _answers(
    network: nn.Module, preprocess: Preprocess, path: str, pictures: torch.Tensor, *, gradients: bool = False
) -> torch.Tensor:
    """Mean of every channel's map (N, D)."""
    inputs = preprocess.to_input(pictures)
    if not gradients:
        with recording(network, [path]) as seen:
            network(inputs)
        maps = seen.activations.get(path)
        return _means(path, maps)
    kept: list[torch.Tensor] = []
    # Everything after the layer would be computed for nothing.
    handle = find_module(network, path).register_forward_hook(lambda *seen: _stop(kept, seen[-1]))
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        network(inputs)
    except _Reached:
        pass
    finally:
        handle.remove()
        for module, mode in modes.items():
            module.training = mode
    return _means(path, kept[0] if kept else None)


class _Reached(Exception):  # noqa: N818 - no error: the layer that was waited for has answered
    pass


def _stop(kept: list[torch.Tensor], output: torch.Tensor) -> None:
    kept.append(output)
    raise _Reached


def _means(path: str, maps: torch.Tensor | None) -> torch.Tensor:
    if maps is None or maps.ndim != 4:
        raise PulmoscopeError(
            f"layer {path!r} puts out no map",
            code="E_LAYER",
            expected="an output (N, D, h, w)",
            got="nothing: it does not run" if maps is None else f"shape {tuple(maps.shape)}",
        )
    return functional.adaptive_avg_pool2d(maps, 1).flatten(1)


def _needs_its_size(network: nn.Module) -> bool:
    heads = [getattr(one, "head", None) for one in (getattr(network, "spec", None),)]
    return any(head is not None and head.pool != "global" for head in heads)
