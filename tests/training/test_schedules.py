"""Every schedule against torch's scheduler of that name, or against its formula."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler

from pulmoscope.training.parts import Optimisation
from pulmoscope.training.schedules import rate_factor

RATE = 0.1


def _ours(epochs: int = 10, batches: int = 7, **options: Any) -> list[float]:
    stage = Optimisation(learning_rate=RATE, **options)
    return [
        RATE * rate_factor(stage, step, epochs=epochs, batches=batches) for step in range(epochs * batches)
    ]


def _torchs(build: Any, steps: int) -> list[float]:
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
    scheduler = build(optimiser)
    rates = []
    for _ in range(steps):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return rates


def test_constant() -> None:
    assert _ours(schedule="constant") == [RATE] * 70


def test_cosine_is_torchs_but_for_its_floor() -> None:
    theirs = _torchs(lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=69), 69)
    # Its first step is the warm-up's last, so the curve begins a step later.
    ours = _ours(schedule="cosine")
    assert ours[1:] == pytest.approx([max(rate, RATE * 1e-3) for rate in theirs])
    assert ours[0] == RATE


def test_cosine_with_warm_up_by_hand() -> None:
    stage = Optimisation(schedule="cosine", warmup=0.1)
    factors = [rate_factor(stage, step, epochs=10, batches=10) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == pytest.approx(1.0)
    assert factors[55] == pytest.approx(0.5)
    assert factors[77] == pytest.approx(0.5 * (1 + math.cos(math.pi * 67 / 90)))
    assert all(a >= b for a, b in itertools.pairwise(factors[10:]))
    assert factors[-1] > 0


@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5])
def test_one_cycle_is_torchs(warmup: float) -> None:
    theirs = _torchs(
        lambda o: lr_scheduler.OneCycleLR(
            o, max_lr=RATE, total_steps=70, pct_start=warmup or 0.3, cycle_momentum=False
        ),
        69,
    )
    assert _ours(schedule="one-cycle", warmup=warmup)[:69] == pytest.approx(theirs)


def test_one_cycle_of_few_steps_stays_in_range() -> None:
    stage = Optimisation(schedule="one-cycle")
    for epochs, batches in itertools.product(range(1, 5), range(1, 5)):
        factors = [rate_factor(stage, s, epochs=epochs, batches=batches) for s in range(epochs * batches)]
        assert all(0 < factor <= 1 for factor in factors)


def test_step_is_torchs() -> None:
    theirs = _torchs(lambda o: lr_scheduler.StepLR(o, step_size=3, gamma=0.5), 10)
    ours = _ours(schedule="step", step_epochs=3, factor=0.5)
    assert ours == pytest.approx([rate for rate in theirs for _ in range(7)])


def test_inverse_time_is_kerass_formula() -> None:
    decay = RATE / 10
    assert _ours(schedule="inverse-time") == pytest.approx([RATE / (1 + decay * t) for t in range(70)])


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_plateau_is_torchs_with_one_epoch_more_of_patience(patience: int) -> None:
    losses = [1.0, 0.8, 0.9, 0.8, 0.7, 0.7, 0.71, 0.72, 0.73, 0.74, 0.6, 0.61, 0.62, 0.63, float("nan"), 0.5]
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
    # torch waits for the epoch after its patience, we for its last; and torch asks for a fall of 0.01% unless told.
    theirs = lr_scheduler.ReduceLROnPlateau(optimiser, factor=0.5, patience=patience - 1, threshold=0)
    stage = Optimisation(learning_rate=RATE, schedule="plateau", factor=0.5, plateau_patience=patience)
    for epoch in range(len(losses) + 1):
        ours = RATE * rate_factor(stage, epoch * 7, epochs=20, batches=7, val_losses=losses[:epoch])
        assert ours == pytest.approx(optimiser.param_groups[0]["lr"]), epoch
        if epoch < len(losses):
            theirs.step(losses[epoch])


@pytest.mark.parametrize("schedule", ["constant", "step", "inverse-time", "plateau"])
def test_the_warm_up_rises_linearly_and_multiplies(schedule: str) -> None:
    cold, warm = _ours(schedule=schedule), _ours(schedule=schedule, warmup=0.2)
    assert warm[:14] == pytest.approx([rate * (step + 1) / 14 for step, rate in enumerate(cold[:14])])
    assert warm[14:] == cold[14:]
