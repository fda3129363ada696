"""An ablation and the engine it was given."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

import tiny
from pulmoscope.cohort import Cohort
from pulmoscope.errors import StorageError
from pulmoscope.search.engine import Outcome
from pulmoscope.training import load_recipe
from pulmoscope.workflow import ablate_run


class Full:
    """Finds the disk full."""

    closed = False

    def run(self, _: Any, items: Any) -> Generator[Outcome[Any, Any], None, None]:
        try:
            for item in items:
                yield Outcome(item=item, value=StorageError("the disk is full"), error=None)
        finally:
            self.closed = True


def test_the_engine_is_closed_where_the_ablation_cannot_go_on(tmp_path: Path) -> None:
    engine, recipe = Full(), load_recipe(tiny.write_recipe(tmp_path))
    table = tiny.draw_pictures(tmp_path / "data", n=36)
    cohort = Cohort.from_sources({"bars": table}, near_copies=False)
    with pytest.raises(StorageError, match="full") as caught:
        ablate_run._train({(): recipe}, {(): tmp_path / "cell"}, [0, 1], tmp_path, cohort, engine, [], False)
    assert engine.closed
    assert caught.tb is not None  # which holds the loop's frame, and so the generator
