"""Train again and again; each life is a process that SIGKILL ends at the n-th sync of a file or training step.

Arguments: the lives as JSON, [[kind, n], ...], the run's folder, and the command line. Prints the exit statuses as
JSON, negative where a signal ended a life. Each life is forked from this process, which has imported everything, once,
and has done nothing.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from pathlib import Path

import timm  # noqa: F401

from pulmoscope import files
from pulmoscope.cli import main
from pulmoscope.training.finetune import Finetune
from pulmoscope.workflow import training_run  # noqa: F401


def _die_at(count: int) -> object:
    left = [count]

    def tick() -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return tick


def _arm(kind: str, count: int) -> None:
    tick = _die_at(count)
    if kind == "sync":
        real = os.fsync

        class _Os:
            def __getattr__(self, name: str) -> object:
                return getattr(os, name)

            @staticmethod
            def fsync(descriptor: int) -> None:
                tick()
                real(descriptor)

        files.os = _Os()
    else:
        step = Finetune.training_step

        def counted(self: Finetune, batch: object, batch_idx: int) -> object:
            tick()
            return step(self, batch, batch_idx)

        Finetune.training_step = counted


def _live(kind: str, count: int, arguments: list[str]) -> None:
    _arm(kind, count)
    main(arguments)


if __name__ == "__main__":
    lives, run, *arguments = sys.argv[1:]
    ends = []
    for kind, count in json.loads(lives):
        resume = ["--resume"] if (Path(run) / "recipe.yaml").exists() else []
        words = [*arguments, "--out", run, *resume]
        life = multiprocessing.get_context("fork").Process(target=_live, args=(kind, count, words))
        life.start()
        life.join()
        ends.append(life.exitcode)
    print("\n" + json.dumps(ends))
