from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pulmoscope.errors import TrainingError
from pulmoscope.training.head_stage import head_judge, train_head
from pulmoscope.training.losses import training_loss
from pulmoscope.training.parts import HeadStage
from pulmoscope.training.sampling import Sampler
from pulmoscope.training.stopping import Course

COUNTS = (20, 10, 5)


def _features(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two views of each of 35 pictures; a plain feature is near its class's place, the other view further out."""
    labels = np.repeat([0, 1, 2], COUNTS)
    places = np.eye(3, 6, dtype=np.float32) * 1.5
    noise = np.random.default_rng(seed).normal(size=(2, len(labels), 6)).astype(np.float32)
    return places[labels] + noise * np.array([0.5, 1.0], np.float32)[:, None, None], labels


def _train(
    features: np.ndarray | None = None, kind: str = "cross-entropy", seed: int = 0, **options: Any
) -> tuple[nn.Linear, list[Any], float | None]:
    whole, labels = _features()
    shown = whole[:1] if features is None else features
    torch.manual_seed(0)
    head = nn.Linear(6, 3)
    sampler = Sampler(labels=labels, **options.pop("sampler", {}))
    course = options.pop("course", None)
    stop = options.pop("stop", "select")
    judge = head_judge(
        head, _features(1)[0][0], labels, np.ones(3), lambda z: torch.log_softmax(z, dim=1),
        plain=(shown[0], labels),
    )  # fmt: skip
    rows, best = train_head(
        head, shown, labels,
        stage=HeadStage(**{"epochs": 12, "learning_rate": 0.05, "batch": 8, **options}),
        loss=training_loss(torch.ones(3), kind=kind),  # type: ignore[arg-type]
        sampler=sampler, seed=seed, judge=None if course else judge, stop=stop, course=course,
    )  # fmt: skip
    return head, rows, best


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
@pytest.mark.parametrize("schedule", ["constant", "cosine", "one-cycle", "step", "inverse-time", "plateau"])
def test_every_optimiser_and_schedule_learns(optimizer: str, schedule: str) -> None:
    _, rows, best = _train(optimizer=optimizer, schedule=schedule, learning_rate=0.02)
    assert best == min(row.val_loss for row in rows)
    assert best < 0.6 * np.log(3)


@pytest.mark.parametrize("kind", ["focal", "binary-cross-entropy"])
def test_every_loss_learns_what_the_validation_loss_measures(kind: str) -> None:
    _, rows, best = _train(kind=kind)
    assert best is not None
    assert best < 0.5 * np.log(3)
    assert rows[-1].train_accuracy > 0.9


def test_the_best_epoch_is_kept_and_patience_ends_it() -> None:
    head, rows, best = _train(epochs=200, learning_rate=0.3, patience=4)
    assert len(rows) < 200
    at = min(rows, key=lambda row: row.val_loss)
    assert len(rows) - at.epoch == 4
    judge = head_judge(
        head, _features(1)[0][0], _features()[1], np.ones(3), lambda z: torch.log_softmax(z, dim=1)
    )
    assert judge()["val_loss"] == best == at.val_loss


def test_a_plateau_lowers_the_rate_and_the_gap_stops() -> None:
    _, rows, _ = _train(
        epochs=60, learning_rate=0.5, schedule="plateau", plateau_patience=2, factor=0.5, patience=60
    )
    rates = sorted({row.learning_rate for row in rows}, reverse=True)
    assert len(rates) > 2
    assert rates[:3] == pytest.approx([0.5, 0.25, 0.125])
    _, rows, _ = _train(epochs=300, learning_rate=0.1, patience=5, stop="gap", weight_decay=0)
    gaps = [row.val_loss - row.plain_train_loss for row in rows]
    assert 6 < len(rows) < 300
    assert max(0.0, min(gaps[:-5])) < min(gaps[-5:])
    # The head is kept in evaluation mode and its training pictures plain: without dropout, rates of 0 and one batch,
    # the loss while learning is the same number.
    _, rows, _ = _train(epochs=1, learning_rate=1e-12, batch=99, stop="gap")
    assert rows[0].plain_train_loss == pytest.approx(rows[0].train_loss, rel=1e-5)


def test_strong_l1_empties_weights_and_decay_shrinks_them() -> None:
    plain, sparse, small = (
        _train(epochs=30, **{"weight_decay": 0, name: value})[0].weight.detach()
        for name, value in (("l1", 0.0), ("l1", 0.05), ("weight_decay", 1.0))
    )
    assert (sparse.abs() < 0.02).sum() > 6 > (plain.abs() < 0.02).sum()
    assert small.norm() < 0.8 * plain.norm()


def test_a_tight_clip_slows_plain_descent() -> None:
    moved = []
    for clip in (0.0, 0.01):
        head, _, _ = _train(epochs=1, optimizer="sgd", momentum=0.0, gradient_clip=clip, weight_decay=0)
        torch.manual_seed(0)
        moved.append(float((head.weight - nn.Linear(6, 3).weight).norm().detach()))
    # 5 steps of at most rate * clip.
    assert moved[1] <= 5 * 0.05 * 0.01 + 1e-6 < moved[0]


def test_sampling_and_views_shape_an_epoch() -> None:
    seen: list[tuple[int, float]] = []

    class Spy(nn.Linear):
        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            if self.training:
                seen.extend((int(a), float(b)) for a, b in rows[:, :2].tolist())
            return super().forward(rows)

    labels = _features()[1]
    coded = np.zeros((3, 35, 6), np.float32)
    coded[:, :, 0] = np.arange(35)
    coded[:, :, 1] = np.arange(3)[:, None]
    sampler = Sampler(labels=labels, sampling="over", expand=2, may_change=np.array([False, False, True]))
    train_head(
        Spy(6, 3), coded, labels,
        stage=HeadStage(epochs=1), loss=training_loss(torch.ones(3)), sampler=sampler, seed=0, judge=None,
        course=Course(epochs=1),
    )  # fmt: skip
    by_class = {label: [view for at, view in seen if labels[at] == label] for label in range(3)}
    assert [len(by_class[label]) for label in range(3)] == [20, 20, 40]
    assert set(by_class[0]) == set(by_class[1]) == {0.0}
    assert by_class[2].count(0.0) == 20
    assert set(by_class[2]) == {0.0, 1.0, 2.0}


def test_a_course_is_followed_to_its_end_without_validation() -> None:
    head, rows, best = _train(epochs=12, course=Course(epochs=5))
    assert best is None
    assert len(rows) == 5
    assert np.isnan(rows[-1].val_loss)
    validated, _, _ = _train(epochs=5, patience=99)
    # Validation only looks: the fifth epoch is the same, and here it is the best.
    assert torch.equal(head.weight, validated.weight)


def test_a_loss_that_is_not_finite_names_epoch_batch_and_pictures() -> None:
    broken = _features()[0][:1].copy()
    broken[0, 7] = np.inf
    with pytest.raises(
        TrainingError, match=r"loss became nan in epoch 1, batch \d.*positions .*\b7\b.*train.head"
    ):
        _train(features=broken)
