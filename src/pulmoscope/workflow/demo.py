"""The whole job in minutes, on the phantom or on real pictures."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from pulmoscope.cohort import Cohort, draw_phantom_cohort, summarise
from pulmoscope.errors import RunError
from pulmoscope.files import make_folder, write_json
from pulmoscope.workflow.run import Run, read_json
from pulmoscope.workflow.training_run import train

log = logging.getLogger("pulmoscope")


def run_demo(out: Path, *, sources: Mapping[str, Path], labels: str | None, seed: int) -> Run:
    """Draw or take pictures, build a cohort, train, evaluate and report into ``out``.

    A demo that was interrupted goes on; a finished one is shown again.
    """
    folder = make_folder(out)
    asked = {"seed": seed, "labels": labels, "sources": {name: str(path) for name, path in sources.items()}}
    kept = folder / "demo.json"
    if kept.is_file() and read_json(kept) != asked:
        raise RunError(
            f"{folder} holds a demo with other settings",
            code="E_RUN_EXISTS",
            remedy="choose another folder with --out",
        )
    write_json(kept, asked)
    # Bodies from one model are more alike than people are: the search for near copies, set for films of people, would
    # join phantom patients.
    near_copies = bool(sources)
    if not sources:
        log.info("drawing the phantom: synthetic chest radiographs, no patient behind any of them")
        sources = {
            "phantom": draw_phantom_cohort(folder / "phantom", n=600, seed=seed, progress=True) / "table.csv"
        }
    cohort = Cohort.from_sources(sources, labels=labels, seed=seed, near_copies=near_copies, progress=True)
    cohort.write(folder / "cohort")
    print(summarise(cohort))
    run_folder = folder / "run"
    resume = (run_folder / "recipe.yaml").is_file()
    return train("demo", cohort, out=run_folder, seed=seed, resume=resume, progress=True)
