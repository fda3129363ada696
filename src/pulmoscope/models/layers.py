"""A network as a table of its layers."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from pulmoscope.errors import RecipeError
from pulmoscope.models.network import Classifier


class Layer(NamedTuple):
    """One row of the table.

    Attributes:
        name: Path of the module, such as ``backbone.blocks.0``.
        kind: Class of the module.
        output: Shape of its output for one picture, (1, ...); null where it is not one tensor, or it did not run.
        parameters: Number of its weights, those of all below it included.
    """

    name: str
    kind: str
    output: tuple[int, ...] | None
    parameters: int


def layer_table(network: Classifier, *, size: int, rows: int | None = None) -> list[Layer]:
    """The layers of a network, in the order in which it defines them.

    Args:
        network: Left as it was.
        size: Side of the picture that is passed through it, in pixels.
        rows: At most so many rows: the deepest level of modules that fits is shown, or the shallowest where none
            does. Null shows every module that has no modules of its own.

    Raises:
        RecipeError: The network cannot take such pictures.
    """
    shapes = _output_shapes(network, size)
    level: list[tuple[str, nn.Module]] = list(network.named_children())
    while True:
        deeper = [below for one in level for below in _expanded(*one)]
        if len(deeper) == len(level) or (rows is not None and len(deeper) > rows):
            break
        level = deeper
    counted = ((name, module, sum(one.numel() for one in module.parameters())) for name, module in level)
    # What neither ran nor holds weights, such as the place of a classifier that was dropped, is not a layer.
    return [
        Layer(name, type(module).__name__, shapes.get(module), count)
        for name, module, count in counted
        if count or module in shapes
    ]


def parameter_count(network: nn.Module) -> tuple[int, int]:
    """All parameters, and those that learn."""
    counts = [(one.numel(), one.requires_grad) for one in network.parameters()]
    return sum(count for count, _ in counts), sum(count for count, learns in counts if learns)


def _expanded(name: str, module: nn.Module) -> list[tuple[str, nn.Module]]:
    below = list(module.named_children())
    owned = next(module.parameters(recurse=False), None) is not None
    # A module with weights of its own and modules below it stays one row, so that the rows add up.
    return [(f"{name}.{child}", one) for child, one in below] if below and not owned else [(name, module)]


def _output_shapes(network: Classifier, size: int) -> dict[nn.Module, tuple[int, ...]]:
    shapes: dict[nn.Module, tuple[int, ...]] = {}

    def note(module: nn.Module, _: object, output: object) -> None:
        if isinstance(output, torch.Tensor):
            shapes[module] = tuple(output.shape)

    training = {module: module.training for module in network.modules()}
    hooks = [module.register_forward_hook(note) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad():
            network(torch.zeros(1, network.spec.channels, size, size))
    except (RuntimeError, AssertionError) as error:
        raise RecipeError(
            f"{network.spec.backbone} cannot take pictures of {size} x {size} pixels", got=str(error)
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
        for module, before in training.items():
            module.training = before
    return shapes
