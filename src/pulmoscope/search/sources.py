"""Starting weights compared over all settings that they share: paired by setting and by validation picture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pulmoscope.errors import RecipeError
from pulmoscope.evaluation import percentile_interval
from pulmoscope.search.space import Axis, Choice, Space, Value

FloatArray = npt.NDArray[np.float64]

WEIGHTS = "model.weights"


@dataclass(frozen=True, kw_only=True)
class PairedSources:
    """One source of starting weights against another.

    Attributes:
        first: Its name.
        second: The other's.
        settings: That were completed from both.
        difference: Mean over the settings of the objective from ``first`` minus that from ``second``.
        low: Of its 95% interval, by bootstrap over validation groups; NaN where no replicate is defined.
        high: Likewise.
        higher: Settings whose objective is higher from ``first``.
        equal: Settings that are equal.
        lower: Settings whose objective is lower from ``first``.
    """

    first: str
    second: str
    settings: int
    difference: float
    low: float
    high: float
    higher: int
    equal: int
    lower: int


def with_sources(space: Space, sources: Sequence[str]) -> Space:
    """The space with the starting weights as its first axis.

    Args:
        space: Without that axis.
        sources: Values of ``model.weights``, in the order of the table.

    Raises:
        RecipeError: There are fewer than two, one stands twice, or the space sets the weights itself.
    """
    fields = {field for axis in space.axes for one in axis.choices for field in one.fields}
    taken = {*space.constants, *fields, *(axis.name for axis in space.axes)}
    if taken & {"model", WEIGHTS}:
        raise RecipeError(
            f"{space.where} sets {WEIGHTS} itself", code="E_SPACE", remedy="leave out --weights"
        )
    if len(sources) < 2 or len(set(sources)) < len(sources):
        raise RecipeError(
            "--weights compares starting weights",
            code="E_SPACE",
            expected="two or more, each once",
            got=", ".join(sources) or "none",
            remedy=f"for a single source: --set {WEIGHTS}=...",
        )
    choices = tuple(Choice(value=source, fields={WEIGHTS: _from_anywhere(source)}) for source in sources)
    first = Axis(name=WEIGHTS, choices=choices, when={})
    return Space(
        where=space.where, axes=(first, *space.axes), objective=space.objective, constants=space.constants
    )


def _from_anywhere(weights: str) -> str:
    """``run=RUN`` with an absolute path, because workers may stand in another folder."""
    kind, equals, place = weights.partition("=")
    return f"run={Path(place).expanduser().absolute()}" if kind == "run" and equals else weights


def compare_sources(
    params: Sequence[Mapping[str, Value]], values: FloatArray, replicates: FloatArray
) -> list[PairedSources]:
    """Every pair of starting weights, on the settings that were completed from both.

    A replicate draws validation groups, the same for all trials, and gives one mean difference: so the interval is of
    these settings on other pictures. Trials of one setting differ in nothing but the weights.

    Args:
        params: Axis -> value of each completed trial, T of them.
        values: The objective of each, (T,).
        replicates: In each bootstrap replicate, (T, B).

    Returns:
        Pairs in the order in which the sources first appear; none without an axis of weights.
    """
    places: dict[str, dict[str, int]] = {}
    for at, one in enumerate(params):
        if WEIGHTS in one:
            rest = {name: value for name, value in one.items() if name != WEIGHTS}
            places.setdefault(str(one[WEIGHTS]), {}).setdefault(json.dumps(rest, sort_keys=True), at)
    found = []
    for first, second in combinations(places, 2):
        shared = [key for key in places[first] if key in places[second]]
        if not shared:
            continue
        ours, theirs = ([places[source][key] for key in shared] for source in (first, second))
        differences = values[ours] - values[theirs]
        low, high, _ = percentile_interval(np.mean(replicates[ours] - replicates[theirs], axis=0))
        found.append(
            PairedSources(
                first=first,
                second=second,
                settings=len(shared),
                difference=float(differences.mean()),
                low=low,
                high=high,
                higher=int((differences > 0).sum()),
                equal=int((differences == 0).sum()),
                lower=int((differences < 0).sum()),
            )
        )
    return found
