"""Pieces of work for engines: functions that other processes find by name."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path


def square(number: int) -> int:
    return number * number


def refuse_three(number: int) -> int:
    if number == 3:
        raise ValueError("three is\nnot wanted")
    return number


def die(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def die_on_three(number: int) -> int:
    return die(number) if number == 3 else number


def die_once(marker: Path) -> str:
    """Killed by the system the first time, done the second."""
    if not marker.exists():
        marker.touch()
        die(0)
    return marker.name


def where(_: object) -> tuple[int, bool]:
    """Which process, and whether it had PyTorch before this was asked."""
    return os.getpid(), "torch" in sys.modules


def torch_threads(_: object) -> int:
    import torch

    return torch.get_num_threads()


def unpicklable(_: object) -> object:
    return threading.Lock()


def leave_a_trace(place: tuple[Path, int]) -> int:
    """One line a try in the item's own file, then some time."""
    folder, number = place
    with (folder / str(number)).open("a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(0.3)
    return number


@dataclass(frozen=True, kw_only=True)
class TrialsJob:
    url: str
    name: str
    worker: str
    folder: Path
    trials: int


def work_on_trials(job: TrialsJob) -> list[int]:
    """Whatever trials of a study nobody else has claimed, each a moment's work that leaves a line in its own file."""
    from pulmoscope.search.study import Study

    mine = []
    with Study(job.url, job.name, maximise=True) as study:
        for number in range(job.trials):
            if study.claim(number, job.worker):
                with (job.folder / str(number)).open("a") as file:
                    file.write(f"{job.worker}\n")
                time.sleep(0.05)
                study.finish(number, "complete", number / job.trials, worker=job.worker)
                mine.append(number)
    return mine
