"""Model and picture to maps."""

from pulmoscope.explanation.belief import Belief, through_layers
from pulmoscope.explanation.cam import explain
from pulmoscope.explanation.dead import LayerUse, layer_use
from pulmoscope.explanation.embedding import embed, grouped_guess, penultimate
from pulmoscope.explanation.explainer import Explainer, Maps
from pulmoscope.explanation.filters import exciting_pictures, first_kernels
from pulmoscope.explanation.hooks import Recording, find_module, recording
from pulmoscope.explanation.layer_change import LayerChange, layer_changes
from pulmoscope.explanation.layers import Stage, default_layer, layer_path, stages
from pulmoscope.explanation.methods import METHODS, Method, method_named
from pulmoscope.explanation.picks import DEFAULT_PICKS, Pick, pick_rows
from pulmoscope.explanation.pruning import Pruned, prune

__all__ = [
    "DEFAULT_PICKS",
    "METHODS",
    "Belief",
    "Explainer",
    "LayerChange",
    "LayerUse",
    "Maps",
    "Method",
    "Pick",
    "Pruned",
    "Recording",
    "Stage",
    "default_layer",
    "embed",
    "exciting_pictures",
    "explain",
    "find_module",
    "first_kernels",
    "grouped_guess",
    "layer_changes",
    "layer_path",
    "layer_use",
    "method_named",
    "penultimate",
    "pick_rows",
    "prune",
    "recording",
    "stages",
    "through_layers",
]
