"""Where in the picture a cell of a layer's map lies: the middle of what it sees, not the middle of its tile.

A map of h x w cells is usually stretched over the picture as if the cells tiled it. Where convolutions pad nothing,
as in system C's plain network, the outermost cells look further inside: by 9 of 150 pixels in its last map. Where
they pad one side only, what a cell looks at moves to the other, unless training has moved the kernels back, as it has
in the EfficientNet-lite that comes with TensorFlow's padding.

So the grid of cells is followed through one forward pass, operation by operation: strides and paddings move it as
they do in the arithmetic of receptive fields (Araujo, Norris and Sim 2019, Computing receptive fields of
convolutional neural networks, Distill, doi:10.23915/distill.00021), but by the middle of each kernel's energy, not of
its window: what weighs is the effective receptive field (Luo et al. 2016, NeurIPS). The energies of a chain add up
where its paths are independent; signs of trained weights make that an approximation. Branches that meet in a sum or
side by side count alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

_PADS = ("constant_pad_nd", "reflection_pad2d", "replication_pad2d")
_POOLS = ("max_pool2d_with_indices", "max_pool2d", "avg_pool2d")


@dataclass(frozen=True, kw_only=True)
class Axis:
    """The cells of a map along one side of the picture.

    Attributes:
        cells: How many.
        first: Centre of the first, in pixels; the first pixel's own centre is 0.
        step: From one centre to the next, in pixels.
    """

    cells: int
    first: float
    step: float

    def window(self, middle: float, stride: int, padding: int, dilation: int, cells: int) -> Axis:
        """After a convolution or pooling, which leaves ``cells``; ``middle`` of its taps, the first of which is 0."""
        first = self.first + (dilation * middle - padding) * self.step
        return Axis(cells=cells, first=first, step=self.step * stride)

    @staticmethod
    def tiles(cells: int, pixels: int) -> Axis:
        """Cells that tile ``pixels``: what is taken where a network does not say."""
        step = pixels / cells
        return Axis(cells=cells, first=(step - 1) / 2, step=step)

    def spread(self, pixels: int) -> torch.Tensor:
        """(pixels, cells) weights of each cell in each pixel: linear between two centres, the nearest cell outside."""
        place = (torch.arange(pixels, dtype=torch.float64) - self.first) / self.step
        place = place.clamp(0, self.cells - 1)
        distance = (place[:, None] - torch.arange(self.cells, dtype=torch.float64)).abs()
        return (1 - distance).clamp_min(0).float()


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Both sides of a map: rows from the top, columns from the left."""

    rows: Axis
    columns: Axis

    @staticmethod
    def tiles(shape: Sequence[int], pixels: Sequence[int]) -> Grid:
        """Cells (h, w) that tile a picture (H, W)."""
        return Grid(rows=Axis.tiles(shape[0], pixels[0]), columns=Axis.tiles(shape[1], pixels[1]))

    def spread(self, maps: torch.Tensor, side: int) -> torch.Tensor:
        """Maps (..., h, w) over a square (..., side, side), each cell at its centre and linear between them."""
        rows, columns = (one.spread(side).to(maps) for one in (self.rows, self.columns))
        return rows @ maps @ columns.T


