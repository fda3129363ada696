"""The run's own log: one JSON object a line."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pulmoscope.files import storage_errors
from pulmoscope.workflow.environment import now

log = logging.getLogger("pulmoscope")


class _JsonLines(logging.Handler):
    def __init__(self, path: Path) -> None:
        super().__init__(logging.INFO)
        self._path = path
        self._lost = 0
        with storage_errors(path):
            self._file = path.open("a", encoding="utf-8", errors="backslashreplace")

    def emit(self, record: logging.LogRecord) -> None:
        entry = {"time": now(), "level": record.levelname.lower(), "message": record.getMessage()}
        try:
            self._file.write(json.dumps(entry, ensure_ascii=False) + "\n")
            self._file.flush()
        except OSError:
            # The log is not worth ending a training for; on a full disk the next checkpoint says so.
            self._lost += 1

    def close(self) -> None:
        try:
            self._file.close()
        except OSError:
            self._lost = max(1, self._lost)
        super().close()
        if self._lost:
            log.warning("%d lines could not be written to %s", self._lost, self._path)


@contextmanager
def run_log(folder: Path) -> Iterator[None]:
    """Write what is logged inside to ``folder/log.jsonl``, beside wherever else it goes."""
    handler = _JsonLines(folder / "log.jsonl")
    before = log.level
    if log.getEffectiveLevel() > logging.INFO:
        log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)
        handler.close()
