"""The methods by name, and how a raw map becomes a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import nn

from pulmoscope.errors import PulmoscopeError, did_you_mean, near_names
from pulmoscope.explanation.forward_cams import eigen_cam, score_cam
from pulmoscope.explanation.geometry import Grid
from pulmoscope.explanation.gradient_cams import grad_cam, grad_cam_plus_plus, hires_cam, layer_cam
from pulmoscope.explanation.pixel_maps import integrated_gradients, occlusion

RawMaps = Callable[[nn.Module, torch.Tensor, torch.Tensor, str], torch.Tensor]
# One pixel among thousands may hold ten times what the others do: it must not darken the map.
_PIXEL_TOP = 0.99


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way to explain.

    Attributes:
        name: As commands call it.
        title: As papers call it.
        raw: (network, inputs (N, C, S, S), targets (N,), layer) -> maps (N, h, w) float32, batched.
        uses_layer: Whether the map is of a layer; else of the picture's pixels, and the layer is ignored.
        by_class: Whether another class has another map.
        quick: Whether a picture costs a pass or two, not hundreds.
        fine: Whether neighbouring pixels differ so much that a map can be seen only smoothed.
        source: Paper.
    """

    name: str
    title: str
    raw: RawMaps
    uses_layer: bool = True
    by_class: bool = True
    quick: bool = True
    fine: bool = False
    source: str

    def scaled(self, raw: torch.Tensor, size: int, grid: Grid | None = None) -> torch.Tensor:
        """Raw maps (N, h, w) as values (N, size, size) in [0, 1].

        ``grid`` says where in the square the cells lie; None where they tile it, as those of pixel maps do.

        What speaks against the class is 0. The largest value of a picture is 1 (of pixel maps, all above their 99th
        percentile are), so maps of two pictures do not compare in strength; a map without evidence stays 0.
        """
        placed = grid or Grid.tiles(raw.shape[-2:], (size, size))
        large = placed.spread(raw.float(), size).clamp_min(0)
        most = large.amax(dim=(1, 2))
        if not self.uses_layer:
            flat = large.flatten(1)
            high = flat.kthvalue(max(1, round(_PIXEL_TOP * flat.shape[1])), dim=1).values
            most = torch.where(high > 0, high, most)
        scale = torch.where(most > 0, most, 1.0)[:, None, None]
        return (large / scale).clamp(0, 1)


_ALL = (
    Method(name="grad-cam", title="Grad-CAM", raw=grad_cam, source="Selvaraju et al. 2017, arXiv:1610.02391"),
    Method(
        name="grad-cam++",
        title="Grad-CAM++",
        raw=grad_cam_plus_plus,
        source="Chattopadhay et al. 2018, arXiv:1710.11063",
    ),
    Method(
        name="layer-cam",
        title="LayerCAM",
        raw=layer_cam,
        source="Jiang et al. 2021, doi:10.1109/TIP.2021.3089943",
    ),
    Method(
        name="hires-cam", title="HiResCAM", raw=hires_cam, source="Draelos and Carin 2020, arXiv:2011.08891"
    ),
    Method(
        name="eigen-cam",
        title="Eigen-CAM",
        raw=eigen_cam,
        by_class=False,
        source="Muhammad and Yeasin 2020, arXiv:2008.00299",
    ),
    Method(
        name="score-cam",
        title="Score-CAM",
        raw=score_cam,
        quick=False,
        source="Wang et al. 2020, arXiv:1910.01279",
    ),
    Method(
        name="integrated-gradients",
        title="integrated gradients",
        raw=integrated_gradients,
        uses_layer=False,
        quick=False,
        fine=True,
        source="Sundararajan et al. 2017, arXiv:1703.01365",
    ),
    Method(
        name="occlusion",
        title="occlusion",
        raw=occlusion,
        uses_layer=False,
        quick=False,
        source="Zeiler and Fergus 2014, arXiv:1311.2901",
    ),
)
METHODS: Mapping[str, Method] = MappingProxyType({one.name: one for one in _ALL})


def method_named(name: str) -> Method:
    """The method of that name.

    Raises:
        PulmoscopeError: There is none; near names are suggested.
    """
    if name in METHODS:
        return METHODS[name]
    near = near_names(name, METHODS, most=2)
    raise PulmoscopeError(
        f"no explanation method {name!r}",
        code="E_METHOD",
        expected=", ".join(METHODS),
        remedy=did_you_mean(near, joined=" or "),
    )
