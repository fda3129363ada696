"""The cohort table: one row a radiograph. Everything after the cohort reads this table and nothing else."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pulmoscope import files
from pulmoscope.cohort import dropped as dropped_table
from pulmoscope.errors import CohortError

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Column -> pandas type, in the order of the table. Unknown is null, never a guess.
DTYPES: Mapping[str, str] = {
    "image_id": "str",
    "path": "str",
    "label": "str",
    "patient_id": "str",
    "group_id": "str",
    "source": "str",
    "view": "str",
    "view_detail": "str",
    "sex": "str",
    "age": "float64",
    "finding": "str",
    "split": "str",
    "fold": "Int64",
    "width": "Int64",
    "height": "Int64",
    "sha256": "str",
    "phash": "str",
    "mask_path": "str",
    "licence": "str",
}
COLUMNS: tuple[str, ...] = tuple(DTYPES)
SPLITS: tuple[str, ...] = ("train", "val", "test")
VIEWS: tuple[str, ...] = ("PA", "AP", "lateral", "other")

_METADATA_KEY = b"pulmoscope"


def conform(frame: pd.DataFrame, *, extras: bool = False) -> pd.DataFrame:
    """Return ``frame`` with every column of the cohort table, in order, with its type; missing ones are null.

    Args:
        frame: Any of the columns of :data:`COLUMNS`.
        extras: Keep other columns too, as text, after the cohort's own.
    """
    columns: dict[str, pd.Series] = {}
    for name, dtype in DTYPES.items():
        if name in frame.columns:
            columns[name] = frame[name].astype(dtype)
        else:
            columns[name] = pd.Series(pd.NA if dtype == "Int64" else np.nan, index=frame.index, dtype=dtype)
    if extras:
        columns |= {name: frame[name].astype("str") for name in frame.columns if name not in DTYPES}
    return pd.DataFrame(columns, index=frame.index)


@dataclass(frozen=True, kw_only=True)
class Radiograph:
    """One row of the cohort; unknown fields are None."""

    image_id: str
    path: str
    label: str
    patient_id: str | None
    group_id: str | None
    source: str | None
    view: str | None
    view_detail: str | None
    sex: str | None
    age: float | None
    finding: str | None
    split: str | None
    fold: int | None
    width: int | None
    height: int | None
    sha256: str | None
    phash: str | None
    mask_path: str | None
    licence: str | None

    @cached_property
    def image(self) -> NDArray[np.float32]:
        """The decoded picture, (H, W) grey float32 in [0, 1]; read on first use.

        Raises:
            ImageError: The file cannot be read any more.
        """
        from pulmoscope.imaging.decode import decode

        return decode(self.path).pixels


class Cohort(Sequence[Radiograph]):
    """A table of radiographs with what is known about how it came to be.

    Args:
        frame: The columns of :data:`COLUMNS`; ``image_id`` is unique.
        info: ``classes``, ``label_scheme``, ``hierarchy``, ``sources``, ``split``, ``dropped``, ``where``,
            ``caveats``; what is missing is filled in with its empty value.
        dropped: Rows left out: image_id, path, source, reason, detail.

    Raises:
        CohortError: Columns are missing, an image_id stands twice, or a label is no class.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        info: Mapping[str, Any] | None = None,
        dropped: pd.DataFrame | None = None,
    ) -> None:
        missing = [name for name in ("image_id", "path", "label") if name not in frame.columns]
        if missing:
            raise CohortError(
                f"the cohort table lacks {', '.join(missing)}",
                expected=", ".join(COLUMNS),
                got=", ".join(map(str, frame.columns)),
            )
        self.frame = conform(frame).reset_index(drop=True)
        self.info: dict[str, Any] = _complete_info(self.frame, info or {})
        self.dropped = dropped_table.concat([]) if dropped is None else dropped.reset_index(drop=True)
        twice = self.frame.loc[self.frame["image_id"].duplicated(), "image_id"]
        if len(twice):
            raise CohortError(f"{len(twice)} image_id stand twice, the first is {twice.iloc[0]!r}")
        strangers = sorted(set(self.frame["label"].dropna().unique()) - set(self.classes))
        if strangers or self.frame["label"].isna().any():
            raise CohortError(
                "the cohort table holds labels that are no class",
                expected=", ".join(self.classes),
                got=", ".join(strangers) or "rows without a label",
            )

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of a model's outputs."""
        return tuple(self.info["classes"])

    def __len__(self) -> int:
        return len(self.frame)

    def __getitem__(self, index: Any) -> Any:
        """Return the radiograph at ``index``; a slice gives a list of them."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        row = self.frame.iloc[index]
        return Radiograph(**{name: _plain(row[name], DTYPES[name]) for name in COLUMNS})

    def __iter__(self) -> Iterator[Radiograph]:
        for index in range(len(self)):
            yield self[index]

    def __repr__(self) -> str:
        """Say how many radiographs, of which classes."""
        return f"Cohort({len(self)} radiographs; classes {', '.join(self.classes)})"

    def subset(self, mask: NDArray[np.bool_] | pd.Series | Sequence[bool]) -> Cohort:
        """Return the rows where ``mask`` (N,) is true, in their order."""
        chosen = np.asarray(mask, dtype=bool)
        if chosen.shape != (len(self),):
            raise CohortError("the mask does not fit", expected=f"({len(self)},)", got=str(chosen.shape))
        return Cohort(self.frame.loc[chosen], copy.deepcopy(self.info), self.dropped)

    def part(self, split: str) -> Cohort:
        """Return the rows of one part: "train", "val" or "test"; it may be empty."""
        if split not in SPLITS:
            raise CohortError(
                f"no part of a split is called {split!r}", expected=", ".join(SPLITS), got=repr(split)
            )
        return self.subset((self.frame["split"] == split).to_numpy(dtype=bool))

    def fingerprint(self) -> str:
        """Hash of all that shapes a training: rows, labels, split, folds, groups, sources and file contents."""
        columns = ["label", "split", "fold", "sha256", "group_id", "source"]
        keys = self.frame[["image_id", *columns]].sort_values("image_id")
        lines = keys["image_id"].map(json.dumps)
        for name in columns:
            lines = lines + "\x1f" + keys[name].astype("str").fillna("\x00")
        classes = json.dumps(list(self.classes))
        return hashlib.sha256("\n".join([classes, *lines]).encode()).hexdigest()

    def write(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``cohort.parquet`` and ``dropped.csv`` into ``folder`` and return the folder.

        Raises:
            StorageError: The folder cannot be written.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        target = files.make_folder(folder)
        table = pa.Table.from_pandas(self.frame, preserve_index=False)
        text = json.dumps(self.info, ensure_ascii=False, allow_nan=False)
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), _METADATA_KEY: text.encode()})
        # Both are on the disk before either takes its place: a full disk leaves the old pair as it was.
        with (
            files.atomic_path(target / "cohort.parquet") as rows,
            files.atomic_path(target / "dropped.csv") as dropped,
        ):
            pq.write_table(table, rows, write_page_checksum=True)
            files.sync(rows)
            dropped.write_bytes(self.dropped.to_csv(index=False).encode("utf-8", "backslashreplace"))
        return target

    @staticmethod
    def read(path: str | os.PathLike[str]) -> Cohort:
        """Read a cohort from its folder or from ``cohort.parquet`` itself.

        Raises:
            CohortError: There is none, or the file is damaged.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        given = Path(path)
        file = given / "cohort.parquet" if given.is_dir() else given
        remedy = "make one with: pulmoscope cohort build NAME=PATH --out DIR"
        if not file.is_file():
            raise CohortError(f"no cohort at {given}", expected="cohort.parquet", remedy=remedy)
        try:
            table = pq.read_table(file, partitioning=None, page_checksum_verification=True)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise CohortError(f"{file} is not a readable cohort: {error}", remedy=remedy) from error
        text = (table.schema.metadata or {}).get(_METADATA_KEY, b"{}")
        try:
            info = dict(json.loads(text))
        except (ValueError, TypeError) as error:
            raise CohortError(f"the description in {file} is damaged: {error}", remedy=remedy) from error
        beside = file.parent / "dropped.csv"
        dropped = None
        if file.name == "cohort.parquet" and beside.is_file():
            try:
                dropped = pd.read_csv(beside, dtype="str", keep_default_na=False)
            except ValueError as error:
                raise CohortError(f"{beside} is not readable: {error}", remedy=remedy) from error
        return Cohort(table.to_pandas(), info, dropped)

    @staticmethod
    def from_sources(
        sources: Mapping[str, str | os.PathLike[str]],
        *,
        labels: str | os.PathLike[str] | None = None,
        where: Sequence[str] = (),
        split: str = "auto",
        seed: int = 0,
        val_from_train: float | None = None,
        allow_leak: bool = False,
        drop_leaks: bool = False,
        uncertain: str = "ignore",
        near_copies: bool = True,
        workers: int | None = None,
        progress: bool = False,
        source_options: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Cohort:
        """Build a cohort from collections: see :func:`pulmoscope.cohort.build.build_cohort`."""
        from pulmoscope.cohort.build import build_cohort

        return build_cohort(
            sources,
            labels=labels,
            where=where,
            split=split,
            seed=seed,
            val_from_train=val_from_train,
            allow_leak=allow_leak,
            drop_leaks=drop_leaks,
            uncertain=uncertain,
            near_copies=near_copies,
            workers=workers,
            progress=progress,
            source_options=source_options,
        )


def _complete_info(frame: pd.DataFrame, info: Mapping[str, Any]) -> dict[str, Any]:
    empty: dict[str, Any] = {
        "classes": sorted(frame["label"].dropna().unique().tolist()),
        "label_scheme": None,
        "hierarchy": None,
        "sources": {},
        "split": {
            "kind": None,
            "seed": None,
            "leaked": False,
            "leaking_groups": 0,
            "val_from_train": None,
        },
        "dropped": {},
        "where": [],
        "caveats": [],
    }
    return {**empty, **info}


def _plain(value: Any, dtype: str) -> Any:
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    if dtype == "Int64":
        return int(value)
    return float(value) if dtype == "float64" else str(value)
