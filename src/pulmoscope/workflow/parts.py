"""From a cohort to the examples that training may see and the pictures that only the end may."""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pulmoscope.cohort import Cohort, carve_validation
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
        frame["split"] = carve_validation(frame, validation_fraction, seed)
        info["split"] = {**info.get("split", {}), "val_from_train": validation_fraction}
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
        gone = frame.loc[failed, ["image_id", "path", "source"]].copy()
        gone["reason"] = gone["image_id"].map(store.failures)
        dropped = pd.concat([cohort.dropped, gone], ignore_index=True)
        info = copy.deepcopy(cohort.info)
        info["dropped"] = {**info.get("dropped", {}), "unreadable when training": int(failed.sum())}
        cohort = Cohort(frame[~failed].reset_index(drop=True), info, dropped)
    return Parts(cohort=cohort, store=store)
