"""Checkpoints that survive a kill or a full disk at any moment.

Lightning stages a checkpoint in the temporary folder and moves it, which across file systems shows readers half a file
and on a full disk destroys the one before. Here the new file is written beside, fsynced and renamed; the one before is
kept as ``previous.ckpt``; and each file ends in its own SHA-256, so a torn one is known and passed over.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from pulmoscope.errors import RunError
from pulmoscope.files import write_bytes

log = logging.getLogger("pulmoscope")

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"
_MARK = b"PULMOSCOPE-SHA256:"
_TRAILER = len(_MARK) + 32


class WholeCheckpoints(TorchCheckpointIO):
    """Lightning's checkpoint files, whole or absent."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Write ``checkpoint`` to ``path``, keeping the file that was there as ``previous.ckpt``."""
        del storage_options
        target = Path(path)
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        content = buffer.getvalue()
        staged = target.with_name(f"next-{target.name}")
        write_bytes(staged, content + _MARK + hashlib.sha256(content).digest())
        if target.exists():
            os.replace(target, target.with_name(PREVIOUS))
        os.replace(staged, target)

    def load_checkpoint(
        self, path: str | os.PathLike[str], map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read ``path``; nothing in it can run."""
        del weights_only
        content = _checked(Path(path))
        if content is None:
            raise RunError(f"{path} is torn", code="E_CHECKPOINT", remedy="run again with --resume")
        loaded: dict[str, Any] = torch.load(
            io.BytesIO(content), map_location=map_location or "cpu", weights_only=True
        )
        return loaded

    def remove_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Remove ``path`` if it is there."""
        Path(path).unlink(missing_ok=True)


def newest_whole(folder: Path) -> Path | None:
    """The newest checkpoint in ``folder`` that is whole; a torn one is named in the log and passed over."""
    for name in (LAST, PREVIOUS):
        path = folder / name
        if not path.exists():
            continue
        if _checked(path) is not None:
            return path
        log.warning("%s is torn: falling back to the checkpoint before it", path)
    return None


def _checked(path: Path) -> bytes | None:
    content = path.read_bytes()
    payload, trailer = content[:-_TRAILER], content[-_TRAILER:]
    if trailer[: len(_MARK)] != _MARK or hashlib.sha256(payload).digest() != trailer[len(_MARK) :]:
        return None
    return payload
