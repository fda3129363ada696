"""A saved model: safetensors and JSON, nothing that can run."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from pulmoscope.errors import BundleError, PulmoscopeError
from pulmoscope.evaluation.operating import OperatingPoint
from pulmoscope.evaluation.recalibrate import Calibrator, calibrator_from_dict
from pulmoscope.files import atomic_path, write_json
from pulmoscope.imaging import Preprocess
from pulmoscope.models.cascade import CascadeClassifier, CascadeSpec, build_network
from pulmoscope.models.network import Classifier
from pulmoscope.models.spec import ModelSpec, WeightsOrigin
from pulmoscope.models.state_files import file_sha256

# 2 added cascades, heads that need the picture's size, options of backbones and views; 3 added the calibration, which a
# program that does not know it would leave out, and operating points. Formats 1 and 2 are read as before.
FORMAT = 3
_READABLE = (1, 2, 3)
WEIGHTS_FILE = "weights.safetensors"
MODEL_FILE = "model.json"
_KINDS: dict[str, type[ModelSpec] | type[CascadeSpec]] = {"classifier": ModelSpec, "cascade": CascadeSpec}


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A trained classifier with all that its prediction needs.

    Attributes:
        spec: Architecture and class order, of one classifier or of a cascade.
        preprocess: The frozen recipe from grey pixels to the network's input.
        weights: State of the network on the CPU, float32; a cascade's names start with ``first.`` and ``second.``.
        origin: Where its starting weights came from.
        notes: What a user of the model must know: training data, caveats, licence.
        views: Fixed variations of a picture whose probabilities are averaged; 1 is the picture alone.
        calibration: Applied to the averaged probabilities; None leaves them as the network gives them. Fitted on
            validation pictures only.
        operating_points: Thresholds on the probabilities after calibration, chosen on validation pictures and fixed.
    """

    spec: ModelSpec | CascadeSpec
    preprocess: Preprocess
    weights: dict[str, torch.Tensor]
    origin: WeightsOrigin
    notes: dict[str, Any] = field(default_factory=dict)
    views: int = 1
    calibration: Calibrator | None = None
    operating_points: tuple[OperatingPoint, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the probabilities."""
        return self.spec.classes

    @property
    def validation_shares(self) -> tuple[float, ...] | None:
        """Share of each class among the validation pictures, as the operating points counted them; else None."""
        found = {
            point.positive: (judged.true_positives + judged.false_negatives, judged.total)
            for point in self.operating_points
            for judged in (point.validation,)
        }
        if set(found) != set(self.classes) or not all(total for _, total in found.values()):
            return None
        return tuple(found[name][0] / found[name][1] for name in self.classes)

    def network(self) -> Classifier | CascadeClassifier:
        """A fresh network with these weights, in evaluation mode.

        Raises:
            BundleError: The weights are not those of the architecture.
        """
        network = build_network(self.spec, seed=0)
        try:
            network.load_state_dict(self.weights, strict=True)
        except RuntimeError as error:
            raise BundleError(
                "the weights do not fit the architecture of the model",
                got=str(error)[:200],
                remedy="train again, or use the version that saved it",
            ) from error
        return network.eval()

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``weights.safetensors`` and ``model.json`` into ``folder``; each is whole or absent.

        Raises:
            StorageError: The folder cannot be written.
        """
        target = Path(folder)
        with atomic_path(target / WEIGHTS_FILE) as temporary:
            save_file({name: value.contiguous() for name, value in self.weights.items()}, temporary)
            checksum = file_sha256(temporary)
        self._describe(target, checksum)
        return target

    def save_description(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``model.json`` anew beside the weights that lie in ``folder``, which stay as they are.

        Raises:
            BundleError: The weights there are not these.
            StorageError: The folder cannot be written.
        """
        target = Path(folder)
        kept = load_bundle(target).weights
        if kept.keys() != self.weights.keys() or not all(
            torch.equal(kept[name], value) for name, value in self.weights.items()
        ):
            raise BundleError(f"{target} holds other weights", remedy="save the whole model instead")
        self._describe(target, file_sha256(target / WEIGHTS_FILE))
        return target

    def _describe(self, target: Path, checksum: str) -> None:
        write_json(
            target / MODEL_FILE,
            {
                "format": FORMAT,
                "use": "Research use only. Not a medical device.",
                "kind": "classifier" if isinstance(self.spec, ModelSpec) else "cascade",
                "architecture": self.spec.model_dump(mode="json", exclude={"classes"}),
                "classes": list(self.classes),
                "preprocess": self.preprocess.model_dump(mode="json"),
                "predict": {"views": self.views},
                "calibration": None if self.calibration is None else self.calibration.as_dict(),
                "operating_points": [point.as_dict() for point in self.operating_points],
                "weights_sha256": checksum,
                "weights_origin": self.origin.model_dump(mode="json"),
                "notes": self.notes,
            },
        )


def load_bundle(folder: str | os.PathLike[str]) -> Bundle:
    """Read a bundle and check it.

    Raises:
        BundleError: A file is missing, torn, altered or of another format.
    """
    source = Path(folder)
    model_file, weights_file = source / MODEL_FILE, source / WEIGHTS_FILE
    for path in (model_file, weights_file):
        if not path.is_file():
            raise BundleError(
                f"{source} holds no model: {path.name} is missing", remedy="name a run or its model/ folder"
            )
    try:
        content = json.loads(model_file.read_text("utf-8"))
        if content["format"] not in _READABLE:
            raise BundleError(
                f"{model_file} is of another format", expected=f"format {FORMAT}", got=str(content["format"])
            )
        kind = _KINDS[content.get("kind", "classifier")]
        spec = kind.model_validate({**content["architecture"], "classes": content["classes"]})
        preprocess = Preprocess.model_validate(content["preprocess"])
        origin = WeightsOrigin.model_validate(content["weights_origin"])
        expected, notes = content["weights_sha256"], content["notes"]
        views = _checked_views(content.get("predict", {}).get("views", 1))
        calibration = _calibration(content, len(spec.classes))
        points = _operating_points(content, spec.classes)
    except BundleError:
        raise
    except PulmoscopeError as error:
        raise BundleError(f"{model_file} cannot be read", got=str(error)) from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BundleError(f"{model_file} cannot be read", got=type(error).__name__) from error
    got = file_sha256(weights_file)
    if got != expected:
        raise BundleError(
            f"{weights_file} is not the file that {MODEL_FILE} describes",
            expected=f"sha256 {expected[:12]}",
            got=got[:12],
            remedy="copy the folder again, or train again with --resume",
        )
    try:
        weights = load_file(weights_file)
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{weights_file} cannot be read", got=type(error).__name__) from error
    return Bundle(
        spec=spec, preprocess=preprocess, weights=weights, origin=origin, notes=notes, views=views,
        calibration=calibration, operating_points=points,
    )  # fmt: skip


def _checked_views(value: object) -> int:
    if type(value) is not int or value < 1:
        raise ValueError(f"expected at least one view, got {value!r}")
    return value


def _calibration(content: dict[str, Any], classes: int) -> Calibrator | None:
    stored = content["calibration"] if content["format"] >= 3 else None
    if stored is None:
        return None
    found = calibrator_from_dict(stored)
    if found.classes != classes:
        raise PulmoscopeError(
            "the stored calibration is of another model", code="E_CALIBRATION",
            expected=f"{classes} classes", got=f"{found.classes}",
        )  # fmt: skip
    return found


def _operating_points(content: dict[str, Any], classes: tuple[str, ...]) -> tuple[OperatingPoint, ...]:
    stored = content["operating_points"] if content["format"] >= 3 else []
    points = tuple(OperatingPoint.from_dict(one) for one in stored)
    strange = sorted({point.positive for point in points} - set(classes))
    if strange:
        raise PulmoscopeError(
            "the stored operating points are of another model", code="E_OPERATING",
            expected=f"classes {', '.join(classes)}", got=", ".join(strange),
        )  # fmt: skip
    return points
