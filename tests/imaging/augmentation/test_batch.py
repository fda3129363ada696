"""Augmentation of a batch by its later fields: who is changed, by which draw, into what."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pulmoscope.imaging import Augment, augment

EVERYTHING = Augment.model_validate(
    {"preset": "system_a", "blur": 1.0, "noise": 0.02, "erase": 0.5, "gamma": 0.2}
)
GREY = Augment(
    rotate=10, vflip=0.5, crop_scale=(0.6, 1), multiply=0.2, equalise=0.4, blur=1, noise=0.05, erase=0.4
)


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _batch(count: int, planes: int = 1, side: int = 24) -> torch.Tensor:
    return torch.rand((count, planes, side, side), generator=_generator(5))


def test_flips_are_exact_and_as_often_as_asked() -> None:
    batch = _batch(400)
    for recipe, axis in ((Augment(hflip=1), 3), (Augment(vflip=1), 2)):
        torch.testing.assert_close(augment(batch, recipe, _generator()), batch.flip(axis), rtol=0, atol=1e-5)
    result = augment(batch, Augment(vflip=0.3, hflip=0.6), _generator())
    shares = {}
    for name, expected in (("", batch), ("h", batch.flip(3)), ("v", batch.flip(2)), ("hv", batch.flip(2, 3))):
        shares[name] = float(((result - expected).abs().amax(dim=(1, 2, 3)) < 1e-4).float().mean())
    assert shares == pytest.approx({"": 0.28, "h": 0.42, "v": 0.12, "hv": 0.18}, abs=0.06)
    assert sum(shares.values()) == pytest.approx(1)


def test_modifiers_alone_give_the_batch_back() -> None:
    batch = _batch(3)
    for fields in ({"fill": "edge"}, {"mixup": 0.5, "cutmix": 1.0}, {"rotate": 20, "apply": 0}):
        assert augment(batch, Augment(**fields), _generator()) is batch


@pytest.mark.parametrize("recipe", [GREY, EVERYTHING, Augment(rotate=20, noise=0.1)])
def test_only_the_marked_pictures_change_and_as_they_would_without_it(recipe: Augment) -> None:
    batch, only = _batch(30), torch.arange(30) % 3 == 0
    before = batch.clone()
    everyone = augment(batch, recipe, _generator(1))
    result = augment(batch, recipe, _generator(1), only)
    assert torch.equal(batch, before)
    assert torch.equal(result[~only], batch.expand(-1, everyone.shape[1], -1, -1)[~only])
    torch.testing.assert_close(result[only], everyone[only], rtol=0, atol=1e-6)
    assert not (result[only] == batch[only]).flatten(1).all(dim=1).any()
    nobody = augment(batch, recipe, _generator(1), torch.zeros(30, dtype=torch.bool))
    assert torch.equal(nobody, batch.expand_as(everyone))


def test_apply_is_the_share_of_pictures_that_change() -> None:
    batch = _batch(600, side=16)
    recipe = Augment(multiply=0.5, apply=0.3)
    result = augment(batch, recipe, _generator())
    same = (result == batch).flatten(1).all(dim=1)
    assert abs(float(same.float().mean()) - 0.7) < 0.06
    only = torch.arange(600) < 300
    both = augment(batch, recipe, _generator(), only)
    assert torch.equal(both[:300], result[:300])
    assert torch.equal(both[300:], batch[300:])


def test_planes() -> None:
    for recipe, given_planes, planes in (
        (GREY, 1, 1),
        (GREY, 3, 3),
        (Augment(greyscale=1, multiply=0.1), 1, 1),
        (Augment(rgb_shift=0.1), 1, 3),
        (Augment(hsv_shift=(0.1, 0, 0)), 1, 3),
        (EVERYTHING, 1, 3),
        (EVERYTHING, 3, 3),
    ):
        assert augment(_batch(5, given_planes), recipe, _generator()).shape == (5, planes, 24, 24)
    batch = _batch(4)
    assert torch.equal(augment(batch, Augment(greyscale=1), _generator()), batch)
    # A grey picture has no hue to shift, and with its colours taken out it is grey again.
    for recipe in (
        Augment(hsv_shift=(0.3, 0, 0)),
        Augment(rgb_shift=0.2, hsv_shift=(0.1, 0.2, 0.1), greyscale=1),
    ):
        result = augment(batch, recipe, _generator())
        torch.testing.assert_close(result[:, 0], result[:, 1], rtol=0, atol=1e-6)
        torch.testing.assert_close(result[:, 0], result[:, 2], rtol=0, atol=1e-6)


def test_a_grey_batch_gets_the_colours_of_its_three_equal_planes() -> None:
    for seed in range(3):
        recipe = Augment.model_validate({"preset": "system_a", "gamma": 0.2, "blur": 0.5})
        batch = _batch(40)
        looked_up = augment(batch, recipe, _generator(seed))
        worked_out = augment(batch.expand(-1, 3, -1, -1), recipe, _generator(seed))
        # Grey levels are rounded to 1/1023; contrast, gain and saturation magnify that.
        assert (looked_up - worked_out).abs().max() < 0.01
        assert (looked_up - worked_out).abs().mean() < 0.0005


def test_each_plane_shifts_by_its_own_amount_to_either_side() -> None:
    grey = torch.full((800, 1, 16, 16), 0.5)
    shifts = augment(grey, Augment(rgb_shift=0.2), _generator())[:, :, 3, 3] - 0.5
    assert shifts.abs().max() < 0.2011
    assert shifts.amin() < -0.19
    assert shifts.amax() > 0.19
    assert (shifts.mean(dim=0).abs() < 0.015).all()
    assert (shifts.std(dim=0) - 0.4 / 12**0.5).abs().max() < 0.01
    correlation = torch.corrcoef(shifts.T)
    assert (correlation - torch.eye(3)).abs().max() < 0.12


def test_multiply_by_its_range() -> None:
    quarter = torch.full((500, 1, 16, 16), 0.25)
    gain = augment(quarter, Augment(multiply=0.4), _generator())[:, 0, 0, 0] / 0.25
    assert 0.6 <= gain.min() < 0.62
    assert 1.38 < gain.max() <= 1.4001
    assert abs(float(gain.mean()) - 1) < 0.03


def test_equalise_takes_the_share_and_the_stored_levels() -> None:
    batch = (_batch(300) * 50 + 100).round() / 255
    result = augment(batch, Augment(equalise=0.25), _generator())
    equalised = result.amax(dim=(1, 2, 3)) == 1
    assert abs(float(equalised.float().mean()) - 0.25) < 0.08
    assert torch.equal(result[~equalised], batch[~equalised])
    # The black that a rotation uncovers has no part in the histogram: the darkest level is the picture's own.
    turned = augment(batch[:20], Augment(equalise=1, rotate=45), _generator())
    middle = turned[:, :, 9:15, 9:15]
    assert middle.mean() == pytest.approx(0.5, abs=0.05)


def test_the_generator_alone_decides_whatever_the_size_of_a_batch() -> None:
    batch = _batch(700, side=32)  # more than go through the steps at a time
    for recipe in (GREY, EVERYTHING):
        first = augment(batch, recipe, _generator(1))
        torch.manual_seed(9)
        assert torch.equal(augment(batch, recipe, _generator(1)), first)
        assert not torch.equal(augment(batch, recipe, _generator(2)), first)
    # No two pictures get the same change.
    same = torch.rand((1, 1, 32, 32), generator=_generator()).expand(700, -1, -1, -1)
    result = augment(same, Augment(crop_scale=(0.3, 1), multiply=0.3), _generator(1))
    assert len(torch.unique(result.flatten(1), dim=0)) == 700


_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "rotate": st.floats(0, 180),
    "zoom": st.sampled_from([(1.0, 1.0), (0.5, 2.0)]),
    "hflip": st.floats(0, 1),
    "vflip": st.floats(0, 1),
    "fill": st.sampled_from(["black", "edge", "mean", "reflect"]),
    "crop_scale": st.sampled_from([(1.0, 1.0), (0.1, 0.6), (0.7, 1.0)]),
    "crop_ratio": st.sampled_from([(0.75, 4 / 3), (0.1, 10.0), (2.0, 2.0)]),
    "brightness": st.floats(0, 1),
    "gamma": st.floats(0, 3),
    "multiply": st.floats(0, 1),
    "rgb_shift": st.floats(0, 1),
    "hsv_shift": st.tuples(st.floats(0, 0.5), st.floats(0, 1), st.floats(0, 1)),
    "greyscale": st.floats(0, 1),
    "equalise": st.floats(0, 1),
    "blur": st.floats(0, 20),
    "apply": st.floats(0, 1),
}


@settings(max_examples=30, deadline=None)
@given(
    fields=st.fixed_dictionaries({}, optional=_FIELDS),
    planes=st.sampled_from([1, 3]),
    shape=st.sampled_from([(1, 16, 16), (3, 17, 40), (5, 28, 28)]),
)
def test_any_recipe_keeps_shape_and_range(
    fields: dict[str, Any], planes: int, shape: tuple[int, int, int]
) -> None:
    recipe, (count, height, width) = Augment(**fields), shape
    batch = torch.rand((count, planes, height, width), generator=_generator(1))
    batch[:, :, :4] = 0
    before = batch.clone()
    result = augment(batch, recipe, _generator(2))
    assert torch.equal(batch, before)
    wanted = 3 if recipe.colours and recipe.changes else planes
    assert result.shape == (count, wanted, height, width)
    assert torch.isfinite(result).all()
    assert result.min() >= 0
    assert result.max() <= 1 + 1e-6


def test_an_empty_batch_stays_empty() -> None:
    for recipe in (GREY, EVERYTHING, Augment(rotate=5, apply=0.5)):
        assert len(augment(_batch(0), recipe, _generator())) == 0
