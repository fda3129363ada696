"""Which pictures are explained: of a run's predictions by kind, or files as given."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pulmoscope.errors import ImageError, RunError
from pulmoscope.evaluation import Predictions
from pulmoscope.explanation import DEFAULT_PICKS, Pick, pick_rows
from pulmoscope.imaging import Preprocess, decode
from pulmoscope.models import Bundle, load_bundle
from pulmoscope.workflow.run import Run

# Radiographs of 4,000 pixels are shown smaller; the maps are coarser than that anyway.
_SHOWN_SIDE = 1024


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A picture that is explained.

    Attributes:
        image_id: Of the cohort, or the path of the file.
        stored: (S, S) as the network's store keeps it.
        shown: (H, W) in [0, 1], the original, its longer side at most 1,024 pixels.
        shape: Height and width of the original.
        label: True class; None where it is not known.
        given: Probabilities (C,) of the predictions table; None for files.
    """

    image_id: str
    stored: NDArray[np.uint8]
    shown: NDArray[np.float32]
    shape: tuple[int, int]
    label: str | None = None
    given: NDArray[np.float64] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Subjects:
    """The pictures and the galleries that they make.

    Attributes:
        pictures: Each once.
        galleries: Picks, and which of ``pictures`` each shows.
        unread: Name and reason of each that could not be read.
    """

    pictures: Sequence[Subject]
    galleries: Sequence[tuple[Pick, Sequence[int]]]
    unread: Sequence[tuple[str, str]] = field(default_factory=tuple)


def open_model(place: str | os.PathLike[str]) -> tuple[Bundle, Run | None]:
    """The model of a run or a bundle's folder, and the run where there is one.

    Raises:
        BundleError: There is no model, or it is torn.
        RunError: The folder is a cross-validation, which has a model a fold.
    """
    folder = Path(place)
    if (folder / "recipe.yaml").is_file():
        run = Run(folder)
        return run.model, run
    return load_bundle(folder if (folder / "model.json").is_file() else folder / "model"), None


def picked(
    run: Run, preprocess: Preprocess, picks: Sequence[str], *, split: str, limit: int, positive: str | None
) -> Subjects:
    """Pictures of one part of a run by kind; a picture that is in several galleries is read once.

    Raises:
        RunError: The run has no predictions of that part.
        PulmoscopeError: A pick is unknown.
    """
    table = run.predict(split)
    found = pick_rows(table, picks or DEFAULT_PICKS, limit=limit, positive=positive)
    rows = list(dict.fromkeys(int(row) for one in found for row in one.rows))
    pictures, places, unread = read_rows(run, table, preprocess, rows)
    galleries = [(one, [places[int(row)] for row in one.rows if int(row) in places]) for one in found]
    return Subjects(pictures=pictures, galleries=galleries, unread=unread)


def read_rows(
    run: Run, table: Predictions, preprocess: Preprocess, rows: Sequence[int]
) -> tuple[list[Subject], dict[int, int], list[tuple[str, str]]]:
    """Pictures of rows of a predictions table, the place of each row among them, and those that could not be read."""
    paths = dict(zip(run.cohort.frame["image_id"], run.cohort.frame["path"], strict=True))
    ids, labels = table.frame["image_id"].astype(str).tolist(), table.labels
    probabilities = table.probabilities
    pictures: list[Subject] = []
    places: dict[int, int] = {}
    unread: list[tuple[str, str]] = []
    for row in rows:
        if ids[row] not in paths:
            raise RunError(
                f"the cohort of {run.folder} does not hold {ids[row]}",
                remedy="copy the run's folder again, whole",
            )
        try:
            place = len(pictures)
            pictures.append(
                _read(
                    str(paths[ids[row]]), preprocess, image_id=ids[row], label=table.classes[labels[row]],
                    given=None if probabilities is None else probabilities[row],
                )
            )  # fmt: skip
            places[row] = place
        except ImageError as error:
            unread.append((ids[row], str(error)))
    return pictures, places, unread


def of_files(paths: Sequence[Path], preprocess: Preprocess) -> Subjects:
    """Files as given, in one gallery.

    Raises:
        RunError: None of them could be read.
    """
    pictures: list[Subject] = []
    unread: list[tuple[str, str]] = []
    for path in paths:
        try:
            pictures.append(_read(os.fspath(path), preprocess, image_id=os.fspath(path)))
        except ImageError as error:
            unread.append((os.fspath(path), str(error)))
    if not pictures:
        raise RunError(
            "there is no picture to explain",
            code="E_MISSING",
            got=unread[0][1] if unread else "no file",
            expected="pictures or DICOM files after --images",
        )
    pick = Pick(
        name="images", title="Pictures as given", rows=np.arange(len(pictures)), of=len(paths), how="in order"
    )
    return Subjects(pictures=pictures, galleries=[(pick, list(range(len(pictures))))], unread=unread)


def _read(
    path: str,
    preprocess: Preprocess,
    *,
    image_id: str,
    label: str | None = None,
    given: NDArray[np.float64] | None = None,
) -> Subject:
    pixels = decode(path).pixels
    height, width = pixels.shape
    scale = min(1.0, _SHOWN_SIDE / max(height, width))
    shown = pixels
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        shown = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.float32)
    return Subject(
        image_id=image_id, stored=preprocess.to_store(pixels), shown=shown, shape=(height, width),
        label=label, given=given,
    )  # fmt: skip
