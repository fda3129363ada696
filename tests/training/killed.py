"""Train, and kill this very process with SIGKILL at the n-th sync of a file or the n-th training step."""

from __future__ import annotations

import os
import signal
import sys


def _die_at(count: int) -> object:
    left = [count]

    def tick() -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return tick


if __name__ == "__main__":
    kind, count, *arguments = sys.argv[1:]
    tick = _die_at(int(count))
    if kind == "sync":
        from pulmoscope import files

        real = os.fsync

        class _Os:
            def __getattr__(self, name: str) -> object:
                return getattr(os, name)

            @staticmethod
            def fsync(descriptor: int) -> None:
                tick()
                real(descriptor)

        files.os = _Os()
    elif kind == "step":
        from pulmoscope.training.finetune import Finetune

        step = Finetune.training_step

        def counted(self: Finetune, batch: object, batch_idx: int) -> object:
            tick()
            return step(self, batch, batch_idx)

        Finetune.training_step = counted
    from pulmoscope.cli import main

    main(arguments)
