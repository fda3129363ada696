"""Model and picture to maps."""

from pulmoscope.explanation.belief import Belief, through_layers
from pulmoscope.explanation.cam import explain
from pulmoscope.explanation.explainer import Explainer, Maps
from pulmoscope.explanation.hooks import Recording, find_module, recording
from pulmoscope.explanation.layers import Stage, default_layer, layer_path, stages
from pulmoscope.explanation.methods import METHODS, Method, method_named
from pulmoscope.explanation.picks import DEFAULT_PICKS, Pick, pick_rows

__all__ = [
    "DEFAULT_PICKS",
    "METHODS",
    "Belief",
    "Explainer",
    "Maps",
    "Method",
    "Pick",
    "Recording",
    "Stage",
    "default_layer",
    "explain",
    "find_module",
    "layer_path",
    "method_named",
    "pick_rows",
    "recording",
    "stages",
    "through_layers",
]
