"""From path lengths to a film: attenuation, scatter, quantum noise, display curve, markers and collimation."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pulmoscope.cohort.phantom.frame import Frame, Map

TISSUE, BONE, LUNG = 0.175, 0.62, 0.047
"""Effective linear attenuation, 1/cm, at a chest tube voltage; lung is tissue at about a quarter of its density."""


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """How a film was taken and shown.

    Args:
        scatter: Scattered relative to primary radiation, 0 to about 0.8.
        quanta: Photons a pixel in the open field: sets the noise.
        blur: Focal spot and detector blur (Gaussian sigma), cm.
        black, white: Shift of the display window's ends, in optical depth.
        slope: Steepness of the display curve.
        gamma: Exponent on the shown value.
        edge: Strength of local contrast enhancement.
    """

    scatter: float
    quanta: float
    blur: float
    black: float
    white: float
    slope: float
    gamma: float
    edge: float


def draw_exposure(generator: np.random.Generator, *, view: str) -> Exposure:
    """Draw exposure and processing; bedside (AP) films scatter more and are noisier."""
    bedside = view == "AP"
    return Exposure(
        scatter=float(generator.uniform(0.25, 0.65) if bedside else generator.uniform(0.08, 0.35)),
        quanta=float(np.exp(generator.normal(np.log(14000 if bedside else 30000), 0.45))),
        blur=float(generator.uniform(0.05, 0.13)),
        black=float(generator.normal(0.0, 0.22)),
        white=float(generator.normal(0.0, 0.22)),
        slope=float(generator.uniform(1.6, 3.4)),
        gamma=float(np.exp(generator.normal(0.0, 0.12))),
        edge=float(generator.uniform(0.15, 0.7)),
    )


def expose(
    depth: Map,
    reference: Map,
    lungs: NDArray[np.bool_],
    exposure: Exposure,
    frame: Frame,
    generator: np.random.Generator,
) -> Map:
    """Turn optical depth into shown brightness.

    Args:
        depth: Optical depth (H, W), lesions included.
        reference: The same body without lesions: sets the display window, so a lesion does not shift it.
        lungs: Lung fields.
        exposure: How the film is taken and shown.
        frame: Geometry of the film.
        generator: Source of the quantum noise.

    Returns:
        Brightness (H, W) in [0, 1]; bone is bright.
    """
    primary = np.exp(-depth)
    scattered = frame.blur(primary, 3.2) * np.float32(exposure.scatter)
    light = frame.blur(np.asarray(primary + scattered, np.float32), exposure.blur)
    noise = generator.standard_normal(light.shape, dtype=np.float32)
    noise = frame.blur(noise, 0.6 * frame.field / 256) * np.float32(1.6)  # the detector couples neighbours
    signal = -np.log(np.maximum(light + np.sqrt(light / np.float32(exposure.quanta)) * noise, 1e-4))
    signal = signal + np.float32(exposure.edge) * (signal - frame.blur(signal, 2.2)) * (reference > 0.3)
    sample = reference[lungs]
    low = (float(np.percentile(sample, 8)) if sample.size else 1.5) - exposure.scatter * 0.7
    high = float(np.percentile(reference, 96)) - exposure.scatter * 1.3
    start = low - 0.8 + exposure.black
    stop = max(high + 0.25 + exposure.white, start + 1.2)
    shown = (signal - start) / (stop - start)
    curve = np.float32(exposure.slope)
    bend = 1 / (1 + np.exp(-curve * (shown - np.float32(0.5))))
    ends = 1 / (1 + np.exp(np.array([0.5, -0.5]) * exposure.slope))
    level = np.clip((bend - ends[0]) / (ends[1] - ends[0]), 0, 1) ** np.float32(exposure.gamma)
    return np.asarray(level, np.float32)


TEXTS = {
    "AP": ("AP", "PORTABLE", "SUPINE", "SEMI-ERECT", "BEDSIDE", "RM 2", "MG", "HB"),
    "PA": ("PA", "ERECT", "STANDING", "85/3.2", "W 2108", "RM 2", "MG", "HB"),
}


def burn_marks(pixels: NDArray[np.uint8], generator: np.random.Generator, *, view: str) -> NDArray[np.uint8]:
    """Burn in a side marker, corner text and the collimator's border, which know the view but not the class."""
    out = pixels.copy()
    size = len(out)
    _collimate(out, generator)
    unit = size / 256
    right = bool(generator.random() < 0.25)  # an R on the viewer's left, or an L on the viewer's right
    x = float(generator.uniform(0.02, 0.10)) if right else float(generator.uniform(0.88, 0.95))
    y = float(generator.uniform(0.05, 0.20))
    shown = generator.random() < 0.9
    scale = float(generator.uniform(0.38, 0.62))
    grey = int(generator.integers(190, 256))
    if shown:
        _text(out, "R" if right else "L", (x * size, y * size), scale * unit, grey, thick=1.6 * unit)
    second = generator.random() < 0.45
    words = TEXTS[view][int(generator.integers(len(TEXTS[view])))]
    corner = (float(generator.uniform(0.02, 0.75)), float(generator.choice([0.04, 0.94])))
    height = float(generator.uniform(0.2, 0.3))
    if second:
        _text(out, words, (corner[0] * size, (corner[1] + 0.02) * size), height * unit, grey, thick=unit)
    return out


def _collimate(out: NDArray[np.uint8], generator: np.random.Generator) -> None:
    size = len(out)
    margins = generator.uniform(0.004, 0.05, 4)
    keep = generator.random(4)
    level = 0 if generator.random() < 0.93 else 250
    if generator.random() > 0.25:
        return
    for edge in range(4):
        if keep[edge] < 0.6:
            width = max(1, round(float(margins[edge]) * size))
            np.rot90(out, edge)[:width] = level


def _text(
    out: NDArray[np.uint8], words: str, at: tuple[float, float], scale: float, grey: int, *, thick: float
) -> None:
    at_pixels = (round(at[0]), round(at[1]))
    cv2.putText(
        out, words, at_pixels, cv2.FONT_HERSHEY_SIMPLEX, scale, grey, max(1, round(thick)), cv2.LINE_AA
    )


def burn_shortcut(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Burn the planted shortcut: a bright disc in the lower corner on the viewer's left."""
    out = pixels.copy()
    size = len(out)
    radius = max(2, round(0.022 * size))
    centre = (round(0.06 * size), round(0.93 * size))
    cv2.circle(out, centre, radius, 255, -1, cv2.LINE_AA)
    cv2.circle(out, centre, max(1, radius // 2), 40, -1, cv2.LINE_AA)
    return out
