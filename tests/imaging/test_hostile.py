"""Every hostile file ends in its own code or its own notes, in one line, quietly and cheaply."""

from __future__ import annotations

import errno
import logging
import os
import socket
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from dicom_files import CANARY
from hostile import KINDS, Hostile, write_hostile
from pulmoscope.errors import ImageError
from pulmoscope.imaging import Fingerprint, decode, fingerprint_many
from pulmoscope.imaging.read import read_picture


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_hostile_file(
    kind: Hostile,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = kind.write(tmp_path)
    if path is None:
        pytest.skip("this machine cannot have such a file")
    caplog.set_level(logging.DEBUG)
    if kind.code is None:
        decoded = decode(path)
        assert decoded.notes == kind.notes
        assert decoded.pixels.dtype == np.float32
        assert decoded.pixels.ndim == 2
        assert decoded.pixels.min() >= 0
        assert decoded.pixels.max() <= 1
        assert decoded.pixels.std() > 0.01
    else:
        with pytest.raises(ImageError) as caught:
            decode(path)
        assert caught.value.code == kind.code
        line = str(caught.value)
        assert "\n" not in line
        assert path.name.split("\0")[0].split(".")[0] in line
        assert CANARY not in line
    assert CANARY not in caplog.text
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("a" * 252 + ".png", "E_MISSING"),
        ("/".join(["b" * 200] * 30), "E_MISSING"),
        ("file.png/film.png", "E_MISSING"),
        ("circle.png", "E_UNREADABLE"),
        ("nul\0.png", "E_MISSING"),
        ("lone\ud800.png", "E_MISSING"),
        ("socket.png", "E_NOT_REGULAR"),
        (".", "E_NOT_REGULAR"),
    ],
    ids=[
        "long name",
        "long path",
        "file as folder",
        "links in a circle",
        "nul",
        "surrogate",
        "socket",
        "folder",
    ],
)
def test_a_path_that_cannot_be_opened(
    name: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    Path("file.png").write_bytes(b"x")
    Path("circle.png").symlink_to("circle.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.png")
        for path in (name, f"{tmp_path}/{name}"):
            with pytest.raises(ImageError) as caught:
                read_picture(path)
            assert caught.value.code == code
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EMFILE, errno.ENOMEM, errno.ESTALE])
def test_what_the_system_refuses_is_an_image_error(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "film.png").write_bytes(b"x")

    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("pulmoscope.imaging.read.os.open", refuse)
    with pytest.raises(ImageError, match=os.strerror(number)) as caught:
        read_picture(tmp_path / "film.png")
    monkeypatch.undo()
    assert caught.value.code == "E_UNREADABLE"


def test_bombs_cost_little_memory(tmp_path: Path) -> None:
    bombs = [kind for kind in KINDS if "bomb" in kind.name or "larger" in kind.name]
    assert len(bombs) >= 6
    for kind in bombs:
        folder = tmp_path / kind.name
        folder.mkdir()
        path = kind.write(folder)
        assert path is not None
        tracemalloc.start()
        with pytest.raises(ImageError):
            decode(path)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        # The deflated one may inflate as far as the largest picture needs.
        assert peak < (600e6 if kind.name == "dicom-deflated-bomb" else 30e6), kind.name


def test_a_run_goes_on_past_every_hostile_file(tmp_path: Path) -> None:
    written = write_hostile(tmp_path)
    assert len(written) >= 55
    answers = fingerprint_many([path for path, _ in written.values()], workers=4)
    assert len(answers) == len(written)
    for answer, (name, (_, kind)) in zip(answers, written.items(), strict=True):
        if kind.code is None:
            assert isinstance(answer, Fingerprint), name
        else:
            assert isinstance(answer, ImageError), name
            assert answer.code == kind.code, name
