"""The store: built, reused, mended, shared, and never left half-written."""

from __future__ import annotations

import errno
import json
import logging
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dicom_files import radiograph
from pulmoscope.errors import CohortError, ImageError, StorageError
from pulmoscope.imaging import Preprocess, StoreItem, decode, open_store
from pulmoscope.imaging import store as store_module

RECIPE = Preprocess(size=32)


@pytest.fixture
def items(tmp_path: Path) -> list[StoreItem]:
    made = []
    for index in range(30):
        path = tmp_path / "films" / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(radiograph(8, height=60 + index)).save(path)
        made.append(StoreItem(image_id=f"s/{index}", path=str(path)))
    return made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "stores"


def _counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    seen: list[str] = []
    original = store_module.prepare_row

    def prepare(item: StoreItem, preprocess: Preprocess) -> tuple[bytes | None, str | None]:
        seen.append(item.image_id)
        return original(item, preprocess)

    monkeypatch.setattr(store_module, "prepare_row", prepare)
    return seen


def test_holds_what_decode_and_preprocess_give(items: list[StoreItem], root: Path) -> None:
    store = open_store(items, RECIPE, root=root, workers=3)
    assert store.pixels.shape == (30, 32, 32)
    assert len(store) == 30
    assert store.image_ids == tuple(item.image_id for item in items)
    rows = store.rows(["s/17", "s/2", "s/17"])
    assert rows.tolist() == [17, 2, 17]
    for item, stored in zip(items, store.pixels, strict=True):
        np.testing.assert_array_equal(stored, RECIPE.to_store(decode(item.path).pixels))
    with pytest.raises(ValueError, match="read-only"):
        store.pixels[0] = 0


def test_is_reused(items: list[StoreItem], root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_store(items, RECIPE, root=root)
    seen = _counted(monkeypatch)
    again = open_store(items, RECIPE, root=root)
    assert again.folder == first.folder
    assert not seen
    assert open_store(items, Preprocess(size=32, channels=1), root=root).folder == first.folder
    assert open_store(items, Preprocess(size=32, aspect="crop"), root=root).folder != first.folder
    assert open_store(items[:-1], RECIPE, root=root).folder != first.folder


def test_a_changed_file_means_another_store(items: list[StoreItem], root: Path) -> None:
    first = open_store(items, RECIPE, root=root)
    Image.fromarray(radiograph(8)[::-1].copy()).save(items[4].path)
    second = open_store(items, RECIPE, root=root)
    assert second.folder != first.folder
    assert (second.pixels[4] != first.pixels[4]).any()


def test_hashed_items_follow_a_moved_file_and_notice_a_changed_one(
    items: list[StoreItem], root: Path
) -> None:
    import hashlib

    def hashed(item: StoreItem, path: str) -> StoreItem:
        digest = hashlib.sha256(Path(item.path).read_bytes()).hexdigest()
        return StoreItem(image_id=item.image_id, path=path, sha256=digest)

    known = [hashed(item, item.path) for item in items]
    moved = [hashed(item, item.path + ".moved") for item in items]
    Image.fromarray(radiograph(8)[::-1].copy()).save(items[4].path)
    store = open_store(known, RECIPE, root=root)
    assert store.failures["s/4"].startswith("E_CHANGED")
    assert open_store(moved, RECIPE, root=root).folder == store.folder


def test_failures_are_kept_and_told(items: list[StoreItem], root: Path) -> None:
    Path(items[3].path).write_text("not a picture")
    Path(items[9].path).unlink()
    for _ in range(2):
        store = open_store(items, RECIPE, root=root)
        assert set(store.failures) == {"s/3", "s/9"}
        assert (store.pixels[3] == 0).all()
        with pytest.raises(ImageError) as caught:
            store.rows(["s/1", "s/3"])
        assert caught.value.code == "E_NOT_IMAGE"
        assert "3.png" in str(caught.value)
    with pytest.raises(ImageError, match="E_MISSING"):
        store.rows(["unknown"])


def test_torn_rows_alone_are_decoded_again(
    items: list[StoreItem], root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(items, RECIPE, root=root)
    good = np.array(store.pixels)
    with (store.folder / "pixels.u8").open("r+b") as file:
        for row in (5, 21):
            file.seek(row * 1024 + 100)
            file.write(b"\x00\xff" * 8)
    assert store.verify() == ["s/5", "s/21"]
    seen = _counted(monkeypatch)
    with caplog.at_level(logging.WARNING, "pulmoscope"):
        mended = open_store(items, RECIPE, root=root)
    assert sorted(seen) == ["s/21", "s/5"]
    assert "2 of 30" in caplog.text
    np.testing.assert_array_equal(mended.pixels, good)
    assert mended.verify() == []


@pytest.mark.parametrize("length", [0, 1024 * 7 + 5, None, 1024 * 40])
def test_a_cut_or_missing_file_is_mended(items: list[StoreItem], root: Path, length: int | None) -> None:
    store = open_store(items, RECIPE, root=root)
    good, path = np.array(store.pixels), store.folder / "pixels.u8"
    path.unlink() if length is None else os.truncate(path, length)
    np.testing.assert_array_equal(open_store(items, RECIPE, root=root).pixels, good)


def test_sampling_finds_wide_damage_in_a_large_store(
    items: list[StoreItem], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(items, RECIPE, root=root)
    good = np.array(store.pixels)
    monkeypatch.setattr(store_module, "_FULL_CHECK_BYTES", 1024)
    monkeypatch.setattr(store_module, "_SAMPLED_ROWS", 4)
    (store.folder / "pixels.u8").write_bytes(bytes(1024 * 30))
    np.testing.assert_array_equal(open_store(items, RECIPE, root=root).pixels, good)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"format": 0}',
        b"\xff\xfe",
        b'{"format": 1, "size": 32, "checksums": [], "failures": {}}',
    ],
)
def test_a_damaged_index_means_building_again(items: list[StoreItem], root: Path, content: bytes) -> None:
    store = open_store(items, RECIPE, root=root)
    good = np.array(store.pixels)
    (store.folder / "index.json").write_bytes(content)
    np.testing.assert_array_equal(open_store(items, RECIPE, root=root).pixels, good)


