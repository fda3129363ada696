"""Hostile files, tables, folders and disks through the command line: one line, the right status, nothing lost."""

from __future__ import annotations

import codecs
import errno
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import tiny
from hostile import write_hostile
from pulmoscope.cli import main
from pulmoscope.files import exclusive

Rewrite = Callable[[str], str | bytes]


class Command:
    """The command line, with what its errors must look like."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = self.err = ""

    def run(self, *arguments: object) -> int:
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        self.out, self.err = self._capsys.readouterr()
        assert "Traceback" not in self.err
        assert "Logging error" not in self.err
        assert "E_INTERNAL" not in self.err
        return int(left.value.code or 0)

    def done(self, *arguments: object) -> str:
        status = self.run(*arguments)
        assert status == 0, self.err
        return self.out

    def refused(self, code: str, *arguments: object, status: int = 2) -> str:
        """The one line that ``arguments`` must end in."""
        got = self.run(*arguments)
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, self.err
        assert lines[0].startswith(f"error: {code}"), lines[0]
        assert lines[0].split(":")[1].strip().startswith("E_")
        assert got == status, lines[0]
        return lines[0]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of pictures, its cohort, a recipe and a finished run; tests only read it."""
    folder = tmp_path_factory.mktemp("hostile")
    table = tiny.draw_pictures(folder / "data")
    recipe = tiny.write_recipe(folder)
    for arguments in (
        ("cohort", "build", f"bars={table}", "--out", folder / "cohort", "--no-near-copies"),
        ("train", recipe, "--cohort", folder / "cohort", "--out", folder / "run"),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PULMOSCOPE_CACHE", str(folder / "cache"))
            with pytest.raises(SystemExit) as left:
                main([str(one) for one in arguments])
        assert left.value.code == 0
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A small table with its pictures, to be damaged: two pictures a patient, three classes."""
    return tiny.draw_pictures(tmp_path / "data", n=36, seed=3)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def build(source: object, out: Path, *options: object) -> tuple[object, ...]:
    return ("cohort", "build", f"s={source}", "--out", out, "--no-near-copies", *options)


def rows_of(out: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The cohort's rows and the dropped ones, by image id without the source's name."""
    kept = pd.read_parquet(out / "cohort.parquet")
    dropped = pd.read_csv(out / "dropped.csv", dtype="str", keep_default_na=False)
    for frame in (kept, dropped):
        frame.index = pd.Index(frame["image_id"].str.removeprefix("s/"))
    return kept, dropped


def noise(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (64, 64), np.uint8)).save(path)
    return path


# --- hostile pictures -------------------------------------------------------------------------------------


@pytest.fixture
def menagerie(tmp_path: Path) -> dict[Path, str | None]:
    """Every hostile picture that this machine can have and three good ones -> error code, or None."""
    written = write_hostile(tmp_path / "zoo")
    # A folder given by name means the files in it.
    found = {path: kind.code for path, kind in written.values() if kind.name != "directory"}
    if "unreadable" not in written:  # it was written, but the super-user reads it
        shutil.rmtree(tmp_path / "zoo" / "unreadable")
    found |= {noise(tmp_path / "zoo" / f"good{seed}.png", seed): None for seed in range(3)}
    assert len(found) >= 58
    return found


def test_predict_answers_every_good_picture_among_the_hostile(
    home: Path, tmp_path: Path, command: Command, menagerie: dict[Path, str | None]
) -> None:
    # No argument of a program can hold a NUL.
    menagerie = {path: code for path, code in menagerie.items() if "\0" not in str(path)}
    missing = [path for path in menagerie if not os.path.lexists(path)]
    assert len(missing) == 1
    assert command.run("predict", home / "run", tmp_path / "zoo", *missing, "--json") == 3
    answers = [json.loads(line) for line in command.out.splitlines()]
    assert {answer["path"] for answer in answers} == {str(path) for path in menagerie}
    assert len(answers) == len(menagerie)
    for answer in answers:
        code = menagerie[Path(answer["path"])]
        if code is None:
            assert sum(answer["probabilities"].values()) == pytest.approx(1)
        else:
            assert answer["error"].startswith(f"{code}: ")
            assert "\n" not in answer["error"]
            assert set(answer) == {"path", "error"}
    bad = sum(code is not None for code in menagerie.values())
    assert command.err.splitlines() == [f"{bad} files could not be read"]


