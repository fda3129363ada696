"""Decoded values, against what was written and against a second decoder."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from dicom_files import radiograph
from hostile import KINDS, grey_picture
from pulmoscope.errors import ImageError
from pulmoscope.imaging import decode
from pulmoscope.imaging.decode import decode_bytes
from pulmoscope.imaging.quiet import captured_stderr, quiet


def _hostile(name: str, folder: Path) -> Path:
    path = next(kind for kind in KINDS if kind.name == name).write(folder)
    assert path is not None
    return path


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "gif", "pgm", "webp", "jp2"])
def test_lossless_grey_is_exact(ending: str, tmp_path: Path) -> None:
    grey = radiograph(8, height=70, width=90)
    options = {"lossless": True} if ending == "webp" else {}
    Image.fromarray(grey).save(tmp_path / f"film.{ending}", **options)
    decoded = decode(tmp_path / f"film.{ending}")
    np.testing.assert_array_equal(np.rint(decoded.pixels * 255).astype(np.uint8), grey)
    assert decoded.pixels.max() == 1.0
    assert decoded.pixels.min() == 0.0


def test_sixteen_bits_keep_their_range(tmp_path: Path) -> None:
    pixels = decode(_hostile("sixteen-bit", tmp_path)).pixels
    np.testing.assert_allclose(pixels.ravel(), np.linspace(0, 1, pixels.size), atol=1e-4)


def test_sixteen_bit_tiff_and_big_endian_agree(tmp_path: Path) -> None:
    values = radiograph(16)
    Image.fromarray(values).save(tmp_path / "film.tif")
    (tmp_path / "film.pgm").write_bytes(
        b"P5 %d %d 65535\n" % values.shape[::-1] + values.astype(">u2").tobytes()
    )
    for name in ("film.tif", "film.pgm"):
        np.testing.assert_array_equal(decode(tmp_path / name).pixels, values.astype(np.float32) / 65535)


def test_transparent_white_becomes_black(tmp_path: Path) -> None:
    pixels = decode(_hostile("transparent-white", tmp_path)).pixels
    assert (pixels[:20] == 0).all()
    np.testing.assert_array_equal(np.rint(pixels[20:] * 255), np.asarray(grey_picture())[20:])


def test_half_transparency_halves(tmp_path: Path) -> None:
    pixels = decode(_hostile("grey-and-alpha", tmp_path)).pixels
    np.testing.assert_allclose(pixels, np.asarray(grey_picture()) / 255 * (128 / 255), atol=0.5 / 255 + 1e-6)


def test_colour_is_weighted_as_luma(tmp_path: Path) -> None:
    rgb = np.zeros((40, 120, 3), np.uint8)
    rgb[:, :40, 0], rgb[:, 40:80, 1], rgb[:, 80:, 2] = 255, 255, 255
    Image.fromarray(rgb).save(tmp_path / "film.png")
    pixels = decode(tmp_path / "film.png").pixels
    np.testing.assert_allclose(pixels[0, [0, 60, 110]], [0.299, 0.587, 0.114], atol=0.003)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation: int, tmp_path: Path) -> None:
    upright = np.asarray(grey_picture(), np.float32) / 255
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    for ending, options in (("png", {}), ("tif", {})):
        path = tmp_path / f"film.{ending}"
        Image.fromarray(np.rint(stored * 255).astype(np.uint8)).save(path, exif=exif, **options)
        decoded = decode(path)
        np.testing.assert_allclose(decoded.pixels, upright, atol=1e-6)
        assert ("exif-transposed" in decoded.notes) == (orientation > 1)


def test_cmyk_keeps_polarity(tmp_path: Path) -> None:
    pixels = decode(_hostile("cmyk", tmp_path)).pixels
    assert np.corrcoef(pixels.ravel(), np.asarray(grey_picture()).ravel())[0, 1] > 0.99


def test_jpeg_agrees_with_another_decoder(real_data: Path) -> None:
    for path in sorted((real_data / "nih_sample" / "images").glob("*.jpg"))[:5]:
        second = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        assert np.abs(decode(path).pixels * 255 - second).max() <= 1


def test_raw_formats_all_decode(real_data: Path) -> None:
    paths = sorted((real_data / "raw_formats").iterdir())
    assert len(paths) == 15
    notes = {path.name: decode(path).notes for path in paths}
    assert "wrong-ending" in notes["000011-6.jpg"]
    assert "low-depth" in notes["16706_1_1.png"]
    assert notes["e22aa56f.jpg"] == ()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@settings(max_examples=30, deadline=None)
@given(share=st.floats(0, 0.99))
def test_every_truncation_is_refused(kind: str, share: float) -> None:
    buffer = io.BytesIO()
    grey_picture().save(buffer, kind)
    content = buffer.getvalue()
    with pytest.raises(ImageError):
        decode_bytes(content[: int(share * len(content))], "film")


@pytest.mark.parametrize("depth", [8, 16])
@settings(max_examples=50, deadline=None)
@given(place=st.floats(0, 1), bit=st.integers(0, 7))
def test_every_flipped_bit_in_a_png_is_refused(depth: int, place: float, bit: int) -> None:
    buffer = io.BytesIO()
    Image.fromarray(radiograph(depth)).save(buffer, "PNG")
    content = bytearray(buffer.getvalue())
    content[int(place * (len(content) - 1))] ^= 1 << bit
    with pytest.raises(ImageError):
        decode_bytes(bytes(content), "film.png")


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_mutations_never_raise_anything_else(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "TIFF", "TIFF LZW", "GIF", "BMP", "WEBP", "JPEG2000"]))
    buffer = io.BytesIO()
    options = {"compression": "tiff_lzw"} if kind == "TIFF LZW" else {}
    grey_picture().save(buffer, kind.split()[0], **options)
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 20))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ImageError):
        decode_bytes(bytes(content), "film")


def test_a_frame_can_be_chosen(tmp_path: Path) -> None:
    path = _hostile("multi-page-tiff", tmp_path)
    decoded = decode(path, frame=1)
    np.testing.assert_array_equal(np.rint(decoded.pixels * 255), np.asarray(grey_picture().rotate(90)))
    assert decoded.notes == ("frame-chosen",)
    with pytest.raises(ImageError) as caught:
        decode(path, frame=2)
    assert caught.value.code == "E_MULTIFRAME"


def test_archive_members(tmp_path: Path) -> None:
    grey = np.stack([radiograph(8, height=28, width=28)] * 3)
    colour = np.repeat(grey[..., None], 3, axis=3)
    np.savez_compressed(tmp_path / "mnist.npz", train_images=grey, colour=colour, labels=np.zeros((3, 1)))
    archive = tmp_path / "mnist.npz"
    for array in ("train_images", "colour"):
        pixels = decode(f"{archive}::{array}::2").pixels
        np.testing.assert_array_equal(np.rint(pixels * 255), grey[2])
    for member, code in (
        ("train_images::3", "E_MISSING"),
        ("nothing::0", "E_MISSING"),
        ("labels::0", "E_NOT_IMAGE"),
    ):
        with pytest.raises(ImageError) as caught:
            decode(f"{archive}::{member}")
        assert caught.value.code == code
    (tmp_path / "broken.npz").write_bytes(archive.read_bytes()[:300])
    with pytest.raises(ImageError) as caught:
        decode(f"{tmp_path}/broken.npz::train_images::0")
    assert caught.value.code == "E_CORRUPT"


def test_an_archive_with_objects_is_not_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "evil.npz", images=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ImageError):
        decode(f"{tmp_path}/evil.npz::images::0")


def test_non_utf8_name_is_printable(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")
    with pytest.raises(ImageError) as caught:
        decode(path)
    str(caught.value).encode("utf-8")
    assert r"\xff.png" in str(caught.value)


def test_quiet_is_quiet_in_threads_and_restores_the_filters() -> None:
    before = list(warnings.filters)

    def work(_: int) -> None:
        with quiet():
            warnings.warn("not for the user", UserWarning, stacklevel=1)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(200)))
    assert warnings.filters == before


def test_truncated_files_stay_refused_by_pillow() -> None:
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_libraries_that_write_to_standard_error_are_caught(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    good = tmp_path / "good.tif"
    grey_picture().save(good, compression="tiff_lzw")
    np.testing.assert_array_equal(np.rint(decode(good).pixels * 255), np.asarray(grey_picture()))
    content = bytearray(good.read_bytes())
    content[2000:2100] = bytes(100)
    with pytest.raises(ImageError, match="E_CORRUPT"):
        decode_bytes(bytes(content), "film.tif")
    assert capfd.readouterr() == ("", "")
    with captured_stderr(True) as complaints:
        os.write(2, b"Corrupt JPEG data\na line of someone else\n")
    assert complaints == [b"Corrupt JPEG data\n"]
    assert capfd.readouterr().err == "a line of someone else\n"


def test_bands_of_a_large_picture_join(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [_hostile(name, tmp_path) for name in ("palette",)]
    (tmp_path / "alpha").mkdir()
    paths.append(_hostile("transparent-white", tmp_path / "alpha"))
    whole = [decode(path) for path in paths]
    monkeypatch.setattr("pulmoscope.imaging.raster._BAND_PIXELS", 700)
    for path, expected in zip(paths, whole, strict=True):
        banded = decode(path)
        np.testing.assert_array_equal(banded.pixels, expected.pixels)
        assert banded.notes == expected.notes