def test_an_interrupted_build_starts_again(
    items: list[StoreItem], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    original = store_module.prepare_row

    def prepare(item: StoreItem, preprocess: Preprocess) -> tuple[bytes | None, str | None]:
        nonlocal calls
        calls += 1
        if calls == 12:
            raise KeyboardInterrupt
        return original(item, preprocess)

    monkeypatch.setattr(store_module, "prepare_row", prepare)
    with pytest.raises(KeyboardInterrupt):
        open_store(items, RECIPE, root=root, workers=1)
    assert not [path for path in root.rglob("*") if path.is_file() and path.suffix != ".lock"]
    store = open_store(items, RECIPE, root=root)
    assert store.verify() == []


def test_a_killed_build_starts_again(items: list[StoreItem], root: Path) -> None:
    store = open_store(items, RECIPE, root=root)
    good = np.array(store.pixels)
    # What kill -9 leaves: pixels, some of them, and no index.
    (store.folder / "index.json").unlink()
    os.truncate(store.folder / "pixels.u8", 5000)
    np.testing.assert_array_equal(open_store(items, RECIPE, root=root).pixels, good)


@pytest.mark.parametrize("when", ["reserving", "indexing"])
def test_a_full_disk_leaves_nothing(
    items: list[StoreItem], root: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def full_index(path: Path, content: object) -> None:
        raise StorageError(f"cannot write {path}: the disk is full")

    if when == "reserving":
        monkeypatch.setattr(os, "posix_fallocate", full)
    else:
        monkeypatch.setattr(store_module, "write_json", full_index)
    with pytest.raises(StorageError, match="disk is full") as caught:
        open_store(items, RECIPE, root=root)
    assert caught.value.exit_status == 4
    assert not [path for path in root.rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_a_root_that_cannot_be_a_folder(items: list[StoreItem], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        open_store(items, RECIPE, root=tmp_path / "file" / "stores")


def _open_in_process(items: list[StoreItem], root: Path, answers: multiprocessing.Queue[int]) -> None:
    answers.put(int(open_store(items, RECIPE, root=root).pixels.sum()))


def test_two_processes_may_build_the_same(items: list[StoreItem], root: Path) -> None:
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    workers = [context.Process(target=_open_in_process, args=(items, root, answers)) for _ in range(2)]
    for worker in workers:
        worker.start()
    sums = {answers.get(timeout=60) for _ in workers}
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert sums == {int(open_store(items, RECIPE, root=root).pixels.sum())}


def test_empty_and_duplicate(items: list[StoreItem], root: Path) -> None:
    empty = open_store([], RECIPE, root=root)
    assert empty.pixels.shape == (0, 32, 32)
    assert open_store([], RECIPE, root=root).rows([]).shape == (0,)
    with pytest.raises(CohortError, match="E_DUPLICATE_ID"):
        open_store([items[0], items[0]], RECIPE, root=root)


def test_default_root_is_the_cache(items: list[StoreItem]) -> None:
    store = open_store(items[:2], RECIPE)
    assert store.folder.parent == Path(os.environ["PULMOSCOPE_CACHE"]) / "stores"
    assert json.loads((store.folder / "index.json").read_text())["format"] == 1