def test_cohort_build_keeps_every_good_row_of_a_table_with_hostile_ones(
    tmp_path: Path, command: Command, menagerie: dict[Path, str | None]
) -> None:
    listed = {path: code for path, code in menagerie.items() if str(path).isprintable()}
    listed[tmp_path / "zoo" / "directory"] = "E_NOT_REGULAR"
    labels = ["covid", "normal"] * len(listed)
    lines = [f"{path},{label}" for path, label in zip(listed, labels, strict=False)]
    (tmp_path / "table.csv").write_text("\n".join(["path,label", *lines, "zoo/nul\0byte.png,covid"]))
    command.done(*build(tmp_path / "table.csv", tmp_path / "out", "--split", "test"))
    kept, dropped = rows_of(tmp_path / "out")
    listed[Path("zoo/nul\0byte.png")] = "E_FILENAME"
    assert set(kept["path"]) == {str(path) for path, code in listed.items() if code is None}
    assert len(dropped) == sum(code is not None for code in listed.values())
    reasons = dict(zip(dropped["path"], dropped["reason"].str.partition(":")[0], strict=True))
    for path, code in listed.items():
        if code is not None and "\0" not in str(path):
            assert reasons[str(path)] == code


def test_cohort_build_keeps_every_good_picture_of_class_folders_with_hostile_ones(
    tmp_path: Path, command: Command, menagerie: dict[Path, str | None]
) -> None:
    expected: dict[str, str | None] = {}
    for number, (path, code) in enumerate(menagerie.items()):
        if "\0" in str(path) or not os.path.lexists(path):
            continue
        ours = "sick" if number % 2 else "well"
        target = tmp_path / "tree" / ours / f"{number:02}-{path.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
        name = os.fsencode(f"{ours}/{target.name}").decode("utf-8", "backslashreplace")
        if target.is_symlink():
            code = "E_SYMLINK"
        elif not target.name.isprintable():
            code = "E_FILENAME"
        expected[name] = code
    command.done(*build(tmp_path / "tree", tmp_path / "out"))
    kept, dropped = rows_of(tmp_path / "out")
    assert sorted(kept.index) == sorted(name for name, code in expected.items() if code is None)
    assert dropped["reason"].str.partition(":")[0].to_dict() == {
        name: code for name, code in expected.items() if code is not None
    }


# --- hostile tables ---------------------------------------------------------------------------------------


def edited(line: int, old: str, new: str) -> Rewrite:
    def rewrite(text: str) -> str:
        lines = text.splitlines()
        assert old in lines[line]
        lines[line] = lines[line].replace(old, new)
        return "\n".join(lines)

    return rewrite


