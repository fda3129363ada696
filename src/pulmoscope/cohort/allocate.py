"""Whole groups into parts of wanted sizes, stratified as far as groups allow: the kernel under splits and folds.

Groups with the same make-up (so many rows of the same strata) are interchangeable: each such class is dealt out in
proportion, in an order given by a seeded hash of the group's name. What does not divide is placed one group at a time,
the largest first, where it costs least against the wanted sizes of its strata, its labels and the whole (after the
iterative stratification of Sechidis, Tsoumakas, Vlahavas: On the stratification of multi-label data, ECML 2011).
"""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_LABEL_WEIGHT, _TOTAL_WEIGHT = 2.0, 4.0


def allocate(
    group: NDArray[np.object_],
    label: NDArray[np.object_],
    source: NDArray[np.object_],
    fractions: NDArray[np.float64],
    seed: int,
) -> NDArray[np.int64]:
    """Part of every row; rows of one group share it, and the order of the rows changes nothing.

    Every part with a fraction above 0 gets a group of every label that has at least as many groups as there are parts.

    Args:
        group: (N,) names of the groups.
        label: (N,) strings.
        source: (N,) strings.
        fractions: (P,) shares of the rows, summing to 1; a part with 0 gets nothing.
        seed: Another seed, another deal.

    Returns:
        (N,) part numbers.
    """
    groups, names = pd.factorize(group)
    order = np.argsort(_draws(np.asarray(names, object), seed), kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    groups = place[groups]  # from here on a group's number is its place in the seeded order

    label_codes, _ = pd.factorize(label, sort=True)
    source_codes, _ = pd.factorize(source, sort=True)
    strata, stratum_codes = np.unique(
        label_codes.astype(np.int64) * (source_codes.max() + 1) + source_codes, return_inverse=True
    )
    stratum_label = strata // (source_codes.max() + 1)

    # One entry a group and stratum: how many rows.
    cells, rows = np.unique(groups.astype(np.int64) * len(strata) + stratum_codes, return_counts=True)
    table = _Cells(
        group=cells // len(strata),
        stratum=cells % len(strata),
        rows=rows,
        count=len(order),
        label=stratum_label,
    )
    used = np.flatnonzero(fractions > 0)
    shares = fractions[used] / fractions[used].sum()
    part, rest = _deal(table, shares)
    _place_rest(table, shares, part, rest)
    _reach_every_part(table, len(shares), part)
    return np.asarray(used[part[groups]], np.int64)


class _Cells:
    """Which strata a group has, and how often."""

    def __init__(
        self,
        *,
        group: NDArray[np.int64],
        stratum: NDArray[np.int64],
        rows: NDArray[np.int64],
        count: int,
        label: NDArray[np.int64],
    ) -> None:
        self.group, self.stratum, self.rows, self.count, self.label = group, stratum, rows, count, label
        self.start = np.searchsorted(group, np.arange(count + 1))
        self.size = np.bincount(group, weights=rows, minlength=count).astype(np.int64)


def _draws(names: NDArray[np.object_], seed: int) -> NDArray[np.uint64]:
    """A 64-bit number for every name, the same whoever asks, in whatever order."""
    salt = hashlib.blake2b(f"pulmoscope split {seed}".encode(), digest_size=16).digest()
    digests = b"".join(
        hashlib.blake2b(str(name).encode("utf-8", "surrogatepass"), digest_size=8, key=salt).digest()
        for name in names
    )
    return np.frombuffer(digests, ">u8").astype(np.uint64)


def _deal(table: _Cells, shares: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Deal each class of like groups in proportion; returns every group's part (-1: not dealt) and the rest."""
    weights = np.random.default_rng(0).integers(1, 2**63, (table.stratum.max() + 1, 2), dtype=np.uint64)
    mixed = weights[table.stratum, 0] * (table.rows.astype(np.uint64) + weights[table.stratum, 1])
    mixed ^= mixed >> np.uint64(29)
    signature = np.add.reduceat(mixed, table.start[:-1])
    _, kind, members = np.unique(signature, return_inverse=True, return_counts=True)
    order = np.argsort(kind, kind="stable")  # within a class by the seeded order
    rank = np.empty(table.count, np.int64)
    rank[order] = np.arange(table.count) - np.repeat(np.cumsum(members) - members, members)
    edges = np.cumsum(np.floor(members[:, None] * shares + 1e-9).astype(np.int64), axis=1)
    part = (rank[:, None] >= edges[kind]).sum(1)
    part[part == len(shares)] = -1
    rest = np.flatnonzero(part < 0)
    return part, rest[np.lexsort((rest, -table.size[rest]))]


def _place_rest(
    table: _Cells, shares: NDArray[np.float64], part: NDArray[np.int64], rest: NDArray[np.int64]
) -> None:
    strata, labels, parts = len(table.label), int(table.label.max()) + 1, len(shares)
    in_stratum = np.bincount(table.stratum, weights=table.rows, minlength=strata)
    in_label = np.bincount(table.label, weights=in_stratum, minlength=labels)
    # Levels one after the other in one matrix: strata, labels, all; how far each is above its wanted size.
    sizes = np.concatenate([in_stratum, in_label, [in_stratum.sum()]])
    weight = np.concatenate([np.ones(strata), np.full(labels, _LABEL_WEIGHT), [_TOTAL_WEIGHT]])
    scale = weight[:, None] / shares  # a row too many weighs more in a small part
    above = -sizes[:, None] * shares
    dealt = part[table.group] >= 0
    held = np.zeros((strata, parts))
    np.add.at(held, (table.stratum[dealt], part[table.group[dealt]]), table.rows[dealt])
    by_label = np.zeros((labels, parts))
    np.add.at(by_label, table.label, held)
    above += np.concatenate([held, by_label, held.sum(0, keepdims=True)])
    for group in rest.tolist():
        cells = slice(table.start[group], table.start[group + 1])
        stratum, rows = table.stratum[cells], table.rows[cells].astype(float)
        levels = np.concatenate([stratum, strata + table.label[stratum], [strata + labels]])
        added = np.concatenate([rows, rows, [rows.sum()]])[:, None]
        cost = (added * (2 * above[levels] + added) * scale[levels]).sum(0)
        chosen = int(np.argmin(np.round(cost, 9)))
        part[group] = chosen
        np.add.at(above[:, chosen], levels, added[:, 0])


def _reach_every_part(table: _Cells, parts: int, part: NDArray[np.int64]) -> None:
    """Give a part that lacks a label one small group of it, from a part that can spare one."""
    pairs = np.unique(table.group * (int(table.label.max()) + 1) + table.label[table.stratum])
    owner, label = pairs // (int(table.label.max()) + 1), pairs % (int(table.label.max()) + 1)
    held = np.zeros((int(table.label.max()) + 1, parts), np.int64)
    np.add.at(held, (label, part[owner]), 1)
    total = held.sum(1)
    for rare in np.argsort(total, kind="stable").tolist():
        if total[rare] < parts or held[rare].all():
            continue
        members = owner[label == rare]
        members = members[np.lexsort((members, table.size[members]))]
        for lacking in np.flatnonzero(held[rare] == 0).tolist():
            for group in members.tolist():
                giver = part[group]
                own = np.unique(table.label[table.stratum[table.start[group] : table.start[group + 1]]])
                if (held[own, giver] > 1).all():
                    held[own, giver] -= 1
                    held[own, lacking] += 1
                    part[group] = lacking
                    break
