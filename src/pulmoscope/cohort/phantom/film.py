"""One synthetic radiograph, drawn whole from a random generator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pulmoscope.cohort.phantom.acquisition import (
    BONE,
    LUNG,
    TISSUE,
    burn_marks,
    burn_shortcut,
    draw_exposure,
    expose,
)
from pulmoscope.cohort.phantom.frame import Frame, fractal_noise
from pulmoscope.cohort.phantom.lesions import draw_lesion
from pulmoscope.cohort.phantom.patient import Patient, draw_patient
from pulmoscope.cohort.phantom.skeleton import draw_skeleton
from pulmoscope.cohort.phantom.thorax import draw_thorax
from pulmoscope.cohort.phantom.vessels import draw_vessels
from pulmoscope.errors import CohortError

CLASSES = ("normal", "pneumonia", "covid")
VIEWS = ("PA", "AP")
SMALLEST = 64


@dataclass(frozen=True, kw_only=True)
class PhantomFilm:
    """A synthetic radiograph and all that is known of it.

    Args:
        pixels: (H, W) 8-bit brightness, bone bright.
        lungs: (H, W) lung fields beside heart and mediastinum and above the diaphragm.
        lesion: (H, W) opacities; empty for "normal" and when the lesion is left out.
        label: Class drawn.
        view: "PA" or "AP".
        sex: "F" or "M".
        age: Years.
        severity: 0 for normal, else 0 to 1 from subtle to obvious.
        marker: Whether the planted shortcut was burned in.
    """

    pixels: NDArray[np.uint8]
    lungs: NDArray[np.bool_]
    lesion: NDArray[np.bool_]
    label: str
    view: str
    sex: str
    age: int
    severity: float
    marker: bool


def draw_radiograph(
    rng: np.random.Generator,
    *,
    label: str,
    size: int = 256,
    patient: Patient | None = None,
    view: str | None = None,
    severity: float | None = None,
    lesions: bool = True,
    marker: bool = False,
) -> PhantomFilm:
    """Draw one synthetic chest radiograph by Beer-Lambert line integrals through a parametric body.

    The same generator state draws the same body, pose and noise whether or not lesions are left in, and the same
    anatomy at every ``size``.

    Args:
        rng: Source of all randomness; advanced by a fixed number of draws.
        label: "normal", "pneumonia" (one dense consolidation) or "covid" (ground glass in both lungs).
        size: Rows and columns, at least 64.
        patient: Anatomy; drawn from ``rng`` when None.
        view: "PA" or "AP"; drawn (about a third AP) when None.
        severity: 0 to 1; drawn when None.
        lesions: False leaves the opacities out and everything else as it was.
        marker: Burn in the planted shortcut.

    Raises:
        CohortError: An unknown label or view, a size below 64 or a severity outside [0, 1].
    """
    _check(label, size, view, severity)
    seeds = rng.integers(2**62, size=6)
    body, pose, inner, sick, light, marks = (np.random.default_rng(int(seed)) for seed in seeds)
    person = draw_patient(body) if patient is None else patient
    chosen = view or ("AP" if pose.random() < 0.35 else "PA")
    frame, breathing, arms = _draw_pose(pose, person, chosen, size)
    enlarge = float(pose.normal(1.0, 0.02)) * (1.10 if chosen == "AP" else 1.0)
    thorax = draw_thorax(frame, person, breathing=breathing, enlarge=enlarge, arms=arms, generator=inner)
    bones = draw_skeleton(frame, person, breathing=breathing, arms=arms)
    vessels = draw_vessels(frame, person, thorax)
    grain = fractal_noise(inner, size, coarsest=20, octaves=4, persistence=0.75)
    soft = fractal_noise(inner, size, coarsest=5, octaves=4, persistence=0.55)

    aerated = thorax.lung * (1 + 0.03 * grain)
    tissue = np.maximum(thorax.tissue * (1 + 0.012 * soft) - thorax.air, 0)
    lung_gain = np.float32(TISSUE - LUNG)
    healthy = TISSUE * tissue - lung_gain * np.maximum(aerated - vessels, 0)
    inside = np.minimum(1, thorax.tissue)  # no bone where there is no body to hold it
    healthy = np.maximum(healthy, 0) + np.float32(BONE - TISSUE) * bones * inside
    drawn = float(sick.beta(1.5, 1.2)) * 0.92 + 0.08
    grade = 0.0 if label == "normal" else (drawn if severity is None else severity)
    lesion = draw_lesion(sick, label=label, severity=grade, frame=frame, thorax=thorax)
    depth = healthy + lung_gain * lesion.path if lesions else healthy

    lungs = thorax.fields[0] | thorax.fields[1]
    level = expose(depth, healthy, lungs, draw_exposure(light, view=chosen), frame, light)
    pixels = burn_marks(np.round(255 * level).astype(np.uint8), marks, view=chosen)
    if marker:
        pixels = burn_shortcut(pixels)
    return PhantomFilm(
        pixels=pixels,
        lungs=lungs,
        lesion=lesion.mask if lesions else np.zeros_like(lesion.mask),
        label=label,
        view=chosen,
        sex=person.sex,
        age=person.age,
        severity=grade,
        marker=marker,
    )


def _draw_pose(
    generator: np.random.Generator, patient: Patient, view: str, size: int
) -> tuple[Frame, float, float]:
    """Pose of the patient for one film: geometry, breathing (cm) and arms (0 to 1)."""
    bedside = view == "AP"
    breathing = float(np.clip(generator.normal(3.0 if bedside else 0.6, 1.1), -0.8, 6.0))
    arms = float(np.clip(generator.normal(0.25 if bedside else 0.85, 0.2), 0, 1))
    field = float(generator.uniform(33.5, 40.5)) * (0.5 + 0.5 * patient.stature)
    frame = Frame(
        size=size,
        view=view,
        field=field,
        centre=(float(generator.normal(0, 0.8)), field / 2 + float(generator.normal(1.0, 1.2))),
        tilt=float(np.deg2rad(generator.normal(0, 2.6 if bedside else 1.2))),
        yaw=float(np.deg2rad(generator.normal(0, 4.0 if bedside else 2.0))),
        distance=105.0 if bedside else 180.0,
    )
    return frame, breathing, arms


def _check(label: str, size: int, view: str | None, severity: float | None) -> None:
    if label not in CLASSES:
        raise CohortError("unknown phantom class", expected=f"one of {', '.join(CLASSES)}", got=repr(label))
    if view is not None and view not in VIEWS:
        raise CohortError("unknown phantom view", expected="PA or AP", got=repr(view))
    if size < SMALLEST:
        raise CohortError("phantom too small to draw", expected=f"size of at least {SMALLEST}", got=str(size))
    if severity is not None and not 0 <= severity <= 1:
        raise CohortError("severity out of range", expected="0 to 1", got=str(severity))
