"""What an explanation leaves in its folder: overlays, raw maps, ``explain.json`` and the gallery."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import pulmoscope
from pulmoscope.explanation import method_named
from pulmoscope.files import atomic_path, or_null, write_bytes, write_json
from pulmoscope.report.gallery_page import write_gallery_page
from pulmoscope.report.overlay import as_bytes, draw_row
from pulmoscope.workflow.explain_gallery import gallery_page, panels_of, strip_of, warnings_of
from pulmoscope.workflow.explain_result import Explained

RESULT = "explain.json"
_PAGE = "gallery.html"
_LEAST_HEIGHT, _MOST_HEIGHT = 320, 1024
_FOLDERS = {"overlays": "*.png", "layers": "*.png"}


def write_files(found: Explained) -> None:
    """Write everything; ``explain.json`` comes last, so a folder that has it is whole.

    Raises:
        StorageError: A file cannot be written.
    """
    folder = found.folder
    (folder / RESULT).unlink(missing_ok=True)
    for name, pattern in _FOLDERS.items():
        # An earlier explanation may have had more pictures.
        for old in (folder / name).glob(pattern):
            old.unlink()
    for row, one in enumerate(found.subjects.pictures):
        height = min(max(one.shown.shape[0], _LEAST_HEIGHT), _MOST_HEIGHT)
        drawn = draw_row(one.shown, panels_of(found, row), height=height)
        write_bytes(folder / "overlays" / _file(row), as_bytes(drawn))
        if found.beliefs:
            drawn = draw_row(one.shown, strip_of(found, row), height=_LEAST_HEIGHT)
            write_bytes(folder / "layers" / _file(row), as_bytes(drawn))
    with atomic_path(folder / "maps.npz") as temporary:
        np.savez_compressed(temporary, **_arrays(found))  # type: ignore[arg-type]
    write_gallery_page(folder / _PAGE, gallery_page(found))
    write_json(folder / RESULT, as_dict(found))


def as_dict(found: Explained) -> dict[str, Any]:
    """The content of ``explain.json``; the numbers of pictures are those of the page and of the files."""
    return {
        "pulmoscope": pulmoscope.__version__,
        "use": "Research use only. Not a medical device.",
        "model": found.name,
        "split": found.split,
        "classes": list(found.classes),
        "methods": [
            {"name": name, "source": method_named(name).source, "layer": found.layers[name]}
            for name in found.methods
        ],
        "stages": [
            {"name": one.name, "path": one.path, "size": list(one.size), "channels": one.channels}
            for one in found.explainers[found.methods[0]].stages()
        ] if any(method_named(name).uses_layer for name in found.methods) else [],
        "prediction_sets": None if found.sets is None else found.sets.as_dict(),
        "galleries": [
            {"pick": pick.name, "of": pick.of, "how": pick.how, "pictures": [row + 1 for row in rows]}
            for pick, rows in found.subjects.galleries
        ],
        "mean_maps": [{"class": one.name, "pictures": one.count} for one in found.means],
        "pictures": [_record(found, row) for row in range(len(found.subjects.pictures))],
        "unread": [{"image": name, "error": reason} for name, reason in found.subjects.unread],
        "probabilities_moved": [row + 1 for row in found.moved],
    }  # fmt: skip


def as_text(found: Explained) -> str:
    """A few lines for the command line."""
    lines = [f"model       {found.name}", f"pictures    {len(found.subjects.pictures)}"]
    for name in found.methods:
        lines.append(f"method      {method_named(name).title}, layer {found.layers[name]}")
    width = max(len(pick.title) for pick, _ in found.subjects.galleries)
    lines += [
        f"gallery     {pick.title:<{width}}  {len(rows)} of {pick.of}"
        for pick, rows in found.subjects.galleries
    ]
    lines += warnings_of(found)
    return "\n".join([*lines, f"written: {found.folder / _PAGE}"])


def _record(found: Explained, row: int) -> dict[str, Any]:
    one, first = found.subjects.pictures[row], found.maps[found.methods[0]]
    probabilities = found.probabilities[row]
    record: dict[str, Any] = {
        "number": row + 1,
        "image_id": one.image_id,
        "label": one.label,
        "predicted": found.classes[int(probabilities.argmax())],
        "explained": found.classes[int(found.targets[row])],
        "probabilities": {name: float(p) for name, p in zip(found.classes, probabilities, strict=True)},
        "overlay": f"overlays/{_file(row)}",
    }
    if found.sets is not None:
        record["prediction_set"] = found.set_of(row)
    if first.stages:
        record["deciding_stage"] = str(first.deciding[row])
    if found.beliefs:
        belief = found.beliefs[row]
        record["shares_of_evidence"] = {
            stage.name: or_null(float(share))
            for stage, share in zip(belief.stages, belief.shares, strict=True)
        }
    return record


def _arrays(found: Explained) -> dict[str, NDArray[Any]]:
    """Of ``maps.npz``; plain arrays, readable without pickles."""
    arrays: dict[str, NDArray[Any]] = {
        "image_id": np.array([one.image_id for one in found.subjects.pictures], np.str_),
        "shape": np.array([one.shape for one in found.subjects.pictures], np.int64),
        "classes": np.array(found.classes, np.str_),
        "target": found.targets,
        "probabilities": found.probabilities,
    }
    for name, maps in found.maps.items():
        arrays[f"raw.{name}"] = maps.raw
        arrays |= {f"raw.{name}.{which}": part.raw for which, part in maps.stages.items()}
    if found.truth_rows:
        arrays["true_class.rows"] = np.array(found.truth_rows, np.int64)
        arrays |= {f"true_class.raw.{name}": maps.raw for name, maps in found.truth_maps.items()}
    for one in found.means:
        arrays[f"mean.{one.name}"] = one.values
    return arrays


def _file(row: int) -> str:
    return f"{row + 1:04}.png"
