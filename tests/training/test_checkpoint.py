from __future__ import annotations

import errno
import logging
from pathlib import Path

import pytest
import torch

from pulmoscope import files
from pulmoscope.errors import RunError, StorageError
from pulmoscope.training.checkpoint import WholeCheckpoints, newest_whole


def _save(folder: Path, value: int) -> None:
    WholeCheckpoints().save_checkpoint({"value": torch.tensor(value)}, folder / "last.ckpt")


def _value(path: Path | None) -> int:
    assert path is not None
    return int(WholeCheckpoints().load_checkpoint(path)["value"])


def test_the_newest_is_read_and_the_one_before_is_kept(tmp_path: Path) -> None:
    for value in (1, 2, 3):
        _save(tmp_path, value)
    assert _value(newest_whole(tmp_path)) == 3
    assert _value(tmp_path / "previous.ckpt") == 2


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty"])
def test_a_torn_checkpoint_falls_back_and_says_so(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("pulmoscope"), "propagate", True)
    for value in (1, 2):
        _save(tmp_path, value)
    last = tmp_path / "last.ckpt"
    content = bytearray(last.read_bytes())
    if damage == "flip":
        content[100] ^= 4
    last.write_bytes({"truncate": content[: len(content) // 2], "flip": content, "empty": b""}[damage])
    assert _value(newest_whole(tmp_path)) == 1
    assert "torn" in caplog.text
    with pytest.raises(RunError, match="torn"):
        WholeCheckpoints().load_checkpoint(last)


def test_a_full_disk_leaves_the_checkpoint_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _save(tmp_path, 1)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(StorageError, match="the disk is full"):
        _save(tmp_path, 2)
    assert _value(newest_whole(tmp_path)) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last.ckpt"]


def test_a_kill_between_the_two_renames_loses_nothing(tmp_path: Path) -> None:
    for value in (1, 2):
        _save(tmp_path, value)
    (tmp_path / "last.ckpt").unlink()
    assert _value(newest_whole(tmp_path)) == 1