def grids(network: nn.Module, inputs: torch.Tensor, layers: Sequence[str]) -> dict[str, Grid]:
    """Where the cells of some layers' outputs lie in a picture of the size of ``inputs``.

    Args:
        network: In evaluation mode.
        inputs: (N, C, H, W); their values do not matter.
        layers: Paths of modules, each putting out one map (N, D, h, w).

    Returns:
        A grid a layer. Where the way from the picture to the layer cannot be followed (places put in another order,
        maps enlarged), its cells are taken to tile the picture. Attention is not seen: its cells keep their places.
    """
    found: dict[str, Grid] = {}
    follow = _Follow(inputs)

    def note(path: str) -> Any:
        def hook(_module: nn.Module, _given: Any, output: torch.Tensor) -> None:
            grid = follow.grid_of(output)
            found[path] = grid or Grid.tiles(output.shape[-2:], inputs.shape[-2:])

        return hook

    handles = [network.get_submodule(path).register_forward_hook(note(path)) for path in layers]
    try:
        with torch.no_grad(), follow:
            network(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return found


class _Follow(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Knows the grid of every tensor that a forward pass makes of the picture."""

    def __init__(self, inputs: torch.Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._grids: Any = WeakIdKeyDictionary()
        self._grids[inputs] = Grid.tiles(inputs.shape[-2:], inputs.shape[-2:])

    def grid_of(self, tensor: torch.Tensor) -> Grid | None:
        found: Grid | None = self._grids.get(tensor)
        return found

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        outcome = func(*args, **(kwargs or {}))
        known = [grid for one in _tensors(args) if (grid := self.grid_of(one)) is not None]
        for output in _tensors((outcome,)) if known else ():
            after = _after(func.overloadpacket.__name__, _joined(known), args, output)
            if after is not None:
                self._grids[output] = after
        return outcome


def _joined(known: Sequence[Grid]) -> Grid:
    """The grid of what an operation makes of tensors: a sum or a concatenation sees through all of them."""
    same = [
        one
        for one in known
        if (one.rows.cells, one.columns.cells) == (known[0].rows.cells, known[0].columns.cells)
    ]
    rows, columns = (
        Axis(
            cells=axes[0].cells,
            first=sum(one.first for one in axes) / len(axes),
            step=sum(one.step for one in axes) / len(axes),
        )
        for axes in ([one.rows for one in same], [one.columns for one in same])
    )
    return Grid(rows=rows, columns=columns)


def _after(name: str, before: Grid, args: tuple[Any, ...], output: torch.Tensor) -> Grid | None:
    """The grid of an operation's output; None where it has none that is known."""
    if name == "convolution":
        if args[6] or output.ndim != 4:  # transposed
            return None
        stride, padding, dilation = args[3:6]
        return _windows(before, _middle(args[1]), stride, padding, dilation, output)
    if name in _POOLS:
        stride = (args[2] if len(args) > 2 else None) or args[1]
        rows, columns = _pair(args[1])
        padding = args[3] if len(args) > 3 else 0
        dilation = args[4] if len(args) > 4 and name != "avg_pool2d" else 1
        return _windows(before, ((rows - 1) / 2, (columns - 1) / 2), stride, padding, dilation, output)
    if name in _PADS:
        left, _, top, _ = [*args[1], 0, 0, 0, 0][:4]
        return Grid(
            rows=before.rows.window(0, 1, top, 1, output.shape[-2]),
            columns=before.columns.window(0, 1, left, 1, output.shape[-1]),
        )
    # Whatever keeps the cells side by side (a sum, a normalisation, an activation, channels put last) keeps their grid.
    shape = tuple(output.shape)
    wanted = (before.rows.cells, before.columns.cells)
    return before if wanted in pairwise(shape) else None


def _middle(weight: torch.Tensor) -> tuple[float, float]:
    """Where the taps (O, I, h, w) of a convolution have the middle of their energy; their centre if all are 0."""
    energy = weight.detach().double().square().sum(dim=(0, 1))
    total = float(energy.sum())
    sides = []
    for side, taps in enumerate(energy.shape):
        along = energy.sum(dim=1 - side).cpu() @ torch.arange(taps, dtype=torch.float64)
        sides.append(float(along) / total if total > 0 else (taps - 1) / 2)
    return sides[0], sides[1]


def _windows(
    before: Grid, middle: tuple[float, float], stride: Any, padding: Any, dilation: Any, output: torch.Tensor
) -> Grid:
    strides, paddings, dilations = (_pair(one) for one in (stride, padding, dilation))
    rows, columns = (
        axis.window(middle[side], strides[side], paddings[side], dilations[side], output.shape[side - 2])
        for side, axis in enumerate((before.rows, before.columns))
    )
    return Grid(rows=rows, columns=columns)


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    return int(value[0]), int(value[-1])


def _tensors(values: Any) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    for one in values:
        if isinstance(one, torch.Tensor):
            found.append(one)
        elif isinstance(one, (list, tuple)):
            found += _tensors(one)
    return found
