"""Bundle and pictures to probabilities."""

from pulmoscope.inference.compute import choose_device, forward_precision, keep_memory
from pulmoscope.inference.predictor import Prediction, Predictor, Unread, find_pictures

__all__ = [
    "Prediction",
    "Predictor",
    "Unread",
    "choose_device",
    "find_pictures",
    "forward_precision",
    "keep_memory",
]
