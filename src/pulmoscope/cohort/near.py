"""Which perceptual hashes are near each other, without comparing every pair.

Multi-index hashing: two hashes that differ in at most r bits agree wholly in at least m - r of m blocks of bits. For
every choice of m - r blocks the hashes are sorted by those blocks alone and only equal neighbours are compared
(Norouzi, Punjani, Fleet: Fast exact search in Hamming space with multi-index hashing, 2014; the choice of several
blocks follows Manku, Jain, Das Sarma: Detecting near-duplicates for web crawling, 2007).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CROWD = 32
"""Rows with one and the same hash: up to so many all their pairs are given, beyond that a chain joins them."""

_FEW = 1024
_TRIALS = 3
_SORT_COST = 30.0  # comparisons that cost as much as sorting one hash once
_ORDER = [(17 * place + 5) % 64 for place in range(64)]
_EMPTY = np.empty((0, 2), np.int64)


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """Pairs of rows whose hashes are near.

    Attributes:
        pairs: (M, 2) int64 row numbers, first < second, sorted, each pair once.
        distances: (M,) uint8, the smallest Hamming distance between a hash of one and a hash of the other.
        radius: Up to which distance the search is complete; -1 where not even equal hashes all fitted the limit.
    """

    pairs: NDArray[np.int64]
    distances: NDArray[np.uint8]
    radius: int


def near_pairs(hashes: NDArray[np.uint64], radius: int) -> NDArray[np.int64]:
    """All pairs of hashes within a Hamming distance.

    More than ``CROWD`` rows with one and the same hash are joined as a chain, and near one another's crowd by one
    link: the connected components stay those of all pairs.

    Args:
        hashes: (N,) uint64.
        radius: Largest number of differing bits, 0 to 64.

    Returns:
        (M, 2) int64 positions, first < second, sorted.
    """
    return near_candidates(np.asarray(hashes, np.uint64)[:, None], radius).pairs


def near_candidates(
    hashes: NDArray[np.uint64], radius: int, *, limit: float = math.inf, work: float = math.inf
) -> Candidates:
    """Pairs of rows that have near hashes, as far as the limits let.

    Where a radius gives too many pairs or costs too much, one smaller by two is tried: the nearest pairs are the
    likely copies, and hashes made by comparison with a median differ in even numbers of bits.

    Args:
        hashes: (N, K) uint64, K hashes a row; any of one row may meet any of another.
        radius: Largest Hamming distance.
        limit: Most pairs of hashes to give.
        work: Most comparisons to make for one radius.
    """
    count = len(hashes)
    values, first, owners = _owners(hashes)
    for reach in (*range(radius, 0, -2), 0):
        joined = _join(values, reach, limit, work)
        if joined is None:
            continue
        pairs, distances = _expand(joined[0], joined[1], first, owners, limit)
        if pairs is None:
            continue
        return _distinct(pairs, distances, count, reach)
    pairs, distances = _expand(_EMPTY, np.empty(0, np.uint8), first, owners, math.inf, chain_all=True)
    return _distinct(_EMPTY if pairs is None else pairs, distances, count, -1)


def _owners(
    hashes: NDArray[np.uint64],
) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]]:
    """Distinct values, where each one's rows begin (one more entry at the end), and the rows."""
    count, looks = hashes.shape
    flat = hashes.ravel()
    rows = np.repeat(np.arange(count, dtype=np.int64), looks)
    order = np.lexsort((rows, flat))
    flat, rows = flat[order], rows[order]
    keep = np.ones(len(flat), bool)
    keep[1:] = (flat[1:] != flat[:-1]) | (rows[1:] != rows[:-1])
    flat, rows = flat[keep], rows[keep]
    starts = np.flatnonzero(np.concatenate([np.ones(min(1, len(flat)), bool), flat[1:] != flat[:-1]]))
    return flat[starts], np.append(starts, len(flat)).astype(np.int64), rows


