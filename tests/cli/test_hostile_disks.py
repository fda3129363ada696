"""Disks that are full, closed or have damaged what they kept: one line, the right status, nothing lost."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tiny
from commands import Command, assert_same_run, build, contents, noise
from pulmoscope.files import exclusive

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
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(place)]
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


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may be larger than 2,000 bytes: a disk that fills up, for those who may not mount one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_write_cut_short_leaves_what_was_there(
    home: Path, tmp_path: Path, command: Command, request: pytest.FixtureRequest
) -> None:
    cohort = build(home / "data" / "table.csv", tmp_path / "out")
    answers = ("predict", home / "run", home / "data" / "images", "--csv", tmp_path / "answers.csv")
    command.done(*cohort)
    command.done(*answers)
    before = contents(tmp_path)
    request.getfixturevalue("small_files")
    assert "larger than is allowed" in command.refused("E_STORAGE", *cohort, "--seed", 5, status=4)
    command.refused("E_STORAGE", *answers, status=4)
    assert contents(tmp_path) == before


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
