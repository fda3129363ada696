"""Who lies under the beam: the anatomy of a patient, which all their films share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Patient:
    """Anatomy of one synthetic adult; lengths in cm.

    Args:
        sex: "F" or "M".
        age: Years, 18 to 90.
        stature: Overall scale of the skeleton, about 1.
        width: Scale of the thorax's width, about 1.
        fat: Thickness of subcutaneous fat.
        breast: Thickness of the breasts, 0 for none seen.
        heart: Cardiothoracic ratio in a PA film, about 0.36 to 0.54.
        heart_tilt: Angle of the heart's long axis, radians.
        arch: Radius of the aortic arch.
        unfolding: Widening of the aorta with age.
        rib_slope: Fall of the ribs from spine to front.
        rib_wall: Thickness of the ribs' cortex.
        scoliosis: Sideways bend of the spine.
        domes: Levels (y) of the right and left diaphragm in full inspiration.
        vessels: Scale of the pulmonary vessels' width, about 1.
        gas: Size of the stomach bubble, 0 for none.
        seed: Seed of what is drawn at random inside (vessels, noise of shapes).
    """

    sex: str
    age: int
    stature: float
    width: float
    fat: float
    breast: float
    heart: float
    heart_tilt: float
    arch: float
    unfolding: float
    rib_slope: float
    rib_wall: float
    scoliosis: float
    domes: tuple[float, float]
    vessels: float
    gas: float
    seed: int


def draw_patient(generator: np.random.Generator) -> Patient:
    """Draw the anatomy of one patient; sex and age are part of it and shape it."""
    female = bool(generator.random() < 0.47)
    age = int(np.clip(generator.normal(54, 18), 18, 90))
    old = (age - 18) / 72
    fat = float(np.clip(generator.gamma(2.2, 0.55), 0.2, 4.5))
    has_breast = female and generator.random() < 0.85
    right_dome = float(generator.normal(27.4, 0.9))
    return Patient(
        sex="F" if female else "M",
        age=age,
        stature=float(generator.normal(0.955 if female else 1.02, 0.035)),
        width=float(generator.normal(0.96 if female else 1.0, 0.04)),
        fat=fat,
        breast=float(np.clip(generator.normal(1.6, 0.9) + 0.5 * fat, 0.4, 5.0)) if has_breast else 0.0,
        heart=float(np.clip(generator.normal(0.455 + 0.045 * old, 0.032), 0.37, 0.58)),
        heart_tilt=float(generator.normal(0.72, 0.12)),
        arch=float(generator.normal(1.35 + 0.55 * old, 0.18)),
        unfolding=float(max(0.0, generator.normal(0.9 * old, 0.3))),
        rib_slope=float(generator.normal(9.0, 0.9)),
        rib_wall=float(np.clip(generator.normal(0.115 - 0.03 * old, 0.015), 0.06, 0.16)),
        scoliosis=float(generator.normal(0, 0.35)),
        domes=(right_dome, right_dome + float(np.clip(generator.normal(1.1, 0.6), -0.5, 2.8))),
        vessels=float(generator.normal(1.0, 0.12)),
        gas=float(np.clip(generator.normal(1.5, 0.9), 0, 3.4)),
        seed=int(generator.integers(2**62)),
    )
