"""``pulmoscope augment`` as a user types it."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

import tiny
from commands import Command, build


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("augment")
    tiny.draw_pictures(folder / "data", n=36)
    tiny.write_recipe(folder)
    return folder


def test_a_contact_sheet_is_drawn_and_drawn_again_alike(
    command: Command, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pulmoscope.report.style.DPI", 150)
    command.done(*build(place / "data" / "table.csv", place / "cohort"))
    arguments = ("augment", place / "tiny.yaml", "--cohort", place / "cohort", "--n", 3, "--views", 2)
    out = place / "sheet.png"
    assert "written:" in command.done(*arguments, "--out", out)
    with Image.open(out) as sheet:
        assert min(sheet.size) > 300
    first = out.read_bytes()
    command.done(*arguments, "--out", out)
    assert out.read_bytes() == first
    command.done(*arguments, "--out", out, "--seed", 1)
    assert out.read_bytes() != first
    coloured = place / "coloured.png"
    command.done(*arguments, "--out", coloured, "--set", "augment=system_a")
    with Image.open(coloured) as sheet:
        red, _, blue = sheet.convert("RGB").split()
        assert red.tobytes() != blue.tobytes()
    command.refused("E_USAGE", *arguments, "--out", place / "sheet.jpg")
    line = command.refused("E_RECIPE", *arguments, "--out", out, "--set", "augment=sistem_a")
    assert "did you mean system_a?" in line
