"""Keep decoders' own warnings and log lines away from the user: they may quote what is in the file."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import tempfile
import threading
import warnings
from collections.abc import Iterator

_LOGGERS = ("pydicom", "pylibjpeg", "openjpeg", "rle", "jpeg_ls", "PIL")

_lock = threading.Lock()
_stderr_lock = threading.Lock()
_inside = threading.local()
_depth = 0
_loggers_known = 0
_saved: warnings.catch_warnings | None = None


class _DropInside(logging.Filter):
    """Drops records made by a thread that is decoding; others pass."""

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002
        return not getattr(_inside, "depth", 0)


_FILTER = _DropInside()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence warnings and the decoders' log lines while a file is decoded.

    ``warnings.catch_warnings`` alone is not safe in threads: the last one to leave would restore what another
    one had set. Here the first thread to enter silences and the last to leave restores.
    """
    global _depth, _saved  # noqa: PLW0603 - process-wide state, as the warning filters themselves are
    with _lock:
        if _depth == 0:
            _saved = warnings.catch_warnings()
            _saved.__enter__()
            warnings.simplefilter("ignore")
            _filter_decoder_loggers()
        _depth += 1
    _inside.depth = getattr(_inside, "depth", 0) + 1
    try:
        yield
    finally:
        _inside.depth -= 1
        with _lock:
            _depth -= 1
            if _depth == 0 and _saved is not None:
                _saved.__exit__(None, None, None)
                _saved = None


def _filter_decoder_loggers() -> None:
    """Put the filter, which lets other threads' records pass, on every logger of a decoder, once."""
    global _loggers_known  # noqa: PLW0603
    known = len(logging.root.manager.loggerDict)
    if known == _loggers_known:
        return
    # A filter acts on its own logger only, never on children, so the children are sought out too.
    names = [name for name in list(logging.root.manager.loggerDict) if name.split(".", 1)[0] in _LOGGERS]
    for name in {*_LOGGERS, *names}:
        logging.getLogger(name).addFilter(_FILTER)
    _loggers_known = len(logging.root.manager.loggerDict)


_COMPLAINT = re.compile(
    rb"corrupt|premature|unsupported|bogus|invalid|huffman|jpeg|tiff|\.tif:|decode|scanline", re.IGNORECASE
)


@contextlib.contextmanager
def captured_stderr(wanted: bool) -> Iterator[list[bytes]]:
    """Catch what a C library itself writes about damage to standard error; other lines are passed on.

    Only for a library that has no other way to tell: the descriptor belongs to the whole process.

    Args:
        wanted: Whether to catch anything at all.

    Yields:
        A list, filled on leaving with the lines that speak of damage.
    """
    complaints: list[bytes] = []
    if not wanted:
        yield complaints
        return
    with _stderr_lock, tempfile.TemporaryFile() as catch:
        try:
            kept = os.dup(2)
        except OSError:
            yield complaints
            return
        os.dup2(catch.fileno(), 2)
        try:
            yield complaints
        finally:
            os.dup2(kept, 2)
            catch.seek(0)
            for line in catch:
                if _COMPLAINT.search(line):
                    complaints.append(line)
                else:
                    os.write(kept, line)
            os.close(kept)
