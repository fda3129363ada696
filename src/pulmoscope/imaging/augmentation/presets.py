"""Named augmentations: those of the five published systems, none, and a strong one of our own."""

from __future__ import annotations

from typing import Any

from pulmoscope.errors import did_you_mean, near_names

PRESETS: dict[str, dict[str, Any]] = {
    "none": {},
    # The report of system A names its transforms but no range: the ranges and probabilities are ours.
    "system_a": {
        "rotate": 15,
        "shear": 8,
        "zoom": (0.9, 1.1),
        "hflip": 0.5,
        "vflip": 0.5,
        "crop_scale": (0.8, 1.0),
        "contrast": 0.2,
        "brightness": 0.1,
        "multiply": 0.1,
        "rgb_shift": 0.08,
        "hsv_shift": (0.05, 0.1, 0.1),
        "greyscale": 0.1,
        "equalise": 0.1,
    },
    "system_b": {"rotate": 15, "fill": "edge"},
    # ColorJitter(0.1, 0.1, 0.1): its brightness is a gain, hence multiply; its saturation leaves grey as it is. Its
    # contrast pivots on the picture's mean, ours on 0.5: the same change of spread, but ours also moves the mean.
    "system_c": {"rotate": 5, "multiply": 0.1, "contrast": 0.1, "crop_scale": (0.7, 1.0)},
    # "Augmented", without a range: a moderate one of ours.
    "system_d": {
        "rotate": 10,
        "translate": 0.05,
        "zoom": (0.9, 1.1),
        "brightness": 0.1,
        "contrast": 0.1,
    },
    "system_e": {},
    # Against pictures that are framed, exposed and sharpened otherwise than those of the training.
    "strong": {
        "rotate": 15,
        "translate": 0.08,
        "zoom": (0.85, 1.25),
        "shear": 6,
        "crop_scale": (0.6, 1.0),
        "brightness": 0.15,
        "contrast": 0.35,
        "gamma": 0.4,
        "blur": 1.5,
        "noise": 0.03,
        "equalise": 0.15,
        "erase": 0.4,
    },
}


def preset(name: object) -> dict[str, Any]:
    """The fields of the preset called ``name``.

    Raises:
        ValueError: There is none of that name.
    """
    if isinstance(name, str) and name in PRESETS:
        return dict(PRESETS[name])
    hint = did_you_mean(near_names(str(name), PRESETS), before=", ")
    raise ValueError(f"no preset {name!r}: expected one of {', '.join(PRESETS)}{hint}")