TABLES: dict[str, tuple[Rewrite, tuple[str, ...], str]] = {
    "empty": (lambda _: "", (), "E_EMPTY_FILE"),
    "only-blank-lines": (lambda _: "\n\n \n", (), "E_EMPTY_FILE"),
    "header-only": (lambda text: text.splitlines()[0], (), "E_COHORT"),
    "no-label-column": (edited(0, "label", "klass"), (), "E_COLUMNS"),
    "column-twice": (edited(0, "view", "label"), (), "E_COLUMNS"),
    "column-twice-but-for-case": (edited(0, "view", "Label"), (), "E_COLUMNS"),
    "utf-16": (lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"), (), "E_ENCODING"),
    "utf-16-without-mark": (lambda text: text.encode("utf-16-le"), (), "E_ENCODING"),
    "latin-1": (lambda text: text.replace("normal", "négatif").encode("latin-1"), (), "E_ENCODING"),
    "binary": (lambda _: bytes(range(256)) * 20, (), "E_ENCODING"),
    "one-endless-line": (lambda _: "x" * 200_000, (), "E_COLUMNS"),
    "endless-cell": (lambda text: text + "images/z.png," + "x" * 300_000 + ",9,PA\n", (), ""),
    "open-quote": (edited(5, "images", '"images'), (), "E_TABLE"),
    "cells-too-many": (edited(5, "images", "images,images"), (), "E_TABLE"),
    "a-workbook-that-is-none": (lambda _: b"PK\x03\x04" + bytes(400), (), "E_TABLE"),
    "no-picture-is-there": (lambda text: text.replace("images/", "gone/"), (), "E_NOTHING_LEFT"),
    "every-path-climbs-out": (lambda text: text.replace("images/", "../images/"), (), "E_COHORT"),
    "unknown-part-of-a-split": (edited(0, "view", "split"), (), "E_TABLE"),
    "class-with-one-patient": (edited(3, "pneumonia", "rare"), (), "E_CLASS_TOO_SMALL"),
    "class-emptied-by-a-filter": (
        lambda text: "\n".join(
            line.replace("PA", "AP") if ",covid," in line else line for line in text.splitlines()
        ),
        ("--where", "view=PA"),
        "E_EMPTY_CLASS",
    ),
    "one-class": (
        lambda text: text.replace("pneumonia", "normal").replace("covid", "normal"),
        ("--split", "patient:0.7,0.15,0.15"),
        "E_ONE_CLASS",
    ),
    "unknown-column-in-a-filter": (str, ("--where", "viev=PA"), "E_WHERE"),
    "unknown-value-in-a-filter": (str, ("--where", "view=P A"), "E_WHERE"),
    "no-filter": (str, ("--where", "PA"), "E_WHERE"),
    "no-such-split": (str, ("--split", "patients:0.7"), "E_SPLIT"),
    "fractions-not-1": (str, ("--split", "patient:0.7,0.7,0.7"), "E_SPLIT"),
    "fractions-nan": (str, ("--split", "patient:nan,nan,nan"), "E_SPLIT"),
    "one-fold": (str, ("--split", "kfold:1"), "E_SPLIT"),
    "more-folds-than-patients": (str, ("--split", "kfold:999"), "E_CLASS_TOO_SMALL"),
    "predefined-where-there-is-none": (str, ("--split", "predefined"), "E_SPLIT"),
    "val-from-train-over-1": (str, ("--val-from-train", "1.5"), "E_SPLIT"),
    "unknown-scheme": (str, ("--labels", "binary-covit"), "E_LABEL"),
    "seed-no-number": (str, ("--seed", "x"), "E_USAGE"),
}


@pytest.mark.parametrize(("rewrite", "options", "code"), TABLES.values(), ids=TABLES)
def test_a_table_that_makes_no_cohort(
    pictures: Path, tmp_path: Path, command: Command, rewrite: Rewrite, options: tuple[str, ...], code: str
) -> None:
    command.done(*build(pictures, tmp_path / "out"))
    before = contents(tmp_path / "out")
    said = rewrite(pictures.read_text())
    pictures.write_bytes(said if isinstance(said, bytes) else said.encode())
    command.refused(code, *build(pictures, tmp_path / "out", *options))
    assert contents(tmp_path / "out") == before


USABLE: dict[str, Rewrite] = {
    "byte-order-mark": lambda text: codecs.BOM_UTF8 + text.encode(),
    "semicolons": lambda text: text.replace(",", ";"),
    "windows-line-ends": lambda text: text.replace("\n", "\r\n"),
    "windows-separators": lambda text: text.replace("images/", "images\\"),
    "shouted-column-names": lambda text: text.replace("path,label", "Path, LABEL "),
    "blank-lines": lambda text: text.replace("\n", "\n\n"),
}


@pytest.mark.parametrize("rewrite", USABLE.values(), ids=USABLE)
def test_an_unusual_table_gives_the_same_cohort(
    pictures: Path, tmp_path: Path, command: Command, rewrite: Rewrite
) -> None:
    command.done(*build(pictures, tmp_path / "plain"))
    said = rewrite(pictures.read_text())
    pictures.write_bytes(said if isinstance(said, bytes) else said.encode())
    command.done(*build(pictures, tmp_path / "unusual"))
    plain, _ = rows_of(tmp_path / "plain")
    unusual, dropped = rows_of(tmp_path / "unusual")
    pd.testing.assert_frame_equal(unusual, plain)
    assert dropped.empty
    assert plain.loc["images/014.png", "patient_id"] == "s:007"


ROWS: dict[str, tuple[str, str]] = {
    "path-climbs-out": ("../data/images/000.png", "E_PATH_ESCAPE"),
    "path-climbs-out-in-windows": (r"images\..\images\000.png", "E_PATH_ESCAPE"),
    "windows-drive": (r"C:\films\000.png", "E_MISSING"),
    "absolute-and-missing": ("/nowhere/000.png", "E_MISSING"),
    "network-share": (r"\\server\films\000.png", "E_MISSING"),
    "web-address": ("https://example.org/000.png", "E_MISSING"),
    "the-folder": ("images", "E_NOT_REGULAR"),
    "endless-device": ("/dev/zero", "E_NOT_REGULAR"),
    "no-path": ("", "E_NO_LABEL"),
    "control-character": ("images/000\x07.png", "E_FILENAME"),
    "too-long-a-name": ("images/" + "x" * 300 + ".png", "E_FILENAME"),
    "a-table-as-picture": ("table.csv", "E_NOT_IMAGE"),
    "member-of-no-archive": ("none.npz::train_images::0", "E_MISSING"),
    "named-twice": ("images/001.png", "E_DUPLICATE_ROW"),
}


@pytest.mark.parametrize(("path", "code"), ROWS.values(), ids=ROWS)
def test_a_row_that_cannot_be_used_is_dropped_with_its_reason(
    pictures: Path, tmp_path: Path, command: Command, path: str, code: str
) -> None:
    edit = edited(1, "images/000.png", path)
    text = str(edit(pictures.read_text()))
    pictures.write_text(text)
    command.done(*build(pictures, tmp_path / "out"))
    kept, dropped = rows_of(tmp_path / "out")
    assert len(kept) == 35
    assert "images/000.png" not in kept.index
    assert dropped["reason"].str.partition(":")[0].tolist() == [code]


def test_the_same_bytes_under_two_labels_are_all_dropped(
    pictures: Path, tmp_path: Path, command: Command
) -> None:
    folder = pictures.parent / "images"
    shutil.copy(folder / "000.png", folder / "002.png")
    command.done(*build(pictures, tmp_path / "out"))
    kept, dropped = rows_of(tmp_path / "out")
    assert len(kept) == 34
    assert set(dropped.index) == {"images/000.png", "images/002.png"}
    assert set(dropped["reason"].str.partition(":")[0]) == {"E_LABEL_CONFLICT"}


def test_na_and_none_are_labels_like_any_other(pictures: Path, tmp_path: Path, command: Command) -> None:
    pictures.write_text(pictures.read_text().replace("normal", "NA").replace("pneumonia", "None"))
    command.done(*build(pictures, tmp_path / "out"))
    kept, dropped = rows_of(tmp_path / "out")
    assert kept["label"].value_counts().to_dict() == {"NA": 12, "None": 12, "covid": 12}
    assert dropped.empty


SCHEMES: dict[str, str] = {
    "python-tag": "classes: !!python/object/apply:os.system ['touch {ran}']\nrules: {a: b}",
    "alias-bomb": "a: &a [x, x]\nb: &b [*a, *a]\nclasses: [*b, *b]\nrules: {a: x}",
    "deep-nesting": "classes: " + "[" * 5000 + "]" * 5000,
    "key-twice": "classes: [a, b]\nclasses: [a, c]\nrules: {a: a}",
    "impossible-date": "classes: [2020-99-99, b]\nrules: {a: b}",
    "numbers-for-names": "classes: [1, 2]\nrules: {a: 1}",
    "list": "- a\n- b",
    "empty": "",
    "no-rule-for-a-class": "classes: [normal, covid]\nrules: {normal: normal}",
    "not-yaml": "classes: [a",
}


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_a_label_scheme_that_is_none(pictures: Path, tmp_path: Path, command: Command, scheme: str) -> None:
    (tmp_path / "mine.yaml").write_text(scheme.replace("{ran}", str(tmp_path / "ran")))
    command.refused("E_LABEL", *build(pictures, tmp_path / "out", "--labels", tmp_path / "mine.yaml"))
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "out").exists()


