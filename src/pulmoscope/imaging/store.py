"""The memory-mapped cache of decoded, resized pictures: checked when opened, mended when torn."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import shutil
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulmoscope.errors import CohortError, ImageError
from pulmoscope.files import cache_root, make_folder, storage_errors, write_json
from pulmoscope.imaging.archive import is_member, member_pixels
from pulmoscope.imaging.decode import decode, decode_bytes
from pulmoscope.imaging.parallel import parallel_map
from pulmoscope.imaging.preprocess import Preprocess
from pulmoscope.imaging.read import display, read_picture

FORMAT = 1
_PIXELS, _INDEX = "pixels.u8", "index.json"
_FULL_CHECK_BYTES = 1 << 30
_SAMPLED_ROWS = 2000
_log = logging.getLogger("pulmoscope")

# A row's bytes, or None and the reason.
Row = tuple[bytes | None, str | None]


@dataclass(frozen=True, kw_only=True)
class StoreItem:
    """A picture to keep.

    Attributes:
        image_id: Unique among the items.
        path: File or archive member.
        sha256: Of the file when its cohort was built, if known. The store is then named by it, so it survives
            a moved file, and a file that has changed since counts as failed.
    """

    image_id: str
    path: str
    sha256: str | None = None


# Yields a row for each item, in order; it may keep what it needs beside the store's folder.
RowSource = Callable[[Path, Sequence[StoreItem], Preprocess], Generator[Row, None, None]]


@dataclass(frozen=True, kw_only=True)
class PictureStore:
    """Decoded pictures on the disk.

    Attributes:
        folder: Where they are.
        image_ids: In the order of the rows, which is the order of the items.
        pixels: (N, S, S) uint8, read-only, mapped from the disk; rows that failed are black.
        failures: Why a picture is missing, in one line, by image_id.
    """

    folder: Path
    image_ids: tuple[str, ...]
    pixels: NDArray[np.uint8]
    failures: Mapping[str, str]
    _positions: dict[str, int] = field(repr=False)

    def __len__(self) -> int:
        return len(self.image_ids)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process by name: it maps the same file instead of taking a copy."""
        return _reopen, (self.folder, self.image_ids, self.pixels.shape[1], dict(self.failures))

    def rows(self, image_ids: Iterable[str]) -> NDArray[np.int64]:
        """Rows of ``pixels``, in the order asked.

        Raises:
            ImageError: A picture failed or is not in the store.
        """
        wanted = list(image_ids)
        for image_id in wanted:
            if image_id in self.failures:
                code, _, what = self.failures[image_id].partition(": ")
                raise ImageError(what, code=code)
            if image_id not in self._positions:
                raise ImageError(f"{image_id} is not in the store", code="E_MISSING")
        return np.fromiter((self._positions[image_id] for image_id in wanted), np.int64, len(wanted))

    def verify(self) -> list[str]:
        """Compare every row with its checksum; the image_ids of those that differ."""
        index = _read_index(self.folder)
        if index is None:
            return list(self.image_ids)
        return [self.image_ids[row] for row in _torn(self.folder, index, everything=True)]


def open_store(
    items: Sequence[StoreItem],
    preprocess: Preprocess,
    *,
    root: Path | None = None,
    workers: int | None = None,
    progress: bool = False,
    rows: RowSource | None = None,
) -> PictureStore:
    """Open the store of these pictures under this recipe, building or mending it first if need be.

    A store is a folder named by what it was made from. It counts as built once its index is written, which
    happens last. Opening compares each row's checksum with the index in stores up to 1 GiB, and 2,000 rows
    spread over larger ones (:meth:`PictureStore.verify` compares all); rows that differ are decoded again,
    with a warning in the log. A second process that wants the same store waits for the first.

    Args:
        items: The pictures, with unique image_ids.
        preprocess: Geometry and intensity.
        root: Folder of stores; by default ``stores`` in the user's cache.
        workers: Threads; by default one a core.
        progress: Whether to show a bar on standard error.
        rows: What decodes the rows of a store that is built, in their order; by default threads of this process.

    Raises:
        StorageError: No space or no permission; nothing half-written is left.
        CohortError: E_DUPLICATE_ID.
    """
    _check_unique(items)
    folder = (root or cache_root() / "stores") / _key(items, preprocess)
    index = _read_index(folder)
    if index is None or _torn(folder, index):
        make_folder(folder.parent)
        with _turn(folder.with_suffix(".lock")):
            index = _read_index(folder)
            if index is None:
                index = _build(folder, items, preprocess, workers, progress, rows)
            elif torn := _torn(folder, index):
                index = _mend(folder, index, torn, items, preprocess, workers)
    return _open(folder, index, items, preprocess.size)


