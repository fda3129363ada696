"""Where cells look, by hand, by autograd, and where a bright point appears in the map."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from pulmoscope.explanation.geometry import Axis, Grid, grids
from pulmoscope.explanation.layers import layer_path
from pulmoscope.models import HeadSpec, ModelSpec, build_classifier


def columns(network: nn.Module, layer: str, side: int = 64) -> Axis:
    found = grids(network.eval(), torch.zeros(1, 1, side, side), [layer])[layer]
    assert found.rows == found.columns
    return found.columns


@pytest.mark.parametrize(
    ("layers", "cells", "first", "step"),
    [
        # Cell i sees pixels 2i and 2i + 1.
        ([nn.MaxPool2d(2)], 32, 0.5, 2),
        # ... 2i - 1 to 2i + 1, the first of them padding.
        ([nn.Conv2d(1, 1, 3, stride=2, padding=1)], 32, 0, 2),
        # ... 2i to 2i + 2; then 4i + 1 + (0, 2).
        ([nn.Conv2d(1, 1, 3, stride=2)], 31, 1, 2),
        ([nn.Conv2d(1, 1, 3, stride=2), nn.AvgPool2d(2)], 15, 2, 4),
        # Three pixels two apart, from i - 1: the middle is i + 1.
        ([nn.Conv2d(1, 1, 3, dilation=2, padding=1)], 62, 1, 1),
        # Padded on the right alone, as TensorFlow's "same" does at an even size.
        ([nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(1, 1, 3, stride=2)], 32, 1, 2),
        ([nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(inplace=True)], 64, 0, 1),
    ],
)
def test_by_hand(layers: list[nn.Module], cells: int, first: float, step: float) -> None:
    network = even(nn.Sequential(*layers))
    assert columns(network, str(len(layers) - 1)) == Axis(cells=cells, first=first, step=step)


def even(network: nn.Module) -> nn.Module:
    """The network with every tap of a convolution alike."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
    return network


def test_a_kernel_that_looks_to_one_side_moves_what_its_cells_see() -> None:
    # Most of the energy of this kernel lies on the tap before its middle one.
    convolution = nn.Conv2d(1, 1, 3, stride=2, padding=1, bias=False)
    convolution.weight.data[0, 0] = torch.tensor([[0.0, 0, 0], [3, 1, 0], [0, 0, 0]])
    found = grids(convolution.eval(), torch.zeros(1, 1, 8, 8), [""])[""]
    assert found.rows == Axis(cells=4, first=0, step=2)
    # (9 * 0 + 1 * 1) / 10 - 1
    assert found.columns == Axis(cells=4, first=pytest.approx(-0.9), step=2)
    nn.init.zeros_(convolution.weight)
    assert grids(convolution, torch.zeros(1, 1, 8, 8), [""])[""].columns.first == 0


def test_the_centre_of_a_trained_kernel_is_where_its_gradient_is_strong() -> None:
    # The energy's middle of a chain is the sum of the middles: exact for the square of a product of separate kernels.
    torch.manual_seed(0)
    chain = nn.Sequential(*(nn.Conv2d(1, 1, 5, stride=2, padding=2, bias=False) for _ in range(3)))
    axis = grids(chain.eval(), torch.zeros(1, 1, 128, 128), ["2"])["2"].columns
    centres = []
    for _ in range(400):
        for module in chain:
            assert isinstance(module, nn.Conv2d)
            # The same energy on every tap, its sign by chance: paths do not conspire.
            module.weight.data = module.weight.abs() * torch.sign(torch.randn_like(module.weight))
        picture = torch.zeros(1, 1, 128, 128, requires_grad=True)
        chain(picture)[0, 0, 8, 8].backward()
        assert picture.grad is not None
        centres.append(picture.grad[0, 0].square())
    energy = torch.stack(centres).mean(dim=0).sum(dim=0)
    centre = float((energy * torch.arange(128)).sum() / energy.sum())
    assert axis.first + 8 * axis.step == pytest.approx(centre, abs=0.3)


steps = st.tuples(st.integers(1, 5), st.integers(1, 2), st.integers(0, 2), st.booleans())


