"""Shared fixtures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real radiographs (``$PULMOSCOPE_DATA`` or ``../shared/data``), or a skip that says so."""
    folder = Path(os.environ.get("PULMOSCOPE_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no real radiographs here: set PULMOSCOPE_DATA to their folder")
    return folder


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests never write to the user's cache."""
    monkeypatch.setenv("PULMOSCOPE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
