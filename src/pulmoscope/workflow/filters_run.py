"""A run's filters: what they look for before and after training, how far they moved, and which of them are dead."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pulmoscope.errors import PulmoscopeError, RunError
from pulmoscope.explanation.dead import TOLERANCE, LayerUse, layer_use, use_table
from pulmoscope.explanation.feature_maps import convolution_named
from pulmoscope.explanation.filters import exciting_pictures, first_kernels
from pulmoscope.explanation.following import WeightLayer, weight_layers
from pulmoscope.explanation.layer_change import LayerChange, change_table, layer_changes
from pulmoscope.files import atomic_path, exclusive, or_null, write_json
from pulmoscope.models import Bundle, CascadeClassifier, build_network, load_weights
from pulmoscope.workflow.parts import decode_all
from pulmoscope.workflow.results_folder import refuse_other_content
from pulmoscope.workflow.run import Run

log = logging.getLogger("pulmoscope")

RESULT = "filters.json"
START = "start"
_WATCHED, _BATCH, _CHANNELS, _DRAWN_KERNELS = 512, 32, 8, 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Excited:
    """Pictures that excite some channels of one layer.

    Attributes:
        layer: The convolution.
        channels: Which of it.
        after: (K, s, s) in [0, 1], of the trained network.
        answers: (K,) in standard deviations above noise.
        before: The same of the network before; None where there is none.
    """

    layer: WeightLayer
    channels: Sequence[int]
    after: NDArray[np.float32]
    answers: NDArray[np.float64]
    before: NDArray[np.float32] | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Filters:
    """What was found.

    Attributes:
        name: Of the run.
        before: What ``before`` is, in words; None where nothing was compared.
        watched: Validation pictures on which the channels were watched.
        layers: Dead weights and channels, in the order of running.
        changes: From before to after, layer by layer; empty where nothing was compared.
        excited: Pictures a layer.
        folder: Where everything was written.
    """

    name: str
    before: str | None
    watched: int
    layers: Sequence[LayerUse]
    changes: Sequence[LayerChange]
    excited: Sequence[Excited] = field(default_factory=tuple)
    folder: Path

    def as_dict(self) -> dict[str, Any]:
        """The content of ``filters.json``."""
        return {
            "use": "Research use only. Not a medical device.",
            "run": self.name,
            "before": self.before,
            "tolerance": TOLERANCE,
            "watched_validation_pictures": self.watched,
            "layers": [one.as_dict() for one in self.layers],
            "changes": [one.as_dict() for one in self.changes],
            "excited": [
                {
                    "layer": one.layer.path, "channels": list(one.channels),
                    "deviations_above_noise": [or_null(float(value)) for value in one.answers],
                }
                for one in self.excited
            ],
        }  # fmt: skip

    def __str__(self) -> str:
        """The tables."""
        lines = [
            f"model       {self.name}",
            f"watched     {self.watched} validation pictures; zero is {TOLERANCE:g} of the layer's largest",
            "",
            use_table(self.layers),
        ]
        if self.changes:
            lines += ["", f"change from {self.before}", "", change_table(self.changes)]
        return "\n".join([*lines, "", f"written: {self.folder}"])


def look_at_filters(
    place: str | os.PathLike[str],
    *,
    before: str | os.PathLike[str] | None = None,
    layers: Sequence[str] = (),
    out: str | os.PathLike[str] | None = None,
) -> Filters:
    """Write ``kernels.png``, ``excited_LAYER.png``, ``filters.npz`` and ``filters.json``.

    Args:
        place: A run's folder, with its validation pictures still readable.
        before: ``start`` for the weights that the training began from, which the run's recipe names, or another run of
            the same architecture; None compares with nothing.
        layers: Convolutions whose channels are excited, such as ``conv4``, of a cascade ``second.conv4``; three spread
            over the depth by default.
        out: Folder; by default ``filters`` in the run's. It may hold an earlier look, nothing else.

    Raises:
        PulmoscopeError: No such layer, or a file cannot be read or written.
        RunError: There is no validation part, or ``before`` is of another architecture.
    """
    run = Run(place)
    bundle = run.model
    folder = run.folder / "filters" if out is None else Path(out)
    refuse_other_content(folder, RESULT, what=f"an earlier {RESULT}")
    network = bundle.network()
    side = bundle.preprocess.size
    example = torch.zeros(1, bundle.preprocess.channels, side, side)
    convolutions = [one for one in weight_layers(network, example) if one.kind == "convolution"]
    if not convolutions:
        raise PulmoscopeError(
            "the network has no convolution to look at", code="E_LAYER", got=type(network).__name__
        )
    wanted = [_convolution(name, convolutions) for name in layers] or _spread(convolutions)
    earlier, said = _before(run, bundle, before)
    batches, watched = _pictures(run, bundle)
    use = layer_use(network, batches)
    changes = () if earlier is None else layer_changes(earlier.state_dict(), network.state_dict())
    excited = []
    for number, one in enumerate(wanted, 1):
        # The long part: hundreds of steps through the network, twice where there is an earlier one.
        log.info("pictures that excite %s, layer %d of %d", one.path, number, len(wanted))
        excited.append(_excite(network, earlier, bundle, one))
    found = Filters(
        name=run.folder.resolve().name, before=said, watched=watched, layers=use, changes=changes, excited=excited,
        folder=folder,
    )  # fmt: skip
    firsts = _first_of_each(convolutions)
    with exclusive(folder):
        (folder / RESULT).unlink(missing_ok=True)
        for old in folder.glob("*.png"):
            # An earlier look may have had other layers.
            old.unlink()
        _write(found, network, earlier, firsts)
        write_json(folder / RESULT, found.as_dict())
    return found


def starting_network(run: Run) -> nn.Module:
    """The network as the run's training began: drawn from its seed, then the recipe's weights put in.

    Args:
        run: Of one classifier or a cascade.

    Raises:
        WeightsError: The weights are no longer there, or have changed since.
    """
    bundle = run.model
    network = build_network(bundle.spec, seed=int(run.environment.get("seed", 0)))
    stages = [network.first, network.second] if isinstance(network, CascadeClassifier) else [network]
    origins = [
        load_weights(stage.backbone, stage.spec.backbone, stage.spec.channels, recipe.model.weights)
        for stage, recipe in zip(stages, run.recipe.networks, strict=True)
    ]
    if len(stages) == 1 and origins[0].sha256 != bundle.origin.sha256:
        raise RunError(
            "the starting weights are not those that the run began from",
            code="E_WEIGHTS",
            expected=f"sha256 {(bundle.origin.sha256 or 'none')[:12]}",
            got=(origins[0].sha256 or "none")[:12],
        )
    return network.eval()


def _before(
    run: Run, bundle: Bundle, before: str | os.PathLike[str] | None
) -> tuple[nn.Module | None, str | None]:
    if before is None:
        return None, None
    if os.fspath(before) == START:
        return starting_network(run), f"the start ({bundle.origin.name})"
    other = Run(before)
    network = other.model.network()
    mine, theirs = (
        {name: tuple(value.shape) for name, value in one.items() if not name.startswith("head.")}
        for one in (bundle.weights, other.model.weights)
    )
    if mine != theirs:
        raise RunError(
            f"{before} is of another architecture", remedy="name a run of the same backbone and channels"
        )
    return network, f"run {other.folder.resolve().name}"


def _pictures(run: Run, bundle: Bundle) -> tuple[Iterator[torch.Tensor], int]:
    """Validation pictures as the network takes them, evenly spread over the part."""
    if not (run.cohort.frame["split"] == "val").any():
        raise RunError(f"{run.folder} has no validation part to watch the channels on")
    parts = decode_all(run.cohort, bundle.preprocess, progress=False)
    rows = parts.examples("val").rows
    if len(rows) > _WATCHED:
        rows = rows[np.linspace(0, len(rows) - 1, _WATCHED).round().astype(int)]

    def batches() -> Iterator[torch.Tensor]:
        for start in range(0, len(rows), _BATCH):
            stored = np.asarray(parts.store.pixels[rows[start : start + _BATCH]])
            yield bundle.preprocess.to_input(torch.from_numpy(stored))

    return batches(), len(rows)


def _convolution(name: str, convolutions: Sequence[WeightLayer]) -> WeightLayer:
    found = convolution_named(name, convolutions)
    if found is None:
        found = next((one for one in convolutions if one.path == name), None)
    if found is None:
        raise PulmoscopeError(
            f"{name!r} is no convolution of the network",
            code="E_LAYER",
            expected=f"conv1 to conv{len(convolutions)}, or its path, as in {convolutions[-1].path}",
        )
    return found


def _spread(convolutions: Sequence[WeightLayer]) -> list[WeightLayer]:
    """Three that have an activation after them, at a third, two thirds and the end of the depth."""
    active = [one for one in convolutions if one.activation] or list(convolutions)
    return [active[round(place * (len(active) - 1))] for place in (1 / 3, 2 / 3, 1.0)][-len(active) :]


def _first_of_each(convolutions: Sequence[WeightLayer]) -> list[WeightLayer]:
    """The convolution on the picture; of a cascade that of each stage."""
    found: dict[str, WeightLayer] = {}
    for one in convolutions:
        found.setdefault(one.path.partition("backbone.")[0], one)
    return list(found.values())


def _excite(network: nn.Module, earlier: nn.Module | None, bundle: Bundle, layer: WeightLayer) -> Excited:
    channels = list(range(min(_CHANNELS, layer.channels)))
    after, answers = exciting_pictures(network, bundle.preprocess, layer.last, channels)
    first = (
        None if earlier is None else exciting_pictures(earlier, bundle.preprocess, layer.last, channels)[0]
    )
    return Excited(layer=layer, channels=channels, after=after, answers=answers, before=first)


def _write(
    found: Filters, network: nn.Module, earlier: nn.Module | None, firsts: Sequence[WeightLayer]
) -> None:
    from pulmoscope.report.figures.contact_sheet import Sheet, draw_sheets
    from pulmoscope.report.style import save_png

    arrays: dict[str, NDArray[Any]] = {}
    for layer in firsts:
        sheets = []
        for name, one in (("before", earlier), ("after", network)):
            if one is None:
                continue
            kernels = first_kernels(one, layer.path)
            arrays[f"kernels.{name}.{layer.path}"] = kernels
            sheets.append(Sheet(title=name, tiles=kernels[:_DRAWN_KERNELS], centred=True))
        stage = layer.path.partition("backbone.")[0].rstrip(".")
        figure = draw_sheets(sheets, columns=8, beside=True, title=f"kernels of {layer.path}")
        save_png(figure, found.folder / (f"kernels_{stage}.png" if stage else "kernels.png"))
    for excited in found.excited:
        path = excited.layer.path
        names = [str(channel) for channel in excited.channels]
        pairs = [("after", excited.after)] if excited.before is None else [
            ("before", excited.before), ("after", excited.after)
        ]  # fmt: skip
        blocks = [Sheet(title=name, tiles=tiles, names=names) for name, tiles in pairs]
        arrays |= {f"excited.{name}.{path}": tiles for name, tiles in pairs}
        save_png(
            draw_sheets(blocks, columns=4, beside=True, title=f"pictures that excite channels of {path}"),
            found.folder / f"excited_{path.replace('.', '_')}.png",
        )
    with atomic_path(found.folder / "filters.npz") as temporary:
        np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]
