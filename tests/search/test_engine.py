"""Engines: the same answers wherever a piece runs, each item once, whatever dies."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import pieces
from pulmoscope.cores import cores
from pulmoscope.errors import RunError
from pulmoscope.search import ray_engine as ray_engine_module
from pulmoscope.search.engine import Engine, LocalEngine, Outcome, open_engine
from pulmoscope.search.ray_engine import RayEngine

TESTS = Path(pieces.__file__).parent


@pytest.fixture(scope="module")
def ray_engine() -> Engine:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'pulmoscope[ray]'")
    with pytest.MonkeyPatch.context() as patch:
        # Ray's workers find functions by name, as every process does.
        patch.setenv("PYTHONPATH", str(TESTS))
        with RayEngine(None, 2) as engine:
            yield engine


@pytest.fixture(params=["here", "processes", "ray"])
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "ray":
        return request.getfixturevalue("ray_engine")
    return LocalEngine(1 if request.param == "here" else 2)


@pytest.fixture(params=["processes", "ray"])
def apart(request: pytest.FixtureRequest) -> Engine:
    return request.getfixturevalue("ray_engine") if request.param == "ray" else LocalEngine(2)


def in_order(outcomes: object) -> list[Outcome]:
    return sorted(outcomes, key=lambda outcome: str(outcome.item))


def test_every_item_comes_back_once_with_its_own_value(engine: Engine) -> None:
    outcomes = list(engine.run(pieces.square, range(9)))
    assert sorted(o.item for o in outcomes) == list(range(9))
    assert all(o.value == o.item**2 and o.error is None for o in outcomes)
    assert list(engine.run(pieces.square, [])) == []


def test_an_exception_is_an_outcome_in_one_line_and_is_the_same_everywhere(engine: Engine) -> None:
    outcomes = {o.item: o for o in engine.run(pieces.refuse_three, range(5))}
    assert [outcomes[i].value for i in range(5)] == [0, 1, 2, None, 4]
    assert outcomes[3].error == "ValueError: three is not wanted"


def test_an_item_whose_worker_is_killed_is_tried_again(apart: Engine, tmp_path: Path) -> None:
    items = [tmp_path / name for name in "abcd"]
    outcomes = in_order(apart.run(pieces.die_once, items))
    assert [o.item for o in outcomes] == items
    assert [o.value for o in outcomes] == list("abcd")


def test_an_item_that_always_kills_is_reported_and_the_rest_go_on(apart: Engine) -> None:
    outcomes = in_order(apart.run(pieces.die_on_three, range(6)))
    assert [o.value for o in outcomes] == [0, 1, 2, None, 4, 5]
    assert outcomes[3].error is not None
    assert outcomes[3].error.startswith("E_WORKER: the worker died, 3 times")
    assert [o.error for o in outcomes if o.item != 3] == [None] * 5


def test_a_value_that_cannot_travel_is_that_items_error(apart: Engine) -> None:
    (outcome,) = apart.run(pieces.unpicklable, [1])
    assert outcome.value is None
    assert outcome.error is not None
    assert "pickle" in outcome.error


def test_one_worker_is_this_process_and_more_are_others(apart: Engine) -> None:
    assert {o.value[0] for o in LocalEngine(1).run(pieces.where, range(3))} == {os.getpid()}
    assert os.getpid() not in {o.value[0] for o in apart.run(pieces.where, range(3))}


def test_threads_are_shared_out(apart: Engine) -> None:
    expected = max(1, cores() // 2)
    assert {o.value for o in apart.run(pieces.torch_threads, range(4))} == {expected}


def test_closing_early_ends_the_processes_at_once(tmp_path: Path) -> None:
    outcomes = LocalEngine(2).run(pieces.leave_a_trace, [(tmp_path, i) for i in range(40)])
    next(outcomes)
    start = time.monotonic()
    outcomes.close()
    assert time.monotonic() - start < 3
    seen = len(list(tmp_path.iterdir()))
    time.sleep(0.7)
    assert len(list(tmp_path.iterdir())) == seen < 40


def test_workers_leave_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    code = f"""
import pathlib, pieces
from pulmoscope.search.engine import LocalEngine
if __name__ == "__main__":
    items = [(pathlib.Path({str(tmp_path)!r}), i) for i in range(400)]
    for _ in LocalEngine(2).run(pieces.leave_a_trace, items):
        pass
"""
    script = tmp_path.parent / f"{tmp_path.name}.py"
    script.write_text(code)
    parent = subprocess.Popen([sys.executable, script], env=os.environ | {"PYTHONPATH": str(TESTS)})
    while len(list(tmp_path.iterdir())) < 3:
        assert parent.poll() is None
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    time.sleep(0.5)
    seen = len(list(tmp_path.iterdir()))
    time.sleep(0.8)
    assert len(list(tmp_path.iterdir())) == seen


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(RunError, match="E_USAGE.*there are no workers"), open_engine("local", workers=0):
        pass
    with (
        pytest.raises(RunError, match="E_USAGE.*--address needs --engine ray"),
        open_engine("local", address="x"),
    ):
        pass


def test_a_ray_session_of_somebody_else_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray ends the session of a process by ``shutdown``, whoever began it."""
    ended: list[str] = []
    theirs = SimpleNamespace(
        is_initialized=lambda: True,
        init=lambda **_: ended.append("init"),
        shutdown=lambda: ended.append("shutdown"),
    )
    monkeypatch.setattr(ray_engine_module, "_load_ray", lambda: theirs)
    with pytest.raises(RunError, match=r"E_RAY.*in use in this process.*ray\.shutdown"), RayEngine(None, 1):
        pytest.fail("it was entered")
    assert ended == []


def test_without_ray_one_line_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RunError, match=r"E_EXTRA.*pip install 'pulmoscope\[ray\]'"), open_engine("ray"):
        pass
