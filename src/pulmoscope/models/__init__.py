"""Pixels to logits: what a network is, where its weights come from, how it is saved."""

# Imported for what it registers.
from pulmoscope.models import custom as _custom  # noqa: F401
from pulmoscope.models.bundle import Bundle, load_bundle
from pulmoscope.models.cascade import CascadeClassifier, CascadeSpec, build_network, route
from pulmoscope.models.freeze import freeze, unfreeze
from pulmoscope.models.network import Classifier, build_classifier
from pulmoscope.models.registry import build_backbone, register, registered, resolve
from pulmoscope.models.spec import HeadSpec, ModelSpec, WeightsOrigin
from pulmoscope.models.transfer import trained_run
from pulmoscope.models.weights import input_statistics, installed, load_weights

__all__ = [
    "Bundle",
    "CascadeClassifier",
    "CascadeSpec",
    "Classifier",
    "HeadSpec",
    "ModelSpec",
    "WeightsOrigin",
    "build_backbone",
    "build_classifier",
    "build_network",
    "freeze",
    "input_statistics",
    "installed",
    "load_bundle",
    "load_weights",
    "register",
    "registered",
    "resolve",
    "route",
    "trained_run",
    "unfreeze",
]
