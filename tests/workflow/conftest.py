"""What several tests of whole jobs share."""

from __future__ import annotations

import pytest

import tiny
from pulmoscope.cohort import Cohort


@pytest.fixture
def small_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer dots make the reports quick."""
    monkeypatch.setattr("pulmoscope.report.style.DPI", 30)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """60 pictures of 30 patients in three classes, with splits."""
    folder = tmp_path_factory.mktemp("bars")
    return Cohort.from_sources({"bars": tiny.draw_pictures(folder / "data", n=60)}, near_copies=False)
