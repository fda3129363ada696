"""Run an ablation again and again; each life is a process that SIGKILL ends at the n-th sync of a file.

Arguments: the counts as JSON (the last may be 0: to the end), the cohort's folder, the recipe, the factors, and the
ablation's folder. Prints the exit statuses as JSON. Each life is forked from this process, which has imported
everything.
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
from pulmoscope.cohort import Cohort
from pulmoscope.report import style
from pulmoscope.workflow import ablate_run, training_run


def _live(count: int, cohort: str, recipe: str, factors: str, out: str) -> None:
    left, real = [count], os.fsync

    class _Os:
        def __getattr__(self, name: str) -> object:
            return getattr(os, name)

        @staticmethod
        def fsync(descriptor: int) -> None:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            real(descriptor)

    files.os = _Os()
    style.DPI = 30
    # The runs' own reports have tests of their own, and take longer than the training.
    training_run.write_report = lambda folder, **_: files.write_text(folder / "report.html", "")
    resume = (Path(out) / ablate_run.PLAN).is_file()
    ablate_run.ablate(
        recipe, Cohort.read(cohort), out=out, factors=factors, seeds=(0,), resume=resume, replicates=200
    )


if __name__ == "__main__":
    counts, *arguments = sys.argv[1:]
    ends = []
    for count in json.loads(counts):
        life = multiprocessing.get_context("fork").Process(target=_live, args=(count, *arguments))
        life.start()
        life.join()
        ends.append(life.exitcode)
    print("\n" + json.dumps(ends))
