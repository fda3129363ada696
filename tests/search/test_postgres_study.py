"""A sweep's trials in PostgreSQL, which is restarted while two processes work: nothing lost, nothing twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import pieces
from postgres import Server, running_server
from pulmoscope.search.engine import LocalEngine
from pulmoscope.search.samplers import grid_points
from pulmoscope.search.space import Axis, Choice, Space
from pulmoscope.search.study import Study

NAME, TRIALS = "sweep", 40


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture(scope="module")
def space() -> Space:
    choices = tuple(Choice(value=value, fields={"train.seed": value}) for value in range(TRIALS))
    return Space(
        where="the test's space",
        axes=(Axis(name="train.seed", choices=choices, when={}),),
        objective=None,
        constants={},
    )


@pytest.mark.slow
def test_a_restart_in_the_middle_loses_no_trial_and_runs_none_twice(
    server: Server, space: Space, tmp_path: Path
) -> None:
    with Study(server.url, NAME, maximise=True) as study:
        study.add(space, grid_points(space))
        assert [trial.state for trial in study.trials()] == ["waiting"] * TRIALS
    traces = tmp_path / "traces"
    traces.mkdir()
    restarts: list[int] = []

    def restart_twice() -> None:
        for enough in (TRIALS // 4, TRIALS // 2):
            while len(list(traces.iterdir())) < enough:
                time.sleep(0.02)
            server.restart("immediate")
            restarts.append(len(list(traces.iterdir())))

    disturber = threading.Thread(target=restart_twice, daemon=True)
    disturber.start()
    jobs = [
        pieces.TrialsJob(url=server.url, name=NAME, worker=f"w{n}", folder=traces, trials=TRIALS)
        for n in range(2)
    ]
    outcomes = list(LocalEngine(2).run(pieces.work_on_trials, jobs))
    disturber.join(10)
    assert [outcome.error for outcome in outcomes] == [None, None]
    # Both restarts fell into the sweep.
    assert len(restarts) == 2
    assert restarts[-1] < TRIALS
    assert server.starts() == 3
    done = [outcome.value for outcome in outcomes]
    assert sorted(number for numbers in done for number in numbers) == list(range(TRIALS))
    assert min(map(len, done)) > 0
    assert {path.name: len(path.read_text().split()) for path in traces.iterdir()} == {
        str(number): 1 for number in range(TRIALS)
    }
    with Study(server.url, NAME, maximise=True) as study:
        recorded = study.trials()
    assert [trial.number for trial in recorded] == list(range(TRIALS))
    assert {trial.state for trial in recorded} == {"complete"}
    assert [trial.value for trial in recorded] == [number / TRIALS for number in range(TRIALS)]
    workers = [trial.attributes["worker"] for trial in recorded]
    assert {worker: workers.count(worker) for worker in set(workers)} == {
        job.worker: len(numbers) for outcome in outcomes for job, numbers in [(outcome.item, outcome.value)]
    }


def test_two_that_ask_for_the_same_trial_get_it_once(server: Server, space: Space) -> None:
    with (
        Study(server.url, "claims", maximise=True) as one,
        Study(server.url, "claims", maximise=True) as other,
    ):
        one.add(space, grid_points(space)[:1])
        assert one.claim(0, "one")
        assert not other.claim(0, "other")
        assert one.claim(0, "one")
        other.release([0])
        assert other.claim(0, "other")
        assert not one.claim(0, "one")
