"""Bones: ribs, clavicles, scapulae and arms as thin shells in three dimensions; the spine as a stack of blocks."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pulmoscope.cohort.phantom.frame import Frame, Map, Points, smooth_step, tube
from pulmoscope.cohort.phantom.patient import Patient
from pulmoscope.cohort.phantom.thorax import cage_half_depth, cage_half_width

RIBS = 11
FIRST_RIB_Y = 5.6


def draw_skeleton(frame: Frame, patient: Patient, *, breathing: float, arms: float) -> Map:
    """Path length through compact bone, cm, as a map (H, W).

    Args:
        frame: Geometry of the film.
        patient: Anatomy.
        breathing: How far the diaphragm stays above full inspiration, cm: ribs lie flatter and closer.
        arms: How far the arms are lifted and the shoulder blades turned out of the lungs, 0 to 1.
    """
    steps = int(np.clip(0.8 * frame.size, 90, 1200))
    around = int(np.clip(frame.size // 12, 14, 80))
    generator = np.random.default_rng([patient.seed, 1])
    parts: list[tuple[Points, NDArray[np.float32]]] = []
    for side in (-1.0, 1.0):
        for number in range(RIBS):
            parts.append(_rib(patient, number, side, breathing, steps, around, generator))
        parts += _shoulder(patient, side, arms, steps // 2, around, generator)
    points = np.concatenate([p for p, _ in parts])
    mass = np.concatenate([m for _, m in parts])
    bones = frame.blur(frame.splat(points, mass), 0.055)
    return bones + _spine(frame, patient) + _blades(frame, patient, arms)


def _rib(
    patient: Patient,
    number: int,
    side: float,
    breathing: float,
    steps: int,
    around: int,
    generator: np.random.Generator,
) -> tuple[Points, NDArray[np.float32]]:
    spacing = (2.32 - 0.035 * breathing) * patient.stature
    origin = FIRST_RIB_Y + spacing * number + float(generator.normal(0, 0.08))
    end = np.deg2rad((118, 128, 136, 140, 142, 142, 138, 128, 116, 100, 84)[number])
    fall = patient.rib_slope * (0.55, 0.70, 0.84, 0.95, 1.0, 1.02, 1.0, 0.96, 0.92, 0.9, 0.9)[number]
    fall *= 1 - 0.06 * breathing
    phi = np.linspace(0.16, end, steps, dtype=np.float32)
    share = phi / np.deg2rad(142)
    y = origin - 0.55 * np.sin(np.clip(phi * 1.6, 0, np.pi)) + fall * share**1.75
    level = np.maximum(y, 7.6) + 0.8
    wide = cage_half_width(patient, level) + 0.25
    deep = cage_half_depth(patient, level) + 0.3
    if number == 0:
        wide, deep = wide * 0 + 6.3 * patient.width, deep * 0 + 5.0
    x = side * wide * np.sin(phi) ** 0.92
    x = x + side * 1.2 * np.exp(-((phi / 0.22) ** 2))  # the head of the rib sits on the vertebra's side
    z = -0.5 - deep * np.cos(phi)
    centres = np.stack([x, y, z], 1).astype(np.float32)
    # Rear arcs are narrow and dense, front arcs broad and flat; the front end opens into cartilage.
    front = smooth_step(phi, 1.3, 2.1)
    tall = (0.60 + 0.14 * front + 0.025 * min(number, 6)) * patient.stature
    tall = tall * (1 - 0.25 * np.exp(-((phi / 0.3) ** 2)))
    thick = (0.36 - 0.06 * front) * patient.stature
    points, mass = tube(
        centres,
        np.stack([tall, thick], 1).astype(np.float32),
        wall=patient.rib_wall,
        interior=0.22,
        around=around,
    )
    fade = 1 - 0.8 * smooth_step(phi, float(end) - 0.12, float(end))
    fade = fade * (1 - 0.25 * front) * (0.6 if number == 0 else 1.0)
    # Seen edge-on at the side wall a shell adds up; real cortex is thinner there.
    fade = fade * (1 - 0.35 * np.exp(-(((phi - 1.57) / 0.35) ** 2)))
    return points, (mass * np.tile(np.repeat(fade, around), 2)).astype(np.float32)


def _curve(knots: list[tuple[float, float, float]], steps: int) -> Points:
    """Smooth curve through a few points (Catmull-Rom), evenly sampled in its parameter."""
    k = np.asarray([knots[0], *knots, knots[-1]], np.float32)
    t = np.linspace(0, len(knots) - 1 - 1e-4, steps, dtype=np.float32)
    i = t.astype(np.int32)
    f = (t - i)[:, None]
    p0, p1, p2, p3 = k[i], k[i + 1], k[i + 2], k[i + 3]
    a = 2 * p1 + (p2 - p0) * f + (2 * p0 - 5 * p1 + 4 * p2 - p3) * f**2 + (3 * p1 - p0 - 3 * p2 + p3) * f**3
    return np.asarray(a / 2, np.float32)


def _shoulder(
    patient: Patient, side: float, arms: float, steps: int, around: int, generator: np.random.Generator
) -> list[tuple[Points, NDArray[np.float32]]]:
    """Clavicle, shoulder blade's ridge and rim, and upper arm."""
    s, w = patient.stature, patient.width
    lift = 1.3 * arms
    j = generator.normal(0, 0.25, 4)
    clavicle = _curve(
        [
            (1.7, 9.6 + j[0], 5.5),
            (4.6 * w, 9.0 + j[0] - 0.2 * lift, 6.5),
            (9.0 * w, 7.7 + j[1] - 0.5 * lift, 4.0),
            (12.6 * w, 6.6 + j[1] - lift, 0.5),
            (15.6 * w, 6.5 + j[1] - lift, -1.5),
        ],
        steps,
    )
    ends = np.abs(np.linspace(-1, 1, steps, dtype=np.float32)) ** 3
    out = 1.6 * arms
    tip = (16.6 * w, 7.0 - lift, -2.0)
    ridge = _curve(
        [(9.6 * w + out, 11.3 - lift, -7.5), (13.2 * w + out / 2, 9.0 - lift, -6.0), tip], steps // 2
    )
    inner = _curve(
        [
            (9.0 * w + out, 9.0 - lift, -8.0),
            (8.7 * w + 1.2 * out, 13.0 - lift, -9.0),
            (10.0 * w + 1.5 * out, 19.2 - 0.8 * lift, -9.0),
        ],
        steps,
    )
    outer = _curve(
        [
            (10.0 * w + 1.5 * out, 19.2 - 0.8 * lift, -9.0),
            (13.0 * w + out, 14.0 - lift, -7.0),
            (15.6 * w + out / 2, 10.2 - lift, -4.5),
        ],
        steps,
    )
    beak = _curve(
        [(13.6 * w, 9.2 - lift, -3.0), (14.3 * w, 8.4 - lift, -0.5), (15.2 * w, 9.2 - lift, 1.0)], steps // 4
    )
    head = (18.2 * w * s + 0.4 * arms, 7.6 - lift, -2.5)
    arm = _curve(
        [head, (18.9 * w * s + 0.6, 14.5 - lift, -2.5), (22.2 * w * s + 0.8 - 1.4 * arms, 48.0, -2.5)], steps
    )
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(arm, axis=0), axis=1))])
    ball = np.sqrt(np.maximum(0.05, 2.3**2 - (along - 2.3) ** 2))
    ball = np.where(along > 2.3, np.maximum(ball, 1.15 - 0.2 * smooth_step(along, 3, 12)), ball)
    shapes = [
        (clavicle, 0.52 + 0.28 * ends, 0.48 + 0.12 * ends, 0.15, 0.2),
        (ridge, np.linspace(0.3, 0.75, steps // 2), np.full(steps // 2, 0.4), 0.09, 0.1),
        (inner, np.full(steps, 0.22), np.full(steps, 0.25), 0.10, 0.1),
        (outer, np.linspace(0.3, 0.6, steps), np.full(steps, 0.35), 0.09, 0.12),
        (beak, np.full(steps // 4, 0.5), np.full(steps // 4, 0.5), 0.08, 0.1),
        (arm, ball, ball, 0.22, 0.07),
    ]
    parts = []
    for path, tall, thick, wall, interior in shapes:
        mirrored = path * np.asarray([side, 1, 1], np.float32)
        radius = (np.stack([tall, thick], 1) * s).astype(np.float32)
        dense = 3 * around if path is arm else around  # the head of the humerus is wide
        parts.append(tube(mirrored, radius, wall=wall, interior=interior, around=dense))
    return parts


def _blades(frame: Frame, patient: Patient, arms: float) -> Map:
    """The flat of the shoulder blades: thin plates, nearly edge-free."""
    w = patient.width
    lift, out = 1.3 * arms, 1.6 * arms
    total = np.zeros((frame.size, frame.size), np.float32)
    outline = np.asarray(
        [
            (9.0 * w + out, 9.0 - lift),
            (8.7 * w + 1.2 * out, 13.0 - lift),
            (10.0 * w + 1.5 * out, 19.2 - 0.8 * lift),
            (13.0 * w + out, 14.0 - lift),
            (15.6 * w + out / 2, 10.2 - lift),
            (14.0 * w + out / 2, 8.2 - lift),
            (11.5 * w + out, 8.4 - lift),
        ],
        np.float32,
    )
    c, s = np.cos(frame.tilt), np.sin(frame.tilt)
    z = -8.0
    m = frame.magnification(z)
    for side in (-1.0, 1.0):
        px = (side * outline[:, 0] + z * np.sin(frame.yaw)) * m - frame.centre[0]
        py = 19.0 + (outline[:, 1] - 19.0) * m - frame.centre[1]
        pixels = np.stack([(c * px - s * py), (s * px + c * py)], 1) * frame.scale + frame.size / 2
        plate = np.zeros((frame.size, frame.size), np.uint8)
        cv2.fillPoly(plate, [np.round(pixels * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        total += plate.astype(np.float32) * np.float32(0.13 / 255)
    return frame.blur(total, 0.15)


def _spine(frame: Frame, patient: Patient) -> Map:
    """Vertebral bodies with end plates, discs between them, pedicles and spinous processes."""
    x, y = frame.at_depth(-6.0)
    spacing = 2.32 * patient.stature
    bend = patient.scoliosis * np.sin((y - 4) / 8.0)
    x = x - bend
    phase = (y - FIRST_RIB_Y) / spacing
    t = phase - np.round(phase)  # -0.5 to 0.5, 0 in the middle of a body
    half = (1.35 + 0.035 * np.clip(y, 0, 40)) * patient.stature
    waist = half * (1 - 0.10 * np.cos(2 * np.pi * t))
    body = smooth_step(waist - np.abs(x), -0.12, 0.22)
    inside = 1 - smooth_step(np.abs(t), 0.36, 0.42)
    plates = np.exp(-(((np.abs(t) - 0.38) / 0.035) ** 2))
    rim = np.exp(-(((np.abs(x) - waist + 0.15) / 0.14) ** 2))
    bone = body * (0.55 * inside + 0.30 * plates + 0.20) + 0.30 * rim * inside
    ring = np.hypot((np.abs(x) - 0.62 * half) / 0.42, (t + 0.12) * spacing / 0.62)
    bone = bone + 0.40 * np.exp(-(((ring - 1) / 0.35) ** 2))
    spike = np.hypot(x / 0.30, (t - 0.32) * spacing / 0.55)
    bone = bone + 0.55 * np.exp(-(spike**2))
    wing = np.exp(-(((t + 0.2) * spacing / 0.4) ** 2)) * smooth_step(np.abs(x), half.min() * 0.8, half.min())
    bone = bone + 0.22 * wing * (1 - smooth_step(np.abs(x), 2.6, 3.4))
    return np.asarray(0.55 * bone * (0.45 + 0.55 * smooth_step(y, 3, 14)), np.float32)
