"""Keep decoders' own warnings and log lines away from the user: they may quote what is in the file."""

from __future__ import annotations

import contextlib
import logging
import threading
import warnings
from collections.abc import Iterator

_LOGGERS = ("pydicom", "pylibjpeg", "openjpeg", "rle", "jpeg_ls", "PIL")

_lock = threading.Lock()
_inside = threading.local()
_depth = 0
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
            for logger in _decoder_loggers():
                logger.addFilter(_FILTER)
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


def _decoder_loggers() -> list[logging.Logger]:
    # A filter acts on its own logger only, never on children, so the children are sought out too.
    known = [name for name in logging.root.manager.loggerDict if name.split(".", 1)[0] in _LOGGERS]
    return [logging.getLogger(name) for name in {*_LOGGERS, *known}]