def _reopen(folder: Path, image_ids: tuple[str, ...], size: int, failures: dict[str, str]) -> PictureStore:
    return PictureStore(
        folder=folder,
        image_ids=image_ids,
        pixels=_map(folder, len(image_ids), size),
        failures=failures,
        _positions={image_id: row for row, image_id in enumerate(image_ids)},
    )


def _map(folder: Path, rows: int, size: int) -> NDArray[np.uint8]:
    if not rows:
        return np.zeros((0, size, size), np.uint8)
    return np.memmap(folder / _PIXELS, np.uint8, "r", shape=(rows, size, size))


def _open(folder: Path, index: dict[str, Any], items: Sequence[StoreItem], size: int) -> PictureStore:
    ids = tuple(item.image_id for item in items)
    failures = {ids[int(row)]: line for row, line in index["failures"].items()}
    return _reopen(folder, ids, size, failures)


def _build(
    folder: Path,
    items: Sequence[StoreItem],
    preprocess: Preprocess,
    workers: int | None,
    progress: bool,
    rows: RowSource | None,
) -> dict[str, Any]:
    """Stream every picture to the disk, then write the index."""
    checksums: list[int] = []
    failures: dict[str, str] = {}
    black = bytes(preprocess.size**2)
    try:
        # What an interrupted build left is never trusted: its rows have no checksums yet.
        shutil.rmtree(folder, ignore_errors=True)
        make_folder(folder)
        with storage_errors(folder), (folder / _PIXELS).open("wb") as file:
            if items:
                # Ask for all the space now: a full disk should be known before an hour's work, not after.
                os.posix_fallocate(file.fileno(), 0, len(items) * len(black))
            answers = (
                rows(folder, items, preprocess)
                if rows is not None
                else parallel_map(
                    lambda item: prepare_row(item, preprocess),
                    items,
                    workers=workers,
                    progress="Decoding pictures" if progress else None,
                )
            )
            with contextlib.closing(answers):
                for row, (content, failure) in enumerate(answers):
                    file.write(content or black)
                    checksums.append(zlib.crc32(content or black))
                    if failure:
                        failures[str(row)] = failure
            file.flush()
            os.fsync(file.fileno())
        index = {"format": FORMAT, "size": preprocess.size, "checksums": checksums, "failures": failures}
        write_json(folder / _INDEX, index)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return index


def _mend(
    folder: Path,
    index: dict[str, Any],
    torn: list[int],
    items: Sequence[StoreItem],
    preprocess: Preprocess,
    workers: int | None,
) -> dict[str, Any]:
    """Decode torn rows again, in place. If this is cut short too, the checksums still tell."""
    _log.warning(
        "%s: %d of %d stored pictures were damaged and are decoded again", folder, len(torn), len(items)
    )
    black = bytes(preprocess.size**2)
    checksums, failures = list(index["checksums"]), dict(index["failures"])
    pixels = folder / _PIXELS
    with storage_errors(folder), pixels.open("r+b" if pixels.exists() else "w+b") as file:
        os.posix_fallocate(file.fileno(), 0, len(items) * len(black))
        file.truncate(len(items) * len(black))
        answers = parallel_map(lambda row: prepare_row(items[row], preprocess), torn, workers=workers)
        for row, (content, failure) in zip(torn, answers, strict=True):
            file.seek(row * len(black))
            file.write(content or black)
            checksums[row] = zlib.crc32(content or black)
            failures.pop(str(row), None)
            if failure:
                failures[str(row)] = failure
        file.flush()
        os.fsync(file.fileno())
    mended = {**index, "checksums": checksums, "failures": failures}
    write_json(folder / _INDEX, mended)
    return mended


