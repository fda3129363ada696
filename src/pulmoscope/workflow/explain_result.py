"""An explanation in memory: pictures, maps and what goes with them, before anything is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulmoscope.errors import PulmoscopeError
from pulmoscope.evaluation.conformal import ConformalSets
from pulmoscope.explanation import Belief, Explainer, Maps, method_named
from pulmoscope.workflow.explain_subjects import Subjects


@dataclass(frozen=True, kw_only=True, eq=False)
class MeanMap:
    """The mean map of a class over its right answers.

    Attributes:
        name: The class.
        picture: (S, S) the mean picture in [0, 1].
        values: (S, S) the mean of the maps, each scaled by itself.
        count: Pictures.
    """

    name: str
    picture: NDArray[np.float32]
    values: NDArray[np.float32]
    count: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Explained:
    """What was explained, for the files and the page.

    Attributes:
        name: Of the run or bundle.
        classes: In the order of the probabilities.
        subjects: Pictures and galleries.
        methods: Names.
        layers: Path of the layer of each method; ``input`` for methods of pixels.
        maps: Of the explained class, by method.
        truth_maps: Of the true class of wrongly answered pictures, by method; empty where the target was named.
        truth_rows: Which pictures ``truth_maps`` are of.
        beliefs: A picture's maps through the layers; empty where not asked for.
        means: By class; of the first method, where it is quick.
        sets: The rule of the prediction sets, fixed on validation; None where there is no validation part.
        split: The part; None for files.
        moved: Pictures whose probabilities are no longer those of the predictions table.
        notes: The bundle's.
        folder: Where it was written.
    """

    name: str
    classes: tuple[str, ...]
    subjects: Subjects
    methods: Sequence[str]
    layers: Mapping[str, str]
    maps: Mapping[str, Maps]
    truth_maps: Mapping[str, Maps]
    truth_rows: Sequence[int]
    beliefs: Sequence[Belief]
    means: Sequence[MeanMap]
    sets: ConformalSets | None
    split: str | None
    moved: Sequence[int]
    notes: Mapping[str, Any]
    explainers: Mapping[str, Explainer] = field(repr=False)
    folder: Path

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """(N, C) of the pictures."""
        return next(iter(self.maps.values())).probabilities

    @property
    def targets(self) -> NDArray[np.int64]:
        """(N,) the class that each map explains."""
        return next(iter(self.maps.values())).targets

    def followed(self) -> str:
        """The first method that can be followed through the layers; ``beliefs`` are its.

        Raises:
            PulmoscopeError: No method that was asked for can be.
        """
        return followed(self.methods)

    def set_of(self, row: int) -> list[str] | None:
        """The prediction set of a picture; None where there are no sets."""
        if self.sets is None:
            return None
        held = self.sets.sets(self.probabilities[row : row + 1])[0]
        return [name for name, inside in zip(self.classes, held, strict=True) if inside]


def followed(methods: Sequence[str]) -> str:
    """The first of ``methods`` that can be followed through the layers.

    Raises:
        PulmoscopeError: None can be.
    """
    for name in methods:
        method = method_named(name)
        if method.uses_layer and method.by_class and method.quick:
            return name
    raise PulmoscopeError(
        "no method that was asked for can be followed through the layers",
        code="E_METHOD",
        expected="grad-cam, grad-cam++, layer-cam or hires-cam with --layer all",
    )
