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
        with storage_errors(path):
            self._file = path.open("a", encoding="utf-8", errors="backslashreplace")

    def emit(self, record: logging.LogRecord) -> None:
        entry = {"time": now(), "level": record.levelname.lower(), "message": record.getMessage()}
        try:
            self._file.write(json.dumps(entry, ensure_ascii=False) + "\n")
            self._file.flush()
        except OSError:
            self.handleError(record)

    def close(self) -> None:
        self._file.close()
        super().close()


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
