"""Answers of one network with its dropout left on: an approximation of what other weights would have said.

Gal and Ghahramani 2016, ICML, "Dropout as a Bayesian approximation", section 4.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from pulmoscope.errors import BundleError, PulmoscopeError
from pulmoscope.inference.compute import choose_device
from pulmoscope.models import Bundle
from pulmoscope.models.network import Classifier


def dropout_layers(network: nn.Module) -> list[_DropoutNd]:
    """The layers that drop something: those with a probability above 0."""
    return [one for one in network.modules() if isinstance(one, _DropoutNd) and one.p > 0]


@contextlib.contextmanager
def dropout_on(network: nn.Module) -> Iterator[None]:
    """Put the dropout layers, and nothing else, into training mode; each is left as found, whatever happens.

    Batch normalisation keeps using the statistics that it has learned, and learns none.
    """
    before = [(one, one.training) for one in dropout_layers(network)]
    try:
        for one, _ in before:
            one.training = True
        yield
    finally:
        for one, training in before:
            one.training = training


def dropout_members(
    bundle: Bundle,
    pictures: NDArray[np.uint8],
    *,
    samples: int,
    seed: int = 0,
    device: str = "auto",
    batch: int = 64,
) -> NDArray[np.float64]:
    """Probabilities of several passes with dropout over the plain view, before any calibration.

    Args:
        bundle: A model with dropout.
        pictures: As the store keeps them, (N, S, S) uint8.
        samples: T, passes a picture, at least 1.
        seed: Of the dropout; with the same batch and device it gives the same numbers.
        device: ``auto``, ``cpu`` or ``cuda``.
        batch: Pictures a forward pass.

    Returns:
        (T, N, C), rows summing to 1.

    Raises:
        BundleError: The model has no dropout.
        PulmoscopeError: Fewer than one sample.
    """
    if samples < 1:
        raise PulmoscopeError(
            "too few passes with dropout", code="E_OPTION", expected="1 or more", got=str(samples)
        )
    network = bundle.network()
    layers = dropout_layers(network)
    if not layers:
        raise BundleError(
            "the model has no dropout, so its passes would all be alike",
            code="E_NO_DROPOUT",
            remedy="use views of the picture, or an ensemble of several seeds",
        )
    where = choose_device(device)
    network = network.to(where)
    # Where only the head drops, the backbone's answer is the same each time and is computed once.
    head_alone = isinstance(network, Classifier) and len(dropout_layers(network.head)) == len(layers)
    answers = np.empty((samples, len(pictures), len(bundle.classes)))
    with (
        torch.random.fork_rng(devices=[where] if where.type == "cuda" else []),
        torch.inference_mode(),
        dropout_on(network),
    ):
        for start in range(0, len(pictures), batch):
            rows = slice(start, start + batch)
            passes: nn.Module = network
            torch.manual_seed(int(np.random.SeedSequence([seed, start]).generate_state(1)[0]))
            inputs = bundle.preprocess.to_input(
                torch.from_numpy(np.ascontiguousarray(pictures[rows])).to(where)
            )
            if isinstance(network, Classifier) and head_alone:
                passes, inputs = network.head, network.features(inputs)
            for sample in range(samples):
                logits = passes(inputs)
                answers[sample, rows] = network.log_probabilities(logits.double().cpu()).exp().numpy()
    return answers
