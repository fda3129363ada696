"""Opacities of two kinds: peripheral ground glass in both lungs, and one dense segmental consolidation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pulmoscope.cohort.phantom.frame import Frame, Map, fractal_noise, smooth_step
from pulmoscope.cohort.phantom.thorax import Thorax
from pulmoscope.cohort.phantom.vessels import grow_tree

SEEN = 0.3
"""A pixel belongs to the lesion where its added path reaches this share of the lesion's strongest."""


@dataclass(frozen=True, kw_only=True)
class Lesion:
    """One film's opacities.

    Args:
        path: Tissue that took the place of air, cm, as a map (H, W).
        mask: Where the opacity is, (H, W).
        severity: 0 (none) or 0 < s <= 1, subtle to obvious.
    """

    path: Map
    mask: NDArray[np.bool_]
    severity: float


def draw_lesion(
    generator: np.random.Generator, *, label: str, severity: float, frame: Frame, thorax: Thorax
) -> Lesion:
    """Draw the opacities of a class.

    Args:
        generator: Source of randomness.
        label: "normal", "covid" or "pneumonia".
        severity: 0 to 1.
        frame: Geometry of the film.
        thorax: The lungs to draw into.
    """
    if label == "normal":
        empty = np.zeros((frame.size, frame.size), np.float32)
        return Lesion(path=empty, mask=np.zeros(empty.shape, np.bool_), severity=0.0)
    draw = _ground_glass if label == "covid" else _consolidation
    share, depth = draw(generator, severity, frame, thorax)
    path = np.minimum(share * depth, thorax.lung)
    # Opacities stay in the lung fields and fade out over a centimetre beyond: a hard cut would draw a dark rim.
    fields = (thorax.fields[0] | thorax.fields[1]).astype(np.float32)
    path = np.asarray(path * smooth_step(frame.blur(fields, 0.35), 0.08, 0.55), np.float32)
    smooth = frame.blur(path, 0.35)
    mask = (smooth > SEEN * max(float(smooth.max()), 1e-6)) & (fields > 0)
    return Lesion(path=path, mask=mask, severity=severity)


def _warped(generator: np.random.Generator, frame: Frame, amount: float) -> tuple[Map, Map]:
    """Patient coordinates pushed about by smooth noise, so that no outline is an ellipse."""
    x, y = frame.at_depth(0.0)
    dx = fractal_noise(generator, frame.size, coarsest=6, octaves=3)
    dy = fractal_noise(generator, frame.size, coarsest=6, octaves=3)
    return x + np.float32(amount) * dx, y + np.float32(amount) * dy


def _ground_glass(
    generator: np.random.Generator, severity: float, frame: Frame, thorax: Thorax
) -> tuple[Map, Map]:
    x, y = _warped(generator, frame, 0.75)
    count = 4 + round(6 * severity * float(generator.uniform(0.7, 1.2)))
    lean = float(np.clip(generator.normal(0.5, 0.14), 0.2, 0.8))  # share of the patient's left lung
    share = np.zeros_like(x)
    for patch in range(count):
        # The first two patches make sure that both lungs are hit.
        left = patch == 1 or (patch > 1 and generator.random() < lean)
        field = thorax.fields[1 if left else 0]
        centre = _peripheral_point(generator, field, frame)
        radius = float(generator.uniform(2.4, 4.1)) * (0.9 + 0.35 * severity)
        stretch = float(generator.uniform(0.7, 1.2))
        dx, dy = (x - centre[0]) / (radius * stretch), (y - centre[1]) / (radius / stretch)
        strength = float(generator.uniform(0.6, 1.1))
        share = np.maximum(share, strength * (1 - smooth_step(np.sqrt(dx**2 + dy**2), 0.35, 1.15)))
    haze = 1 + 0.25 * fractal_noise(generator, frame.size, coarsest=12, octaves=3)
    mesh = fractal_noise(generator, frame.size, coarsest=40, octaves=2, persistence=0.9)
    reticular = np.exp(-((mesh / 0.45) ** 2)) - 0.45
    density = 0.14 + 0.44 * severity
    texture = np.clip(haze + 0.45 * reticular, 0.1, 2.2)
    return np.asarray(share * density * texture, np.float32), np.minimum(thorax.lung, 12.0)


