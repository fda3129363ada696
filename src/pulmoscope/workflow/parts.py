"""From a cohort to the examples that training may see and the pictures that only the end may."""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pulmoscope.cohort import Cohort, carve_validation
from pulmoscope.cohort.dropped import dropped_rows
from pulmoscope.errors import CohortError
from pulmoscope.imaging import PictureStore, Preprocess, StoreItem, open_store
from pulmoscope.training import Examples

log = logging.getLogger("pulmoscope")


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A cohort whose every row has a split, and the store of its decoded pictures."""

    cohort: Cohort
    store: PictureStore

    def examples(self, split: str) -> Examples:
        """The pictures of one part as training sees them."""
        part = self.cohort.part(split).frame
        code = {name: index for index, name in enumerate(self.cohort.classes)}
        return Examples(
            store=self.store,
            rows=self.store.rows(part["image_id"].tolist()),
            labels=np.array(part["label"].map(code), np.int64),
        )


def with_splits(cohort: Cohort, *, fold: int | None, validation_fraction: float, seed: int) -> Cohort:
    """A cohort in which training, validation (and test, where there is one) are told apart.

    Args:
        cohort: With a split, or with folds.
        fold: The fold held out as the test part; None for a cohort with a split.
        validation_fraction: Carved, by groups, out of the training part where the cohort has no validation part.
        seed: Of the carving.

    Raises:
        CohortError: There is nothing to train on, or a class has no training picture.
    """
    frame = cohort.frame.copy()
    info = copy.deepcopy(cohort.info)
    if fold is not None:
        frame["split"] = np.where(frame["fold"] == fold, "test", "train")
        info["split"] = {**info.get("split", {}), "fold": fold}
    if frame["split"].isna().any():
        raise CohortError(
            f"{int(frame['split'].isna().sum())} radiographs have no split",
            remedy="build the cohort again with --split patient:0.7,0.15,0.15",
        )
    if not (frame["split"] == "train").any():
        raise CohortError("the cohort has no training part", expected="rows whose split is train")
    if not (frame["split"] == "val").any():
        fraction = info.get("split", {}).get("val_from_train") or validation_fraction
        frame["split"] = carve_validation(frame, fraction, seed)
        info["split"] = {**info.get("split", {}), "val_from_train": fraction}
    for part in ("train", "val"):
        absent = set(cohort.classes) - set(frame.loc[frame["split"] == part, "label"])
        if absent and part == "train":
            raise CohortError(
                f"no training picture of class {', '.join(sorted(absent))}",
                code="E_EMPTY_CLASS",
                remedy="choose another split, or a label scheme without that class",
            )
        if absent:
            info["caveats"] = [
                *info.get("caveats", []),
                f"The validation part has no {', '.join(sorted(absent))}.",
            ]
    return Cohort(frame, info, cohort.dropped)


def decode_all(cohort: Cohort, preprocess: Preprocess, *, progress: bool) -> Parts:
    """Open or build the store of a cohort's pictures; those that can no longer be read are dropped and counted.

    Raises:
        CohortError: None can be read.
    """
    frame = cohort.frame
    items = [
        StoreItem(image_id=image_id, path=path, sha256=None if pd.isna(sha256) else sha256)
        for image_id, path, sha256 in zip(frame["image_id"], frame["path"], frame["sha256"], strict=True)
    ]
    store = open_store(items, preprocess, progress=progress)
    if store.failures:
        failed = frame["image_id"].isin(list(store.failures))
        if failed.all():
            raise CohortError(
                f"none of {len(frame)} pictures can be read", got=next(iter(store.failures.values()))
            )
        log.warning("%d pictures can no longer be read and are left out", int(failed.sum()))
        gone = frame[failed]
        lines = [store.failures[image_id].partition(": ") for image_id in gone["image_id"]]
        left = dropped_rows(
            gone["source"],
            gone["image_id"],
            gone["path"],
            [one[0] for one in lines],
            [one[2] for one in lines],
        )
        dropped = pd.concat([cohort.dropped, left], ignore_index=True)
        info = copy.deepcopy(cohort.info)
        for reason, count in left["reason"].value_counts().items():
            info["dropped"][reason] = info.setdefault("dropped", {}).get(reason, 0) + int(count)
        cohort = Cohort(frame[~failed].reset_index(drop=True), info, dropped)
    return Parts(cohort=cohort, store=store)
