"""Weights from another run: pretrain on one collection, go on with another."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from pulmoscope.errors import WeightsError
from pulmoscope.imaging import Preprocess
from pulmoscope.models.bundle import WEIGHTS_FILE, load_bundle
from pulmoscope.models.fitting import fit_by_name
from pulmoscope.models.registry import resolve
from pulmoscope.models.spec import ModelSpec, WeightsOrigin
from pulmoscope.models.state_files import file_sha256

_ADDRESS = re.compile(r"run[=:](?P<path>[^#]+)(#(?P<stage>.*))?")


class Trained(NamedTuple):
    """One classifier of another run.

    Attributes:
        spec: Its architecture.
        preprocess: The recipe of its input.
        backbone: Names to tensors.
        origin: What a run that starts from it says of it.
    """

    spec: ModelSpec
    preprocess: Preprocess
    backbone: dict[str, torch.Tensor]
    origin: WeightsOrigin


def is_run(weights: str) -> bool:
    """Whether a recipe's ``weights`` name another run."""
    return weights.startswith(("run=", "run:"))


def trained_run(weights: str) -> Path | None:
    """The folder of the run that ``run=RUN`` names, whose cohort says what it learned from; None for other weights."""
    match = _ADDRESS.fullmatch(weights)
    if match is None:
        return None
    path = Path(match["path"]).expanduser()
    return path.parent if path.name == "model" and (path / "model.json").is_file() else path


def read_run(weights: str) -> Trained:
    """The model of ``run=RUN``; of a cascade, one stage: ``run=RUN#first`` or ``run=RUN#second``.

    Args:
        weights: RUN is a run's folder or that of a saved model.

    Raises:
        BundleError: The folder holds no model, or a damaged one.
        WeightsError: It is a cascade and no stage is named, or the other way round.
    """
    match = _ADDRESS.fullmatch(weights)
    if match is None:
        raise WeightsError(f"unknown weights {weights!r}", expected="run=RUN, the folder of a run or model")
    path, stage = Path(match["path"]).expanduser(), match["stage"]
    folder = path / "model" if (path / "model" / "model.json").is_file() else path
    if folder is path and (path / "folds").is_dir():
        raise WeightsError(
            f"{path} is a cross-validation: it holds one model a fold",
            remedy=f"name one of them, as in run={path / 'folds' / 'fold-0'}",
        )
    bundle = load_bundle(folder)
    spec, prefix = bundle.spec, "backbone."
    # A run is known by the name of its folder: the rest of the path means nothing on another machine.
    name = folder.resolve().parent.name if folder.name == "model" else folder.resolve().name
    if not isinstance(spec, ModelSpec):
        if stage not in {"first", "second"}:
            raise WeightsError(
                f"{path} is a cascade of two networks",
                expected=f"run={path}#first or run={path}#second",
                got=weights,
            )
        spec = spec.first if stage == "first" else spec.second
        name, prefix = f"{name}#{stage}", f"{stage}.backbone."
    elif stage is not None:
        raise WeightsError(f"{path} is one network, not a cascade", expected=f"run={path}", got=weights)
    origin = WeightsOrigin(
        name=f"run={name}",
        source=f"run {name}: {spec.backbone} for {', '.join(spec.classes)}, begun from {bundle.origin.name}",
        sha256=file_sha256(folder / WEIGHTS_FILE),
        licence=bundle.origin.licence,
    )
    backbone = {
        key.removeprefix(prefix): value for key, value in bundle.weights.items() if key.startswith(prefix)
    }
    return Trained(spec=spec, preprocess=bundle.preprocess, backbone=backbone, origin=origin)


def load_run(network: nn.Module, backbone: str, weights: str) -> WeightsOrigin:
    """Put the backbone of another run into a backbone of the same architecture, in place.

    Raises:
        BundleError: As :func:`read_run`.
        WeightsError: It is another architecture.
    """
    trained = read_run(weights)
    if resolve(trained.spec.backbone) != resolve(backbone):
        raise WeightsError(
            f"{trained.origin.name} trained another backbone",
            expected=backbone,
            got=trained.spec.backbone,
            remedy=f"set model.backbone={trained.spec.backbone}, or start from a run of {backbone}",
        )
    options = ", ".join(f"{key}={value}" for key, value in trained.spec.options.items()) or "none"
    fit_by_name(network, trained.backbone, f"{trained.origin.name} (its options: {options})", exact=True)
    return trained.origin
