"""Fingerprints: stable under re-encoding and resizing, and the same hash that ImageHash gives."""

from __future__ import annotations

import hashlib
from pathlib import Path

import imagehash
import numpy as np
import pytest
from PIL import Image

from dicom_files import radiograph
from pulmoscope.errors import ImageError
from pulmoscope.imaging import Fingerprint, fingerprint, fingerprint_many


def _distance(first: str, second: str) -> int:
    return (int(first, 16) ^ int(second, 16)).bit_count()


def test_agrees_with_imagehash_on_real_pictures(real_data: Path) -> None:
    paths = sorted((real_data / "nih_sample" / "images").glob("*.jpg"))[::20]
    distances = [_distance(fingerprint(path).phash, str(imagehash.phash(Image.open(path)))) for path in paths]
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
        assert _distance(made.phash, original.phash) <= 4
        assert made.sha256 != original.sha256
    assert _distance(other.phash, original.phash) > 4
    assert (original.width, original.height) == picture.size


def test_sha256_is_the_files(tmp_path: Path) -> None:
    path = tmp_path / "film.png"
    Image.fromarray(radiograph(8)).save(path)
    made = fingerprint(path)
    assert made.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert len(made.phash) == 16
    assert (made.width, made.height) == (80, 96)


def test_archive_member(tmp_path: Path) -> None:
    stack = np.stack([radiograph(8, height=28, width=28), radiograph(8, height=28, width=28)[::-1]])
    np.savez(tmp_path / "a.npz", images=stack)
    first, second = fingerprint_many([f"{tmp_path}/a.npz::images::{index}" for index in (0, 1)])
    assert isinstance(first, Fingerprint)
    assert isinstance(second, Fingerprint)
    assert first.sha256 == hashlib.sha256(stack[0].tobytes()).hexdigest()
    assert first.phash != second.phash


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


def test_progress_goes_to_standard_error_only_when_asked(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(radiograph(8)).save(tmp_path / "film.png")
    fingerprint_many([tmp_path / "film.png"])
    assert capfd.readouterr() == ("", "")
    fingerprint_many([tmp_path / "film.png"], progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "1/1" in err
