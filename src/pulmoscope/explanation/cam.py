"""One picture's map in a line."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from pulmoscope.errors import LabelError
from pulmoscope.explanation.geometry import grids
from pulmoscope.explanation.layers import default_layer
from pulmoscope.explanation.methods import method_named
from pulmoscope.models import Bundle, CascadeClassifier, Classifier


def explain(
    model: Bundle, image: NDArray[np.float32], *, target: str | None = None, method: str = "grad-cam"
) -> NDArray[np.float32]:
    """Where the network found evidence for a class. Of many pictures :class:`Explainer` is quicker.

    Args:
        model: A trained model.
        image: Grey picture (H, W) in [0, 1].
        target: A class name; by default the class that the model gives. Of a cascade, the stage that decides the
            class is explained: the second for a child of its node, else the first.
        method: A name of :data:`~pulmoscope.explanation.METHODS`; ``grad-cam`` is Selvaraju et al. 2017.

    Returns:
        Map (H, W) in [0, 1], aligned with ``image``; all zero where nothing speaks for the class.

    Raises:
        LabelError: ``target`` is not a class of the model.
        PulmoscopeError: There is no such method, or the network has no layer with height and width.
    """
    chosen = method_named(method)
    if target is not None and target not in model.classes:
        raise LabelError(f"the model has no class {target!r}", expected=", ".join(model.classes))
    stored = torch.from_numpy(model.preprocess.to_store(image))[None]
    inputs = model.preprocess.to_input(stored)
    network, output = _deciding(model.network(), model.classes, inputs, target)
    layer = default_layer(network, inputs) if chosen.uses_layer else ""
    raw = chosen.raw(network, inputs, torch.tensor([output]), layer)
    grid = grids(network, inputs, [layer])[layer] if chosen.uses_layer else None
    heat = chosen.scaled(raw, model.preprocess.size, grid)[0].numpy()
    height, width = image.shape
    return np.clip(model.preprocess.unmap(heat, width, height), 0, 1).astype(np.float32)


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
