"""What the tests of commands share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import tiny
from commands import Command
from pulmoscope.cli import main


@pytest.fixture(autouse=True, scope="module")
def _small_figures() -> Iterator[None]:
    """Fewer dots make the reports quick; how figures look is tested where they are drawn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pulmoscope.report.style.DPI", 30)
        yield


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


@pytest.fixture(scope="session")
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