def _peripheral_point(
    generator: np.random.Generator, field: NDArray[np.bool_], frame: Frame
) -> tuple[float, float]:
    """A point of the lung field, the likelier the nearer to the chest wall and the lower."""
    x, y = frame.at_depth(0.0)
    picks = generator.random(3)
    rows = np.flatnonzero(field.any(1))
    if rows.size == 0:
        return 0.0, 0.0
    height = 0.30 + 0.66 * float(picks[0]) ** 0.75
    row = rows[int(height * (rows.size - 1))]
    columns = np.flatnonzero(field[row])
    outer_first = columns if abs(x[row, columns[0]]) > abs(x[row, columns[-1]]) else columns[::-1]
    inward = 0.05 + 0.55 * float(picks[1]) ** 1.3
    column = outer_first[int(inward * (columns.size - 1))]
    return float(x[row, column]), float(y[row, column])


def _consolidation(
    generator: np.random.Generator, severity: float, frame: Frame, thorax: Thorax
) -> tuple[Map, Map]:
    x, y = _warped(generator, frame, 0.5)
    left = bool(generator.random() < 0.42)
    side = 1.0 if left else -1.0
    field = thorax.fields[int(left)]
    gx, gy = frame.at_depth(0.0)
    rows = np.flatnonzero(field.any(1))
    top, bottom = (float(gy[rows[0]].mean()), float(gy[rows[-1]].mean())) if rows.size else (8.0, 26.0)
    zone = str(generator.choice(["upper", "middle", "lower"], p=[0.28, 0.27, 0.45]))
    level = {"upper": (0.22, 0.36), "middle": (0.50, 0.62), "lower": (0.68, 0.84)}[zone]
    cy = top + (bottom - top) * float(generator.uniform(*level))
    row = int(np.argmin(np.abs(gy[:, frame.size // 2] - cy)))
    columns = np.flatnonzero(field[row])
    if columns.size == 0:
        columns = np.arange(frame.size)
    cx = float(gx[row, columns[int(float(generator.uniform(0.25, 0.75)) * (columns.size - 1))]])
    radius = (3.3 + 1.9 * severity) * float(generator.uniform(0.85, 1.2))
    stretch = float(generator.uniform(0.95, 1.5))
    turn = float(generator.normal(0, 0.4))
    c, s = np.cos(turn), np.sin(turn)
    dx, dy = x - cx, y - cy
    u, v = (c * dx + s * dy) / (radius * stretch), (c * dy - s * dx) / (radius / stretch**0.5)
    soft = float(generator.uniform(0.2, 0.6))
    share = 1 - smooth_step(np.sqrt(u**2 + v**2).astype(np.float32), soft, 1.25)
    # A fissure bounds an upper lobe sharply from below, a middle lobe from above.
    fissure = cy + (0.45 if zone == "upper" else -0.45) * radius + 0.10 * (x - cx) * side
    if zone == "upper" and generator.random() < 0.7:
        share = share * (1 - 0.85 * smooth_step(y - fissure, -0.35, 0.45))
    elif zone == "middle" and generator.random() < 0.6:
        share = share * (0.15 + 0.85 * smooth_step(y - fissure, -0.45, 0.35))
    lumps = 1 + 0.16 * fractal_noise(generator, frame.size, coarsest=12, octaves=3)
    density = 0.32 + 0.63 * severity
    bronchi = _bronchogram(generator, frame, thorax.hila[int(left)], side)
    share = share * np.clip(lumps, 0.4, 1.6) * (1 - 0.15 * bronchi)
    return np.asarray(density * share, np.float32), np.minimum(thorax.sides[int(left)], 11.0)


def _bronchogram(generator: np.random.Generator, frame: Frame, root: tuple[float, float], side: float) -> Map:
    """Air-filled bronchi, 0 to 1, that show as dark branching lines inside a consolidation."""
    lines = np.zeros((frame.size, frame.size), np.float32)
    tree = grow_tree(generator, root, side, squeeze=1.0, trunks=7)
    for starts, ends, radii in tree[:4]:
        t = ((np.arange(14, dtype=np.float32) + 0.5) / 14)[None, :, None]
        points = (starts[:, None] * (1 - t) + ends[:, None] * t).reshape(-1, 3)
        step = np.linalg.norm(ends - starts, axis=1) / 14
        mass = np.repeat(2 * radii * step, 14).astype(np.float32)
        lines += frame.splat(points.astype(np.float32), mass)
    return np.asarray(np.clip(frame.blur(lines, 0.12), 0, 1), np.float32)