# --- hostile archives and folders -------------------------------------------------------------------------


class Trap:
    """Pickled, it makes a file when it is loaded."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.target,))


def archive(path: Path, **changes: object) -> None:
    generator = np.random.default_rng(0)
    arrays: dict[str, object] = {}
    for part in ("train", "val", "test"):
        arrays[f"{part}_images"] = generator.integers(0, 255, (12, 28, 28)).astype(np.uint8)
        arrays[f"{part}_labels"] = np.arange(12)[:, None] % 2
    np.savez_compressed(path, **(arrays | changes))  # type: ignore[arg-type]


def _flip(path: Path, _: Path) -> None:
    content = bytearray(path.read_bytes())
    content[200:260] = b"\xff" * 60
    path.write_bytes(content)


def _encrypt(path: Path, _: Path) -> None:
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = content.find(mark)
        while start >= 0:
            content[start + offset] |= 1
            start = content.find(mark, start + 4)
    path.write_bytes(content)


def _other_zip(path: Path, _: Path) -> None:
    with zipfile.ZipFile(path, "w") as members:
        members.writestr("readme.txt", "no arrays here")


def _claims(path: Path, _: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (10**7, 28, 28)}
    )
    with zipfile.ZipFile(path, "w") as members:
        members.writestr("train_images.npy", header.getvalue())
        members.writestr(
            "train_labels.npy", header.getvalue().replace(b"(10000000, 28, 28)", b"(10000000,)       ")
        )


ARCHIVES: dict[str, Callable[[Path, Path], object]] = {
    "truncated": lambda path, _: path.write_bytes(path.read_bytes()[:3000]),
    "empty": lambda path, _: path.write_bytes(b""),
    "no-zip": lambda path, _: path.write_bytes(b"\x93NUMPY" + bytes(500)),
    "an-array-named-npz": lambda path, _: np.save(path.open("wb"), np.arange(3)),
    "flipped-bytes": _flip,
    "encrypted": _encrypt,
    "renamed-zip": _other_zip,
    "claims-more-than-it-has": _claims,
    "pickled-objects": lambda path, ran: archive(path, train_labels=np.array([Trap(ran)] * 12, object)),
    "a-pickle-named-npz": lambda path, ran: path.write_bytes(pickle.dumps(Trap(ran))),
    "pictures-of-floats": lambda path, _: archive(
        path, **{f"{part}_images": np.zeros((12, 28, 28)) for part in ("train", "val", "test")}
    ),
    "labels-of-text": lambda path, _: archive(path, train_labels=np.array([["x"]] * 12)),
    "labels-without-rows": lambda path, _: archive(path, train_labels=np.array(3)),
    "labels-without-columns": lambda path, _: archive(path, train_labels=np.zeros((12, 0), int)),
    "fewer-labels-than-pictures": lambda path, _: archive(path, train_labels=np.zeros((9, 1), int)),
    "one-picture-alone": lambda path, _: archive(path, train_images=np.zeros((28, 28), np.uint8)),
}


@pytest.mark.parametrize("spoil", ARCHIVES.values(), ids=ARCHIVES)
def test_an_archive_that_is_none(
    tmp_path: Path, command: Command, spoil: Callable[[Path, Path], object]
) -> None:
    path = tmp_path / "set.npz"
    archive(path)
    command.done(*build(path, tmp_path / "good"))
    spoil(path, tmp_path / "ran")
    command.refused("E_", *build(path, tmp_path / "out"))
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "out").exists()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Class folders with twelve pictures."""
    for number in range(12):
        noise(tmp_path / "tree" / ("sick" if number % 2 else "well") / f"{number}.png", number)
    return tmp_path / "tree"


