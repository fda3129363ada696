"""Pixels to logits: what a network is, where its weights come from, how it is saved."""

from pulmoscope.models.bundle import Bundle, load_bundle
from pulmoscope.models.network import Classifier, build_classifier
from pulmoscope.models.registry import build_backbone, register
from pulmoscope.models.spec import HeadSpec, ModelSpec, WeightsOrigin
from pulmoscope.models.weights import input_statistics, installed, load_weights

__all__ = [
    "Bundle",
    "Classifier",
    "HeadSpec",
    "ModelSpec",
    "WeightsOrigin",
    "build_backbone",
    "build_classifier",
    "input_statistics",
    "installed",
    "load_bundle",
    "load_weights",
    "register",
]
