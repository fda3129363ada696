"""Whole files or none: write beside, fsync, rename; one writer a folder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import math
import os
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from pulmoscope.errors import PulmoscopeError, RunBusyError, StorageError

_STORAGE_ERRNOS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "no permission to write there",
    errno.EPERM: "no permission to write there",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.EEXIST: "a file stands where a folder is needed",
    errno.EISDIR: "a folder stands where a file is needed",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ELOOP: "a link in the path leads back to itself",
    errno.EFBIG: "the file would be larger than is allowed there",
    errno.EIO: "the disk reports an error",
}
# Seconds in which the lock of a process that was killed goes.
_GONE_PATIENCE = 5.0


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write at ``path`` into one :class:`StorageError`."""
    try:
        yield
    except Exception as error:
        reason = _STORAGE_ERRNOS.get(_errno(error))
        if reason is None:
            raise
        raise StorageError(
            f"cannot write {path}: {reason}",
            remedy="free some space or choose another folder; nothing that was there before was changed",
        ) from error


def _errno(error: Exception) -> int:
    if isinstance(error, OSError):
        return error.errno or 0
    # Libraries written in Rust (safetensors) raise exceptions of their own with the system's number as text.
    said = None if isinstance(error, PulmoscopeError) else re.search(r"\(os error (\d+)\)", str(error))
    return int(said[1]) if said else 0


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is fsynced and renamed over ``path``.

    On any exception the temporary file is removed and ``path`` stays as it was.

    Raises:
        StorageError: The disk is full or the folder cannot be written.
    """
    target = Path(path)
    with storage_errors(target):
        _mkdir(target.parent)
        handle, name = tempfile.mkstemp(
            prefix=f".{target.name[:80]}.", suffix=f".tmp{target.suffix}", dir=target.parent
        )
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            sync(temporary)
            temporary.chmod(0o666 & ~_umask())
            os.replace(temporary, target)
            _fsync_folder(target.parent)
        finally:
            temporary.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until ``path`` is on the disk; a full one may say so only now."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write ``content`` to ``path``, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | os.PathLike[str], content: str) -> None:
    """Write ``content`` to ``path`` as UTF-8, whole or not at all."""
    write_bytes(path, content.encode("utf-8", "backslashreplace"))


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write ``content`` as JSON (NaN is refused: undefined is null), whole or not at all."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def or_null(value: float) -> float | None:
    """A number as JSON can hold it: undefined (NaN) is null."""
    return None if math.isnan(value) else value


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Make the folder ``path`` and prove that it can be written, before long work starts.

    Raises:
        StorageError: It cannot be made or written.
    """
    folder = Path(path)
    with storage_errors(folder):
        _mkdir(folder)
        with tempfile.TemporaryFile(dir=folder):
            pass
    return folder


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold ``folder`` for this process alone; a second process gets :class:`RunBusyError` with our PID."""
    make_folder(folder)
    with storage_errors(folder), (folder / ".lock").open("a+") as lock:
        _take(lock, folder)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        # A writer that was killed left its unfinished files behind; nobody else writes here now.
        for orphan in folder.rglob(".*.tmp*"):
            orphan.unlink(missing_ok=True)
        yield


def _take(lock: TextIO, folder: Path) -> None:
    """Lock the file; an owner that is gone is given a moment, because its lock may go a little after it."""
    given_up = time.monotonic() + _GONE_PATIENCE
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            lock.seek(0)
            owner = lock.read().strip()
            gone = _gone(owner)
            if not gone or time.monotonic() > given_up:
                raise RunBusyError(
                    f"{folder} is in use by process {owner or 'unknown'}"
                    + (", or what it left behind: it has ended itself" if gone else ""),
                    remedy="wait for it to end, or choose another folder with --out",
                ) from error
            time.sleep(0.1)


def _gone(process: str) -> bool:
    """Whether there was such a process and is none now."""
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except (ValueError, OverflowError, OSError):  # no number of a process, or another user's
        return False
    return False


def cache_root() -> Path:
    """Where decoded pictures are kept: ``$PULMOSCOPE_CACHE``, else the user's cache folder."""
    chosen = os.environ.get("PULMOSCOPE_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pulmoscope"


def _mkdir(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError as error:
        # Some file systems, such as /proc, answer so where nothing can be made.
        raise StorageError(f"cannot make the folder {folder}", remedy="choose another folder") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
