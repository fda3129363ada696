"""A map on a picture: aligned, clear where low, marked where high."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from pulmoscope.report.overlay import Panel, as_bytes, draw_row, overlay

GREY = np.full((100, 80), 0.4, np.float32)


def test_where_the_map_is_low_the_picture_is_as_it_was() -> None:
    values = np.zeros_like(GREY)
    values[20:40, 30:60] = 1
    drawn = overlay(GREY, values)
    assert drawn.shape == (100, 80, 3)
    outside = np.ones(GREY.shape, bool)
    outside[15:45, 25:65] = False
    assert (drawn[outside] == round(0.4 * 255)).all()
    # Inside it is light and coloured, and lighter than the picture, so that grey print shows it too.
    inside = drawn[25:35, 35:55].astype(float)
    assert np.ptp(inside.mean(axis=(0, 1))) > 20
    assert inside.mean() > 0.4 * 255 + 20


def test_strength_grows_lighter_throughout() -> None:
    steps = np.linspace(0, 1, 60, dtype=np.float32)[None].repeat(60, axis=0)
    drawn = overlay(np.full((60, 60), 0.2, np.float32), steps, np.zeros((60, 60), bool))
    luminance = (drawn[30] @ [0.299, 0.587, 0.114]).astype(float)
    assert (np.diff(luminance) >= -1).all()
    assert luminance[-1] > luminance[0] + 60


def test_the_line_goes_round_what_is_over_half_or_what_is_told() -> None:
    values = np.zeros_like(GREY)
    values[20:40, 30:60] = 0.6
    told = np.zeros(GREY.shape, bool)
    told[70:90, 10:30] = True
    for marked, row, column in ((None, 20, 45), (told, 70, 20)):
        assert (overlay(GREY, values, marked)[row, column] > 200).all()
    assert not (overlay(GREY, values, told)[20, 45] > 200).all()


def test_a_row_keeps_proportions_and_says_what_is_what() -> None:
    values = np.zeros_like(GREY)
    row = draw_row(
        GREY, [Panel(title="picture"), Panel(title="a title far too long for its place", values=values)]
    )
    assert row.size[1] > 320
    width = round(80 * 320 / 100)
    pixels = np.asarray(row)
    top = row.height - 320
    assert (pixels[top:, :width] == round(0.4 * 255)).all()
    # Between the panels is white, above them is text that stays over its own panel, to the right the colour bar.
    assert (pixels[:, width : width + 8] == 255).all()
    assert (pixels[:top, width + 8 :] < 100).any()
    assert row.width > 2 * width + 40
    alone = draw_row(GREY, [Panel(title="picture")])
    assert alone.width == width


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_the_same_row_is_the_same_file(kind: str) -> None:
    values = np.linspace(0, 1, GREY.size, dtype=np.float32).reshape(GREY.shape)
    made = [as_bytes(draw_row(GREY, [Panel(title="x", values=values)]), kind) for _ in range(2)]
    assert made[0] == made[1]
    with Image.open(io.BytesIO(made[0])) as back:
        assert back.format == kind
