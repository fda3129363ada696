"""Augmentation against torchvision, OpenCV and colorsys: the same pixels for the same change, the same distribution."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp
from torchvision.transforms import v2

from pulmoscope.imaging import Augment, augment
from pulmoscope.imaging.augmentation.colour import shift_hsv
from pulmoscope.imaging.augmentation.draws import draw
from pulmoscope.imaging.augmentation.geometry import crop_boxes
from pulmoscope.imaging.augmentation.local import blur
from pulmoscope.imaging.augmentation.tone import equalise

CPU = torch.device("cpu")


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _assert_same_distribution(ours: torch.Tensor, theirs: list[float]) -> None:
    """Kolmogorov and Smirnov; the seeds are fixed, so a right distribution does not fail now and then."""
    # Rounded, so that what is a tie but for float32 is one.
    assert ks_2samp(ours.double().numpy().round(4), np.asarray(theirs, np.float64).round(4)).pvalue > 0.01


def _blob(row: float, column: float, side: int = 48) -> torch.Tensor:
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    return torch.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 18)[None]


def _angles(batch: torch.Tensor) -> torch.Tensor:
    side, mass = batch.shape[-1], batch.sum(dim=(1, 2, 3))
    place = torch.arange(side) - (side - 1) / 2
    down = (batch.sum(dim=(1, 3)) * place).sum(dim=1) / mass
    right = (batch.sum(dim=(1, 2)) * place).sum(dim=1) / mass
    return torch.rad2deg(torch.atan2(-down, right))


def test_rotation_is_distributed_as_torchvisions() -> None:
    blob = _blob(23.5, 38.5)
    ours = _angles(augment(blob.expand(400, 1, -1, -1), Augment(rotate=20), _generator()))
    torch.manual_seed(1)
    transform = v2.RandomRotation(20, interpolation=v2.InterpolationMode.BILINEAR)
    theirs = _angles(torch.stack([transform(blob) for _ in range(400)]))
    _assert_same_distribution(ours, theirs.tolist())


@pytest.mark.parametrize(
    ("scale", "ratio", "height", "width"),
    [
        ((0.7, 1.0), (3 / 4, 4 / 3), 150, 150),
        ((0.08, 1.0), (3 / 4, 4 / 3), 60, 100),
        ((0.5, 0.9), (1, 1), 40, 40),
    ],
)
def test_crops_are_distributed_as_torchvisions(
    scale: tuple[float, float], ratio: tuple[float, float], height: int, width: int
) -> None:
    recipe, count = Augment(crop_scale=scale, crop_ratio=ratio), 1500
    second = draw(recipe, (count, 1, height, width), _generator(), CPU).second
    centres, sides = crop_boxes(recipe, second, height, width)
    whole = torch.tensor([width, height])
    corner = (centres - sides / 2) * whole
    torch.manual_seed(1)
    blank = torch.zeros(1, height, width)
    from torchvision.transforms import RandomResizedCrop

    theirs = [RandomResizedCrop.get_params(blank, list(scale), list(ratio)) for _ in range(count)]
    top, left, tall, wide = (list(column) for column in zip(*theirs, strict=True))
    assert (corner > -1e-3).all()
    assert (corner + sides * whole < whole + 1e-3).all()
    for mine, its in (
        (corner[:, 0], left),
        (corner[:, 1], top),
        (sides[:, 0] * width, wide),
        (sides[:, 1] * height, tall),
        (sides.prod(dim=1), [a * b / (height * width) for a, b in zip(tall, wide, strict=True)]),
    ):
        _assert_same_distribution(mine, its)
    shapes = sides * whole
    assert shapes.round().sub(shapes).abs().max() < 1e-3


def test_a_picture_no_crop_fits_gets_torchvisions_central_one() -> None:
    from torchvision.transforms import RandomResizedCrop

    for height, width in ((20, 80), (80, 20)):
        recipe = Augment(crop_scale=(0.9, 1.0))
        second = draw(recipe, (50, 1, height, width), _generator(), CPU).second
        centres, sides = crop_boxes(recipe, second, height, width)
        top, left, tall, wide = RandomResizedCrop.get_params(
            torch.zeros(1, height, width), [0.9, 1.0], [0.75, 4 / 3]
        )
        expected = torch.tensor([wide / width, tall / height]).expand(50, 2)
        torch.testing.assert_close(sides, expected)
        middle = torch.tensor([(left + wide / 2) / width, (top + tall / 2) / height]).expand(50, 2)
        torch.testing.assert_close(centres, middle)


def test_a_crop_has_torchvisions_pixels() -> None:
    picture = v2.functional.gaussian_blur(torch.rand((1, 40, 60), generator=_generator(2)), [5, 5], [1.0])
    recipe = Augment(crop_scale=(0.3, 0.8))
    second = draw(recipe, (20, 1, 40, 60), _generator(), CPU).second
    centres, sides = crop_boxes(recipe, second, 40, 60)
    ours = augment(picture.expand(20, 1, -1, -1), recipe, _generator())
    for index in range(20):
        wide, tall = round(float(sides[index, 0] * 60)), round(float(sides[index, 1] * 40))
        left = round(float(centres[index, 0] * 60 - wide / 2))
        top = round(float(centres[index, 1] * 40 - tall / 2))
        theirs = v2.functional.resized_crop(picture, top, left, tall, wide, [40, 60], antialias=False)
        # At the crop's border torchvision repeats its edge, where we take the true neighbour.
        torch.testing.assert_close(ours[index, :, 3:-3, 3:-3], theirs[:, 3:-3, 3:-3], rtol=0, atol=2e-4)


def test_gain_and_contrast_about_the_mean_of_half_are_distributed_as_torchvisions() -> None:
    picture = torch.rand((1, 16, 16), generator=_generator(4)) * 0.4 + 0.3
    picture = (
        picture + picture.flip(2).mul(-1).add(1)
    ) / 2  # its mean is 0.5, our pivot; torchvision's is the mean
    batch = picture.expand(600, 1, -1, -1)
    torch.manual_seed(1)
    jitter = v2.ColorJitter(brightness=0.3)
    theirs = [float(jitter(picture.expand(3, -1, -1)).mean()) for _ in range(600)]
    _assert_same_distribution(augment(batch, Augment(multiply=0.3), _generator()).mean(dim=(1, 2, 3)), theirs)
    jitter = v2.ColorJitter(contrast=0.3)
    theirs = [float(jitter(picture.expand(3, -1, -1))[0].std()) for _ in range(600)]
    _assert_same_distribution(augment(batch, Augment(contrast=0.3), _generator()).std(dim=(1, 2, 3)), theirs)


def test_contrast_moves_the_mean_of_a_dark_picture_which_torchvisions_leaves() -> None:
    picture = torch.rand((1, 16, 16), generator=_generator(4)) * 0.2 + 0.2
    batch = picture.expand(600, 1, -1, -1)
    torch.manual_seed(1)
    jitter = v2.ColorJitter(contrast=0.1)
    theirs = torch.stack([jitter(picture.expand(3, -1, -1))[:1] for _ in range(600)])
    ours = augment(batch, Augment(contrast=0.1), _generator())
    _assert_same_distribution(ours.std(dim=(1, 2, 3)), theirs.std(dim=(1, 2, 3)).tolist())
    mean = float(picture.mean())
    assert (theirs.mean(dim=(1, 2, 3)) - mean).abs().max() < 1e-3
    # A gain of 1 - c to 1 + c about 0.5 moves the mean by c times its distance from 0.5.
    assert (ours.mean(dim=(1, 2, 3)) - mean).abs().max() == pytest.approx(0.1 * (0.5 - mean), rel=0.05)


def test_hue_is_torchvisions_and_distributed_so() -> None:
    batch = torch.rand((5, 3, 12, 12), generator=_generator(3))
    nothing = torch.zeros(1)
    for hue in (-0.5, -0.21, 0.0, 0.1, 0.5):
        ours = shift_hsv(batch, torch.tensor(hue), nothing, nothing)
        torch.testing.assert_close(ours, v2.functional.adjust_hue(batch, hue), rtol=0, atol=1e-5)
    pixel = torch.tensor([0.7, 0.4, 0.2]).view(1, 3, 1, 1)
    ours = augment(pixel.expand(500, 3, 16, 16), Augment(hsv_shift=(0.1, 0, 0)), _generator())[:, :, 0, 0]
    torch.manual_seed(1)
    jitter = v2.ColorJitter(hue=0.1)
    theirs = torch.stack([jitter(pixel[0])[:, 0, 0] for _ in range(500)])
    for plane in range(3):
        _assert_same_distribution(ours[:, plane], theirs[:, plane].tolist())


@settings(max_examples=30, deadline=None)
@given(
    pixel=st.tuples(*[st.integers(0, 255)] * 3),
    shift=st.tuples(st.floats(-0.5, 0.5), st.floats(-1, 1), st.floats(-1, 1)),
)
def test_hsv_shift_is_colorsys_by_the_pixel(pixel: tuple[int, ...], shift: tuple[float, ...]) -> None:
    red, green, blue = (level / 255 for level in pixel)
    hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
    expected = colorsys.hsv_to_rgb(
        (hue + shift[0]) % 1, min(max(saturation + shift[1], 0), 1), min(max(value + shift[2], 0), 1)
    )
    batch = torch.tensor([red, green, blue]).view(1, 3, 1, 1)
    got = shift_hsv(batch, *(torch.tensor(one) for one in shift)).flatten()
    assert got.tolist() == pytest.approx(expected, abs=2e-5)


def test_greyscale_is_torchvisions() -> None:
    batch = torch.rand((4, 3, 16, 16), generator=_generator(3))
    ours = augment(batch, Augment(greyscale=1), _generator())
    theirs = v2.functional.rgb_to_grayscale(batch, num_output_channels=3)
    # torchvision's weights sum to 0.9999.
    torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-4)
    assert torch.equal(ours[:, 0], ours[:, 2])


def test_equalise_is_opencvs_to_the_last_level() -> None:
    random = np.random.default_rng(0)
    pictures = [
        random.integers(0, 256, (32, 32)),
        random.integers(90, 140, (32, 32)),
        (random.normal(120, 20, (32, 32))).clip(0, 255),
        np.full((32, 32), 77),
        np.where(random.random((32, 32)) < 0.1, 3, 200),
        np.arange(1024).reshape(32, 32) // 4,
    ]
    levels = np.stack(pictures).astype(np.uint8)
    batch = torch.from_numpy(levels).view(3, 2, 32, 32).float() / 255
    got = (equalise(batch) * 255).round().to(torch.uint8).view(6, 32, 32).numpy()
    for mine, plain in zip(got, levels, strict=True):
        np.testing.assert_array_equal(mine, cv2.equalizeHist(plain))


def test_equalise_by_hand() -> None:
    levels = torch.tensor([10, 10, 20, 30]).view(1, 1, 2, 2) / 255
    # Two of four lie at the darkest level; the others go half-way and to the top: 255 / 2 rounds to even.
    expected = torch.tensor([0, 0, 128, 255]).view(1, 1, 2, 2) / 255
    torch.testing.assert_close(equalise(levels), expected)


def test_blur_is_torchvisions_for_each_picture_by_its_own_width() -> None:
    batch = torch.rand((3, 2, 30, 40), generator=_generator(1))
    got = blur(batch, torch.tensor([0.0, 0.7, 2.0]), 2.0)
    torch.testing.assert_close(got[0], batch[0])
    for index, deviation in ((1, 0.7), (2, 2.0)):
        theirs = v2.functional.gaussian_blur(batch[index], [13, 13], [deviation, deviation])
        torch.testing.assert_close(got[index], theirs, rtol=0, atol=1e-5)


def test_blur_reaches_its_range() -> None:
    point = torch.zeros((400, 1, 33, 33))
    point[:, :, 16, 16] = 1
    spread = augment(point, Augment(blur=2.0), _generator())
    offsets = (torch.arange(33) - 16).float()
    deviation = (spread.sum(dim=(1, 2)) * offsets**2).sum(dim=1).sqrt()
    assert deviation.max() > 1.9
    assert deviation.max() < 2.01
    assert deviation.min() < 0.1
    assert abs(float(deviation.mean()) - 1) < 0.1


def test_rotation_fills_what_it_uncovers() -> None:
    # Left half dark, right half bright: what lies outside tells where it was taken from.
    batch = torch.full((60, 1, 24, 24), 0.2)
    batch[:, :, :, 12:] = 0.6
    by_fill = {
        fill: augment(batch, Augment(rotate=30, fill=fill), _generator(2))
        for fill in ("black", "edge", "mean", "reflect")
    }
    uncovered = by_fill["black"] == 0
    assert 0.01 < uncovered.float().mean() < 0.2
    torch.testing.assert_close(by_fill["mean"][uncovered], torch.full((int(uncovered.sum()),), 0.4))
    for fill in ("edge", "reflect"):
        assert by_fill[fill].min() > 0.199
        assert by_fill[fill].max() < 0.601
    # The outermost left column of a turned picture is dark where the edge is repeated.
    left = uncovered[:, 0, :, 0]
    torch.testing.assert_close(by_fill["edge"][:, 0, :, 0][left], torch.full((int(left.sum()),), 0.2))
    for fill in ("edge", "mean", "reflect"):
        covered = by_fill[fill][:, :, 8:16, 8:16]
        torch.testing.assert_close(covered, by_fill["black"][:, :, 8:16, 8:16])


def test_reflection_is_the_pictures_mirror_image() -> None:
    batch = torch.rand((1, 1, 24, 24), generator=_generator(3))
    result = augment(batch, Augment(translate=0.4, fill="reflect"), _generator(5))[0, 0]
    draws = draw(Augment(translate=0.4), (1, 1, 24, 24), _generator(5), CPU).first
    right, down = ((2 * draws[0, column] - 1) * 0.4 * 24 for column in (3, 4))
    padded = np.pad(batch[0, 0].numpy(), 24, mode="symmetric")
    shift = np.array([[1, 0, float(right) + 24], [0, 1, float(down) + 24]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    expected = cv2.warpAffine(padded, shift, (24, 24), flags=flags)
    # OpenCV rounds places to 1/32 of a pixel.
    assert np.abs(result.numpy() - expected).max() < 1 / 32
