"""Fingerprints: stable under re-encoding and resizing, and the same hash that ImageHash gives."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import imagehash
import numpy as np
import pytest
import scipy.fft
from PIL import Image

from dicom_files import radiograph
from pulmoscope.errors import ImageError
from pulmoscope.imaging import Fingerprint, decode, fingerprint, fingerprint_many
from pulmoscope.imaging.looks import look, look_hashes


def _distance(first: str, second: str) -> int:
    return (int(first, 16) ^ int(second, 16)).bit_count()


def test_agrees_with_imagehash_on_real_pictures(real_data: Path) -> None:
    paths = sorted((real_data / "nih_sample" / "images").glob("*.jpg"))[::20]
    distances = [
        _distance(fingerprint(path).phash[:16], str(imagehash.phash(Image.open(path)))) for path in paths
    ]
    assert len(paths) > 25
    assert max(distances) <= 4
    assert np.mean(distances) < 1.5


def test_survives_copying(real_data: Path, tmp_path: Path) -> None:
    path = sorted((real_data / "nih_sample" / "images").glob("*.jpg"))[0]
    original, picture = fingerprint(path), Image.open(path)
    picture.save(tmp_path / "again.jpg", quality=40)
    picture.resize((299, 299)).save(tmp_path / "small.png")
    other = fingerprint(sorted((real_data / "nih_sample" / "images").glob("*.jpg"))[1])
    for copy in ("again.jpg", "small.png"):
        made = fingerprint(tmp_path / copy)
        for place in range(0, 64, 16):
            assert _distance(made.phash[place : place + 16], original.phash[place : place + 16]) <= 4
        assert made.sha256 != original.sha256
    assert _distance(other.phash[:16], original.phash[:16]) > 4
    assert (original.width, original.height) == picture.size


def test_sha256_is_the_files(tmp_path: Path) -> None:
    path = tmp_path / "film.png"
    Image.fromarray(radiograph(8)).save(path)
    made = fingerprint(path)
    assert made.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert made.phash == look_hashes(decode(path).pixels)
    assert len(made.phash) == 64
    assert (made.width, made.height) == (80, 96)


def test_archive_member(tmp_path: Path) -> None:
    stack = np.stack([radiograph(8, height=28, width=28), radiograph(8, height=28, width=28)[::-1]])
    np.savez(tmp_path / "a.npz", images=stack)
    first, second = fingerprint_many([f"{tmp_path}/a.npz::images::{index}" for index in (0, 1)])
    assert isinstance(first, Fingerprint)
    assert isinstance(second, Fingerprint)
    assert first.sha256 == hashlib.sha256(stack[0].tobytes()).hexdigest()
    assert first.phash[:16] != second.phash[:16]
    assert first.phash[:16] == first.phash[16:32]  # a square is its own centre square


@pytest.mark.parametrize("shape", [(8, 300), (28, 28), (33, 47), (301, 1025)])
def test_four_hashes_are_those_of_the_looks_whatever_the_size(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).random(shape).astype(np.float32)
    text = look_hashes(pixels)
    assert [int(text[place : place + 16], 16) for place in range(0, 64, 16)] == look(pixels).hashes.tolist()
    assert text == look_hashes(np.asfortranarray(pixels))
    blank = look_hashes(np.full(shape, 0.5, np.float32))
    assert len(blank) == 64


def test_the_first_hash_is_the_cosine_transform_of_averaged_areas() -> None:
    pixels = radiograph(8, height=192, width=224).astype(np.float32) / 255
    small = pixels.reshape(32, 6, 32, 7).mean((1, 3))
    low = scipy.fft.dct(scipy.fft.dct(small, axis=0), axis=1)[:8, :8]
    expected = f"{int(''.join('01'[bit] for bit in (low > np.median(low)).ravel().tolist()), 2):016x}"
    assert _distance(look_hashes(pixels)[:16], expected) == 0


@pytest.mark.parametrize("workers", [1, 3])
def test_many_keep_their_order_and_their_errors(workers: int, tmp_path: Path) -> None:
    paths = []
    for index in range(40):
        path = tmp_path / f"{index}.png"
        if index % 7 == 3:
            path.write_text("no picture")
        else:
            Image.fromarray(radiograph(8, height=40 + index)).save(path)
        paths.append(path)
    answers = fingerprint_many(paths, workers=workers)
    for index, answer in enumerate(answers):
        if index % 7 == 3:
            assert isinstance(answer, ImageError)
            assert f"{index}.png" in str(answer)
        else:
            assert isinstance(answer, Fingerprint)
            assert answer.height == 40 + index


def test_progress_goes_to_a_terminals_standard_error_only_when_asked(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(radiograph(8)).save(tmp_path / "film.png")
    fingerprint_many([tmp_path / "film.png"])
    fingerprint_many([tmp_path / "film.png"], progress=True)
    assert capfd.readouterr() == ("", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    fingerprint_many([tmp_path / "film.png"], progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "1/1" in err
