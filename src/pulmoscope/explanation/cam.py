"""Class activation maps in the original picture's frame."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from pulmoscope.errors import LabelError, PulmoscopeError
from pulmoscope.models import Bundle, Classifier

METHODS = ("grad-cam",)


def explain(
    model: Bundle, image: NDArray[np.float32], *, target: str | None = None, method: str = "grad-cam"
) -> NDArray[np.float32]:
    """Where the network found evidence for a class.

    Args:
        model: A trained model.
        image: Grey picture (H, W) in [0, 1].
        target: A class name; by default the class that the model gives.
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
    network = model.network()
    stored = torch.from_numpy(model.preprocess.to_store(image))[None]
    inputs = model.preprocess.to_input(stored)
    with GradCAM(model=network, target_layers=[last_spatial_layer(network, inputs)]) as cam:
        wanted = None if target is None else [ClassifierOutputTarget(model.classes.index(target))]
        heat = cam(input_tensor=inputs, targets=wanted)[0]
    height, width = image.shape
    placed = model.preprocess.unmap(np.asarray(heat, np.float32), width, height)
    return np.clip(placed, 0, 1).astype(np.float32)


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
