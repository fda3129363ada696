"""Where the beam goes: pixel grid, pose of the patient and the projection of points onto the film.

Patient coordinates are centimetres: x to the viewer's right (the patient's left), y downwards from the top of a
nominal film, z towards the patient's front.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]
Points = NDArray[np.float32]

BEAM_Y = 19.0
"""Level of the central ray, cm."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Geometry of one film.

    Args:
        size: Rows and columns of the film.
        view: "PA" or "AP": which side of the patient lies on the detector.
        field: Side of the film in patient centimetres.
        centre: Patient (x, y) under the middle of the film, cm.
        tilt: Rotation in the film's plane, radians.
        yaw: Rotation of the patient about the body's axis, radians.
        distance: Focus to detector, cm.
    """

    size: int
    view: str
    field: float
    centre: tuple[float, float]
    tilt: float
    yaw: float
    distance: float

    @cached_property
    def scale(self) -> float:
        """Pixels a centimetre."""
        return self.size / self.field

    @cached_property
    def grid(self) -> tuple[Map, Map]:
        """Patient x and y, cm, at each pixel's centre for the plane z = 0: two maps (H, W)."""
        steps = ((np.arange(self.size, dtype=np.float32) + 0.5) - self.size / 2) / self.scale
        u, v = np.meshgrid(steps, steps)
        c, s = np.float32(np.cos(self.tilt)), np.float32(np.sin(self.tilt))
        return self.centre[0] + c * u + s * v, self.centre[1] - s * u + c * v

    def magnification(self, z: NDArray[np.float32] | float) -> NDArray[np.float32] | float:
        """Magnification of depth ``z`` relative to the plane z = 0: what lies far from the detector grows."""
        return 1.0 + (z if self.view == "AP" else -z) / self.distance

    def at_depth(self, z: float) -> tuple[Map, Map]:
        """Patient x and y, cm, of the points at depth ``z`` that project to each pixel."""
        if z not in self._planes:
            x, y = self.grid
            m = np.float32(self.magnification(z))
            shift = np.float32(z * np.sin(self.yaw))
            self._planes[z] = x / m - shift, np.float32(BEAM_Y) + (y - np.float32(BEAM_Y)) / m
        return self._planes[z]

    @cached_property
    def _planes(self) -> dict[float, tuple[Map, Map]]:
        return {}

    def splat(self, points: Points, mass: NDArray[np.float32]) -> Map:
        """Project small volumes onto the film.

        Args:
            points: (N, 3) patient coordinates, cm.
            mass: (N,) volumes, cubic centimetres.

        Returns:
            Path length through the volumes, cm, as a map (H, W).
        """
        x, y, z = points[:, 0], points[:, 1], points[:, 2]
        m = self.magnification(z)
        px = (x * np.float32(np.cos(self.yaw)) + z * np.float32(np.sin(self.yaw))) * m - self.centre[0]
        py = BEAM_Y + (y - BEAM_Y) * m - self.centre[1]
        c, s = np.float32(np.cos(self.tilt)), np.float32(np.sin(self.tilt))
        fine = 2 * self.size  # deposit on a grid twice as fine, then average: cheap anti-aliasing
        k = np.float32(2 * self.scale)
        column = np.floor((c * px - s * py) * k + self.size).astype(np.int32)
        row = np.floor((s * px + c * py) * k + self.size).astype(np.int32)
        # What falls outside lands in a frame of one cell, which is cut off.
        cells = np.clip(row + 1, 0, fine + 1) * (fine + 2) + np.clip(column + 1, 0, fine + 1)
        counts = np.bincount(cells, weights=mass, minlength=(fine + 2) ** 2).reshape(fine + 2, fine + 2)
        deposit = counts[1:-1, 1:-1].astype(np.float32)
        summed = cv2.resize(deposit, (self.size, self.size), interpolation=cv2.INTER_AREA)
        return np.asarray(summed * np.float32(4 * self.scale**2), np.float32)

    def blur(self, field: Map, sigma: float) -> Map:
        """Gaussian blur with ``sigma`` in cm; wide blurs are done on a coarser grid."""
        pixels = sigma * self.scale
        if pixels < 0.2:
            return field
        factor = int(min(8, max(1, pixels // 4)))
        if factor == 1:
            return np.asarray(
                cv2.GaussianBlur(field, (0, 0), pixels, borderType=cv2.BORDER_REPLICATE), np.float32
            )
        small = max(8, self.size // factor)
        coarse = cv2.resize(field, (small, small), interpolation=cv2.INTER_AREA)
        coarse = cv2.GaussianBlur(coarse, (0, 0), pixels * small / self.size, borderType=cv2.BORDER_REPLICATE)
        return np.asarray(
            cv2.resize(coarse, (self.size, self.size), interpolation=cv2.INTER_CUBIC), np.float32
        )


def fractal_noise(
    generator: np.random.Generator, size: int, *, coarsest: int, octaves: int, persistence: float = 0.6
) -> Map:
    """Smooth random map (size, size) of about zero mean and unit variance.

    Args:
        generator: Source of randomness; what is drawn from it does not depend on ``size``.
        size: Side in pixels.
        coarsest: Cells a side of the coarsest octave.
        octaves: Number of octaves, each with twice the cells.
        persistence: Amplitude of an octave relative to the one before.
    """
    total = np.zeros((size, size), np.float32)
    variance = 0.0
    for octave in range(octaves):
        cells = generator.standard_normal((coarsest << octave, coarsest << octave), dtype=np.float32)
        weight = persistence**octave
        total += weight * cv2.resize(cells, (size, size), interpolation=cv2.INTER_CUBIC)
        variance += weight**2 * 0.6  # interpolation takes about 40% of the variance
    return total / np.float32(np.sqrt(variance))


def smooth_step(field: Map, low: float, high: float) -> Map:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = np.clip((field - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


@lru_cache(maxsize=16)
def _rings(n: int, around: int) -> tuple[Map, Map, Map, Map]:
    """Where the points of a tube lie on each cross-section: cosine, sine, shift along the path, inner radius.

    Rings are turned against each other and spread along the path: even rings would beat against the pixels.
    """
    order = np.arange(n * around, dtype=np.float64).reshape(n, around)
    angle = order * (2 * np.pi / around) + order // around * 2.399963
    slide = (order * 0.618034) % 1 - 0.5
    shrink = 0.45 + 0.45 * ((order * 0.754878) % 1)
    cos, sin, along, inner = (a.astype(np.float32) for a in (np.cos(angle), np.sin(angle), slide, shrink))
    return cos, sin, along, inner


def tube(
    centres: Points, radius: NDArray[np.float32], *, wall: float, interior: float, around: int
) -> tuple[Points, NDArray[np.float32]]:
    """Points and volumes of a bone-like tube: a thin cortical shell and a lighter interior.

    Args:
        centres: (N, 3) path, cm.
        radius: (N, 2) half-heights (in the film's plane) and half-depths, cm.
        wall: Thickness of the cortex, cm.
        interior: Bone fraction of the interior.
        around: Points around a cross-section.

    Returns:
        (2 N around, 3) points and as many volumes of bone, cubic centimetres: first the shell's, ring by ring, then
        the interior's.
    """
    n = len(centres)
    tangent = np.gradient(centres, axis=0).astype(np.float32)
    step = np.linalg.norm(tangent, axis=1, keepdims=True)
    unit = tangent / np.maximum(step, np.float32(1e-6))
    # `up` lies in the film's plane, across the path; `deep` completes the frame.
    up = np.stack([-unit[:, 1], unit[:, 0], np.zeros(n, np.float32)], 1)
    flat = np.linalg.norm(up, axis=1, keepdims=True)
    up = np.where(flat > 0.05, up / np.maximum(flat, np.float32(0.05)), np.asarray([[0, 1, 0]], np.float32))
    tall, thick = radius[:, :1], radius[:, 1:]
    high, deep = tall * up, thick * np.cross(unit, up)
    cos, sin, slide, shrink = _rings(n, around)
    points = np.empty((2, n, around, 3), np.float32)
    for axis in range(3):
        along = centres[:, axis, None] + slide * tangent[:, axis, None]
        ring = cos * high[:, axis, None] + sin * deep[:, axis, None]
        points[0, ..., axis] = along + ring
        points[1, ..., axis] = along + shrink * ring
    perimeter = 2 * np.pi * np.sqrt((tall**2 + thick**2) / 2)
    shell = perimeter * (wall / around) * step
    core = np.pi * tall * thick * (interior / around) * step
    mass = np.repeat(np.stack([shell, core])[..., 0], around, axis=1).astype(np.float32)
    return points.reshape(-1, 3), mass.ravel()
