"""Whole jobs: what the command line and the Python API call."""

from pulmoscope.workflow.external import evaluate_external
from pulmoscope.workflow.run import Run
from pulmoscope.workflow.training_run import train

__all__ = ["Run", "evaluate_external", "train"]
