"""What a network makes of single pictures: contact sheets of its feature maps."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pulmoscope.errors import RunError
from pulmoscope.explanation.feature_maps import LayerMaps, feature_maps
from pulmoscope.files import atomic_path, exclusive, write_json
from pulmoscope.workflow.explain_subjects import of_files, open_model
from pulmoscope.workflow.results_folder import refuse_other_content

RESULT = "features.json"
_SHOWN = 48
# After ReLU a channel that says nothing of this picture is 0; of other layers, all but constant.
_FLAT = 1e-6


@dataclass(frozen=True, kw_only=True, eq=False)
class Looked:
    """Feature maps of some pictures.

    Attributes:
        name: Of the model.
        pictures: Their names as given, in order.
        layers: Maps of all of them, layer by layer.
        unread: Name and reason of each that could not be read.
        folder: Where everything was written.
    """

    name: str
    pictures: Sequence[str]
    layers: Sequence[LayerMaps]
    unread: Sequence[tuple[str, str]]
    folder: Path

    def as_dict(self) -> dict[str, Any]:
        """The content of ``features.json``."""
        return {
            "use": "Research use only. Not a medical device.",
            "model": self.name,
            "pictures": [
                {"number": number, "image": name, "sheet": f"{number:04}.png"}
                for number, name in enumerate(self.pictures, start=1)
            ],
            "layers": [
                {
                    "name": one.name, "path": one.path, "channels": one.values.shape[1],
                    "size": list(one.values.shape[2:]),
                    "silent_channels": [int(count) for count in _silent(one).sum(axis=1)],
                }
                for one in self.layers
            ],
            "unread": [{"image": name, "error": reason} for name, reason in self.unread],
        }  # fmt: skip

    def __str__(self) -> str:
        """A few lines for the command line."""
        lines = [f"model       {self.name}", f"pictures    {len(self.pictures)}"]
        for one in self.layers:
            height, width = one.values.shape[2:]
            silent = ", ".join(str(int(count)) for count in _silent(one).sum(axis=1)[:8])
            more = ", ..." if len(self.pictures) > 8 else ""
            lines.append(
                f"layer       {one.name} ({one.path}): {one.values.shape[1]} channels of {height} x {width}, "
                f"without contrast on each picture: {silent}{more}"
            )
        lines += [f"unread      {name}: {reason}" for name, reason in self.unread]
        return "\n".join([*lines, f"written: {self.folder}"])


def look_at(
    place: str | os.PathLike[str],
    images: Sequence[Path],
    *,
    layers: Sequence[str] = (),
    out: str | os.PathLike[str],
) -> Looked:
    """Write a contact sheet a picture, all raw maps (``features.npz``) and ``features.json``.

    Args:
        place: A run's folder or a bundle's.
        images: Pictures or DICOM files.
        layers: As of :func:`~pulmoscope.explanation.feature_maps.feature_maps`; all stages by default.
        out: Folder; it may hold an earlier look, nothing else.

    Raises:
        PulmoscopeError: No such layer, or a file cannot be written.
        RunError: No picture could be read.
    """
    bundle, _ = open_model(place)
    if not images:
        raise RunError("there is no picture to look at", code="E_USAGE", expected="files after --images")
    folder = Path(out)
    refuse_other_content(folder, RESULT, what=f"an earlier {RESULT}")
    subjects = of_files(images, bundle.preprocess)
    stored = np.stack([one.stored for one in subjects.pictures])
    maps = feature_maps(bundle.network(), bundle.preprocess.to_input(torch.from_numpy(stored)), layers)
    found = Looked(
        name=Path(place).resolve().name, pictures=[one.image_id for one in subjects.pictures], layers=maps,
        unread=subjects.unread, folder=folder,
    )  # fmt: skip
    with exclusive(folder):
        (folder / RESULT).unlink(missing_ok=True)
        for old in folder.glob("[0-9][0-9][0-9][0-9].png"):
            # An earlier look may have had more pictures.
            old.unlink()
        for row, picture in enumerate(stored):
            _draw(found, row, picture)
        arrays = {f"maps.{one.name}": one.values for one in maps}
        with atomic_path(folder / "features.npz") as temporary:
            np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]
        write_json(folder / RESULT, found.as_dict())
    return found


def _silent(maps: LayerMaps) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Channels without contrast on each picture, (N, D)."""
    spread = np.ptp(maps.values, axis=(2, 3))
    return np.asarray(
        spread <= _FLAT * np.abs(maps.values).max(axis=(1, 2, 3), keepdims=False)[:, None], np.bool_
    )


def _draw(found: Looked, row: int, picture: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    from pulmoscope.report.figures.contact_sheet import Sheet, draw_sheets
    from pulmoscope.report.style import save_png

    sheets = []
    for one in found.layers:
        values = one.values[row]
        count, height, width = values.shape
        # Of many channels those with most contrast; of few all, in their own order.
        order = (
            np.argsort(-values.std(axis=(1, 2)), kind="stable")[:_SHOWN]
            if count > _SHOWN
            else np.arange(count)
        )
        what = f"the {_SHOWN} of most contrast of {count}" if count > _SHOWN else f"{count} channels"
        silent = _silent(one)[row]
        note = f", {int(silent.sum())} without contrast (crossed out)" if silent[order].any() else ""
        sheets.append(
            Sheet(
                title=f"{one.name}: {height} x {width}, {what}{note}", tiles=values[order],
                names=[str(index) for index in order], empty=silent[order],
            )
        )  # fmt: skip
    shown = (picture / 255).astype(np.float32)
    save_png(draw_sheets(sheets, picture=shown), found.folder / f"{row + 1:04}.png")
