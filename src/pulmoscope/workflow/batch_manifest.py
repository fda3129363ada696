"""The list of files that a batch prediction answers: a Parquet table, read a range of rows at a time."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pulmoscope.errors import TableError

# Rows decoded at once on the way to the range that is wanted.
_STEP = 8192


class Manifest:
    """A Parquet table with a column ``path``, and optionally ``image_id`` and others, which are carried along.

    Args:
        path: The table. Relative paths in it start at its own folder.

    Raises:
        TableError: It cannot be read, has no text column ``path``, or holds no rows.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()
        try:
            self._file = pq.ParquetFile(self.path)
        except (OSError, pa.ArrowException) as error:
            raise TableError(
                f"{path} cannot be read",
                expected="a Parquet table with a column 'path'",
                got=type(error).__name__,
                remedy="write it with pandas: table.to_parquet(FILE)",
            ) from error
        names = list(self._file.schema_arrow.names)
        kind = self._file.schema_arrow.field("path").type if "path" in names else None
        if kind is None or not _is_text(kind):
            raise TableError(
                f"{path} has no text column 'path'", got=", ".join(names[:12]) if kind is None else str(kind)
            )
        if len(self) == 0:
            raise TableError(f"{path} holds no rows")

    def __len__(self) -> int:
        return int(self._file.metadata.num_rows)

    @property
    def columns(self) -> list[str]:
        """Names of all columns."""
        return list(self._file.schema_arrow.names)

    def rows(self, start: int, stop: int) -> pa.Table:
        """Rows ``start`` to ``stop`` (excluded), with ``image_id`` and ``path`` first.

        ``path`` stays as it stands in the table; where there is no ``image_id``, it is the path. Memory grows with the
        range and with the size of a row group, not with the table.
        """
        pieces: list[pa.RecordBatch] = []
        first = 0
        for group in range(self._file.num_row_groups):
            last = first + self._file.metadata.row_group(group).num_rows
            if first < stop and start < last:
                pieces += self._within(group, start - first, stop - first)
            first = last
        table = pa.Table.from_batches(pieces, self._file.schema_arrow).replace_schema_metadata(None)
        paths = table["path"].cast(pa.string())
        ids = table["image_id"] if "image_id" in table.column_names else paths
        carried = [name for name in table.column_names if name not in {"image_id", "path"}]
        return pa.table({"image_id": ids, "path": paths, **{name: table[name] for name in carried}})

    def place(self, path: str | None) -> str:
        """Where a path of the table leads, seen from anywhere on this machine; empty for a row without one."""
        return os.path.join(self.path.parent, path) if path else ""

    def _within(self, group: int, start: int, stop: int) -> list[pa.RecordBatch]:
        pieces, at = [], 0
        for batch in self._file.iter_batches(batch_size=_STEP, row_groups=[group]):
            low, high = max(start - at, 0), min(stop - at, len(batch))
            if low < high:
                pieces.append(batch.slice(low, high - low))
            at += len(batch)
            if at >= stop:
                break
        return pieces


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
