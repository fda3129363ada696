"""What each factor did: paired effects on the same pictures and seeds, from predictions tables alone.

An ablation reads test predictions to estimate effects, not to choose a setting: one who picks the best cell by its test
accuracy has used the test part up. The same effects on the validation part stand beside them for those who choose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from pulmoscope.errors import TableError
from pulmoscope.evaluation import (
    McNemar,
    Predictions,
    draw_weights,
    group_codes,
    holm,
    mcnemar,
    percentile_interval,
)
from pulmoscope.evaluation.effect_tests import sign_flip_p, two_way_p
from pulmoscope.search.contrasts import Contrast, Kind, cells_against_plain, effects_of
from pulmoscope.search.factors import Cell, Design, Factor, cell_label, design_cells

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Verdict = Literal["helps", "hurts", "cannot be told apart"]

ALPHA = 0.05
_CHUNK = 256


@dataclass(frozen=True, kw_only=True)
class Shift:
    """A number with its 95% bootstrap interval over groups, and over seeds where there are several; NaN: undefined."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One effect on the share of pictures that are right, in [-1, 1] for two cells.

    Attributes:
        kind: As :class:`~pulmoscope.search.contrasts.Contrast` has it.
        changed: Factor and alternative.
        plain: The plain level of each of those factors.
        shift: The effect with its interval.
        by_seed: The effect of each seed alone, in the seeds' order.
        p: Two-sided, of no effect: with one seed the sign-flip test over groups (which is McNemar's exact test where a
            group is one picture and two cells are compared), with more a t test over groups and seeds.
        holm_p: The same, corrected by Holm for all effects of its table.
        mcnemar: Of each seed, plain cell first, where two cells are compared; else empty.
        validation: The same effect on the validation part; None where the tables hold none.
    """

    kind: Kind
    changed: tuple[tuple[str, str], ...]
    plain: tuple[str, ...]
    shift: Shift
    by_seed: tuple[float, ...]
    p: float
    holm_p: float
    mcnemar: tuple[McNemar, ...]
    validation: Shift | None

    @property
    def label(self) -> str:
        """Such as ``size 500x500 x dropout 0.5``."""
        joint = " + " if self.kind == "cell" else " × "
        return joint.join(f"{factor} {level}" for factor, level in self.changed)

    @property
    def verdict(self) -> Verdict:
        """By the corrected test at 0.05: what cannot be told apart may still be there."""
        if not self.holm_p < ALPHA:
            return "cannot be told apart"
        return "helps" if self.shift.value > 0 else "hurts"


@dataclass(frozen=True, kw_only=True)
class CellScore:
    """The accuracy of one cell over its seeds.

    Attributes:
        cell: Level of each factor.
        label: Its alternatives in words.
        accuracy: Mean over the seeds, with its interval.
        by_seed: Of each seed.
        validation: The same on the validation part; None where there is none.
    """

    cell: Cell
    label: str
    accuracy: Shift
    by_seed: tuple[float, ...]
    validation: Shift | None


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """Everything an ablation found.

    Attributes:
        design: ``one-at-a-time`` or ``factorial``.
        factors: In their order.
        seeds: Trainings of each cell.
        part: The part of the data that effects are of: ``test``, ``val``, or empty for tables without splits.
        pictures: Of that part, one seed's.
        groups: Of that part.
        cells: Those that could be judged.
        effects: Main effects and interactions; Holm's correction is over all of them.
        comparisons: Each cell against the plain one, corrected among themselves; empty where the effects are that.
        missing: Cell in words -> why it could not be judged; effects that need it are left out.
        left_out: Effects that are left out for it, in words.
        replicates: Of the bootstrap.
    """

    design: Design
    factors: tuple[Factor, ...]
    seeds: tuple[int, ...]
    part: str
    pictures: int
    groups: int
    cells: tuple[CellScore, ...]
    effects: tuple[Effect, ...]
    comparisons: tuple[Effect, ...]
    missing: Mapping[str, str]
    left_out: tuple[str, ...]
    replicates: int


@dataclass(frozen=True, kw_only=True, eq=False)
class _Part:
    """One part of the data, as the sums that all effects are made of.

    Attributes:
        right: Cell -> for each seed, whether each picture is right, (N,), in the order of the image ids.
        sums: Cell -> pictures that are right by group and seed, (G, S).
        counts: Pictures by group and seed, (G, S).
    """

    right: Mapping[Cell, tuple[npt.NDArray[np.bool_], ...]]
    sums: Mapping[Cell, IntArray]
    counts: IntArray

    def contrast(self, one: Contrast) -> IntArray:
        """The weighted sum by group and seed, (G, S), not yet divided."""
        return np.asarray(sum(weight * self.sums[cell] for cell, weight in one.weights.items()), np.int64)


def ablation_effects(
    tables: Mapping[Cell, Mapping[int, Predictions]],
    factors: Sequence[Factor],
    *,
    design: Design,
    missing: Mapping[Cell, str] | None = None,
    replicates: int = 5000,
    seed: int = 0,
) -> Ablation:
    """Estimate main effects, interactions and comparisons from the predictions of each cell.

    The intervals draw groups with replacement; where there are S > 1 seeds, S - 1 of them too, which makes the variance
    of a mean over few seeds unbiased (Rao and Wu 1988, JASA 83:231). All cells are judged on the same draws. The test
    part is read for estimating, not for choosing; tables without one are judged on what they hold.

    Args:
        tables: Cell -> seed -> predictions. All cells have the same seeds, and those of one seed the same pictures.
        factors: Names and levels; their changes do not matter here.
        design: The cells that there should be.
        missing: Why a cell has no tables.
        replicates: Of the bootstrap.
        seed: Of the bootstrap.

    Raises:
        TableError: No cell, other seeds or pictures in one cell than in another, no true labels.
    """
    cells = [cell for cell in design_cells(factors, design) if tables.get(cell)]
    lost = {cell: "there is no table" for cell in design_cells(factors, design) if cell not in cells}
    lost |= missing or {}
    if not cells:
        raise TableError("no cell of the design has predictions", got="; ".join(lost.values()) or None)
    seeds = tuple(tables[cells[0]])
    labels = {cell: cell_label(factors, cell) for cell in design_cells(factors, design)}
    for cell in cells:
        if set(tables[cell]) != set(seeds):
            raise TableError(
                f"the cell {labels[cell]!r} has other seeds than {labels[cells[0]]!r}",
                expected=", ".join(map(str, seeds)),
                got=", ".join(map(str, tables[cell])),
            )
    splits = {split for cell in cells for one in tables[cell].values() for split in one.splits}
    part = "test" if "test" in splits else "val" if "val" in splits else ""
    judged = _gather(tables, cells, seeds, part, labels)
    beside = None
    if part == "test" and all("val" in one.splits for cell in cells for one in tables[cell].values()):
        beside = _gather(tables, cells, seeds, "val", labels)

    families = (effects_of(factors, design), cells_against_plain(factors, design))
    able = [[one for one in family if set(one.weights) <= set(cells)] for family in families]
    single = [Contrast(kind="cell", changed=(), weights={cell: 1}, divisor=1) for cell in cells]
    everything = [*able[0], *able[1], *single]
    shifts = _shifts(judged, everything, replicates, seed)
    validation: Sequence[Shift | None] = (
        [None] * len(everything) if beside is None else _shifts(beside, everything, replicates, seed)
    )
    first, second = len(able[0]), len(able[0]) + len(able[1])
    plain = {factor.name: factor.plain for factor in factors}
    found = [
        _effect(judged, one, shift, other, plain)
        for one, shift, other in zip(everything[:second], shifts, validation, strict=False)
    ]
    return Ablation(
        design=design,
        factors=tuple(factors),
        seeds=seeds,
        part=part,
        pictures=int(judged.counts[:, 0].sum()),
        groups=len(judged.counts),
        cells=tuple(
            CellScore(
                cell=cell,
                label=labels[cell],
                accuracy=shift,
                by_seed=_by_seed(judged, contrast),
                validation=other,
            )
            for cell, contrast, shift, other in zip(
                cells, single, shifts[second:], validation[second:], strict=True
            )
        ),
        effects=_corrected(found[:first]),
        comparisons=_corrected(found[first:]),
        missing={labels[cell]: why for cell, why in lost.items()},
        left_out=tuple(
            " × ".join(f"{factor} {level}" for factor, level in one.changed)
            for family, kept in zip(families, able, strict=True)
            for one in family
            if one not in kept
        ),
        replicates=replicates,
    )


def _effect(
    judged: _Part, one: Contrast, shift: Shift, validation: Shift | None, plain: Mapping[str, str]
) -> Effect:
    sums = judged.contrast(one)
    seeds = sums.shape[1]
    told: tuple[McNemar, ...] = ()
    if one.pair is not None:
        below, above = (judged.right[cell] for cell in one.pair)
        told = tuple(mcnemar(first, second) for first, second in zip(below, above, strict=True))
    if seeds == 1:
        p = sign_flip_p(sums[:, 0])
    elif (judged.counts == judged.counts[:, :1]).all():
        p = two_way_p(sums, judged.counts[:, 0])
    else:
        p = float("nan")
    return Effect(
        kind=one.kind,
        changed=one.changed,
        plain=tuple(plain[factor] for factor, _ in one.changed),
        shift=shift,
        by_seed=_by_seed(judged, one),
        p=p,
        holm_p=p,
        mcnemar=told,
        validation=validation,
    )


def _by_seed(judged: _Part, one: Contrast) -> tuple[float, ...]:
    values = judged.contrast(one).sum(axis=0) / (one.divisor * judged.counts.sum(axis=0))
    return tuple(float(value) for value in values)


def _corrected(effects: Sequence[Effect]) -> tuple[Effect, ...]:
    adjusted = holm([one.p for one in effects])
    return tuple(replace(one, holm_p=float(p)) for one, p in zip(effects, adjusted, strict=True))


def _shifts(judged: _Part, contrasts: Sequence[Contrast], replicates: int, seed: int) -> list[Shift]:
    """Every contrast with its interval, all on the same draws of groups and seeds."""
    counts = judged.counts.astype(np.float64)
    groups, seeds = counts.shape
    divisors = np.array([one.divisor for one in contrasts], np.float64)
    # (G, E, S): group sums of every contrast, so that a replicate is one row of a matrix product.
    sums = np.stack([judged.contrast(one) for one in contrasts], axis=1).astype(np.float64)
    points = sums.sum(axis=(0, 2)) / (divisors * counts.sum())
    generator = np.random.default_rng(seed)
    weights = list(draw_weights(groups, replicates, generator))
    drawn = np.empty((replicates, len(contrasts)))
    for start in range(0, replicates, _CHUNK):
        some = np.stack(weights[start : start + _CHUNK]).astype(np.float64)
        which = np.ones((len(some), seeds))
        if seeds > 1:
            which = generator.multinomial(seeds - 1, np.full(seeds, 1 / seeds), len(some)).astype(np.float64)
        above = np.einsum(
            "bes,bs->be", (some @ sums.reshape(groups, -1)).reshape(len(some), -1, seeds), which
        )
        below = ((some @ counts) * which).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            drawn[start : start + _CHUNK] = above / (divisors * below[:, None])
    found = []
    for at, value in enumerate(points):
        low, high, _ = percentile_interval(drawn[:, at])
        if groups < 2:
            low = high = float("nan")
        found.append(Shift(value=float(value), low=low, high=high))
    return found


def _gather(
    tables: Mapping[Cell, Mapping[int, Predictions]],
    cells: Sequence[Cell],
    seeds: Sequence[int],
    part: str,
    labels: Mapping[Cell, str],
) -> _Part:
    """Line up the pictures of all cells, seed by seed; validation pictures may differ between seeds."""
    right: dict[Cell, list[npt.NDArray[np.bool_]]] = {cell: [] for cell in cells}
    names: list[npt.NDArray[np.object_]] = []
    for seed in seeds:
        keys: tuple[npt.NDArray[np.object_], ...] | None = None
        for cell in cells:
            table = tables[cell][seed].part(part or None)
            frame = table.frame
            order = np.argsort(frame["image_id"].to_numpy(object))
            lined = tuple(
                frame[column].to_numpy(object)[order] for column in ("image_id", "label", "group_id")
            )
            if keys is not None and not all(np.array_equal(a, b) for a, b in zip(keys, lined, strict=True)):
                raise TableError(
                    f"the cells {labels[cells[0]]!r} and {labels[cell]!r} were judged on other pictures, labels or "
                    f"groups (seed {seed})",
                    expected="the same pictures in every cell",
                    got=f"{len(keys[0])} and {len(lined[0])} pictures",
                )
            keys = lined
            right[cell].append((table.labels == table.predicted)[order])
        names.append(np.empty(0, object) if keys is None else keys[2])
    codes, groups = group_codes(np.concatenate(names).astype(str))
    ends = np.cumsum([len(one) for one in names])[:-1]
    of_seed = np.split(codes, ends)
    return _Part(
        right={cell: tuple(several) for cell, several in right.items()},
        sums={
            cell: np.stack(
                [np.bincount(code, several[at], groups).astype(np.int64) for at, code in enumerate(of_seed)],
                axis=1,
            )
            for cell, several in right.items()
        },
        counts=np.stack([np.bincount(code, minlength=groups) for code in of_seed], axis=1).astype(np.int64),
    )
