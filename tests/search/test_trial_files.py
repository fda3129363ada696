"""What a trial leaves: read back as it was, torn files are as none, a group is whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pulmoscope.search.trial_files import (
    TrialResult,
    forget_failed,
    open_group,
    open_groups,
    read_trial,
    trial_path,
    write_group,
    write_trial,
)


def complete(number: int) -> TrialResult:
    return TrialResult(
        number=number, params={"a": 1, "b": None}, state="complete", objective=0.5, stage="head", epoch=3, seconds=1.5,
        rows=[{"epoch": 1, "val_loss": float("nan")}], probabilities=np.random.default_rng(number).random((4, 2)),
    )  # fmt: skip


def test_a_trial_is_read_back_as_it_was(tmp_path: Path) -> None:
    write_trial(tmp_path, complete(7))
    found = read_trial(tmp_path, 7)
    assert found is not None
    assert found.params == {"a": 1, "b": None}
    assert (found.state, found.objective, found.stage, found.epoch) == ("complete", 0.5, "head", 3)
    assert np.isnan(found.rows[0]["val_loss"])
    np.testing.assert_array_equal(found.probabilities, complete(7).probabilities)
    assert json.loads(trial_path(tmp_path, 7).read_text())["rows"][0]["val_loss"] is None
    assert read_trial(tmp_path, 8) is None


@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_a_torn_trial_runs_again(tmp_path: Path, suffix: str) -> None:
    write_trial(tmp_path, complete(0))
    torn = trial_path(tmp_path, 0).with_suffix(suffix)
    torn.write_bytes(torn.read_bytes()[:40])
    assert read_trial(tmp_path, 0) is None


def test_a_failed_trial_needs_no_probabilities(tmp_path: Path) -> None:
    write_trial(tmp_path, TrialResult(number=0, params={}, state="failed", reason="E_X: it broke"))
    found = read_trial(tmp_path, 0)
    assert found is not None
    assert (found.state, found.reason, found.probabilities) == ("failed", "E_X: it broke", None)


def test_a_group_becomes_its_trials_once_and_leaves_those_there_as_they_are(tmp_path: Path) -> None:
    lost = TrialResult(number=4, params={"a": 2}, state="failed", reason="E_X")
    write_trial(tmp_path, complete(3))
    before = trial_path(tmp_path, 3).stat().st_mtime_ns
    write_group(tmp_path, [complete(2), complete(3), lost])
    assert not trial_path(tmp_path, 2).exists()
    assert [one.number for one in open_groups(tmp_path)] == [2, 4]
    assert trial_path(tmp_path, 3).stat().st_mtime_ns == before
    found = read_trial(tmp_path, 2)
    assert found is not None
    np.testing.assert_array_equal(found.probabilities, complete(2).probabilities)
    assert open_groups(tmp_path) == []
    assert not list((tmp_path / "trials").glob("group*"))


def test_a_worker_opens_its_own_group_alone_and_one_that_has_gone_is_no_error(tmp_path: Path) -> None:
    mine, other = write_group(tmp_path, [complete(0)]), write_group(tmp_path, [complete(1)])
    assert [one.number for one in open_group(tmp_path, mine)] == [0]
    assert not mine.exists()
    assert other.is_file()
    assert open_group(tmp_path, mine) == []


def test_a_group_replaces_a_trial_that_is_torn(tmp_path: Path) -> None:
    write_trial(tmp_path, complete(0))
    trial_path(tmp_path, 0).with_suffix(".npz").write_bytes(b"torn")
    assert [one.number for one in open_group(tmp_path, write_group(tmp_path, [complete(0)]))] == [0]
    assert read_trial(tmp_path, 0) is not None


def test_only_failed_trials_are_forgotten(tmp_path: Path) -> None:
    write_trial(tmp_path, complete(0))
    write_trial(tmp_path, TrialResult(number=1, params={}, state="failed", reason="E_X"))
    write_trial(tmp_path, TrialResult(number=2, params={}, state="pruned"))
    forget_failed(tmp_path, range(4))
    assert [trial_path(tmp_path, number).exists() for number in range(4)] == [True, False, True, False]


def test_a_torn_group_is_forgotten(tmp_path: Path) -> None:
    write_group(tmp_path, [complete(0)])
    path = next((tmp_path / "trials").glob("group*"))
    path.write_bytes(path.read_bytes()[:100])
    assert open_groups(tmp_path) == []
    assert not path.exists()
