"""What a network's layers put out, and how much a class's score depends on it; nothing is left behind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from pulmoscope.errors import PulmoscopeError, did_you_mean, near_names


class Recording:
    """What :func:`recording` saw of the last forward pass.

    Attributes:
        activations: Output of each named layer, detached; later steps of the network that work in place do not reach
            it. A layer that runs more than once keeps its last output.
        gradients: Filled by :meth:`differentiate`: of the scores by each named layer's output, in its shape.
    """

    def __init__(self) -> None:
        self.activations: dict[str, torch.Tensor] = {}
        self.gradients: dict[str, torch.Tensor] = {}
        self._live: dict[str, torch.Tensor] = {}

    def differentiate(self, scores: torch.Tensor, *, again: bool = False) -> None:
        """Fill ``gradients`` with those of the sum of ``scores``, and nothing else's.

        Args:
            scores: (N,), one a picture, so that each picture's gradients are its own.
            again: Keep what is needed to differentiate other scores of the same forward pass.

        Raises:
            PulmoscopeError: No layer was recorded with gradients.
        """
        if not self._live:
            raise PulmoscopeError(
                "there is nothing to differentiate by",
                code="E_LAYER",
                expected="recording(..., gradients=True) and a forward pass",
            )
        found = torch.autograd.grad(scores.sum(), list(self._live.values()), retain_graph=again)
        self.gradients = dict(zip(self._live, found, strict=True))


@contextmanager
def recording(network: nn.Module, names: Sequence[str], *, gradients: bool = False) -> Iterator[Recording]:
    """Record the outputs of some layers of every forward pass inside the ``with`` block.

    The network is in evaluation mode inside. Afterwards, also after an exception, the hooks are gone, and each module's
    mode and each parameter's ``requires_grad`` and ``grad`` are as they were.

    With ``gradients`` the graph begins at the first named layer that runs: nothing below it is kept or differentiated,
    and no gradient of a weight is computed. That is most of what makes many maps cheap.

    Args:
        network: Any network.
        names: Paths of modules as ``network.named_modules()`` has them, each putting out one tensor.
        gradients: Whether :meth:`Recording.differentiate` will be called.

    Raises:
        PulmoscopeError: There is no such module, or it does not put out one tensor.
    """
    modules = {name: find_module(network, name) for name in names}
    seen = Recording()
    modes = {module: module.training for module in network.modules()}
    learns = {weight: weight.requires_grad for weight in network.parameters()}
    handles = []
    try:
        for name, module in modules.items():
            handles.append(module.register_forward_hook(_note(seen, name, gradients)))
        network.eval()
        if gradients:
            for weight in learns:
                weight.requires_grad_(False)
        with torch.set_grad_enabled(gradients):
            yield seen
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode
        for weight, learnt in learns.items():
            weight.requires_grad_(learnt)
        # The graph ends with the block.
        seen._live.clear()


def find_module(network: nn.Module, path: str) -> nn.Module:
    """The module at a path such as ``backbone.blocks.3``.

    Raises:
        PulmoscopeError: There is none; near ones are suggested.
    """
    modules: dict[str, nn.Module] = dict(network.named_modules())
    if path in modules:
        return modules[path]
    near = near_names(path, modules, most=3)
    raise PulmoscopeError(
        f"the network has no layer {path!r}",
        code="E_LAYER",
        remedy=did_you_mean(near) or "take one of pulmoscope.explanation.stages",
    )


class _note:  # noqa: N801 - a hook is a function; this one remembers three things
    def __init__(self, seen: Recording, name: str, gradients: bool) -> None:
        self.seen, self.name, self.gradients = seen, name, gradients

    def __call__(self, _module: nn.Module, _inputs: object, output: object) -> torch.Tensor | None:
        if not isinstance(output, torch.Tensor):
            raise PulmoscopeError(
                f"layer {self.name!r} does not put out one tensor", code="E_LAYER", got=type(output).__name__
            )
        if not self.gradients:
            self.seen.activations[self.name] = output.detach().clone()
            return None
        kept = output if output.requires_grad else output.detach().requires_grad_()
        self.seen.activations[self.name] = kept.detach()
        self.seen._live[self.name] = kept
        # The network goes on with a copy: a step that works in place would otherwise change what was recorded.
        return kept.clone()
