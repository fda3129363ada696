"""A store from shards against the same store from threads."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from dicom_files import radiograph
from pulmoscope.imaging import PictureStore, Preprocess, StoreItem, open_store
from pulmoscope.imaging.store_shards import StoreShard, decode_shard, shard_rows

RECIPE = Preprocess(size=24)


@pytest.fixture
def items(tmp_path: Path) -> list[StoreItem]:
    """Seven pictures, and one that cannot be read."""
    made = []
    for index in range(8):
        path = tmp_path / f"{index}.png"
        Image.fromarray(radiograph(8, height=40 + index)).save(path)
        made.append(StoreItem(image_id=f"s/{index}", path=str(path)))
    Path(made[4].path).write_bytes(b"no picture")
    return made


class Worker:
    """Decodes shards here; ``dies`` after so many."""

    def __init__(self, dies: int | None = None) -> None:
        self.dies, self.asked = dies, list[str]()

    def __call__(self, shards: Sequence[StoreShard]) -> None:
        for shard in shards:
            if len(self.asked) == self.dies:
                raise KeyboardInterrupt
            self.asked.append(shard.path.name)
            decode_shard(shard, workers=1)


def built(items: list[StoreItem], root: Path, worker: Worker) -> PictureStore:
    return open_store(items, RECIPE, root=root, rows=partial(shard_rows, run=worker, shard=3))


def content(store: PictureStore) -> list[bytes]:
    return [(store.folder / name).read_bytes() for name in ("pixels.u8", "index.json")]


def test_the_store_is_the_same_to_the_byte(items: list[StoreItem], tmp_path: Path) -> None:
    worker = Worker()
    here, there = open_store(items, RECIPE, root=tmp_path / "a"), built(items, tmp_path / "b", worker)
    assert here.folder.name == there.folder.name
    assert content(here) == content(there)
    assert list(there.failures) == ["s/4"]
    assert len(worker.asked) == 3
    assert [path.name for path in (tmp_path / "b").iterdir() if path.is_dir()] == [there.folder.name]


def test_shards_that_an_interrupted_build_left_are_not_decoded_again(
    items: list[StoreItem], tmp_path: Path
) -> None:
    first, second = Worker(dies=2), Worker()
    with pytest.raises(KeyboardInterrupt):
        built(items, tmp_path / "b", first)
    store = built(items, tmp_path / "b", second)
    assert len(first.asked) == 2
    assert len(second.asked) == 1
    assert not set(first.asked) & set(second.asked)
    assert content(store) == content(open_store(items, RECIPE, root=tmp_path / "a"))


@pytest.mark.parametrize("torn", [b"", b"torn", None])
def test_a_torn_shard_is_decoded_again(items: list[StoreItem], tmp_path: Path, torn: bytes | None) -> None:
    with pytest.raises(KeyboardInterrupt):
        built(items, tmp_path / "b", Worker(dies=2))
    [shard, _] = sorted((tmp_path / "b").glob("*.shards/*.bin"))
    shard.write_bytes(shard.read_bytes()[:-1] if torn is None else torn)
    worker = Worker()
    store = built(items, tmp_path / "b", worker)
    assert shard.name in worker.asked
    assert content(store) == content(open_store(items, RECIPE, root=tmp_path / "a"))


def test_shards_that_were_written_elsewhere_are_decoded_here_and_told(
    items: list[StoreItem], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(
        items, RECIPE, root=tmp_path / "b", rows=partial(shard_rows, run=lambda _: None, shard=3)
    )
    assert content(store) == content(open_store(items, RECIPE, root=tmp_path / "a"))
    assert "3 of 3 shards were written where this process does not see them" in caplog.text
