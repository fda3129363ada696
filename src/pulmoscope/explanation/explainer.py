"""A trained model's maps of many pictures: batched, of any method and layer, for both stages of a cascade."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from pulmoscope.errors import PulmoscopeError
from pulmoscope.explanation.geometry import grids
from pulmoscope.explanation.layers import Stage, layer_path, stages
from pulmoscope.explanation.methods import method_named
from pulmoscope.inference import Predictor
from pulmoscope.models import Bundle, CascadeClassifier, Classifier

INPUT = "input"


@dataclass(frozen=True, kw_only=True, eq=False)
class Maps:
    """Maps of N pictures.

    Attributes:
        values: (N, S, S) float32 in [0, 1] over the network's square, scaled a picture; what speaks against is 0.
        raw: (N, h, w) float32 as the method gives them, without a scale of their own. Of a cascade whose stages have
            maps of two sizes, in the larger one; ``stages`` has each as it is.
        targets: (N,) the class that each map explains.
        probabilities: (N, C), as prediction gives them.
        layer: Path of the module, or ``input``. Of a cascade that of the second stage.
        method: Its name.
        stages: Of a cascade ``first`` and ``second``, else empty. In the first stage a child of the node is explained
            as the node; in the second a class outside it has no map (NaN).
        deciding: (N,) ``first`` or ``second``, whose map ``values`` and ``raw`` hold; empty texts for one classifier.
    """

    values: NDArray[np.float32]
    raw: NDArray[np.float32]
    targets: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    layer: str
    method: str
    stages: Mapping[str, Maps] = field(default_factory=dict)
    deciding: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.targets)

    @classmethod
    def joined(cls, parts: Sequence[Maps]) -> Maps:
        """Maps of the same explainer, one after the other, as if of one call.

        Of a cascade, parts may differ in the size of their raw maps; the larger is taken for all.
        """

        def whole(name: str) -> Any:
            return np.concatenate([getattr(one, name) for one in parts])

        finer = max((one.raw.shape[1:] for one in parts), key=lambda shape: shape[0] * shape[1])
        return cls(
            values=whole("values"), raw=np.concatenate([_enlarged(one.raw, finer) for one in parts]),
            targets=whole("targets"), probabilities=whole("probabilities"), deciding=whole("deciding"),
            layer=parts[0].layer, method=parts[0].method,
            stages={which: cls.joined([one.stages[which] for one in parts]) for which in parts[0].stages},
        )  # fmt: skip


class Explainer:
    """Maps from a bundle.

    Args:
        bundle: The model.
        method: A name of :data:`~pulmoscope.explanation.METHODS`.
        layer: Name of a stage, path of a module, or None for the last stage. Of a cascade it is looked up in each
            stage, without ``first.`` and ``second.``.
        device: ``auto``, ``cpu`` or ``cuda``.
        batch: Pictures a forward pass.

    Raises:
        PulmoscopeError: No such method or layer.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        method: str = "grad-cam",
        layer: str | None = None,
        device: str = "auto",
        batch: int = 32,
    ) -> None:
        self.bundle = bundle
        self.batch = batch
        self._method = method_named(method)
        self._predictor = Predictor(bundle, device=device, batch=batch)
        self.device = self._predictor.device
        self.network: Classifier | CascadeClassifier = self._predictor.network
        example = self.inputs(np.zeros((1, bundle.preprocess.size, bundle.preprocess.size), np.uint8))
        self._paths = {
            which: layer_path(part, example, layer) if self._method.uses_layer else INPUT
            for which, part in self._parts()
        }
        self._grids = {
            which: grids(part, example, [self._paths[which]])[self._paths[which]]
            for which, part in self._parts()
            if self._method.uses_layer
        }

    @property
    def method(self) -> str:
        """The method's name."""
        return self._method.name

    @property
    def layer(self) -> str:
        """Path of the layer that is explained, ``input`` for methods of pixels; of a cascade the second stage's."""
        return list(self._paths.values())[-1]

    def stages(self) -> tuple[Stage, ...]:
        """The layers that can be explained, in the order of running; of a cascade those of its first stage first."""
        side = self.bundle.preprocess.size
        return stages(self.network, self.inputs(np.zeros((1, side, side), np.uint8)))

    def inputs(self, pictures: NDArray[np.uint8]) -> torch.Tensor:
        """Pictures (N, S, S) as the store keeps them to the network's input (N, C, S, S), on its device."""
        batch = torch.from_numpy(np.ascontiguousarray(pictures)).to(self.device)
        return self.bundle.preprocess.to_input(batch).contiguous(memory_format=torch.channels_last)

    def maps(self, pictures: NDArray[np.uint8], targets: NDArray[np.int64] | None = None) -> Maps:
        """Explain a class of each picture.

        Args:
            pictures: (N, S, S) as the store keeps them.
            targets: (N,) indices of ``bundle.classes``; None for the class that prediction gives.

        Raises:
            PulmoscopeError: The targets do not fit the pictures or the classes.
        """
        count = len(pictures)
        probabilities = self._predictor.probabilities(pictures)
        wanted = probabilities.argmax(axis=1) if targets is None else np.asarray(targets, np.int64)
        if wanted.shape != (count,) or (
            count and not 0 <= wanted.min() <= wanted.max() < len(self.bundle.classes)
        ):
            raise PulmoscopeError(
                "the targets do not fit",
                code="E_TARGET",
                expected=f"{count} indices under {len(self.bundle.classes)}",
                got=f"shape {wanted.shape}"
                if wanted.shape != (count,)
                else f"{wanted.min()} to {wanted.max()}",
            )
        common: dict[str, Any] = {
            "targets": wanted, "probabilities": probabilities, "method": self.method
        }  # fmt: skip
        if isinstance(self.network, Classifier):
            values, raw = self._of(self.network, "", pictures, wanted, np.ones(count, bool))
            nothing = np.full(count, "", np.str_)
            return Maps(values=values, raw=raw, layer=self._paths[""], deciding=nothing, **common)
        spec = self.network.spec
        decided = [spec.stage_of(name) for name in spec.classes]
        deciding = np.array([decided[one][0] for one in wanted], np.str_)
        node = spec.first.classes.index(spec.node)
        below = deciding == "second"
        own = np.array([decided[one][1] for one in wanted], np.int64)
        stage_targets = {"first": np.where(below, node, own), "second": np.where(below, own, 0)}
        parts = {}
        for which, part in self._parts():
            asked = below if which == "second" else np.ones(count, bool)
            values, raw = self._of(part, which, pictures, stage_targets[which], asked)
            parts[which] = Maps(values=values, raw=raw, layer=self._paths[which], deciding=deciding, **common)
        finer = max((one.raw.shape[1:] for one in parts.values()), key=lambda shape: shape[0] * shape[1])
        first, second = (_enlarged(parts[which].raw, finer) for which in ("first", "second"))
        return Maps(
            values=np.where(below[:, None, None], parts["second"].values, parts["first"].values),
            raw=np.where(below[:, None, None], second, first),
            layer=self.layer, stages=parts, deciding=deciding, **common,
        )  # fmt: skip

    def to_original(self, values: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
        """Lay a map over the network's square back on the original picture: crop, padding and resize undone.

        Args:
            values: (S, S) in [0, 1], one of :attr:`Maps.values`.
            shape: Height and width of the original picture.

        Returns:
            (H, W) float32 in [0, 1]; zero where the original was cropped away.
        """
        return np.clip(self.bundle.preprocess.unmap(values, shape[1], shape[0]), 0, 1).astype(np.float32)

    def _parts(self) -> tuple[tuple[str, Classifier], ...]:
        if isinstance(self.network, CascadeClassifier):
            return ("first", self.network.first), ("second", self.network.second)
        return (("", self.network),)

    def _of(
        self,
        network: Classifier,
        which: str,
        pictures: NDArray[np.uint8],
        targets: NDArray[np.int64],
        asked: NDArray[np.bool_],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Values (N, S, S) and raw maps (N, h, w) of one network; NaN where they were not asked for."""
        side = self.bundle.preprocess.size
        rows = np.flatnonzero(asked)
        values = np.full((len(pictures), side, side), np.nan, np.float32)
        raw: NDArray[np.float32] | None = None
        for start in range(0, len(rows), self.batch):
            some = rows[start : start + self.batch]
            inputs = self.inputs(pictures[some])
            wanted = torch.from_numpy(targets[some]).to(self.device)
            found = self._method.raw(network, inputs, wanted, self._paths[which])
            values[some] = self._method.scaled(found, side, self._grids.get(which)).cpu().numpy()
            if raw is None:
                raw = np.full((len(pictures), *found.shape[1:]), np.nan, np.float32)
            raw[some] = found.cpu().numpy()
        return values, np.full((len(pictures), 1, 1), np.nan, np.float32) if raw is None else raw


def _enlarged(raw: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    if raw.shape[1:] == shape:
        return raw
    large = functional.interpolate(torch.from_numpy(raw)[:, None], size=shape, mode="bilinear")
    return np.asarray(large[:, 0].numpy(), np.float32)
