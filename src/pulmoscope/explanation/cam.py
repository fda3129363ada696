"""Class activation maps in the original picture's frame."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from pulmoscope.errors import LabelError, PulmoscopeError
from pulmoscope.models import Bundle, CascadeClassifier, Classifier

METHODS = ("grad-cam",)


def explain(
    model: Bundle, image: NDArray[np.float32], *, target: str | None = None, method: str = "grad-cam"
) -> NDArray[np.float32]:
    """Where the network found evidence for a class.

    Args:
        model: A trained model.
        image: Grey picture (H, W) in [0, 1].
        target: A class name; by default the class that the model gives. Of a cascade, the stage that decides the
            class is explained: the second for a child of its node, else the first.
        method: ``grad-cam`` (Selvaraju et al. 2017, equations 1 and 2).

    Returns:
        Map (H, W) in [0, 1], aligned with ``image``; all zero where nothing speaks for the class.

    Raises:
        LabelError: ``target`` is not a class of the model.
    """
    if method not in METHODS:
        raise PulmoscopeError(
            f"no explanation method {method!r}", code="E_METHOD", expected=", ".join(METHODS)
        )
    if target is not None and target not in model.classes:
        raise LabelError(f"the model has no class {target!r}", expected=", ".join(model.classes))
    stored = torch.from_numpy(model.preprocess.to_store(image))[None]
    inputs = model.preprocess.to_input(stored)
    network, output = _deciding(model.network(), model.classes, inputs, target)
    with GradCAM(model=network, target_layers=[last_spatial_layer(network, inputs)]) as cam:
        heat = cam(input_tensor=inputs, targets=[ClassifierOutputTarget(output)])[0]
    height, width = image.shape
    placed = model.preprocess.unmap(np.asarray(heat, np.float32), width, height)
    return np.clip(placed, 0, 1).astype(np.float32)


def _deciding(
    network: Classifier | CascadeClassifier,
    classes: tuple[str, ...],
    inputs: torch.Tensor,
    target: str | None,
) -> tuple[Classifier, int]:
    """The network that decides the target, and the target's place among its outputs."""
    if target is None:
        with torch.no_grad():
            target = classes[int(network(inputs).argmax(dim=1))]
    if not isinstance(network, CascadeClassifier):
        return network, classes.index(target)
    stage, output = network.spec.stage_of(target)
    return (network.first if stage == "first" else network.second), output


def last_spatial_layer(network: Classifier, inputs: torch.Tensor) -> nn.Module:
    """The last module of the backbone whose output still has height and width."""
    found: list[nn.Module] = []

    def note(module: nn.Module, _: object, output: object) -> None:
        if isinstance(output, torch.Tensor) and output.ndim == 4 and min(output.shape[2:]) > 1:
            found.append(module)

    hooks = [module.register_forward_hook(note) for module in network.backbone.modules()]
    try:
        with torch.no_grad():
            network(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    if not found:
        raise PulmoscopeError("the backbone has no layer with height and width to explain", code="E_METHOD")
    return found[-1]
