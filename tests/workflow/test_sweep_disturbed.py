"""A sweep as a user types it, disturbed from outside: a Ray node killed, the database's server restarted."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import torch
import yaml

import tiny
from postgres import running_server
from pulmoscope.cohort import Cohort, draw_phantom_cohort
from pulmoscope.search.study import Study, sqlite_url
from pulmoscope.workflow.sweep_run import sweep
from ray_nodes import Node, node_environment, two_nodes

pytestmark = pytest.mark.slow

# Two heads on each of six augmentations: six pieces of work.
SPACE = {"axes": {"augment.rotate": [0, 2, 4, 6, 8, 10], "train.head.learning_rate": [0.3, 0.03]}}
TRIALS = 12
RECIPE: dict[str, Any] = {
    "preprocess": {"size": 48, "channels": 1},
    # Long enough that a piece is met while it is being worked on.
    "train": {
        "select": "val_accuracy",
        "limit": 40,
        "head": {"epochs": 200, "patience": 200},
        "finetune": {"epochs": 0},
    },
}


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is swept, and the folder of the sweep that nothing disturbed."""

    folder: Path
    whole: Path

    def command(self, out: Path, *options: object) -> list[str]:
        words = (
            "sweep", self.folder / "tiny.yaml", "--cohort", self.folder / "cohort", "--space",
            self.folder / "space.yaml", "--out", out, "--workers", 2, *options,
        )  # fmt: skip
        return [sys.executable, "-m", "pulmoscope", *map(str, words)]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("disturbed")
    table = draw_phantom_cohort(folder / "phantom", n=80, seed=1, size=64) / "table.csv"
    cohort = Cohort.from_sources({"phantom": table}, near_copies=False)
    cohort.write(folder / "cohort")
    recipe = tiny.write_recipe(folder, **RECIPE)
    (folder / "space.yaml").write_text(yaml.safe_dump(SPACE, sort_keys=False))
    threads = torch.get_num_threads()
    # As a worker has on a node of one core.
    torch.set_num_threads(1)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PULMOSCOPE_CACHE", str(folder / "cache"))
            patch.setattr("pulmoscope.report.style.DPI", 30)
            found = sweep(recipe, cohort, space=folder / "space.yaml", out=folder / "whole")
    finally:
        torch.set_num_threads(threads)
    return Job(folder=folder, whole=found.folder)


@contextlib.contextmanager
def running(command: Sequence[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(process: subprocess.Popen[str]) -> None:
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert "Research use only." in said


@contextlib.contextmanager
def study(folder: Path, url: str) -> Iterator[Study]:
    plan = json.loads((folder / "plan.json").read_text())
    with Study(url, f"tiny {plan['uid']} {folder.name}", maximise=True) as opened:
        yield opened


def wait_until_running(folder: Path, url: str, process: subprocess.Popen[str]) -> None:
    """Return as soon as some trials have ended and others are being worked on."""
    until = time.monotonic() + 240
    while time.monotonic() < until and process.poll() is None and not written(folder):
        time.sleep(0.02)
    with study(folder, url) as opened:
        while time.monotonic() < until and process.poll() is None:
            if any(trial.state == "running" for trial in opened.trials()):
                return
            time.sleep(0.02)
    process.kill()
    raise AssertionError(process.communicate()[0])


def written(folder: Path) -> dict[str, int]:
    """When each trial that has ended was written."""
    return {path.name: path.stat().st_mtime_ns for path in (folder / "trials").glob("[0-9]*.json")}


def assert_as_whole(job: Job, out: Path, url: str, before: dict[str, int]) -> None:
    """The table is the undisturbed sweep's, each trial stands in it once, and none that had ended ran again."""
    table, whole = (
        pd.read_parquet(folder / "trials.parquet").drop(columns="seconds") for folder in (out, job.whole)
    )
    assert table["number"].tolist() == list(range(TRIALS))
    assert set(table["state"]) == {"complete"}
    pd.testing.assert_frame_equal(table, whole, check_exact=False, rtol=0, atol=1e-6)
    with study(out, url) as opened:
        entered = opened.trials()
    assert [(one.number, one.state) for one in entered] == [(n, "complete") for n in range(TRIALS)]
    assert [one.value for one in entered] == pytest.approx(table["objective"].tolist())
    after = written(out)
    assert len(after) == TRIALS
    assert 0 < len(before) < TRIALS
    assert {name: after[name] for name in before} == before
    tested = [json.loads((folder / "sweep.json").read_text())["test"] for folder in (out, job.whole)]
    assert tested[0] == tested[1]


def busy_worker(node: Node) -> psutil.Process | None:
    """The process that works on a piece there; Ray names it after the task."""
    raylet = node.raylet()
    assert raylet is not None
    for child in raylet.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if any(word.startswith("ray::_task") for word in child.cmdline()):
                return child
    return None


@contextlib.contextmanager
def worker_of(node: Node, process: subprocess.Popen[str], beside: Node) -> Iterator[psutil.Process]:
    """A node's busy worker; the node beside it stands still, or it might do all the work before this one has begun."""
    until, still = time.monotonic() + 240, None
    try:
        while (worker := busy_worker(node)) is None:
            if time.monotonic() > until or process.poll() is not None:
                process.kill()
                raise AssertionError(process.communicate()[0])
            if still is None and (still := busy_worker(beside)) is not None:
                # It may have ended just now.
                with contextlib.suppress(psutil.Error):
                    still.suspend()
            time.sleep(0.02)
        yield worker
    finally:
        if still is not None:
            with contextlib.suppress(psutil.Error):
                still.resume()


def test_a_node_killed_while_trials_run_changes_nothing(job: Job, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'pulmoscope[ray]'")
    out, environment = tmp_path / "out", node_environment()
    with (
        two_nodes(environment) as (address, head, other),
        running(job.command(out, "--engine", "ray", "--address", address), environment) as process,
    ):
        wait_until_running(out, sqlite_url(out), process)
        with worker_of(other, process, beside=head) as worker:
            before = written(out)
            other.kill_raylet_and(worker)
        ended(process)
    assert_as_whole(job, out, sqlite_url(out), before)


def test_a_server_restarted_while_trials_run_changes_nothing(job: Job, tmp_path: Path) -> None:
    with running_server() as server:
        out = tmp_path / "out"
        with running(job.command(out, "--storage", server.url), dict(os.environ)) as process:
            wait_until_running(out, server.url, process)
            before = written(out)
            server.restart("immediate")
            ended(process)
        assert server.starts() == 2
        assert_as_whole(job, out, server.url, before)
