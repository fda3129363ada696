"""Which pictures a scorecard is made of, and the lungs and lesions that are known on them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from pulmoscope.cohort.sources.listed import attach_masks
from pulmoscope.errors import ImageError, RunError
from pulmoscope.evaluation import Predictions
from pulmoscope.imaging import Preprocess
from pulmoscope.workflow.explain_subjects import read_rows
from pulmoscope.workflow.run import Run


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """Pictures of one part of a run.

    Attributes:
        image_ids: (N,).
        stored: (N, S, S) as the network's store keeps them.
        labels: (N,) true classes.
        groups: (N,) whose intervals are over.
        marks: (N, S, S) lungs or lesions in the network's square; empty without.
        unread: Name and reason of each that could not be read.
    """

    image_ids: Sequence[str]
    stored: NDArray[np.uint8]
    labels: NDArray[np.int64]
    groups: NDArray[np.str_]
    marks: NDArray[np.bool_] = field(default_factory=lambda: np.empty((0, 0, 0), bool))
    unread: Sequence[tuple[str, str]] = ()

    def __len__(self) -> int:
        return len(self.image_ids)


def stratified(labels: ArrayLike, image_ids: Sequence[str], count: int, *, seed: int = 0) -> list[int]:
    """Rows of at most ``count`` pictures, the classes in turn, drawn at random within a class.

    The draw depends on the names of the pictures, not on the order of the rows.

    >>> [("a", "a", "a", "b")[row] for row in stratified([0, 0, 0, 1], ["x", "y", "z", "w"], 3)]
    ['a', 'a', 'b']
    """
    truth = np.asarray(labels)
    by_name = np.argsort(np.asarray(image_ids, dtype=np.str_), kind="stable")
    drawn = by_name[np.random.default_rng(seed).permutation(len(by_name))]
    place = np.zeros(len(drawn), np.int64)
    for name in np.unique(truth):
        mine = truth[drawn] == name
        place[mine] = np.arange(mine.sum())
    order = np.lexsort((truth[drawn], place))
    return sorted(int(row) for row in drawn[order[:count]])


def sample_pictures(run: Run, table: Predictions, preprocess: Preprocess, count: int) -> Sample:
    """Pictures of a part, stratified by class.

    Args:
        run: Whose cohort has the files.
        table: Its predictions of that part.
        preprocess: The model's.
        count: How many at most.

    Raises:
        RunError: Not one could be read.
    """
    rows = stratified(table.labels, table.frame["image_id"].astype(str).tolist(), count)
    found = _read(run, table, preprocess, rows, {})
    if not len(found):
        raise RunError(
            "no picture of the part could be read", got=found.unread[0][1] if found.unread else "none"
        )
    return found


def marked_pictures(
    run: Run, table: Predictions, preprocess: Preprocess, count: int, *, masks: str | os.PathLike[str] | None
) -> Sample | None:
    """Pictures of a part on which lungs (or lesions) are known, stratified by class.

    Args:
        run: Whose cohort has the files, and in ``mask_path`` their lung masks.
        table: Its predictions of that part.
        preprocess: The model's; masks go the way of their pictures.
        count: How many at most.
        masks: A folder of masks named like the pictures, taken instead of ``mask_path``. 0 is outside, all else inside.

    Returns:
        The pictures with their masks; None where none has one.

    Raises:
        RunError: The folder is missing, or holds no mask of these pictures.
        ImageError: A mask cannot be read.
    """
    frame = run.cohort.frame.copy()
    if masks is not None:
        if not Path(masks).is_dir():
            raise RunError(
                f"there is no folder {masks}", code="E_MISSING", expected="masks named like the pictures"
            )
        frame["mask_path"] = pd.Series(None, index=frame.index, dtype="str")
        attach_masks(frame, Path(masks))
    if "mask_path" not in frame:
        return None
    paths = frame.loc[frame["mask_path"].notna()].set_index("image_id")["mask_path"].astype(str).to_dict()
    ids = table.frame["image_id"].astype(str).tolist()
    there = [row for row, name in enumerate(ids) if name in paths]
    if not there:
        if masks is not None:
            raise RunError(
                f"no picture of this part has a mask in {masks}",
                code="E_MISSING",
                expected="the pictures' file names",
            )
        return None
    chosen = stratified(table.labels[there], [ids[row] for row in there], count)
    return _read(run, table, preprocess, [there[row] for row in chosen], paths)


def mask_in_square(
    path: str | os.PathLike[str], shape: tuple[int, int], preprocess: Preprocess
) -> NDArray[np.bool_]:
    """A mask as it lies in the network's square.

    Args:
        path: A picture, 0 outside; scaled to the radiograph where its size is another.
        shape: Height and width of the radiograph.
        preprocess: The model's; only its geometry is used.

    Returns:
        (S, S).

    Raises:
        ImageError: It cannot be read.
    """
    read = cv2.imread(os.fspath(path), cv2.IMREAD_GRAYSCALE)
    if read is None:
        raise ImageError(f"{path} is no mask that can be read", expected="a PNG or another 8-bit picture")
    mask = (read > 0).astype(np.float32)
    if mask.shape != shape:
        mask = np.asarray(cv2.resize(mask, shape[::-1], interpolation=cv2.INTER_NEAREST), np.float32)
    plain = preprocess.model_copy(update={"intensity": "none", "interpolation": "area"})
    return np.asarray(plain.to_store(mask) >= 128)


def _read(
    run: Run, table: Predictions, preprocess: Preprocess, rows: list[int], masks: dict[str, str]
) -> Sample:
    subjects, places, unread = read_rows(run, table, preprocess, rows)
    kept = [row for row in rows if row in places]
    side = preprocess.size
    stored = np.stack([one.stored for one in subjects]) if subjects else np.empty((0, side, side), np.uint8)
    marks = [mask_in_square(masks[one.image_id], one.shape, preprocess) for one in subjects if masks]
    return Sample(
        image_ids=[one.image_id for one in subjects], stored=stored, labels=np.asarray(table.labels)[kept],
        groups=np.asarray(table.groups)[kept].astype(np.str_), unread=unread,
        marks=np.stack(marks) if marks else np.empty((0, side, side), bool),
    )  # fmt: skip
