"""From a cohort to the examples that training may see and the pictures that only the end may."""

from __future__ import annotations

import contextlib
import copy
import functools
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pulmoscope.cohort import Cohort, carve_validation
from pulmoscope.cohort.dropped import dropped_rows
from pulmoscope.errors import CohortError, RunError, StorageError
from pulmoscope.imaging import PictureStore, Preprocess, StoreItem, open_store
from pulmoscope.imaging.store_shards import StoreShard, decode_shard, shard_rows
from pulmoscope.progress import track
from pulmoscope.search.engine import Engine
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


def decode_all(
    cohort: Cohort, preprocess: Preprocess, *, progress: bool, engine: Engine | None = None
) -> Parts:
    """Open or build the store of a cohort's pictures; those that can no longer be read are dropped and counted.

    Args:
        cohort: Its pictures are decoded.
        preprocess: Names the store, with the pictures.
        progress: Draw a progress bar.
        engine: Decodes the pictures of a store that is not there yet; None does it in threads of this process. The
            bytes are the same. Its workers must see the cache folder.

    Raises:
        CohortError: None can be read.
        RunError: E_STORE: workers died, again and again, on a shard.
        StorageError: The store cannot be written.
    """
    frame = cohort.frame
    items = [
        StoreItem(image_id=image_id, path=path, sha256=None if pd.isna(sha256) else sha256)
        for image_id, path, sha256 in zip(frame["image_id"], frame["path"], frame["sha256"], strict=True)
    ]
    rows = None
    if engine is not None:
        rows = functools.partial(shard_rows, run=functools.partial(_run_shards, engine, progress))
    store = open_store(items, preprocess, progress=progress, rows=rows)
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


def _run_shards(engine: Engine, progress: bool, shards: Sequence[StoreShard]) -> None:
    """Decode every shard on the engine."""
    died = []
    with contextlib.closing(engine.run(_decode_with_own_threads, shards)) as outcomes:
        for outcome in track(outcomes, "Decoding pictures", enabled=progress, total=len(shards)):
            if outcome.error is None:
                continue
            code, _, what = outcome.error.partition(": ")
            if code == StorageError.default_code:
                raise StorageError(what)
            died.append(outcome.error)
    if died:
        raise RunError(
            f"{len(died)} of {len(shards)} shards of the picture store could not be decoded; the others are kept",
            code="E_STORE",
            got=died[0],
            remedy="give fewer workers more memory and run the same command again",
        )


def _decode_with_own_threads(shard: StoreShard) -> int:
    """Decode a shard with as many threads as this worker has cores."""
    import torch

    return decode_shard(shard, workers=max(2, torch.get_num_threads()))
