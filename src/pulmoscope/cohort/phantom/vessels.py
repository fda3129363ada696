"""Pulmonary vessels: a tree from each hilum, halving its flow at each fork, thinner towards the pleura."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pulmoscope.cohort.phantom.frame import Frame, Map, Points, fractal_noise, smooth_step
from pulmoscope.cohort.phantom.patient import Patient
from pulmoscope.cohort.phantom.thorax import Thorax

GENERATIONS = 8


def grow_tree(
    generator: np.random.Generator,
    root: tuple[float, float],
    side: float,
    *,
    squeeze: float,
    trunks: int = 13,
) -> list[tuple[Points, Points, NDArray[np.float32]]]:
    """Grow a vessel tree.

    Args:
        generator: Source of randomness.
        root: Patient (x, y) of the hilum, cm.
        side: -1 for the patient's right lung, 1 for the left.
        squeeze: Scale of the vertical extent (below 1 when the diaphragm is high).
        trunks: Number of vessels that leave the hilum.

    Returns:
        One tuple a generation: starts (N, 3), ends (N, 3) and radii (N,), cm.
    """
    # From straight up over outwards to straight down: lower lobes get the larger share.
    angle = np.linspace(-1.25, 1.45, trunks) + generator.normal(0, 0.1, trunks)
    out = np.stack(
        [side * np.cos(angle), np.sin(angle), generator.normal(0, 0.55, trunks)],
        1,
    )
    direction = out / np.linalg.norm(out, axis=1, keepdims=True)
    start = np.tile(np.array([root[0], root[1], -0.5]), (trunks, 1)) + generator.normal(0, 0.45, (trunks, 3))
    radius = 0.30 * (1 + 0.28 * np.sin(angle)) * generator.uniform(0.8, 1.15, trunks)
    length = 2.5 * (1 + 0.25 * np.abs(np.sin(angle)))
    levels = []
    for _ in range(GENERATIONS):
        end = start + direction * length[:, None] * np.array([1.0, squeeze, 1.0])
        levels.append((start.astype(np.float32), end.astype(np.float32), radius.astype(np.float32)))
        count = len(start)
        # An uneven fork: the heavier branch keeps more of the course.
        share = generator.uniform(0.5, 0.78, count)
        axis = generator.normal(0, 1, (count, 3))
        axis[:, 2] *= 0.6
        axis -= (axis * direction).sum(1, keepdims=True) * direction
        axis /= np.linalg.norm(axis, axis=1, keepdims=True) + 1e-9
        turn = generator.uniform(0.45, 0.95, count)[:, None]
        children = []
        for sign, part in ((1.0, 1 - share), (-1.0, share)):
            d = direction + sign * axis * turn * part[:, None]
            away = end - np.array([root[0], root[1], -0.5])
            d = d + 0.22 * away / (np.linalg.norm(away, axis=1, keepdims=True) + 1e-9)
            children.append(d / np.linalg.norm(d, axis=1, keepdims=True))
        direction = np.concatenate(children)
        start = np.concatenate([end, end])
        radius = np.concatenate([radius * (1 - share) ** 0.42, radius * share**0.42])
        length = np.concatenate([length, length]) * generator.uniform(0.68, 0.98, 2 * count)
    return levels


def draw_vessels(frame: Frame, patient: Patient, thorax: Thorax) -> Map:
    """Path length through vessels and hila, cm, as a map (H, W)."""
    total = np.zeros((frame.size, frame.size), np.float32)
    generator = np.random.default_rng([patient.seed, 2])
    trees = []
    for side, root, dome in zip((-1.0, 1.0), thorax.hila, thorax.domes, strict=True):
        squeeze = float(np.clip((dome - root[1]) / 11.0, 0.6, 1.2))
        trees.append(grow_tree(generator, root, side, squeeze=squeeze))
    for first in range(0, GENERATIONS, 2):
        pair = [tree[level] for tree in trees for level in (first, first + 1)]
        starts, ends, radii = (np.concatenate([level[part] for level in pair]) for part in range(3))
        n = max(4, 14 >> (first // 2))
        t = ((np.arange(n, dtype=np.float32) + 0.5) / n)[None, :, None]
        points = (starts[:, None] * (1 - t) + ends[:, None] * t).reshape(-1, 3)
        step = np.linalg.norm(ends - starts, axis=1) / n
        radii = radii * np.float32(patient.vessels)
        mass = np.repeat(np.pi * radii**2 * step, n).astype(np.float32)
        total += frame.blur(frame.splat(points.astype(np.float32), mass), 0.55 * float(radii.mean()))
    x, y = frame.at_depth(0.0)
    lumps = 1 + 0.35 * fractal_noise(generator, frame.size, coarsest=24, octaves=2)
    for side, (hx, hy) in zip((-1.0, 1.0), thorax.hila, strict=True):
        hilum = np.exp(-((((x - hx + side * 0.5) / 1.25) ** 2) + ((y - hy) / 2.1) ** 2))
        total += np.float32(0.9) * hilum * lumps
    inside = smooth_step(thorax.lung, 0.0, 4.0)
    return np.asarray(total * inside, np.float32)
