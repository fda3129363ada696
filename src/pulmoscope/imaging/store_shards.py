"""The rows of a picture store decoded in shards, wherever they are run, and given back in order.

A shard leaves one file, whole or not at all, in a folder beside the store that every worker can write. One process then
puts the shards together, so that no two ever write the same file: on a disk shared over a network, neighbouring rows of
one file written from two machines could tear each other's pages.
"""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
import zlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pulmoscope.files import make_folder, write_bytes
from pulmoscope.imaging.parallel import parallel_map
from pulmoscope.imaging.preprocess import Preprocess
from pulmoscope.imaging.store import Row, StoreItem, prepare_row

SHARD_ROWS = 512
_log = logging.getLogger("pulmoscope")


@dataclass(frozen=True, kw_only=True)
class StoreShard:
    """A range of a store's rows: all that a worker is told.

    Attributes:
        path: The file that it leaves; absolute.
        items: Its pictures.
        preprocess: Geometry and intensity.
    """

    path: Path
    items: tuple[StoreItem, ...]
    preprocess: Preprocess


# Runs ``decode_shard`` on every shard, anywhere, and returns when all have left their file.
RunShards = Callable[[Sequence[StoreShard]], None]


def decode_shard(shard: StoreShard, *, workers: int | None = None) -> int:
    """Decode a shard's pictures and write its file; the number of its rows.

    Raises:
        StorageError: No space or no permission.
    """
    side = shard.preprocess.size
    rows = np.zeros((len(shard.items), side * side), np.uint8)
    failures: dict[int, str] = {}
    made = parallel_map(lambda item: prepare_row(item, shard.preprocess), shard.items, workers=workers)
    for at, (content, failure) in enumerate(made):
        if content is not None:
            rows[at] = np.frombuffer(content, np.uint8)
        if failure is not None:
            failures[at] = failure
    said = json.dumps([failures.get(at) for at in range(len(rows))])
    buffer = io.BytesIO()
    np.savez(buffer, rows=rows, failures=np.frombuffer(said.encode(), np.uint8))
    content = buffer.getvalue()
    write_bytes(shard.path, zlib.crc32(content).to_bytes(4, "big") + content)
    return len(rows)


def shard_rows(
    folder: Path,
    items: Sequence[StoreItem],
    preprocess: Preprocess,
    *,
    run: RunShards,
    shard: int = SHARD_ROWS,
) -> Generator[Row, None, None]:
    """Every row of a store in order, decoded by ``run``; shards that an interrupted build left are used.

    What ``run`` left on disks that this process does not see is decoded here, with a warning in the log.

    Args:
        folder: The store's; the shards lie beside it, and are gone when all rows were given.
        items: Of the store.
        preprocess: Of the store.
        run: See :data:`RunShards`.
        shard: Rows a shard.
    """
    beside = make_folder(folder.with_suffix(".shards"))
    shards = [
        StoreShard(
            path=beside / f"rows-{start:09}-{shard}.bin",
            items=tuple(
                replace(item, path=os.path.abspath(item.path)) for item in items[start : start + shard]
            ),
            preprocess=preprocess,
        )
        for start in range(0, len(items), shard)
    ]
    missing = [one for one in shards if _read(one) is None]
    if len(missing) < len(shards):
        _log.info("%d of %d shards of %s are there already", len(shards) - len(missing), len(shards), folder)
    if missing:
        run(missing)
    lost = 0
    for one in shards:
        rows = _read(one)
        if rows is None:
            lost += 1
            yield from parallel_map(lambda item: prepare_row(item, preprocess), one.items)
        else:
            yield from rows
    if lost:
        _log.warning(
            "%s: %d of %d shards were written where this process does not see them, and were decoded here: put "
            "PULMOSCOPE_CACHE on a disk that all nodes share",
            folder, lost, len(shards),
        )  # fmt: skip
    shutil.rmtree(beside, ignore_errors=True)


def _read(shard: StoreShard) -> list[Row] | None:
    """A shard's rows; None where it is not there whole."""
    try:
        content = shard.path.read_bytes()
    except OSError:
        return None
    if zlib.crc32(content[4:]) != int.from_bytes(content[:4], "big") or len(content) < 4:
        return None
    with np.load(io.BytesIO(content[4:]), allow_pickle=False) as arrays:
        failures: list[str | None] = json.loads(arrays["failures"].tobytes())
        rows = arrays["rows"]
    if len(rows) != len(shard.items):
        return None
    return [
        (None if failure else row.tobytes(), failure) for row, failure in zip(rows, failures, strict=True)
    ]
