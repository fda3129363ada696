"""Answers to fixed views of one picture, each by itself: how much framing and exposure alone move them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from pulmoscope.errors import PulmoscopeError
from pulmoscope.inference.compute import choose_device
from pulmoscope.inference.views import VIEWS, apply_view
from pulmoscope.models import Bundle


@torch.inference_mode()
def view_members(
    bundle: Bundle, pictures: NDArray[np.uint8], *, views: int, device: str = "auto", batch: int = 64
) -> NDArray[np.float64]:
    """Probabilities of each of the first fixed views, as the network gives them: before any calibration.

    Their mean over as many views as the bundle says is its own prediction, but for rounding and calibration.

    Args:
        bundle: The model.
        pictures: As the store keeps them, (N, S, S) uint8.
        views: T, at least 1; the first is the picture as it is.
        device: ``auto``, ``cpu`` or ``cuda``.
        batch: Pictures a forward pass.

    Returns:
        (T, N, C), rows summing to 1.

    Raises:
        PulmoscopeError: There are not so many views.
    """
    if not 1 <= views <= len(VIEWS):
        raise PulmoscopeError(
            "there are not so many views", code="E_OPTION", expected=f"1 to {len(VIEWS)}", got=str(views)
        )
    where = choose_device(device)
    network = bundle.network().to(where)
    answers = np.empty((views, len(pictures), len(bundle.classes)))
    for start in range(0, len(pictures), batch):
        rows = slice(start, start + batch)
        plain = torch.from_numpy(np.ascontiguousarray(pictures[rows])).to(where)
        for index, view in enumerate(VIEWS[:views]):
            shown = apply_view(plain[:, None].float() / 255, view) if index else plain
            logits = network(bundle.preprocess.to_input(shown))
            answers[index, rows] = network.log_probabilities(logits.double().cpu()).exp().numpy()
    return answers