@dataclass(frozen=True, kw_only=True)
class _Blocks:
    """Chosen blocks of bits: where each begins and how wide it is."""

    places: tuple[tuple[int, int], ...]

    @property
    def mask(self) -> np.uint64:
        return np.uint64(sum(((1 << width) - 1) << begin for begin, width in self.places))

    def keys(self, values: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """The chosen bits side by side, at the low end."""
        keys = np.zeros(len(values), np.uint64)
        for begin, width in self.places:
            keys <<= np.uint64(width)
            keys |= (values >> np.uint64(begin)) & np.uint64((1 << width) - 1)
        return keys


def _join(
    values: NDArray[np.uint64], radius: int, limit: float, work: float
) -> tuple[NDArray[np.int64], NDArray[np.uint8]] | None:
    """Pairs of distinct values within ``radius``; None where there are more than ``limit`` or it costs too much."""
    if radius == 0 or len(values) < 2:
        return _EMPTY, np.empty(0, np.uint8)
    spread = _spread_bits(values)
    family = _cheapest_family(spread, radius, work)
    if family is None:
        return None
    found: list[NDArray[np.int64]] = []
    distances: list[NDArray[np.uint8]] = []
    total = 0
    for number, blocks in enumerate(family):
        for left, right in _agreeing(spread, blocks):
            difference = spread[left] ^ spread[right]
            distance = np.bitwise_count(difference)
            hit = np.flatnonzero(distance <= radius)
            for earlier in family[:number]:
                if not len(hit):
                    break
                hit = hit[(difference[hit] & earlier.mask) != 0]
            if len(hit):
                found.append(np.stack([left[hit], right[hit]], 1))
                distances.append(distance[hit])
                total += len(hit)
                if total > limit:
                    return None
    if not found:
        return _EMPTY, np.empty(0, np.uint8)
    return np.concatenate(found), np.concatenate(distances)


def _spread_bits(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The same bits in another order: neighbours in a picture's spectrum go to different blocks."""
    spread = np.zeros_like(values)
    for target, source in enumerate(_ORDER):
        spread |= ((values >> np.uint64(source)) & np.uint64(1)) << np.uint64(target)
    return spread


def _agreeing(
    values: NDArray[np.uint64], blocks: _Blocks
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Positions of pairs that agree in all the blocks, at most a table's length at a time."""
    # Key and position in one integer: sorting these is twice as fast as sorting by an index.
    bits = np.uint64(_position_bits(len(values)))
    coded = blocks.keys(values) << bits | np.arange(len(values), dtype=np.uint64)
    coded.sort()
    keys = coded >> bits
    order = (coded & ((np.uint64(1) << bits) - np.uint64(1))).astype(np.int64)
    active = np.flatnonzero(keys[1:] == keys[:-1])
    step = 1
    while len(active):
        yield order[active], order[active + step]
        step += 1
        active = active[active + step < len(keys)]
        active = active[keys[active] == keys[active + step]]


def _cheapest_family(values: NDArray[np.uint64], radius: int, work: float) -> list[_Blocks] | None:
    """The choices of blocks that find every pair at the least cost, judged by trial on the values themselves."""
    count = len(values)
    best: tuple[float, list[_Blocks]] = (count * (count - 1) / 2, [_Blocks(places=())])
    if count > _FEW:
        for number in range(radius + 1, min(64, radius + 5)):
            family = _family(number, radius, 64 - _position_bits(count))
            sorting = len(family) * count * _SORT_COST
            if sorting >= best[0]:
                break
            picked = [family[len(family) * trial // _TRIALS] for trial in range(_TRIALS)]
            cost = sorting + len(family) * float(np.mean([_comparisons(one.keys(values)) for one in picked]))
            if cost < best[0]:
                best = (cost, family)
    return best[1] if best[0] <= work else None


def _family(number: int, radius: int, most_bits: int) -> list[_Blocks]:
    """Every choice of ``number - radius`` of ``number`` blocks; each cut to ``most_bits`` bits in all."""
    edges = [64 * place // number for place in range(number + 1)]
    family = []
    for chosen in itertools.combinations(range(number), number - radius):
        left, places = most_bits, []
        for block in chosen:
            width = min(left, edges[block + 1] - edges[block])
            places.append((edges[block], width))
            left -= width
        family.append(_Blocks(places=tuple(places)))
    return family


def _position_bits(count: int) -> int:
    return max(1, (count - 1).bit_length())


def _comparisons(keys: NDArray[np.uint64]) -> float:
    ordered = np.sort(keys)
    edges = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1], [True]]))
    runs = np.diff(edges).astype(float)
    return float((runs * (runs - 1) / 2).sum())


def _expand(
    joined: NDArray[np.int64],
    distances: NDArray[np.uint8],
    first: NDArray[np.int64],
    owners: NDArray[np.int64],
    limit: float,
    *,
    chain_all: bool = False,
) -> tuple[NDArray[np.int64] | None, NDArray[np.uint8]]:
    """From pairs of values to pairs of rows; None for the pairs where there are more than ``limit``."""
    sizes = np.diff(first)
    crowded = sizes > (1 if chain_all else CROWD)
    inside = np.where(crowded, sizes - 1, sizes * (sizes - 1) // 2)
    spread = ~(crowded[joined[:, 0]] | crowded[joined[:, 1]])
    across = np.where(spread, sizes[joined[:, 0]] * sizes[joined[:, 1]], 1)
    if inside.sum() + across.sum() > limit:
        return None, np.empty(0, np.uint8)
    chains = np.flatnonzero(crowded)
    links = _ranges(first[chains], sizes[chains] - 1)
    parts = [np.stack([owners[links], owners[links + 1]], 1)]
    for size in range(2, 0 if chain_all else CROWD + 1):
        begin = first[:-1][sizes == size]
        one, other = np.triu_indices(size, 1)
        parts.append(
            np.stack([owners[begin[:, None] + one], owners[begin[:, None] + other]], -1).reshape(-1, 2)
        )
    equal = sum(len(part) for part in parts)
    # Product of the rows of both values: the k-th of a pair is row k // b of the one and k % b of the other.
    which = np.repeat(np.arange(len(joined)), across)
    place = _ranges(np.zeros(len(joined), np.int64), across)
    width = np.where(spread, sizes[joined[:, 1]], 1)[which]
    left, right = joined[which, 0], joined[which, 1]
    parts.append(np.stack([owners[first[left] + place // width], owners[first[right] + place % width]], 1))
    return np.concatenate(parts), np.concatenate([np.zeros(equal, np.uint8), distances[which]])


def _ranges(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """start, start + 1, ... of every range, one after the other."""
    total = int(lengths.sum())
    before = np.cumsum(lengths) - lengths
    return np.asarray(np.arange(total) + np.repeat(starts - before, lengths), np.int64)


def _distinct(pairs: NDArray[np.int64], distances: NDArray[np.uint8], count: int, radius: int) -> Candidates:
    """Each pair of different rows once, with its smallest distance."""
    low, high = pairs.min(1), pairs.max(1)
    apart = low != high
    # A pair and its distance fit one integer up to 190 million rows.
    code = (low[apart] * count + high[apart]) * 128 + distances[apart]
    code.sort()
    pair = code // 128
    keep = np.ones(len(pair), bool)
    keep[1:] = pair[1:] != pair[:-1]
    pair = pair[keep]
    return Candidates(
        pairs=np.stack([pair // max(count, 1), pair % max(count, 1)], 1),
        distances=(code[keep] % 128).astype(np.uint8),
        radius=radius,
    )
