"""Sweep again and again; SIGKILL ends each life at the n-th sync of a file, or after so many seconds.

Arguments: the lives as JSON, [[kind, n], ...], the sweep's folder, and the command line. Prints the exit statuses as
JSON, negative where a signal ended a life. Each life is forked from this process, which has imported everything once
and has done nothing.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
from pathlib import Path

import timm  # noqa: F401
import typer

from pulmoscope import files
from pulmoscope.cli.sweep import sweep
from pulmoscope.report import style
from pulmoscope.workflow import sweep_run  # noqa: F401


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _arm(kind: str, count: float) -> None:
    if kind == "seconds":
        timer = threading.Timer(count, _die)
        timer.daemon = True
        timer.start()
        return
    left = [int(count)]
    real = os.fsync

    class _Os:
        def __getattr__(self, name: str) -> object:
            return getattr(os, name)

        @staticmethod
        def fsync(descriptor: int) -> None:
            left[0] -= 1
            if left[0] == 0:
                _die()
            real(descriptor)

    files.os = _Os()


def _live(kind: str, count: float, arguments: list[str]) -> None:
    _arm(kind, count)
    app = typer.Typer()
    app.command()(sweep)
    app(arguments)


if __name__ == "__main__":
    lives, out, *words = sys.argv[1:]
    # Fewer dots make the reports quick.
    style.DPI = 30
    ends = []
    for kind, count in json.loads(lives):
        resume = ["--resume"] if (Path(out) / "plan.json").exists() else []
        life = multiprocessing.get_context("fork").Process(
            target=_live, args=(kind, count, [*words, "--out", out, *resume])
        )
        life.start()
        life.join()
        ends.append(life.exitcode)
    print("\n" + json.dumps(ends))
