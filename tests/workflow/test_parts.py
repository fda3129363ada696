"""A cohort's store built by an engine, whose workers may die."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny
from pulmoscope.cohort import Cohort
from pulmoscope.errors import RunError
from pulmoscope.imaging import Preprocess, store_shards
from pulmoscope.search.engine import LocalEngine, Outcome
from pulmoscope.workflow.parts import decode_all

RECIPE = Preprocess(size=24)


class Mortal:
    """Works here, but for the first item, whose workers all die while ``deadly``."""

    def __init__(self) -> None:
        self.deadly, self.asked = True, list[int]()

    def run(
        self, function: Callable[[Any], Any], items: Sequence[Any]
    ) -> Generator[Outcome[Any, Any], None, None]:
        self.asked.append(len(items))
        for at, item in enumerate(items):
            if self.deadly and not at:
                yield Outcome(item=item, value=None, error="E_WORKER: the worker died, 3 times on this item")
            else:
                yield from LocalEngine().run(function, [item])


def test_shards_whose_workers_died_are_decoded_by_the_next_command_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_shards.shard_rows, "__kwdefaults__", {"shard": 8})
    cohort = Cohort.from_sources({"bars": tiny.draw_pictures(tmp_path / "data", n=30)}, near_copies=False)
    monkeypatch.setenv("PULMOSCOPE_CACHE", str(tmp_path / "a"))
    plain = decode_all(cohort, RECIPE, progress=False)
    monkeypatch.setenv("PULMOSCOPE_CACHE", str(tmp_path / "b"))
    engine = Mortal()
    with pytest.raises(RunError, match=r"E_STORE.*1 of 4 shards.*E_WORKER"):
        decode_all(cohort, RECIPE, progress=False, engine=engine)
    engine.deadly = False
    parts = decode_all(cohort, RECIPE, progress=False, engine=engine)
    assert engine.asked == [4, 1]
    assert parts.store.image_ids == plain.store.image_ids
    np.testing.assert_array_equal(parts.store.pixels, plain.store.pixels)
    # A store that is there asks no engine.
    decode_all(cohort, RECIPE, progress=False, engine=engine)
    assert engine.asked == [4, 1]
