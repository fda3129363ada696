"""Walking a folder: pictures, strangers, links, odd names."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pandas as pd
import pytest

from pictures import write_picture, write_tree
from pulmoscope.cohort.scan import match_files, scan, stems
from pulmoscope.errors import CohortError


def codes(root: Path) -> dict[str, str]:
    return {name: code for name, code, _ in scan(root).skipped}


def test_pictures_are_sorted_and_the_rest_is_named(tmp_path: Path) -> None:
    write_tree(tmp_path, ["b/2.png", "a/10.jpg", "a/9.PNG"])
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / ".DS_Store").write_bytes(b"\0")
    (tmp_path / "a" / "Thumbs.db").write_bytes(b"\0")
    found = scan(tmp_path)
    assert found.pictures == ["a/10.jpg", "a/9.PNG", "b/2.png"]
    assert codes(tmp_path) == dict.fromkeys([".DS_Store", "a/Thumbs.db", "notes.txt"], "E_NOT_PICTURE")
    dropped = found.dropped("src", but={"notes.txt"})
    assert dropped["image_id"].tolist() == ["src/.DS_Store", "src/a/Thumbs.db"]
    assert dropped["reason"].unique().tolist() == ["E_NOT_PICTURE: not a picture"]


def test_a_picture_without_ending_is_known_by_its_bytes(tmp_path: Path) -> None:
    os.rename(write_picture(tmp_path / "x.png"), tmp_path / "IM-0001")
    (tmp_path / "dicom").write_bytes(b"\0" * 128 + b"DICM")
    (tmp_path / "README").write_text("words")
    assert scan(tmp_path).pictures == ["IM-0001", "dicom"]
    assert codes(tmp_path) == {"README": "E_NOT_PICTURE"}


def test_links_never_leave_the_folder_nor_loop(tmp_path: Path) -> None:
    outside = write_picture(tmp_path / "outside" / "secret.png")
    root = write_tree(tmp_path / "root", ["a/1.png"])
    (root / "a" / "loop").symlink_to(root, target_is_directory=True)
    (root / "a" / "escape.png").symlink_to(outside)
    (root / "away").symlink_to(outside.parent, target_is_directory=True)
    (root / "broken.png").symlink_to(root / "nothing.png")
    (root / "a" / "inside.png").symlink_to(root / "a" / "1.png")
    assert scan(root).pictures == ["a/1.png", "a/inside.png"]
    assert codes(root) == dict.fromkeys(["a/loop", "a/escape.png", "away", "broken.png"], "E_SYMLINK")


def test_a_folder_given_as_a_link_is_read(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "root", ["a/1.png"])
    (tmp_path / "link").symlink_to(root, target_is_directory=True)
    assert scan(tmp_path / "link").pictures == ["a/1.png"]


def test_a_pipe_is_skipped_without_waiting(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    os.mkfifo(tmp_path / "pipe.png")
    assert scan(tmp_path).pictures == ["a.png"]
    assert codes(tmp_path) == {"pipe.png": "E_NOT_REGULAR"}


def test_names_that_are_not_utf8_are_dropped_escaped(tmp_path: Path) -> None:
    os.rename(os.fsencode(write_picture(tmp_path / "x.png")), os.fsencode(tmp_path) + b"/caf\xe9.png")
    found = scan(tmp_path)
    assert found.pictures == []
    assert [(name, code) for name, code, _ in found.skipped] == [("caf\\xe9.png", "E_FILENAME")]
    assert found.dropped("s").to_csv().encode("utf-8")


def test_twins_by_case_or_unicode_form_are_noted(tmp_path: Path) -> None:
    write_tree(tmp_path, ["a/One.png", "a/one.png", "a/caf\u00e9.png", "a/cafe\u0301.png", "b/one.png"])
    (note,) = scan(tmp_path).twins()
    assert note.startswith("4 file names differ only by case or Unicode form")
    assert scan(write_tree(tmp_path / "c", ["x.png", "y.png"])).twins() == []


def test_barren_folders_are_those_without_pictures_below(tmp_path: Path) -> None:
    write_tree(tmp_path, ["a/b/1.png"])
    (tmp_path / "c" / "d").mkdir(parents=True)
    assert scan(tmp_path).barren == ["c", "c/d"]


def test_nothing_or_a_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="there is nothing at"):
        scan(tmp_path / "no")
    with pytest.raises(CohortError, match="is not a folder"):
        scan(write_picture(tmp_path / "a.png"))


def test_names_match_by_file_then_by_stem() -> None:
    pictures = ["images/a.jpg", "images/b.c.jpeg", "more/a.png", "more/z.png"]
    names = pd.Series(["a.png", "a.PNG", "b.c.png", "b.c", "x\\y\\z.dcm", "none.png"], dtype="str")
    found, unused = match_files(names, pictures)
    assert found.fillna("-").tolist() == [
        "more/a.png",
        "images/a.jpg",
        "images/b.c.jpeg",
        "images/b.c.jpeg",
        "more/z.png",
        "-",
    ]
    assert unused == []
    assert match_files(names[:1], pictures)[1] == ["images/a.jpg", "images/b.c.jpeg", "more/z.png"]


def test_stems() -> None:
    names = pd.Series(["a/b.c/d.e.png", "f", ".g", "a.b/c"], dtype="str")
    assert stems(names).tolist() == ["d.e", "f", ".g", "c"]


def test_the_order_on_the_disk_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tree(tmp_path, [f"{c}/{i}.png" for c in "abc" for i in range(5)])
    before = scan(tmp_path)
    real = os.scandir

    class Shuffled:
        def __init__(self, path: str) -> None:
            self.inner = real(path)

        def __enter__(self) -> list[os.DirEntry[str]]:
            entries = list(self.inner)
            random.Random(3).shuffle(entries)
            return entries

        def __exit__(self, *_: object) -> None:
            self.inner.close()

    monkeypatch.setattr(os, "scandir", Shuffled)
    assert scan(tmp_path) == before
