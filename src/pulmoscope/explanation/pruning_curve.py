"""What pruning costs: accuracy, size and speed against the share of channels removed, and the share to take."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulmoscope.errors import PulmoscopeError
from pulmoscope.evaluation import Estimate
from pulmoscope.explanation.pruning import Kind
from pulmoscope.files import or_null
from pulmoscope.inference import Predictor
from pulmoscope.models import Bundle

_ROUNDS = 7


@dataclass(frozen=True, kw_only=True)
class PrunePoint:
    """One network of the curve.

    Attributes:
        share: Of every layer's channels, as asked for, in [0, 1); 0 is the whole network.
        kind: ``smaller`` or ``masks``, see :class:`~pulmoscope.explanation.pruning.Pruned`.
        removed: Channels taken out or silenced.
        channels: Of how many.
        parameters: That the network has.
        accuracy: On the validation part, with its interval.
        pictures_a_second: Through the inference path; NaN where not measured.
    """

    share: float
    kind: Kind
    removed: int
    channels: int
    parameters: int
    accuracy: Estimate
    pictures_a_second: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "share": self.share, "kind": self.kind, "channels_removed": self.removed, "channels": self.channels,
            "parameters": self.parameters, "validation_accuracy": self.accuracy.as_dict(),
            "pictures_a_second": or_null(self.pictures_a_second),
        }  # fmt: skip


def choose(points: Sequence[PrunePoint]) -> PrunePoint:
    """The largest share whose validation accuracy is inside the whole network's interval, or above it.

    A smaller share that falls below does not matter. Of the point chosen among several the validation accuracy
    flatters, so the test part has the last word.

    Args:
        points: With one of share 0, which is chosen where no other will do.

    Raises:
        PulmoscopeError: There is no point of share 0.
    """
    whole = next((one for one in points if one.share == 0), None)
    if whole is None:
        raise PulmoscopeError(
            "the curve has no whole network to compare with", code="E_OPTION", expected="share 0"
        )
    good = [one for one in points if one.accuracy.value >= whole.accuracy.low]
    return max(good, key=lambda one: one.share, default=whole)


def pictures_a_second(
    bundles: Sequence[Bundle], pictures: NDArray[np.uint8], *, rounds: int = _ROUNDS, device: str = "auto"
) -> list[float]:
    """How fast each model answers: the best of several rounds, in which all take turns.

    Whatever else the machine does meets them alike. Reading files is not in it.

    Args:
        bundles: The models.
        pictures: (N, S, S) as the store keeps them: one batch, N at least 1.
        rounds: How often each answers, after once to warm up.
        device: ``auto``, ``cpu`` or ``cuda``.
    """
    predictors = [Predictor(one, device=device, precision="float32", batch=len(pictures)) for one in bundles]
    best = [float("inf")] * len(predictors)
    for number in range(rounds + 1):
        for index, one in enumerate(predictors):
            started = time.perf_counter()
            one.probabilities(pictures)
            if number:
                best[index] = min(best[index], time.perf_counter() - started)
    return [len(pictures) / seconds for seconds in best]
