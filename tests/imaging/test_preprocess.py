"""The preprocessing recipe: geometry, intensity, normalisation, and the way back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from dicom_files import radiograph
from pulmoscope.errors import RecipeError
from pulmoscope.imaging import Preprocess

ASPECTS = ("pad", "stretch", "crop")


def _unit(height: int, width: int) -> np.ndarray:
    return radiograph(8, height=height, width=width).astype(np.float32) / 255


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(8, 400),
    width=st.integers(8, 400),
    size=st.integers(16, 300),
    aspect=st.sampled_from(ASPECTS),
    interpolation=st.sampled_from(["area", "bilinear", "bicubic"]),
    intensity=st.sampled_from(["none", "percentile", "equalise", "clahe"]),
)
def test_any_picture_fills_the_square(
    height: int, width: int, size: int, aspect: str, interpolation: str, intensity: str
) -> None:
    recipe = Preprocess(size=size, aspect=aspect, interpolation=interpolation, intensity=intensity)
    stored = recipe.to_store(_unit(height, width))
    assert stored.shape == (size, size)
    assert stored.dtype == np.uint8
    place = recipe.geometry(width, height)
    if aspect == "pad":
        assert max(place.box_width, place.box_height) == size
        outside = np.ones((size, size), bool)
        outside[place.top : place.top + place.box_height, place.left : place.left + place.box_width] = False
        assert (stored[outside] == 0).all()


def test_identity_size_keeps_every_value() -> None:
    grey = radiograph(8, height=64, width=64)
    for aspect in ASPECTS:
        np.testing.assert_array_equal(
            Preprocess(size=64, aspect=aspect).to_store(grey.astype(np.float32) / np.float32(255)), grey
        )


def test_shrinking_averages_areas() -> None:
    stripes = np.zeros((256, 256), np.float32)
    stripes[::2] = 1
    for interpolation in ("area", "bilinear", "bicubic"):
        stored = Preprocess(size=64, interpolation=interpolation).to_store(stripes)
        # At the border Pillow's triangle weighs the first rows unevenly.
        inside = stored if interpolation == "area" else stored[2:-2]
        assert np.abs(inside.astype(int) - 127.5).max() <= 1
    # One axis shrinks while the other grows: the shrinking one must not alias.
    stored = Preprocess(size=64, aspect="stretch").to_store(stripes[:, :40])
    assert np.abs(stored.astype(int) - 127.5).max() <= 1


def test_bicubic_overshoot_does_not_wrap() -> None:
    edge = np.zeros((40, 40), np.float32)
    edge[:, 20:] = 1
    stored = Preprocess(size=160, interpolation="bicubic").to_store(edge)
    assert (np.diff(stored.astype(int), axis=1) >= 0).all()


def test_percentile_ignores_padding() -> None:
    wide = _unit(50, 200) * 0.5 + 0.25
    stored = Preprocess(size=200, intensity="percentile").to_store(wide)
    content = stored[75:125]
    assert content.min() == 0
    assert content.max() == 255
    low, high = np.percentile(wide, (1, 99))
    expected = np.clip((wide - low) / (high - low), 0, 1) * 255
    assert np.abs(content - expected).max() <= 1


def test_equalise_and_clahe_match_opencv() -> None:
    grey = radiograph(8, height=96, width=96)
    unit = grey.astype(np.float32) / 255
    np.testing.assert_array_equal(
        Preprocess(size=96, intensity="equalise").to_store(unit), cv2.equalizeHist(grey)
    )
    np.testing.assert_array_equal(
        Preprocess(size=96, intensity="clahe").to_store(unit), cv2.createCLAHE(2.0, (8, 8)).apply(grey)
    )


def test_constant_pictures_stay_finite() -> None:
    for intensity in ("none", "percentile", "equalise", "clahe"):
        recipe = Preprocess(size=32, intensity=intensity, normalise="per-image")
        stored = recipe.to_store(np.full((40, 40), 0.5, np.float32))
        assert torch.isfinite(recipe.to_input(torch.from_numpy(stored[None]))).all()


def test_fixed_normalisation_by_hand() -> None:
    batch = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
    mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    ready = Preprocess(size=16, mean=mean, std=deviation).to_input(batch)
    assert ready.shape == (1, 3, 16, 16)
    assert ready.dtype == torch.float32
    for channel in range(3):
        expected = (batch[0] / 255 - mean[channel]) / deviation[channel]
        torch.testing.assert_close(ready[0, channel], expected)


def test_floats_and_bytes_agree() -> None:
    batch = torch.randint(0, 256, (4, 24, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for normalise in ("fixed", "per-image"):
        for channels in (1, 3):
            recipe = Preprocess(size=24, normalise=normalise, channels=channels)
            ready = recipe.to_input(batch)
            assert ready.shape == (4, channels, 24, 24)
            torch.testing.assert_close(ready, recipe.to_input(batch[:, None].float() / 255))


def test_per_image_normalisation() -> None:
    batch = torch.rand((3, 1, 20, 20), generator=torch.Generator().manual_seed(0))
    ready = Preprocess(size=20, normalise="per-image", channels=1).to_input(batch)
    torch.testing.assert_close(ready.mean(dim=(1, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(ready.std(dim=(1, 2, 3), correction=0), torch.ones(3), atol=1e-4, rtol=0)


def test_store_key_knows_what_shapes_stored_pixels() -> None:
    base = Preprocess()
    assert (
        base.store_key() == Preprocess(mean=(0.1,), std=(0.2,), channels=1, normalise="per-image").store_key()
    )
    others = [
        Preprocess(size=256),
        Preprocess(aspect="crop"),
        Preprocess(interpolation="bicubic"),
        Preprocess(intensity="clahe"),
    ]
    assert len({base.store_key(), *(other.store_key() for other in others)}) == 5


def test_survives_json_and_refuses_nonsense() -> None:
    recipe = Preprocess(mean=(0.1, 0.2, 0.3), std=(1.0,))
    assert Preprocess.model_validate_json(recipe.model_dump_json()) == recipe
    for wrong in ({"mean": (0.1, 0.2)}, {"std": (0.0,)}, {"size": 0}, {"unknown": 1}, {"aspect": "squash"}):
        with pytest.raises(ValidationError):
            Preprocess(**wrong)


@pytest.mark.parametrize("aspect", ASPECTS)
@pytest.mark.parametrize(("height", "width"), [(300, 200), (160, 420), (90, 90), (1000, 700)])
@pytest.mark.parametrize("side", [128, 16])
def test_a_blob_comes_back_where_it_was(aspect: str, height: int, width: int, side: int) -> None:
    recipe = Preprocess(size=128, aspect=aspect)
    for share in (0.42, 0.5, 0.61):
        rows, columns = np.mgrid[0:height, 0:width]
        centre = share * height, (1 - share) * width
        reach = min(height, width) * 0.1
        blob = np.exp(-((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2) / (2 * reach**2))
        heat = recipe.to_store(blob.astype(np.float32)).astype(np.float32)
        if side != 128:
            heat = cv2.resize(heat, (side, side), interpolation=cv2.INTER_AREA)
        back = recipe.unmap(heat, width, height)
        assert back.shape == (height, width)
        found = (back * rows).sum() / back.sum(), (back * columns).sum() / back.sum()
        assert abs(found[0] - centre[0]) < 0.015 * max(height, width)
        assert abs(found[1] - centre[1]) < 0.015 * max(height, width)


def test_unmap_of_a_same_sized_square_changes_nothing() -> None:
    heat = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    np.testing.assert_allclose(Preprocess(size=64).unmap(heat, 64, 64), heat, atol=1e-6)


def test_unmap_is_zero_where_cropped_away() -> None:
    back = Preprocess(size=64, aspect="crop").unmap(np.ones((64, 64), np.float32), 200, 100)
    assert (back[:, :48] == 0).all()
    assert (back[:, -48:] == 0).all()
    assert (back[:, 52:148] == 1).all()


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("shape", [(150, 150), (331, 290), (90, 400)])
def test_bilinear_and_bicubic_are_torchvisions_to_the_last_level(
    interpolation: str, shape: tuple[int, int]
) -> None:
    from PIL import Image
    from torchvision.transforms import InterpolationMode, Resize

    levels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    ours = Preprocess(size=160, aspect="stretch", interpolation=interpolation).to_store(
        (levels / 255).astype(np.float32)
    )
    theirs = Resize((160, 160), InterpolationMode(interpolation))(Image.fromarray(levels))
    assert np.array_equal(ours, np.asarray(theirs))


def test_sixteen_bit_pictures_keep_their_levels_until_after_the_resize() -> None:
    ramp = np.linspace(0, 1, 300 * 300, dtype=np.float32).reshape(300, 300)
    stored = Preprocess(size=150, aspect="stretch", interpolation="bilinear").to_store(ramp)
    assert abs(int(stored[75, 75]) - 127.5) <= 1
    assert len(np.unique(stored)) >= 250


def test_colours_are_normalised_plane_by_plane() -> None:
    batch = torch.rand((2, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    fixed = Preprocess(size=16, mean=(0.4, 0.5, 0.6), std=(0.1, 0.2, 0.4), channels=3).to_input(batch)
    for plane, (mean, std) in enumerate(((0.4, 0.1), (0.5, 0.2), (0.6, 0.4))):
        torch.testing.assert_close(fixed[:, plane], (batch[:, plane] - mean) / std)
    own = Preprocess(size=16, normalise="per-image", channels=3).to_input(batch)
    torch.testing.assert_close(own.mean(dim=(2, 3)), torch.zeros(2, 3), rtol=0, atol=1e-5)
    torch.testing.assert_close(own.std(dim=(2, 3), correction=0), torch.ones(2, 3), rtol=0, atol=1e-4)
    with pytest.raises(RecipeError, match=r"planes.*expected 1; got 3.*preprocess\.channels=3"):
        Preprocess(size=16, channels=1).to_input(batch)
    with pytest.raises(RecipeError, match="expected 1 or 3; got 2"):
        Preprocess(size=16, channels=3).to_input(batch[:, :2])
