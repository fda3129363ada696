"""Soft tissue and air: torso, lungs, heart, great vessels, airways, diaphragm and breasts.

Each organ is a solid known by its cross-sections, so the length of a ray inside it has a closed form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulmoscope.cohort.phantom.frame import Frame, Map, smooth_step
from pulmoscope.cohort.phantom.patient import Patient

APEX_Y = 6.8
CAGE_HEIGHT = 20.0


@dataclass(frozen=True, kw_only=True)
class Thorax:
    """Path lengths, cm, as maps (H, W), and the lungs' outlines.

    Args:
        tissue: Ray inside the body's outline (air-filled organs not yet taken out).
        lung: Ray inside aerated lung.
        air: Ray inside airways, stomach and bowel gas.
        sides: Ray inside the patient's right and left lung.
        fields: The lung fields as a reader outlines them (right, left): above the domes, beside the heart.
        hila: Patient (x, y) of the right and left hilum, cm.
        domes: Levels of the right and left diaphragm in this film, cm.
    """

    tissue: Map
    lung: Map
    air: Map
    sides: tuple[Map, Map]
    fields: tuple[NDArray[np.bool_], NDArray[np.bool_]]
    hila: tuple[tuple[float, float], tuple[float, float]]
    domes: tuple[float, float]


def cage_half_width(patient: Patient, y: NDArray[np.float32]) -> NDArray[np.float32]:
    """Distance, cm, from the midline to the inner chest wall at the levels ``y``."""
    t = np.clip((y - APEX_Y) / CAGE_HEIGHT, 0, 1)
    widest = 13.2 * patient.width * patient.stature
    return np.asarray(4.3 + (widest - 4.3) * (1 - (1 - t) ** 3.3) ** 0.60, np.float32)


def cage_half_depth(patient: Patient, y: NDArray[np.float32]) -> NDArray[np.float32]:
    """Half the depth, cm, of the thoracic cavity at the levels ``y``."""
    t = np.clip((y - APEX_Y + 0.6) / CAGE_HEIGHT, 0, 1)
    return np.asarray(8.4 * patient.stature * (1 - (1 - t) ** 2.4) ** 0.6, np.float32)


def _chord(u: NDArray[np.floating[Any]], power: float) -> Map:
    """Chord of a unit superellipse at ``u``: 1 in the middle, 0 from the edge on."""
    if power == 2:
        return np.asarray(np.sqrt(np.maximum(0, 1 - u * u)), np.float32)
    chord = np.zeros(u.shape, np.float32)
    size = np.abs(u)
    inside = size < 1
    chord[inside] = (1 - size[inside] ** np.float32(power)) ** np.float32(1 / power)
    return chord


def _ball(x: Map, y: Map, centre: tuple[float, float], radii: tuple[float, float], turn: float = 0.0) -> Map:
    """Chord (0 to 1) of an ellipsoid seen from the front."""
    dx, dy = x - np.float32(centre[0]), y - np.float32(centre[1])
    c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    q = ((c * dx + s * dy) / np.float32(radii[0])) ** 2 + ((c * dy - s * dx) / np.float32(radii[1])) ** 2
    return np.asarray(np.sqrt(np.maximum(0, 1 - q)), np.float32)


def _union(*paths: NDArray[np.floating[Any]], power: int = 4) -> Map:
    """Smooth union of solids that share their middle plane: between the longest chord and the sum."""
    total = np.zeros(paths[0].shape, np.float32)
    for path in paths:
        square = path * path
        total += square * square if power == 4 else (square * path if power == 3 else path**power)
    return np.asarray(np.cbrt(total) if power == 3 else total ** np.float32(1 / power), np.float32)


def _torso(frame: Frame, patient: Patient, breathing: float, arms: float) -> Map:
    x, y = frame.at_depth(0.0)
    ax = np.abs(x)
    fat = patient.fat
    flare = 2.2 * np.exp(-(((y - 12.0) / 4.5) ** 2)) + (0.35 * fat + 0.5) * smooth_step(y, 24, 38)
    half_width = cage_half_width(patient, np.maximum(y, 9.5)) + 1.7 + fat + flare
    half_depth = cage_half_depth(patient, np.maximum(y, 11.0)) + 1.3 + 0.8 * fat
    fade = smooth_step(y, 4.5, 12.5)
    trunk = 2 * half_depth * _chord(x / half_width, 2.7) * fade
    neck_width = (5.4 + 0.35 * fat) * patient.stature + 3.0 * smooth_step(y, 1.5, 8.0) ** 2
    neck = 2 * (5.6 + 0.3 * fat) * _chord(x / neck_width, 2.1) * (1 - 0.85 * smooth_step(y, 6.0, 13.0))
    lift = 1.2 * arms
    middle = (
        9.0 - lift + 0.0125 * np.maximum(ax - 5, 0) ** 2 + 0.05 * ax - 2.2 * np.exp(-(((ax - 4) / 4.0) ** 2))
    )
    half_height = (5.1 + 0.4 * fat) * (1 - 0.25 * smooth_step(ax, 6, 18))
    depth = (6.0 + 0.7 * fat) * np.sqrt(np.maximum(0, 1 - (ax / (21.5 + fat)) ** 4))
    shoulder = 2 * depth * _chord((y - middle) / half_height, 2.0)
    axis = 19.6 * patient.stature + 0.5 * fat + (0.16 - 0.1 * arms) * np.maximum(y - 12, 0)
    arm = 2 * _chord((ax - axis) / (4.0 + 0.5 * fat), 2.0) * (4.0 + 0.5 * fat) * smooth_step(y, 8.5, 13.0)
    body = _union(trunk, neck, shoulder, power=3)
    body = np.maximum(body, 0) + arm * (1 - 0.75 * smooth_step(body, 0.5, 8.0))
    if patient.breast > 0:
        body = body + _breasts(frame, patient)
    # Breath held lower down: the belly is a little deeper than the chest.
    return np.asarray(body * (1 + (0.10 + 0.04 * breathing) * smooth_step(y, 25, 34)), np.float32)


def _breasts(frame: Frame, patient: Patient) -> Map:
    x, y = frame.at_depth(9.0)
    size = 4.6 + 0.65 * patient.breast
    level = 23.2 + 0.5 * patient.breast
    total = np.zeros_like(x)
    for side in (-1.0, 1.0):
        dx = (x - side * (7.6 + 0.25 * patient.breast) * patient.width) / np.float32(size * 1.08)
        dy = y - level
        # The lower edge is round and sharp, the upper one fades into the chest wall.
        dy = np.where(dy > 0, dy / (0.85 * size), dy / (1.7 * size))
        q = dx**2 + dy**2
        lower = smooth_step(dy, -0.9, 0.6)
        total += np.maximum(0, 1 - q) ** (0.62 + 0.5 * (1 - lower)) * (0.25 + 0.75 * lower)
    return np.asarray(patient.breast * 1.25 * total, np.float32)


def _heart(frame: Frame, patient: Patient, enlarge: float, lift: float) -> Map:
    x, y = frame.at_depth(3.0)
    inner = 2 * 13.2 * patient.width * patient.stature
    span = patient.heart * enlarge * inner
    right_edge, left_edge = -0.33 * span, 0.67 * span
    base = min(patient.domes) + 0.4 - lift
    length = 0.60 * span
    ventricle = _ball(
        x, y, (left_edge - 0.50 * span, base - 0.30 * span), (length, 0.37 * span), patient.heart_tilt
    )
    atrium = _ball(x, y, (right_edge + 0.30 * span, base - 0.36 * span), (0.30 * span, 0.44 * span), -0.10)
    trunk = _ball(x, y, (0.10 * span + 0.4, base - 0.70 * span), (0.22 * span, 0.30 * span), -0.45)
    return np.asarray(
        _union(12.5 * ventricle, 11.5 * atrium, 9.0 * trunk, power=5) * np.float32(patient.stature),
        np.float32,
    )


def _mediastinum(frame: Frame, patient: Patient, lift: float, breadth: float) -> Map:
    x, y = frame.at_depth(1.0)
    top = np.float32(1.0) - 0.25 * smooth_step(y, 9, 16)
    vena_cava = 2.5 * breadth * patient.stature + 0.15 * (y - 12) * smooth_step(y, 15, 20) * 0.3
    left = 2.2 * breadth * patient.stature + 0.2 * smooth_step(y, 13, 17)
    half = np.where(x < 0, vena_cava, left)
    depth = 10.0 - 4.0 * smooth_step(y, 15, 20)  # lower down the heart takes the room
    column = depth * top * _chord(x / half, 2.2) * smooth_step(y, 3.5, 9.0)
    arch_y = 12.6 - 0.25 * lift
    arch_x = 1.55 + 0.3 * patient.unfolding
    arch = 2 * patient.arch * 2.6 * _ball(x, y, (arch_x, arch_y), (patient.arch * 1.15, patient.arch * 1.2))
    xp, yp = frame.at_depth(-5.0)
    path = 1.7 + 0.9 * patient.unfolding * np.exp(-(((yp - 18) / 5) ** 2))
    descending = (
        2 * (1.25 + 0.15 * patient.unfolding) * _chord((xp - path) / (1.3 + 0.15 * patient.unfolding), 2.0)
    )
    descending = descending * smooth_step(yp, arch_y - 1.2, arch_y + 1.5)
    azygos = 1.6 * _ball(x, y, (-2.3, 14.2), (0.9, 0.7))
    return np.asarray(_union(column, arch, azygos, power=3) + 0.8 * descending, np.float32)


def _airways(frame: Frame, lift: float) -> Map:
    x, y = frame.at_depth(-1.5)
    carina = 15.0 - 0.4 * lift
    deviation = -0.35 * smooth_step(y, 9, 13)
    trachea = 1.75 * _chord((x - deviation) / 0.86, 2.0) * (1 - smooth_step(y, carina - 0.6, carina + 0.5))
    total = trachea
    for slope, length, radius, side in ((0.42, 3.2, 0.72, -1.0), (0.95, 4.6, 0.62, 1.0)):
        # A main bronchus runs down and out; its ray is shortened where it leaves the plane.
        along = smooth_step(y, carina - 0.4, carina + 0.4) * (
            1 - smooth_step(y, carina + 1.6, carina + length)
        )
        axis = deviation + side * (0.25 + slope * np.maximum(y - carina + 0.2, 0))
        total = total + 1.3 * radius * along * _chord((x - axis) / (radius * 1.25), 2.0)
    return np.asarray(total, np.float32)


def _lung(frame: Frame, patient: Patient, side: float, dome: float) -> tuple[Map, Map]:
    """Ray inside one lung before heart and mediastinum are taken out, and the depth below the dome's top."""
    x, y = frame.at_depth(-0.5)
    x = x * np.float32(side)
    t = np.clip((y - APEX_Y) / CAGE_HEIGHT, 0, 1)
    lateral = cage_half_width(patient, y)
    medial = 4.3 - 4.6 * np.minimum(1, t / 0.22) ** 0.5
    middle, half = (lateral + medial) / 2, np.maximum((lateral - medial) / 2, 1e-3)
    depth = cage_half_depth(patient, y) * _chord((x - middle) / half, 2.4)
    depth = np.where(y > APEX_Y, depth, 0)
    top_x = 5.4 * patient.width
    reach = np.where(x > top_x, 13.2 * patient.width * patient.stature - top_x, 9.0)
    fall = np.where(x > top_x, 3.7, 1.9)
    below = y - (dome + fall * np.abs((x - top_x) / reach) ** 2.0)
    # Under the top of the dome lung is left behind (deep sulcus) and, shorter, in front.
    rear = 9.5 * np.sqrt(np.maximum(below, 0) / 6.5)
    front = 9.5 * np.sqrt(np.maximum(below, 0) / 2.5)
    z0 = 1.0
    behind = np.maximum(0, (z0 - rear) + depth)
    before = np.maximum(0, depth - (z0 + front))
    path = np.where(below > 0, np.maximum(0, behind) + before, 2 * depth)
    return np.asarray(path, np.float32), np.asarray(below, np.float32)