def _secret(tree: Path) -> dict[str, str]:
    (tree / "sick" / "closed").mkdir()
    noise(tree / "sick" / "closed" / "x.png", 99)
    (tree / "sick" / "closed").chmod(0)
    if os.access(tree / "sick" / "closed", os.R_OK):
        pytest.skip("the super-user reads every folder")
    return {"sick/closed": "E_UNREADABLE"}


def _loop(tree: Path) -> dict[str, str]:
    (tree / "sick" / "again").symlink_to(tree)
    (tree / "well" / "self.png").symlink_to(tree / "well" / "self.png")
    return {"sick/again": "E_SYMLINK", "well/self.png": "E_SYMLINK"}


def _escape(tree: Path) -> dict[str, str]:
    noise(tree.parent / "private" / "film.png", 77)
    (tree / "sick" / "film.png").symlink_to(tree.parent / "private" / "film.png")
    (tree / "sick" / "folder").symlink_to(tree.parent / "private")
    (tree / "sick" / "passwords.png").symlink_to("/etc/passwd")
    return dict.fromkeys(("sick/film.png", "sick/folder", "sick/passwords.png"), "E_SYMLINK")


def _not_utf8(tree: Path) -> dict[str, str]:
    try:
        (tree / "sick" / os.fsdecode(b"f\xe9lm.png")).write_bytes((tree / "sick" / "1.png").read_bytes())
    except OSError:
        pytest.skip("this file system refuses such names")
    return {r"sick/f\xe9lm.png": "E_FILENAME"}


def _pipe(tree: Path) -> dict[str, str]:
    os.mkfifo(tree / "sick" / "pipe.png")
    return {"sick/pipe.png": "E_NOT_REGULAR"}


def _line_break(tree: Path) -> dict[str, str]:
    (tree / "sick" / "two\nlines.png").write_text("<html>")
    return {"sick/two\nlines.png": "E_NOT_IMAGE"}


def _litter(tree: Path) -> dict[str, str]:
    for name in (".DS_Store", "Thumbs.db", "notes.docx", "README"):
        (tree / "sick" / name).write_text("x")
    return dict.fromkeys(
        ("sick/.DS_Store", "sick/Thumbs.db", "sick/notes.docx", "sick/README"), "E_NOT_PICTURE"
    )


@pytest.mark.parametrize(
    "spoil",
    [_secret, _loop, _escape, _not_utf8, _pipe, _line_break, _litter],
    ids=lambda spoil: spoil.__name__.strip("_"),
)
def test_class_folders_with_what_is_no_picture(
    tree: Path, tmp_path: Path, command: Command, spoil: Callable[[Path], dict[str, str]]
) -> None:
    expected = spoil(tree)
    command.done(*build(tree, tmp_path / "out"))
    kept, dropped = rows_of(tmp_path / "out")
    assert len(kept) == 12
    assert dropped["reason"].str.partition(":")[0].to_dict() == expected


