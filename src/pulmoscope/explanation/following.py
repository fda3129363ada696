"""Which normalisation and activation follow each layer with weights, found by watching one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

# Modules that hand a channel on as the same channel. A batch normalisation counts only where no activation came before.
_NORMS = (nn.BatchNorm2d, nn.BatchNorm1d)
_PASSES = (nn.MaxPool2d, nn.AvgPool2d, nn.Dropout, nn.Dropout2d, nn.Identity)
_ACTIVATIONS = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish, nn.Hardsigmoid,
    nn.Sigmoid, nn.Tanh,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class WeightLayer:
    """A convolution or dense layer and what its channels go through before anything else sees them.

    Attributes:
        path: The module, such as ``backbone.blocks.0.0``.
        kind: ``convolution`` or ``dense``.
        channels: That it puts out.
        norm: The batch normalisation that follows, or None.
        activation: Whether an activation follows.
        last: The last module of the chain, whose output the rest of the network sees; ``path`` where nothing follows.
    """

    path: str
    kind: str
    channels: int
    norm: str | None
    activation: bool
    last: str


def weight_layers(network: nn.Module, inputs: torch.Tensor) -> tuple[WeightLayer, ...]:
    """The convolutions and dense layers of a network in the order in which they run.

    An activation that the network calls as a function, not as a module, is not seen: the chain then ends before it. A
    normalisation of timm's that holds its activation counts as both.

    Args:
        network: Any network. Left as it was.
        inputs: (N, C, S, S) as it takes them; the first is used.
    """
    found: dict[str, WeightLayer] = {}
    owner: dict[int, tuple[str, int]] = {}
    kept: list[torch.Tensor] = []

    def note(path: str, module: nn.Module, given: object, output: torch.Tensor) -> None:
        # Tensors are told apart by identity, so none may be freed while we watch.
        kept.append(output)
        if isinstance(module, nn.Conv2d | nn.Linear):
            is_convolution = isinstance(module, nn.Conv2d)
            found[path] = WeightLayer(
                path=path, kind="convolution" if is_convolution else "dense",
                channels=module.out_channels if is_convolution else module.out_features,  # type: ignore[arg-type]
                norm=None, activation=False, last=path,
            )  # fmt: skip
            owner[id(output)] = (path, output._version)
            return
        start, version = owner.get(id(given), (None, 0))
        if start is None or not isinstance(given, torch.Tensor):
            return
        in_place = output is given and isinstance(module, _ACTIVATIONS)
        if given._version != version + in_place:
            # Something was added to the tensor in place, as a residual block does: what comes now acts on the sum.
            del owner[id(given)]
            return
        before = found[start]
        if isinstance(module, _NORMS) and before.norm is None and not before.activation:
            active = any(isinstance(one, _ACTIVATIONS) for one in module.modules())
            after = WeightLayer(
                path=start,
                kind=before.kind,
                channels=before.channels,
                norm=path,
                activation=active,
                last=path,
            )
        elif isinstance(module, _ACTIVATIONS) and not before.activation:
            after = WeightLayer(
                path=start,
                kind=before.kind,
                channels=before.channels,
                norm=before.norm,
                activation=True,
                last=path,
            )
        elif isinstance(module, _PASSES):
            after = before
        else:
            return
        found[start] = after
        if output is not given:
            # What else reads the tensor from before is not part of the chain.
            del owner[id(given)]
        owner[id(output)] = (start, output._version)

    with torch.no_grad(), watching(network, {path: note for path, _ in network.named_modules() if path}):
        network(inputs[:1])
    return tuple(found.values())


Watcher = Callable[[str, nn.Module, object, torch.Tensor], None]


@contextmanager
def watching(network: nn.Module, watchers: Mapping[str, Watcher]) -> Iterator[None]:
    """Call a function with path, module, first input and output whenever a module puts out one tensor.

    The network is in evaluation mode inside; afterwards, also after an exception, hooks are gone and modes as before.

    Args:
        network: Any network.
        watchers: By path of module.
    """
    modes = {module: module.training for module in network.modules()}
    modules = dict(network.named_modules())
    handles = []
    try:
        for path, watcher in watchers.items():
            handles.append(modules[path].register_forward_hook(_calling(path, watcher)))
        network.eval()
        yield
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode


def _calling(path: str, watcher: Watcher) -> Callable[[nn.Module, tuple[object, ...], object], None]:
    def hook(module: nn.Module, given: tuple[object, ...], output: object) -> None:
        if isinstance(output, torch.Tensor):
            watcher(path, module, given[0] if given else None, output)

    return hook
