"""A run that was begun more than once says so: the threads of each start."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pulmoscope.files import write_json
from pulmoscope.workflow.run import read_json
from pulmoscope.workflow.training_run import _note_start


@pytest.mark.parametrize(("noted", "expected"), [(True, [2, 1]), (False, [2, 1])], ids=["noted", "older-run"])
def test_the_threads_of_each_start_are_kept(
    noted: bool, expected: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_json(tmp_path / "environment.json", {"threads": 2})
    if noted:
        monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
        _note_start(tmp_path, [])
        assert read_json(tmp_path / "environment.json")["threads_of_starts"] == [2]
    (tmp_path / "checkpoints").mkdir()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    _note_start(tmp_path, [])
    assert read_json(tmp_path / "environment.json")["threads_of_starts"] == expected