@pytest.mark.parametrize("kind", ["nothing", "empty-folder", "only-a-pipe", "pipe-as-table"])
def test_a_place_without_pictures(tmp_path: Path, command: Command, kind: str) -> None:
    place = tmp_path / "place"
    if kind != "nothing":
        place.mkdir()
    if kind == "only-a-pipe":
        (place / "sick").mkdir()
        os.mkfifo(place / "sick" / "pipe.png")
    if kind == "pipe-as-table":
        place = place / "table.csv"
        os.mkfifo(place)
    command.refused("E_", *build(place, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


# --- places that cannot be written ------------------------------------------------------------------------


def _existing_file(tmp_path: Path) -> Path:
    (tmp_path / "taken").write_text("mine")
    return tmp_path / "taken"


def _closed(tmp_path: Path) -> Path:
    (tmp_path / "closed").mkdir(mode=0o555)
    if os.access(tmp_path / "closed", os.W_OK):
        pytest.skip("the super-user writes everywhere")
    return tmp_path / "closed" / "out"


PLACES: dict[str, Callable[[Path], Path]] = {
    "existing-file": _existing_file,
    "below-a-file": lambda tmp_path: _existing_file(tmp_path) / "below",
    "proc": lambda _: Path("/proc/self/nothing"),
    "name-too-long": lambda tmp_path: tmp_path / ("x" * 300),
    "link-to-itself": lambda tmp_path: (tmp_path / "loop").symlink_to(tmp_path / "loop") or tmp_path / "loop",
    "folder-without-permission": _closed,
}


@pytest.mark.parametrize("where", PLACES.values(), ids=PLACES)
def test_an_output_place_that_cannot_be_written(
    home: Path, tmp_path: Path, command: Command, where: Callable[[Path], Path]
) -> None:
    place = where(tmp_path)
    good = noise(tmp_path / "good.png", 1)
    before = contents(tmp_path)
    for arguments in (
        build(home / "data" / "table.csv", place),
        ("train", home / "tiny.yaml", "--cohort", home / "cohort", "--out", place),
        ("predict", home / "run", good, "--csv", place / "answers.csv"),
    ):
        command.refused("E_STORAGE", *arguments, status=4)
        assert contents(tmp_path) == before


def test_a_folder_where_the_csv_should_be(home: Path, tmp_path: Path, command: Command) -> None:
    noise(tmp_path / "answers.csv" / "good.png", 1)
    before = contents(tmp_path)
    arguments = ("predict", home / "run", tmp_path / "answers.csv", "--csv", tmp_path / "answers.csv")
    command.refused("E_STORAGE", *arguments, status=4)
    assert contents(tmp_path) == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path, *, leave: int) -> Path:
    """Fill ``disk`` up to ``leave`` bytes."""
    state = os.statvfs(disk)
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(state.f_bavail * state.f_frsize - leave))
    return ballast


@pytest.mark.parametrize("leave", [0, 4096, 20480])
def test_a_full_disk_leaves_the_old_cohort(
    home: Path, small_disk: Path, command: Command, leave: int
) -> None:
    command.done(*build(home / "data" / "table.csv", small_disk / "out"))
    fill(small_disk, leave=leave)
    before = contents(small_disk)
    source = home / "data" / "table.csv"
    line = command.refused(
        "E_STORAGE", *build(source, small_disk / "out", "--seed", 5, "--where", "view=PA"), status=4
    )
    assert "the disk is full" in line
    assert contents(small_disk) == before


def test_a_full_disk_leaves_the_old_answers(home: Path, small_disk: Path, command: Command) -> None:
    arguments = ("predict", home / "run", home / "data" / "images", "--csv", small_disk / "answers.csv")
    command.done(*arguments)
    fill(small_disk, leave=4096)
    before = contents(small_disk)
    command.refused("E_STORAGE", *arguments, status=4)
    assert contents(small_disk) == before


def scores(run: Path) -> tuple[object, pd.DataFrame, pd.DataFrame]:
    history = pd.read_csv(run / "history.csv").drop(columns="seconds")
    return (
        json.loads((run / "metrics.json").read_text()),
        history,
        pd.read_parquet(run / "predictions.parquet"),
    )


def assert_same_run(one: Path, other: Path) -> None:
    (metrics, history, predictions), (others, other_history, other_predictions) = scores(one), scores(other)
    assert metrics == others
    pd.testing.assert_frame_equal(history, other_history)
    pd.testing.assert_frame_equal(predictions, other_predictions)