def _gas(frame: Frame, patient: Patient, dome: float, generator: np.random.Generator) -> Map:
    x, y = frame.at_depth(3.0)
    total = np.zeros_like(x)
    if patient.gas > 0.3:
        g = patient.gas
        centre = (6.2 + float(generator.normal(0, 0.8)), dome + 1.3 + 0.6 * g)
        bubble = _ball(x, y, centre, (1.25 * g, 0.78 * g), float(generator.normal(0, 0.25)))
        level = centre[1] + 0.35 * g
        total += 2.2 * g * bubble * (1 - 0.6 * smooth_step(y, level - 0.15, level + 0.15))
    for _ in range(int(generator.integers(0, 6))):
        r = float(generator.uniform(0.5, 1.4))
        centre = (float(generator.uniform(2, 11)), dome + float(generator.uniform(3.5, 9)))
        total += 1.3 * r * _ball(x, y, centre, (r * 1.2, r), float(generator.uniform(0, 3)))
    return total


def draw_thorax(
    frame: Frame,
    patient: Patient,
    *,
    breathing: float,
    enlarge: float,
    arms: float,
    generator: np.random.Generator,
) -> Thorax:
    """Project the soft tissue and the air of one patient.

    Args:
        frame: Geometry of the film.
        patient: Anatomy.
        breathing: How far the diaphragm stays above full inspiration, cm.
        enlarge: Apparent enlargement of heart and mediastinum (1 in an erect PA film).
        arms: How far the arms are lifted, 0 to 1.
        generator: Source of the bowel gas.
    """
    domes = (patient.domes[0] - breathing, patient.domes[1] - breathing)
    body = _torso(frame, patient, breathing, arms)
    heart = _heart(frame, patient, enlarge, 0.75 * breathing)
    centre = _mediastinum(frame, patient, breathing, 0.5 + 0.5 * enlarge)
    # Heart and mediastinum lie one behind the other: their rays add, but not past the lung's depth.
    solid = _union(heart, centre, power=2)
    xs, _ = frame.at_depth(-5.0)
    spine = 5.0 * _chord(xs / np.float32(2.7), 1.8)
    sides, fields = [], []
    for side, dome in ((-1.0, domes[0]), (1.0, domes[1])):
        path, below = _lung(frame, patient, side, dome)
        path = np.minimum(np.maximum(0, path - solid - spine), np.maximum(body - 1.0, 0))
        sides.append(path)
        fields.append((path > 2.2) & (below < 0) & (heart < 1.2) & (centre < 3.0))
    lung = sides[0] + sides[1]
    air = np.minimum(_airways(frame, breathing) + _gas(frame, patient, domes[1], generator), body)
    lift = 0.5 * breathing
    hila = ((-4.4 * patient.width, 17.3 - lift), (4.3 * patient.width, 16.3 - lift))
    return Thorax(
        tissue=body,
        lung=lung,
        air=np.asarray(air, np.float32),
        sides=(sides[0], sides[1]),
        fields=(fields[0], fields[1]),
        hila=hila,
        domes=domes,
    )