@given(st.lists(steps, min_size=1, max_size=3))
@settings(max_examples=40, deadline=None)
def test_the_centre_is_that_of_the_gradient(parts: list[tuple[int, int, int, bool]]) -> None:
    # With equal weights a cell's gradient by the picture is its receptive field, which is symmetric about its centre.
    layers: list[nn.Module] = []
    for kernel, stride, padding, pool in parts:
        if pool:
            layers.append(nn.AvgPool2d(kernel, stride, min(padding, kernel // 2)))
        else:
            convolution = nn.Conv2d(1, 1, kernel, stride=stride, padding=padding, bias=False)
            nn.init.constant_(convolution.weight, 1.0)
            layers.append(convolution)
    network = nn.Sequential(*layers)
    axis = columns(network, str(len(layers) - 1))
    picture = torch.zeros(1, 1, 64, 64, requires_grad=True)
    middle = axis.cells // 2  # far from the edges, where padding would cut the field
    network(picture)[0, 0, middle, middle].backward()
    assert picture.grad is not None
    field = picture.grad[0, 0].sum(dim=0).numpy()
    centre = (field * np.arange(64)).sum() / field.sum()
    assert axis.first + middle * axis.step == pytest.approx(centre, abs=1e-4)


class Branches(nn.Module):
    """A sum, channels put last and back, and a pooling by function."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(1, 4, 3, stride=2, padding=1)
        self.two = nn.Conv2d(1, 4, 1, stride=2)
        self.last = nn.Identity()

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        both = torch.cat([self.one(picture) + self.two(picture), self.two(picture)], dim=1)
        normal = functional.layer_norm(both.permute(0, 2, 3, 1), [8]).permute(0, 3, 1, 2)
        found: torch.Tensor = self.last(functional.max_pool2d(normal, 2))
        return found


def test_branches_and_functions() -> None:
    assert columns(even(Branches()), "last") == Axis(cells=16, first=1, step=4)


class Sum(nn.Module):
    """A shortcut beside a branch that looks three pixels to the left."""

    def __init__(self, shortcut_first: bool) -> None:
        super().__init__()
        self.branch = nn.Conv2d(1, 1, 7, padding=3, bias=False)
        nn.init.zeros_(self.branch.weight)
        self.branch.weight.data[0, 0, :, 0] = 1
        self.shortcut_first = shortcut_first

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        branch = self.branch(picture)
        return picture + branch if self.shortcut_first else branch + picture


@pytest.mark.parametrize("shortcut_first", [True, False])
def test_branches_that_meet_count_alike_in_either_order(shortcut_first: bool) -> None:
    found = grids(Sum(shortcut_first).eval(), torch.zeros(1, 1, 16, 16), [""])[""]
    assert found.columns == Axis(cells=16, first=-1.5, step=1)
    assert found.rows == Axis(cells=16, first=0, step=1)


@pytest.mark.parametrize("pad", [nn.ReflectionPad2d, nn.ReplicationPad2d, nn.ZeroPad2d])
def test_padding_of_any_kind(pad: type[nn.Module]) -> None:
    network = even(nn.Sequential(pad((2, 1, 2, 1)), nn.Conv2d(1, 1, 4, stride=2)))
    assert columns(network, "1") == Axis(cells=32, first=-0.5, step=2)


class Mixed(nn.Module):
    """Places lost: what comes after cannot say where it looks."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Identity()

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.last(picture.flatten(1)[:, :16].reshape(-1, 1, 4, 4))
        return found


def test_where_the_way_is_lost_cells_tile_the_picture() -> None:
    assert columns(Mixed(), "last") == Axis.tiles(4, 64) == Axis(cells=4, first=7.5, step=16)


def test_tiles_spread_as_bilinear_interpolation() -> None:
    maps = torch.rand(2, 3, 5, 7)
    wanted = functional.interpolate(maps, size=(40, 40), mode="bilinear", align_corners=False)
    torch.testing.assert_close(Grid.tiles((5, 7), (40, 40)).spread(maps, 40), wanted)
    one = Grid.tiles((1, 1), (8, 8)).spread(torch.full((1, 1, 1), 3.0), 8)
    assert bool((one == 3).all())


@pytest.mark.parametrize(("backbone", "first"), [("tf_efficientnet_lite0", 31), ("mobilenetv2_100", 0)])
def test_a_bright_point_lies_where_its_cell_is_said_to_look(backbone: str, first: float) -> None:
    spec = ModelSpec(backbone=backbone, channels=1, size=128, head=HeadSpec(), classes=("a", "b"))
    network = build_classifier(spec, seed=0).eval()
    # All weights alike and nothing normalised: the output at a cell grows with what it sees, whatever that is.
    even(network)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.bias.zero_()
    layer = layer_path(network, torch.zeros(1, 1, 128, 128), "backbone.blocks.1")
    grid = grids(network, torch.zeros(1, 1, 128, 128), [layer])[layer]
    axis = grid.columns
    seen: list[torch.Tensor] = []
    hook = network.get_submodule(layer).register_forward_hook(lambda _m, _i, out: seen.append(out.detach()))
    for cell in (9, 16, 22):
        picture = torch.full((1, 1, 128, 128), 1e-3)
        place = round(axis.first + cell * axis.step)
        picture[..., place, place] += 1e-2
        with torch.no_grad():
            network(picture)
            network(torch.full((1, 1, 128, 128), 1e-3))
        rise = (seen[-2] - seen[-1])[0].sum(dim=0)
        assert divmod(int(rise.argmax()), axis.cells) == (cell, cell)
    hook.remove()
    deepest = layer_path(network, torch.zeros(1, 1, 128, 128), None)
    assert grids(network, torch.zeros(1, 1, 128, 128), [deepest])[deepest].columns.first == pytest.approx(
        first, abs=1e-6
    )


def test_nothing_is_left_behind() -> None:
    network = nn.Sequential(nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 70))
    with pytest.raises(RuntimeError, match="[Kk]ernel"):
        grids(network, torch.zeros(1, 1, 64, 64), ["0"])
    assert not network[0]._forward_hooks
