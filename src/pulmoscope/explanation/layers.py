"""Which layers of a network can be explained: its stages, in the order in which they run."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from pulmoscope.errors import PulmoscopeError, did_you_mean, near_names
from pulmoscope.explanation.hooks import recording
from pulmoscope.models import CascadeClassifier


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A layer whose output is a map with height and width.

    Attributes:
        name: ``stage1``, ``stage2``, ... in the order of running; of a cascade ``first.stage1`` and ``second.stage1``.
        path: The module, such as ``backbone.blocks.3``; of a cascade with ``first.`` or ``second.`` before it.
        size: Height and width of the map.
        channels: Of the map.
    """

    name: str
    path: str
    size: tuple[int, int]
    channels: int

    def __str__(self) -> str:
        return f"{self.name} ({self.size[0]} x {self.size[1]}, {self.channels} channels)"


def stages(network: nn.Module, inputs: torch.Tensor) -> tuple[Stage, ...]:
    """The stages of a network, found by passing one picture through it; the last is what a map explains by default.

    They are what the family itself calls its stages (timm's ``feature_info``, the blocks of our own networks, else the
    backbone's parts), and the last map before the pooling, which is Grad-CAM's "last convolutional layer". Maps of
    1 x 1 are left out: they cannot say where.

    Args:
        network: A classifier with a ``backbone``, or a cascade. Left as it was.
        inputs: (N, C, S, S) as the network takes them; the first is used.

    Raises:
        PulmoscopeError: No layer puts out a map (N, D, h, w) with h and w over 1.
    """
    if isinstance(network, CascadeClassifier):
        return tuple(
            Stage(
                name=f"{which}.{one.name}", path=f"{which}.{one.path}", size=one.size, channels=one.channels
            )
            for which, part in (("first", network.first), ("second", network.second))
            for one in stages(part, inputs)
        )
    maps = _maps(network, inputs[:1])
    if not maps:
        raise PulmoscopeError(
            "the network has no layer with height and width to explain",
            code="E_LAYER",
            expected="a map of at least 2 x 2",
            remedy="raise preprocess.size, or use integrated-gradients or occlusion, which need no layer",
        )
    return tuple(
        Stage(
            name=f"stage{number}",
            path=path,
            size=(shape[2], shape[3]),
            channels=shape[1],
        )
        for number, (path, shape) in enumerate(maps.items(), start=1)
    )


def default_layer(network: nn.Module, inputs: torch.Tensor) -> str:
    """The path of the last stage: see :func:`stages`."""
    return stages(network, inputs)[-1].path


def layer_path(network: nn.Module, inputs: torch.Tensor, layer: str | None) -> str:
    """The module that a user means.

    Args:
        network: A classifier.
        inputs: (N, C, S, S) as it takes them.
        layer: The name of a stage, the path of any module, or None for the last stage.

    Raises:
        PulmoscopeError: It is neither, or its output has no height and width.
    """
    known = stages(network, inputs)
    if layer is None:
        return known[-1].path
    named = {one.name: one.path for one in known}
    if layer in named:
        return named[layer]
    modules = dict(network.named_modules())
    if not layer or layer not in modules:
        near = near_names(layer, [*named, *modules], most=3)
        raise PulmoscopeError(
            f"the network has no layer {layer!r}",
            code="E_LAYER",
            expected=f"one of {', '.join(map(str, known))}, or the path of a module",
            remedy=did_you_mean(near),
        )
    with recording(network, [layer]) as seen:
        network(inputs[:1])
    output_map(seen.activations.get(layer), layer, lacking="has no height and width")
    return layer


def output_map(output: torch.Tensor | None, layer: str, *, lacking: str) -> torch.Tensor:
    """What a layer put out, if that is a map (N, D, h, w).

    Args:
        output: None where the layer did not run.
        layer: Its name.
        lacking: What is said of a layer that puts out none.

    Raises:
        PulmoscopeError: It is no map.
    """
    if output is None or output.ndim != 4:
        raise PulmoscopeError(
            f"layer {layer!r} {lacking}",
            code="E_LAYER",
            expected="an output (N, D, h, w)",
            got="nothing: it does not run" if output is None else f"shape {tuple(output.shape)}",
        )
    return output


def _maps(network: nn.Module, inputs: torch.Tensor) -> dict[str, torch.Size]:
    """Path of every stage with the shape of its map, in the order of running."""
    stage_paths = _stage_paths(network)
    outputs: dict[str, torch.Tensor] = {}
    last: list[tuple[str, torch.Tensor]] = []

    def note(path: str, output: object) -> None:
        if not isinstance(output, torch.Tensor):
            return
        is_map = output.ndim == 4 and min(output.shape[2:]) > 1
        if path in stage_paths:
            outputs.pop(path, None)
            # What ran before a stage that has no map is not the last map before the pooling.
            last.clear()
        if is_map:
            last[:] = [(path, output)]
            if path in stage_paths:
                outputs[path] = output

    backbone = network.get_submodule("backbone")
    modes = {module: module.training for module in network.modules()}
    handles = [
        module.register_forward_hook(lambda _m, _i, output, path=path: note(path, output))
        for path, module in backbone.named_modules(prefix="backbone")
        if module is not backbone
    ]
    network.eval()
    try:
        with torch.no_grad():
            network(inputs)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode
    if getattr(backbone, "output_fmt", "NCHW") != "NCHW" or hasattr(backbone, "num_prefix_tokens"):
        # Transformers put out tokens or (N, h, w, D); the only map that looks like ours is that of the patches.
        return {}
    for path, tensor in last:
        if all(tensor is not one for one in outputs.values()):
            outputs[path] = tensor
    return {path: tensor.shape for path, tensor in outputs.items()}


def _stage_paths(network: nn.Module) -> frozenset[str]:
    backbone = network.get_submodule("backbone")
    info = getattr(backbone, "feature_info", None)
    if info:
        told = info.info if hasattr(info, "info") else info
        return frozenset(f"backbone.{one['module']}" for one in told)
    blocks = getattr(backbone, "blocks", None)
    if isinstance(blocks, nn.Module):
        return frozenset(f"backbone.blocks.{name}" for name, _ in blocks.named_children())
    return frozenset(f"backbone.{name}" for name, _ in backbone.named_children())
