"""The effects that a design can show, each as whole-number weights of its cells."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pulmoscope.search.factors import Cell, Design, Factor, design_cells

Kind = Literal["main", "interaction", "cell"]


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """A weighted sum of the accuracies of some cells.

    Attributes:
        kind: ``main``: one factor's alternative against its plain level, all others plain (one at a time) or averaged
            over (factorial). ``interaction``: what a combination of alternatives does beyond the sum of its parts.
            ``cell``: one cell against the plain one.
        changed: Factor and alternative, in the factors' order.
        weights: Cell -> whole number; those of no weight are left out.
        divisor: What the weighted sum is divided by.
    """

    kind: Kind
    changed: tuple[tuple[str, str], ...]
    weights: Mapping[Cell, int]
    divisor: int

    @property
    def pair(self) -> tuple[Cell, Cell] | None:
        """The plain cell and the changed one, where just two are compared; else None."""
        if len(self.weights) != 2:
            return None
        below, above = sorted(self.weights, key=lambda cell: self.weights[cell])
        return below, above


def effects_of(factors: Sequence[Factor], design: Design) -> list[Contrast]:
    """Main effects and interactions.

    One at a time gives main effects only. The factorial design gives, for every set of factors and every combination of
    their alternatives, the difference of differences (of two factors: what the first does where the second is changed,
    minus what it does where the second is plain), averaged over the levels of all other factors; of k factors of two
    levels these are 2^k - 1 effects. They are not halved, as Yates's are: a value is a change of accuracy.
    """
    cells = design_cells(factors, design)
    if design == "one-at-a-time":
        return [_against_plain(factors, cells[0], cell, "main") for cell in cells[1:]]
    found = []
    for size in range(1, len(factors) + 1):
        for chosen in itertools.combinations(range(len(factors)), size):
            for levels in itertools.product(*(factors[at].alternatives for at in chosen)):
                found.append(_factorial(factors, cells, dict(zip(chosen, levels, strict=True))))
    return found


def cells_against_plain(factors: Sequence[Factor], design: Design) -> list[Contrast]:
    """Every other cell against the plain one, the least changed first; empty where the main effects are just that."""
    if design == "one-at-a-time" or len(factors) == 1:
        return []
    cells = design_cells(factors, design)
    found = [_against_plain(factors, cells[0], cell, "cell") for cell in cells[1:]]
    order = [factor.name for factor in factors]
    return sorted(found, key=lambda one: (len(one.changed), [order.index(name) for name, _ in one.changed]))


def _against_plain(factors: Sequence[Factor], plain: Cell, cell: Cell, kind: Kind) -> Contrast:
    changed = tuple(
        (factor.name, level) for factor, level in zip(factors, cell, strict=True) if level != factor.plain
    )
    return Contrast(kind=kind, changed=changed, weights={plain: -1, cell: 1}, divisor=1)


def _factorial(factors: Sequence[Factor], cells: Sequence[Cell], chosen: Mapping[int, str]) -> Contrast:
    weights: dict[Cell, int] = {}
    for cell in cells:
        signs = [
            1 if cell[at] == level else -1 if cell[at] == factors[at].plain else 0
            for at, level in chosen.items()
        ]
        if all(signs):
            weights[cell] = math.prod(signs)
    return Contrast(
        kind="main" if len(chosen) == 1 else "interaction",
        changed=tuple((factors[at].name, level) for at, level in chosen.items()),
        weights=weights,
        divisor=math.prod(len(factor.levels) for at, factor in enumerate(factors) if at not in chosen),
    )