def test_a_disk_that_fills_up_amid_training_costs_nothing_but_time(
    home: Path, small_disk: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULMOSCOPE_CACHE", str(home / "cache"))
    arguments = ("train", home / "tiny.yaml", "--cohort", home / "cohort", "--out", small_disk / "run")
    sizes = {path.name: path.stat().st_size for path in (home / "run" / "checkpoints").iterdir()}
    # Room for both stages' weights and one checkpoint and a half.
    ballast = fill(small_disk, leave=int(sum(sizes.values()) - 0.5 * sizes["last.ckpt"]))
    line = command.refused("E_STORAGE", *arguments, status=4)
    assert "the disk is full" in line
    kept = small_disk / "run" / "checkpoints" / "last.ckpt"
    assert kept.is_file()
    assert not (small_disk / "run" / "model").exists()
    whole = contents(small_disk / "run" / "checkpoints")
    command.refused("E_STORAGE", *arguments, "--resume", status=4)
    assert contents(small_disk / "run" / "checkpoints")["last.ckpt"] == whole["last.ckpt"]
    ballast.unlink()
    command.done(*arguments, "--resume")
    assert_same_run(small_disk / "run", home / "run")


@pytest.mark.parametrize("name", ["last.ckpt", "model.json"])
def test_a_write_that_fails_amid_training_costs_nothing_but_time(
    home: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The same without a file system of our own: the operating system refuses one file."""
    monkeypatch.setenv("PULMOSCOPE_CACHE", str(home / "cache"))
    arguments = ("train", home / "tiny.yaml", "--cohort", home / "cohort", "--out", tmp_path / "run")
    fsync = os.fsync

    def refuse(descriptor: int) -> None:
        if name in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        command.refused("E_STORAGE", *arguments, status=4)
    assert not (tmp_path / "run" / "metrics.json").exists()
    command.done(*arguments, "--resume")
    assert_same_run(tmp_path / "run", home / "run")


# --- damaged caches, cohorts, models, runs ----------------------------------------------------------------


def _flip_pixels(cache: Path) -> None:
    (path,) = cache.rglob("pixels.u8")
    content = bytearray(path.read_bytes())
    content[5000:5100] = bytes(100)
    path.write_bytes(content)


def _cut_pixels(cache: Path) -> None:
    (path,) = cache.rglob("pixels.u8")
    path.write_bytes(path.read_bytes()[:7000])


def _spoil_index(cache: Path) -> None:
    (path,) = cache.rglob("index.json")
    path.write_text('{"format": 1, "size"')


def _cut_features(cache: Path) -> None:
    for path in cache.rglob("*.npy"):
        path.write_bytes(path.read_bytes()[:1000])


def _empty_features(cache: Path) -> None:
    for path in cache.rglob("*.npy"):
        path.write_bytes(b"")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ((_flip_pixels, _cut_features), ("were damaged", "are torn")),
        ((_cut_pixels, _empty_features), ("were damaged", "are torn")),
        ((_spoil_index,), ("index is damaged",)),
    ],
    ids=["flipped-pixels-cut-features", "cut-pixels-empty-features", "torn-index"],
)
def test_a_damaged_cache_is_mended_with_a_warning(
    home: Path,
    tmp_path: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    spoil: tuple[Callable[[Path], None], ...],
    said: tuple[str, ...],
) -> None:
    shutil.copytree(home / "cache", tmp_path / "cache")
    monkeypatch.setenv("PULMOSCOPE_CACHE", str(tmp_path / "cache"))
    for one in spoil:
        one(tmp_path / "cache")
    command.done("train", home / "tiny.yaml", "--cohort", home / "cohort", "--out", tmp_path / "run")
    assert all(one in command.err for one in said)
    assert_same_run(tmp_path / "run", home / "run")


def damaged(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "cut":
        del content[len(content) // 2 :]
    elif how == "empty":
        content.clear()
    elif how == "text":
        content[:] = b"<html>404</html>"
    else:
        content[len(content) // 3] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["cut", "empty", "text", "flipped"])
def test_a_damaged_cohort_trains_nothing(home: Path, tmp_path: Path, command: Command, how: str) -> None:
    shutil.copytree(home / "cohort", tmp_path / "cohort")
    damaged(tmp_path / "cohort" / "cohort.parquet", how)
    arguments = ("train", home / "tiny.yaml", "--cohort", tmp_path / "cohort", "--out", tmp_path / "run")
    assert "cohort.parquet" in command.refused("E_COHORT", *arguments)
    assert not (tmp_path / "run").exists()


def test_a_cohort_whose_pictures_are_gone_trains_nothing(
    tmp_path: Path, pictures: Path, command: Command
) -> None:
    recipe = tiny.write_recipe(tmp_path)
    command.done(*build(pictures, tmp_path / "cohort"))
    shutil.rmtree(pictures.parent / "images")
    command.refused("E_", "train", recipe, "--cohort", tmp_path / "cohort", "--out", tmp_path / "run")


@pytest.mark.parametrize("how", ["cut", "empty", "text", "flipped"])
@pytest.mark.parametrize("name", ["model.json", "weights.safetensors"])
def test_a_damaged_model_predicts_nothing(
    home: Path, tmp_path: Path, command: Command, name: str, how: str
) -> None:
    shutil.copytree(home / "run" / "model", tmp_path / "model")
    damaged(tmp_path / "model" / name, how)
    good = noise(tmp_path / "good.png", 1)
    command.refused("E_BUNDLE", "predict", tmp_path / "model", good)
    assert not command.out


def test_predict_without_a_single_file_says_so(home: Path, tmp_path: Path, command: Command) -> None:
    (tmp_path / "empty").mkdir()
    command.refused("E_MISSING", "predict", home / "run", tmp_path / "empty")
    assert command.run("predict", home / "run", tmp_path / "gone.png") == 3


@pytest.fixture
def begun(home: Path, tmp_path: Path) -> Path:
    """A run that was killed after its last epoch, before its model was written."""
    shutil.copytree(home / "run", tmp_path / "run")
    for name in ("metrics.json", "predictions.parquet", "report.html"):
        (tmp_path / "run" / name).unlink()
    shutil.rmtree(tmp_path / "run" / "model")
    return tmp_path / "run"


def resume(home: Path, run: Path, *options: object) -> tuple[object, ...]:
    return ("train", home / "tiny.yaml", "--cohort", home / "cohort", "--out", run, "--resume", *options)


@pytest.mark.parametrize(
    ("names", "how"),
    [(("last.ckpt",), "cut"), (("last.ckpt",), "flipped"), (("last.ckpt", "previous.ckpt"), "empty")],
    ids=["last-cut", "last-flipped", "both-empty"],
)
def test_a_torn_checkpoint_is_passed_over(
    home: Path,
    begun: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    names: tuple[str, ...],
    how: str,
) -> None:
    monkeypatch.setenv("PULMOSCOPE_CACHE", str(home / "cache"))
    for name in names:
        damaged(begun / "checkpoints" / name, how)
    command.done(*resume(home, begun))
    assert "last.ckpt is torn" in command.err
    assert_same_run(begun, home / "run")


@pytest.mark.parametrize("name", ["environment.json", "recipe.yaml"])
def test_a_run_that_no_longer_says_what_it_is_does_not_go_on(
    home: Path, begun: Path, command: Command, name: str
) -> None:
    damaged(begun / name, "cut")
    before = contents(begun)
    command.refused("E_R", *resume(home, begun))
    assert contents(begun) == before


@pytest.mark.parametrize("name", ["metrics.json", "predictions.parquet"])
def test_damaged_results_are_not_reported(home: Path, tmp_path: Path, command: Command, name: str) -> None:
    shutil.copytree(home / "run", tmp_path / "run")
    damaged(tmp_path / "run" / name, "cut")
    command.refused("E_", "report", tmp_path / "run")
    if name == "predictions.parquet":
        command.refused("E_TABLE", "evaluate", tmp_path / "run")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--seed", "1"), "seed (0 before, 1 now)"),
        (("--set", "train.finetune.epochs=9"), "train.finetune.epochs: 3 before, 9 now"),
    ],
    ids=["seed", "recipe"],
)
def test_a_run_does_not_go_on_under_other_settings(
    home: Path, begun: Path, command: Command, options: tuple[str, ...], said: str
) -> None:
    before = contents(begun)
    assert said in command.refused("E_RESUME_MISMATCH", *resume(home, begun, *options))
    assert contents(begun) == before


def test_a_finished_run_is_not_overwritten(home: Path, command: Command) -> None:
    before = contents(home / "run")
    command.refused("E_RUN_EXISTS", *resume(home, home / "run")[:-1])
    assert contents(home / "run") == before


def test_a_second_run_into_one_folder_names_the_first(home: Path, begun: Path, command: Command) -> None:
    program = "import sys; from pathlib import Path; from pulmoscope.files import exclusive\n"
    program += "with exclusive(Path(sys.argv[1])): print(flush=True); sys.stdin.read()"
    first = subprocess.Popen(
        [sys.executable, "-c", program, str(begun)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert first.stdin is not None
    assert first.stdout is not None
    try:
        first.stdout.readline()
        before = contents(begun)
        assert str(first.pid) in command.refused("E_RUN_BUSY", *resume(home, begun))
        assert contents(begun) == before
    finally:
        first.stdin.close()
        first.stdout.close()
        assert first.wait(20) == 0
    with exclusive(begun):
        assert (begun / ".lock").read_text() == str(os.getpid())


# --- hostile recipes --------------------------------------------------------------------------------------

RECIPES: dict[str, tuple[str, str]] = {
    "unknown-field": ("train: {finetune: {epoch: 3}}", "did you mean epochs?"),
    "wrong-type": ("train: {finetune: {epochs: many}}", "train.finetune.epochs"),
    "out-of-range": ("validation_fraction: 7", "validation_fraction"),
    "not-a-number": ("train: {finetune: {learning_rate: .nan}}", "learning_rate"),
    "unknown-backbone": ("model: {backbone: resnet18_}", "resnet18_"),
    "alias-bomb": (
        "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(
            f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
        ),
        "",
    ),
    "python-tag": ("name: !!python/object/apply:os.system ['touch {ran}']", ""),
    "interpolated-environment": ("name: ${oc.env:HOME}\ntrain: {epoch: 3}", ""),
    "list": ("- a", ""),
    "not-yaml": ("train: [", ""),
    "not-utf-8": ("name: \udcff", ""),
}


@pytest.mark.parametrize(("recipe", "said"), RECIPES.values(), ids=RECIPES)
def test_a_recipe_that_is_none(home: Path, tmp_path: Path, command: Command, recipe: str, said: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(recipe.replace("{ran}", str(tmp_path / "ran")).encode(errors="surrogateescape"))
    arguments = ("train", path, "--cohort", home / "cohort", "--out", tmp_path / "run")
    assert said in command.refused("E_", *arguments)
    assert sorted(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "change", ["train.finetune.epochs", "=3", "train..epochs=3", "train.finetune.epochs=[", "a=b"]
)
def test_an_override_that_is_none(home: Path, tmp_path: Path, command: Command, change: str) -> None:
    arguments = ("train", home / "tiny.yaml", "--cohort", home / "cohort", "--out", tmp_path / "run")
    command.refused("E_RECIPE", *arguments, "--set", change)
    assert not (tmp_path / "run").exists()
