"""Whole jobs: what the command line and the Python API call. Each is imported when it is first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pulmoscope.workflow.ablate_run import ablate
    from pulmoscope.workflow.external import evaluate_external
    from pulmoscope.workflow.replay_run import replay
    from pulmoscope.workflow.run import Run
    from pulmoscope.workflow.seeds import Seeds, train_seeds
    from pulmoscope.workflow.sweep_run import sweep
    from pulmoscope.workflow.training_run import train

_HOMES = {
    "Run": "run",
    "Seeds": "seeds",
    "ablate": "ablate_run",
    "evaluate_external": "external",
    "replay": "replay_run",
    "sweep": "sweep_run",
    "train": "training_run",
    "train_seeds": "seeds",
}

__all__ = ["Run", "Seeds", "ablate", "evaluate_external", "replay", "sweep", "train", "train_seeds"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pulmoscope.workflow' has no attribute {name!r}")
    return getattr(importlib.import_module(f"pulmoscope.workflow.{_HOMES[name]}"), name)
