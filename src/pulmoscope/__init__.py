"""Pulmoscope: train, compare, explain, audit and serve chest radiograph classifiers. Research use only.

The names below are the library's front door; each is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pulmoscope.cohort import Cohort
    from pulmoscope.evaluation import Predictions, evaluate, read_predictions
    from pulmoscope.explanation import explain
    from pulmoscope.inference import Predictor
    from pulmoscope.models import Bundle, load_bundle
    from pulmoscope.report import write_report
    from pulmoscope.training import Recipe, load_recipe
    from pulmoscope.workflow import Run, ablate, evaluate_external, sweep, train

__version__ = "0.1.0"

_HOMES = {
    "Bundle": "models",
    "Cohort": "cohort",
    "Predictions": "evaluation",
    "Predictor": "inference",
    "Recipe": "training",
    "Run": "workflow",
    "ablate": "workflow",
    "evaluate": "evaluation",
    "evaluate_external": "workflow",
    "explain": "explanation",
    "load_bundle": "models",
    "load_recipe": "training",
    "read_predictions": "evaluation",
    "sweep": "workflow",
    "train": "workflow",
    "write_report": "report",
}

__all__ = [
    "Bundle",
    "Cohort",
    "Predictions",
    "Predictor",
    "Recipe",
    "Run",
    "__version__",
    "ablate",
    "evaluate",
    "evaluate_external",
    "explain",
    "load_bundle",
    "load_recipe",
    "read_predictions",
    "sweep",
    "train",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pulmoscope' has no attribute {name!r}")
    return getattr(importlib.import_module(f"pulmoscope.{_HOMES[name]}"), name)
