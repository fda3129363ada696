"""Masks drawn once for many stacks against those of ``nn.Dropout``."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pulmoscope.search import dropout_draws
from pulmoscope.search.dropout_draws import DropoutDraws, is_one_stream

WIDTHS = (7, 3)


def of_torch(seed: int, probability: float, batches: list[int]) -> list[torch.Tensor]:
    """What ``nn.Dropout`` multiplies by, layer after layer, batch after batch."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        drop = nn.Dropout(probability)
        return [drop(torch.ones(rows, width)) for rows in batches for width in WIDTHS]


@pytest.mark.parametrize("one_stream", [True, False])
@pytest.mark.parametrize("batches", [[4, 4, 3], [6, 5], [11]])
def test_masks_are_those_of_the_lone_head_whatever_the_batches(
    one_stream: bool, batches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    if one_stream and not is_one_stream():
        pytest.skip("this processor draws otherwise")
    monkeypatch.setattr(dropout_draws, "is_one_stream", lambda: one_stream)
    masks = DropoutDraws().epoch(5, 0.3, sum(batches), WIDTHS)
    found = [mask for rows in batches for mask in masks(rows)]
    for mine, theirs in zip(found, of_torch(5, 0.3, batches), strict=True):
        assert torch.equal(mine, theirs)


def test_an_epoch_is_drawn_once_as_long_as_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    draw = dropout_draws._draw

    def spy(count: int, *rest: object) -> torch.Tensor:
        drawn.append(count)
        return draw(count, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(dropout_draws, "is_one_stream", lambda: True)
    monkeypatch.setattr(dropout_draws, "_draw", spy)
    monkeypatch.setattr(dropout_draws, "_MOST_BYTES", 150)
    draws = DropoutDraws()
    for _ in range(2):
        draws.epoch(1, 0.5, 10, WIDTHS)
    assert drawn == [100]
    # The second epoch has no room, and pushes the first out no more than that.
    for seed in (2, 2, 1):
        draws.epoch(seed, 0.5, 10, WIDTHS)
    assert drawn == [100, 100, 100]
    assert draws.epoch(1, 0.0, 10, WIDTHS)(10) == []
    assert drawn == [100] * 3
