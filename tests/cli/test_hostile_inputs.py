"""Hostile pictures, archives, folders and recipes through the command line: one line, the right status."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from commands import Command, build, noise, rows_of
from hostile import write_hostile

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