def prepare_row(item: StoreItem, preprocess: Preprocess) -> Row:
    """A row's bytes, or None and the reason."""
    try:
        if item.sha256 is None:
            decoded = decode(item.path)
        elif is_member(item.path):
            _check_same(item, member_pixels(item.path).tobytes())
            decoded = decode(item.path)
        else:
            content = read_picture(item.path)
            _check_same(item, content)
            decoded = decode_bytes(content, item.path)
    except ImageError as error:
        return None, str(error)
    return preprocess.to_store(decoded.pixels).tobytes(), None


def _check_same(item: StoreItem, content: bytes) -> None:
    if hashlib.sha256(content).hexdigest() != item.sha256:
        raise ImageError(
            f"{display(item.path)} has changed since its cohort was built",
            code="E_CHANGED",
            remedy="build the cohort again",
        )


def _read_index(folder: Path) -> dict[str, Any] | None:
    """The index of a finished store; None where there is none, or one that cannot be trusted."""
    try:
        index = json.loads((folder / _INDEX).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        _log.warning("%s: its index is damaged (%s); it is built again", folder, type(error).__name__)
        return None
    if not _is_index(index):
        _log.warning("%s: its index is damaged; it is built again", folder)
        return None
    return dict(index)


def _is_index(index: Any) -> bool:
    return (
        isinstance(index, dict)
        and index.get("format") == FORMAT
        and isinstance(index.get("size"), int)
        and isinstance(index.get("checksums"), list)
        and isinstance(index.get("failures"), dict)
    )


def _torn(folder: Path, index: dict[str, Any], *, everything: bool = False) -> list[int]:
    """Rows that are not what the index says."""
    checksums, row_bytes = index["checksums"], index["size"] ** 2
    if not checksums:
        return []
    try:
        length = (folder / _PIXELS).stat().st_size
    except FileNotFoundError:
        return list(range(len(checksums)))
    present = min(len(checksums), length // row_bytes)
    missing = list(range(present, len(checksums)))
    if not present:
        return missing
    rows = np.memmap(folder / _PIXELS, np.uint8, "r", shape=(present, row_bytes))
    sampled = present * row_bytes > _FULL_CHECK_BYTES and not everything and not missing
    chosen = np.linspace(0, present - 1, _SAMPLED_ROWS).astype(int) if sampled else range(present)
    torn = [int(row) for row in chosen if zlib.crc32(rows[row]) != checksums[row]]
    return _torn(folder, index, everything=True) if torn and sampled else torn + missing


def _key(items: Sequence[StoreItem], preprocess: Preprocess) -> str:
    digest = hashlib.sha256(f"{FORMAT} {preprocess.store_key()}".encode())
    for item in items:
        made_from = item.sha256 or [os.fsencode(item.path).hex(), *_state(item.path)]
        digest.update(json.dumps([item.image_id, made_from]).encode())
    return digest.hexdigest()[:24]


def _state(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path.partition(".npz::")[0] + ".npz" if is_member(path) else path)
    except (OSError, ValueError):
        return -1, -1
    return status.st_size, status.st_mtime_ns


def _check_unique(items: Sequence[StoreItem]) -> None:
    seen: set[str] = set()
    for item in items:
        if item.image_id in seen:
            raise CohortError(f"two pictures are called {item.image_id}", code="E_DUPLICATE_ID")
        seen.add(item.image_id)


@contextlib.contextmanager
def _turn(path: Path) -> Iterator[None]:
    """Wait until no other process builds this store."""
    with storage_errors(path), path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
