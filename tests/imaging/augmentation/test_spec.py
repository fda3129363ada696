"""What a recipe may say of augmentation: presets, ranges, the way to a file and back."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from pulmoscope.imaging import PRESETS, Augment


class _Holder(BaseModel):
    augment: Augment = Augment()


def test_every_preset_parses_and_its_dump_parses_back() -> None:
    assert {"none", "strong", *(f"system_{letter}" for letter in "abcde")} == set(PRESETS)
    for name, fields in PRESETS.items():
        parsed = _Holder.model_validate({"augment": name}).augment
        assert parsed == Augment(**fields)
        assert Augment.model_validate(parsed.model_dump()) == parsed
        assert Augment.model_validate(parsed.model_dump(mode="json")) == parsed
    assert Augment.model_validate("none") == Augment.model_validate("system_e") == Augment()


def test_the_systems_presets_say_what_their_reports_say() -> None:
    a = Augment.model_validate("system_a")
    assert all((a.rotate, a.shear, a.hflip, a.vflip, a.contrast, a.brightness, a.rgb_shift, any(a.hsv_shift)))
    assert all((a.greyscale, a.equalise, a.multiply, a.crops, a.colours, a.zoom != (1, 1)))
    b = Augment.model_validate("system_b")
    assert (b.rotate, b.fill) == (15, "edge")
    c = Augment.model_validate("system_c")
    assert (c.rotate, c.multiply, c.contrast, c.crop_scale) == (5, 0.1, 0.1, (0.7, 1.0))
    assert c.crop_ratio == pytest.approx((3 / 4, 4 / 3))
    assert not c.colours


def test_a_preset_with_changes() -> None:
    changed = Augment.model_validate({"preset": "system_c", "rotate": 9, "fill": "edge"})
    assert changed == Augment.model_validate(PRESETS["system_c"] | {"rotate": 9, "fill": "edge"})


@pytest.mark.parametrize("value", ["sytem_a", {"preset": "sytem_a"}, {"preset": None}, {"preset": ["x"]}])
def test_an_unknown_preset_is_named(value: Any) -> None:
    with pytest.raises(ValidationError, match="no preset") as caught:
        _Holder.model_validate({"augment": value})
    if "sytem_a" in str(value):
        assert "did you mean system_a?" in str(caught.value)


def test_all_mistakes_are_named_at_once() -> None:
    wrong = {
        "vflip": 1.5,
        "fill": "white",
        "crop_scale": (0.9, 0.5),
        "crop_ratio": (0, 1),
        "multiply": -0.1,
        "rgb_shift": 2,
        "hsv_shift": (0.6, 0.1, 0.1),
        "greyscale": -1,
        "equalise": float("nan"),
        "blur": -1,
        "apply": 1.1,
        "mixup": -0.2,
        "cutmix": float("inf"),
        "zoom": (float("nan"), 1),
        "nonsense": 1,
    }
    with pytest.raises(ValidationError) as caught:
        Augment.model_validate({"preset": "strong"} | wrong)
    assert {error["loc"][0] for error in caught.value.errors()} == set(wrong)


def test_what_a_recipe_does_is_said_by_its_properties() -> None:
    assert not any((Augment().changes, Augment().mixes, Augment().colours, Augment().moves, Augment().tones))
    # Modifiers alone change nothing.
    assert not Augment(fill="edge", crop_ratio=(0.5, 2), mixup=0.4).changes
    assert not Augment(rotate=9, apply=0).changes
    assert Augment(mixup=0.4).mixes
    assert Augment(cutmix=1).mixes
    assert Augment(crop_scale=(0.5, 1)).moves
    assert Augment(rgb_shift=0.1).colours
    assert Augment(hsv_shift=(0, 0, 0.1)).colours
    assert not Augment(greyscale=0.5).colours
    for field in (
        "vflip",
        "multiply",
        "greyscale",
        "equalise",
        "blur",
        "noise",
        "erase",
        "gamma",
        "rgb_shift",
    ):
        assert Augment(**{field: 0.5}).changes, field
