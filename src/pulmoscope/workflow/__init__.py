"""Whole jobs: what the command line and the Python API call."""

from pulmoscope.workflow.external import evaluate_external
from pulmoscope.workflow.replay import replay
from pulmoscope.workflow.run import Run
from pulmoscope.workflow.seeds import Seeds, train_seeds
from pulmoscope.workflow.training_run import train

__all__ = ["Run", "Seeds", "evaluate_external", "replay", "train", "train_seeds"]
