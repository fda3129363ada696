"""The trials' storage: one owner a trial, what was entered stays, and a database that goes away for a while."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy

from pulmoscope.errors import RunError, StorageError
from pulmoscope.search.samplers import grid_points
from pulmoscope.search.space import parse_space
from pulmoscope.search.study import Study, is_inside, lasting, reach, sqlite_url

SPACE = parse_space({"axes": {"a": [1, 2, 3], "b": ["x", None, True, 0.5]}}, "my.yaml")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A database with twelve trials: making its tables takes seconds, copying it none."""
    folder = tmp_path_factory.mktemp("study")
    with Study(sqlite_url(folder), "sweep", maximise=True) as study:
        study.add(SPACE, grid_points(SPACE))
    return (folder / "study.sqlite").read_bytes()


@pytest.fixture
def url(tmp_path: Path, template: bytes) -> str:
    (tmp_path / "study.sqlite").write_bytes(template)
    return sqlite_url(tmp_path)


@pytest.fixture
def study(url: str) -> Iterator[Study]:
    with Study(url, "sweep", maximise=True) as opened:
        yield opened


def test_trials_keep_their_numbers_and_are_entered_once(study: Study) -> None:
    before = study.trials()
    study.add(SPACE, grid_points(SPACE))
    assert [trial.number for trial in study.trials()] == list(range(12))
    assert study.trials() == before
    assert {trial.state for trial in before} == {"waiting"}
    study.add(SPACE, grid_points(SPACE)[:1], first=12)
    assert study.trials()[12].key == before[0].key
    with pytest.raises(RunError, match="E_RESUME_MISMATCH"):
        study.add(SPACE, grid_points(SPACE)[1:2])


def test_of_many_that_want_a_trial_one_gets_it(url: str) -> None:
    def take(owner: str) -> list[int]:
        with Study(url, "sweep", maximise=True) as mine:
            return [number for number in range(12) if mine.claim(number, owner)]

    with ThreadPoolExecutor(6) as pool:
        taken = list(pool.map(take, [f"worker {index}" for index in range(6)]))
    assert sorted(number for one in taken for number in one) == list(range(12))


def test_an_owner_that_asks_again_keeps_its_trial(study: Study) -> None:
    assert study.claim(3, "me")
    assert study.claim(3, "me")
    assert not study.claim(3, "you")
    assert study.trials()[3].state == "running"


def test_a_claim_whose_worker_has_gone_is_released_and_a_trial_that_has_ended_stays_so(study: Study) -> None:
    for number in (0, 1):
        study.claim(number, "gone")
    study.finish(1, "complete", 0.5, seconds=2.0)
    study.release([0, 1, 2])
    assert [trial.state for trial in study.trials()[:3]] == ["waiting", "complete", "waiting"]
    assert study.claim(0, "new")
    assert study.claim(1, "new")  # to make its files again
    study.finish(1, "failed", None)
    assert study.trials()[1].value == 0.5


def test_what_was_entered_stays(study: Study) -> None:
    study.claim(0, "me")
    study.finish(0, "complete", 0.5, seconds=2.0, reason=None)
    study.finish(0, "failed", None, reason="later")
    study.finish(1, "failed", None, reason="E_WEIGHTS: none there")
    study.finish(2, "pruned", None, epoch=3)
    first, second, third = study.trials()[:3]
    assert (first.state, first.value, first.attributes) == ("complete", 0.5, {"seconds": 2.0, "reason": None})
    assert (second.state, second.value, second.attributes["reason"]) == (
        "failed",
        None,
        "E_WEIGHTS: none there",
    )
    assert (third.state, third.attributes["epoch"]) == ("pruned", 3)


def test_a_trial_under_the_median_of_five_others_is_pruned(study: Study) -> None:
    for number in range(5):
        assert not any(study.report(number, epoch, 0.8 + number / 100) for epoch in (1, 2, 3))
        study.finish(number, "complete", 0.8)
    assert not study.report(5, 1, 0.1)  # the first epoch tells too little
    assert study.report(5, 2, 0.1)
    assert not study.report(6, 2, 0.9)


def test_a_database_that_comes_back_in_time_loses_nothing() -> None:
    tries = []

    def act() -> str:
        tries.append(1)
        if len(tries) < 3:
            raise sqlalchemy.exc.OperationalError("select", {}, Exception("gone"))
        return "done"

    assert lasting(act, patience=5, what="a database") == "done"
    assert len(tries) == 3


def test_a_database_that_stays_away_ends_in_one_line_without_the_password() -> None:
    with pytest.raises(StorageError, match=r"E_SWEEP_STORAGE.*--resume") as caught:
        Study("postgresql+psycopg://me:secret@127.0.0.1:1/none", "s", maximise=True, patience=0.3)
    assert "secret" not in str(caught.value)
    assert "***" in str(caught.value)


def test_a_trial_that_failed_waits_again_once_it_is_released_and_its_new_end_counts(
    study: Study, url: str
) -> None:
    before = study.trials()[1]
    study.claim(1, "first")
    study.finish(1, "failed", None, reason="E_WEIGHTS: none there")
    study.release([1])
    again = study.trials()[1]
    assert (again.state, again.key, again.params, again.attributes) == (
        "waiting", before.key, before.params, {}
    )  # fmt: skip
    with Study(url, "sweep", maximise=True) as worker:
        assert worker.claim(1, "second")
        worker.finish(1, "complete", 0.5, reason=None)
    assert [trial.number for trial in study.trials()] == list(range(12))
    assert (study.trials()[1].state, study.trials()[1].value) == ("complete", 0.5)
    study.release([1])
    assert study.trials()[1].state == "complete"


def test_a_database_that_is_not_there_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulmoscope.search.study.time.sleep", lambda _: pytest.fail("it waited"))
    with pytest.raises(StorageError, match="E_SWEEP_STORAGE"):
        reach("postgresql+psycopg://me:secret@127.0.0.1:1/none")


def test_a_database_in_the_folder_is_told_from_others(tmp_path: Path) -> None:
    assert is_inside(sqlite_url(tmp_path / "out"), tmp_path / "out")
    assert not is_inside(sqlite_url(tmp_path), tmp_path / "out")
    assert not is_inside("postgresql+psycopg://me@host/out", tmp_path / "out")


def test_no_address_of_a_database_is_refused() -> None:
    with pytest.raises(RunError, match="E_USAGE"):
        Study("my trials", "s", maximise=True)
