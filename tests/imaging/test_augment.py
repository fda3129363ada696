"""Augmentation by its first fields: what is asked, no more; by the generator alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from pulmoscope.imaging import Augment, augment
from pulmoscope.imaging.augmentation.draws import draw
from pulmoscope.imaging.augmentation.geometry import affine_matrices

FULL = Augment(
    rotate=10,
    translate=0.05,
    zoom=(0.9, 1.1),
    shear=5,
    hflip=0.5,
    brightness=0.1,
    contrast=0.2,
    gamma=0.2,
    noise=0.02,
    erase=0.3,
)


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _blob(count: int, *, row: float, column: float, height: int = 64, width: int = 64) -> torch.Tensor:
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    blob = torch.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 18)
    return blob.expand(count, 1, height, width).contiguous()


def _centres(batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    mass = batch.sum(dim=(1, 2, 3))
    rows, columns = torch.arange(batch.shape[2]), torch.arange(batch.shape[3])
    row = (batch.sum(dim=(1, 3)) * rows).sum(dim=1) / mass
    return row, (batch.sum(dim=(1, 2)) * columns).sum(dim=1) / mass


def test_identity() -> None:
    batch = torch.rand((4, 1, 32, 32), generator=_generator())
    assert augment(batch, Augment(), _generator()) is batch


def test_generator_alone_decides() -> None:
    batch = torch.rand((8, 1, 32, 32), generator=_generator(5))
    first = augment(batch, FULL, _generator(1))
    torch.manual_seed(99)
    torch.testing.assert_close(augment(batch, FULL, _generator(1)), first, rtol=0, atol=0)
    assert not torch.equal(augment(batch, FULL, _generator(2)), first)
    assert first.shape == batch.shape
    assert first.dtype == batch.dtype


def test_input_is_left_alone_and_range_is_kept() -> None:
    batch = torch.rand((16, 1, 40, 24), generator=_generator(5))
    before = batch.clone()
    result = augment(batch, FULL, _generator(1))
    assert torch.equal(batch, before)
    assert result.min() >= 0
    assert result.max() <= 1


def test_rotation_is_uniform_in_its_range_and_about_the_centre() -> None:
    batch = _blob(600, row=31.5, column=51.5)
    row, column = _centres(augment(batch, Augment(rotate=30), _generator()))
    angle = torch.atan2(31.5 - row, column - 31.5) * 180 / math.pi
    radius = torch.hypot(row - 31.5, column - 31.5)
    assert (radius - 20).abs().max() < 0.3
    assert angle.abs().max() <= 30.5
    assert angle.min() < -28
    assert angle.max() > 28
    assert abs(float(angle.mean())) < 2
    assert abs(float(angle.std()) - 60 / math.sqrt(12)) < 1.5


def test_rotation_keeps_shape_in_an_oblong_picture() -> None:
    batch = _blob(200, row=39.5, column=27.5, height=80, width=40)
    row, column = _centres(augment(batch, Augment(rotate=45), _generator()))
    assert (torch.hypot(row - 39.5, column - 19.5) - 8).abs().max() < 0.3


def test_translation_range() -> None:
    batch = _blob(400, row=31.5, column=31.5)
    row, column = _centres(augment(batch, Augment(translate=0.1), _generator()))
    for centre in (row, column):
        shift = centre - 31.5
        assert shift.abs().max() <= 6.5
        assert shift.max() > 6
        assert shift.min() < -6
    assert abs(float(np.corrcoef(row, column)[0, 1])) < 0.15


def test_zoom_range() -> None:
    batch = _blob(400, row=31.5, column=41.5)
    _, column = _centres(augment(batch, Augment(zoom=(0.5, 2.0)), _generator()))
    magnified = (column - 31.5) / 10
    assert magnified.min() > 0.45
    assert magnified.max() < 2.1
    assert magnified.min() < 0.55
    assert magnified.max() > 1.85


def test_flip_fraction_and_exactness() -> None:
    batch = torch.rand((1000, 1, 16, 16), generator=_generator(3))
    result = augment(batch, Augment(hflip=0.3), _generator())
    flipped = (result - batch.flip(3)).abs().amax(dim=(1, 2, 3)) < 1e-4
    same = (result - batch).abs().amax(dim=(1, 2, 3)) < 1e-4
    assert (flipped ^ same).all()
    assert abs(float(flipped.float().mean()) - 0.3) < 0.05


def test_shear_moves_rows_apart_and_keeps_the_area() -> None:
    recipe = Augment(shear=20)
    draws = draw(recipe, (50, 1, 64, 64), _generator(), torch.device("cpu"))
    matrices = affine_matrices(recipe, draws, 64, 64)
    torch.testing.assert_close(torch.linalg.det(matrices[:, :, :2]), torch.ones(50))
    assert matrices[:, 0, 1].abs().max() <= math.tan(math.radians(20)) + 1e-6
    assert matrices[:, 0, 1].abs().max() > math.tan(math.radians(17))


def test_tone_by_its_ranges() -> None:
    grey = torch.full((500, 1, 8, 8), 0.5)
    bright = augment(grey, Augment(brightness=0.2), _generator())[:, 0, 0, 0]
    assert 0.29 < bright.min() < 0.32
    assert 0.68 < bright.max() < 0.71
    torch.testing.assert_close(augment(grey, Augment(contrast=0.5), _generator()), grey)
    quarter = grey * 0.5
    contrast = augment(quarter, Augment(contrast=0.4), _generator())[:, 0, 0, 0]
    assert 0.14 < contrast.min() < 0.17
    assert 0.33 < contrast.max() < 0.36
    gamma = torch.log(augment(grey, Augment(gamma=0.5), _generator())[:, 0, 0, 0]) / math.log(0.5)
    assert gamma.log().abs().max() <= 0.5 + 1e-4
    assert gamma.log().abs().max() > 0.45


def test_noise_deviation() -> None:
    grey = torch.full((20, 1, 64, 64), 0.5)
    result = augment(grey, Augment(noise=0.05), _generator())
    assert abs(float(result.std()) - 0.05) < 0.002
    assert abs(float(result.mean()) - 0.5) < 0.002


def test_erased_share_and_size() -> None:
    white = torch.ones((800, 1, 50, 50))
    result = augment(white, Augment(erase=0.4), _generator())
    erased = (result == 0.5).float().mean(dim=(1, 2, 3))
    assert abs(float((erased > 0).float().mean()) - 0.4) < 0.05
    assert erased.max() <= 0.32**2
    assert erased[erased > 0].min() >= 0.08**2
    assert ((result == 0.5) | (result == 1)).all()


# Written down before the later fields were added: recipes of the first fields, some pixels of what they gave, and the
# generator's next number.
GOLDEN = [
    (
        {"rotate": 10, "translate": 0.05, "zoom": (0.9, 1.1), "shear": 5, "hflip": 0.5, "brightness": 0.1}
        | {"contrast": 0.2, "gamma": 0.2, "noise": 0.02, "erase": 0.9},
        [0.560971, 0.374559, 0.449333, 0.3595, 0.612729, 0.0, 0.0],
        0.450365,
    ),
    (
        {"rotate": 30, "translate": 0.2, "shear": 10, "hflip": 0.5, "zoom": (0.8, 1.3)},
        [0.659879, 0.587487, 0.442757, 0.636852, 0.531492, 0.0, 0.0],
        0.219720,
    ),
    (
        {"brightness": 0.2, "contrast": 0.3, "gamma": 0.4},
        [0.262257, 0.087227, 0.827214, 0.553983, 0.60744, 0.079339, 0.0],
        0.219720,
    ),
    ({"noise": 0.1}, [0.43237, 0.143289, 0.853504, 0.699484, 0.451776, 0.17473, 0.118459], 0.450365),
    ({"erase": 0.7}, [0.240946, 0.098022, 0.946058, 0.615959, 0.458922, 0.302444, 0.15721], 0.219720),
]


@pytest.mark.parametrize(("fields", "pixels", "following"), GOLDEN)
def test_the_first_fields_give_what_they_always_gave(
    fields: dict[str, object], pixels: list[float], following: float
) -> None:
    batch, generator = torch.rand((4, 1, 20, 28), generator=_generator(5)), _generator(1)
    result = augment(batch, Augment.model_validate(fields), generator)
    torch.testing.assert_close(result.flatten()[149::311], torch.tensor(pixels), rtol=0, atol=2e-6)
    assert float(torch.rand(1, generator=generator)) == pytest.approx(following, abs=1e-6)


def test_wrong_recipes_are_refused() -> None:
    for wrong in ({"zoom": (1.2, 0.8)}, {"hflip": 2}, {"rotate": -1}, {"unknown": 1}):
        with pytest.raises(ValidationError):
            Augment(**wrong)
