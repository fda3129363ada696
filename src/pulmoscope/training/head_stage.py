"""Stage 1: the head learns on frozen features, in seconds."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pulmoscope.errors import TrainingError
from pulmoscope.training.failures import finite_loss
from pulmoscope.training.history import (
    UNKNOWN_SCORES,
    EpochRow,
    improves,
    validation_scores,
    weighted_cross_entropy,
)
from pulmoscope.training.losses import Loss
from pulmoscope.training.optimisers import build_optimiser, l1_penalty, set_rate
from pulmoscope.training.parts import HeadStage
from pulmoscope.training.sampling import Drawn, Sampler
from pulmoscope.training.schedules import rate_factor
from pulmoscope.training.selection import ClassMetric, column_of
from pulmoscope.training.stopping import Course, ran_out

Scores = Callable[[], dict[str, float]]


def train_head(
    head: nn.Module,
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    *,
    stage: HeadStage,
    loss: Loss,
    sampler: Sampler,
    seed: int,
    judge: Scores | None,
    select: str = "val_loss",
    stop: Literal["select", "val_loss", "gap"] = "select",
    course: Course | None = None,
) -> tuple[list[EpochRow], float | None]:
    """Train ``head`` in place and leave it with the weights of its best validated epoch.

    All of the head's weights decay, its biases too.

    Args:
        head: (N, F) -> (N, C).
        features: (V + 1, N, F): the plain pictures and their augmented views. What may be changed is shown by a view
            that is drawn anew each time, the plain one among them unless the epoch shows that too.
        labels: (N,) class indices.
        stage: Epochs, batch, optimiser, rate.
        loss: Of logits and labels.
        sampler: Of the N pictures.
        seed: Of order, views and dropout.
        judge: Validation scores of the head as it is, in evaluation mode; None with a course.
        select: The score that decides.
        stop: What patience waits for.
        course: Followed instead of a validation part; the last epoch's weights are then kept.

    Returns:
        A row an epoch, and the best value of ``select`` (None where nothing was validated).

    Raises:
        TrainingError: The loss is not finite, or ``select`` is undefined in every epoch.
    """
    optimizer = build_optimiser(stage, [{"params": list(head.parameters())}])
    shown, targets = torch.from_numpy(features), torch.from_numpy(labels)
    pictures = len(sampler)
    batches = max(1, -(-pictures // stage.batch))
    rows: list[EpochRow] = []
    best_value: float | None = None
    best: dict[str, Any] = {}
    for epoch in range(1, (stage.epochs if course is None else course.epochs) + 1):
        started = time.monotonic()
        losses = tuple(row.val_loss for row in rows) if course is None else course.val_losses[: epoch - 1]
        order_of = np.random.default_rng([seed, epoch])
        drawn = sampler.draw(order_of)
        views = torch.from_numpy(drawn_views(drawn, len(features), order_of))
        positions = torch.from_numpy(drawn.positions)
        head.train()
        total, correct, rate = 0.0, 0, 0.0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(order_of.integers(2**62)))
            for number, slots in enumerate(np.array_split(np.arange(pictures), batches)):
                step = (epoch - 1) * batches + number
                rate = stage.learning_rate * rate_factor(
                    stage, step, epochs=stage.epochs, batches=batches, val_losses=losses
                )
                set_rate(optimizer, rate)
                here = slice(slots[0], slots[-1] + 1)
                index = positions[here]
                logits = head(shown[views[here], index])
                value = loss(logits, targets[index])
                found = finite_loss(value, "head", epoch, number, index.numpy())
                optimizer.zero_grad(set_to_none=True)
                (value + l1_penalty(head, stage.l1) if stage.l1 else value).backward()
                if stage.gradient_clip:
                    nn.utils.clip_grad_norm_(head.parameters(), stage.gradient_clip)
                optimizer.step()
                total += found * len(slots)
                correct += int((logits.argmax(dim=1) == targets[index]).sum())
        head.eval()
        scores = judge() if judge is not None else UNKNOWN_SCORES
        rows.append(
            EpochRow(
                stage="head",
                epoch=epoch,
                train_loss=total / pictures,
                train_accuracy=correct / pictures,
                learning_rate=rate,
                seconds=round(time.monotonic() - started, 3),
                **scores,
            )
        )
        if course is not None:
            continue
        if improves(select, scores[column_of(select)], best_value):
            best_value, best = scores[column_of(select)], copy.deepcopy(head.state_dict())
        if ran_out(rows, stop=stop, select=select, patience=stage.patience):
            break
    if rows and course is None:
        if best_value is None:
            raise undefined(select)
        head.load_state_dict(best)
    return rows, best_value


def head_judge(
    head: nn.Module,
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    weights: NDArray[np.float64],
    log_probabilities: Callable[[torch.Tensor], torch.Tensor],
    *,
    selected: ClassMetric | None = None,
    plain: tuple[NDArray[np.float32], NDArray[np.int64]] | None = None,
) -> Scores:
    """Validation scores of ``head`` on features (M, F) and labels (M,), as often as they are asked for.

    Args:
        head: It must be in evaluation mode when it is judged.
        features: Of the validation pictures.
        labels: Theirs.
        weights: Of the classes in the losses, (C,).
        log_probabilities: From logits.
        selected: The metric of one class that chooses the epoch.
        plain: Features and labels of training pictures as they are; their loss is then ``plain_train_loss``.
    """

    def answers(shown: NDArray[np.float32]) -> NDArray[np.float64]:
        with torch.inference_mode():
            return np.asarray(log_probabilities(head(torch.from_numpy(shown)).double()).numpy())

    def judge() -> dict[str, float]:
        scores = validation_scores(answers(features), labels, weights, selected)
        if plain is not None:
            scores["plain_train_loss"] = weighted_cross_entropy(answers(plain[0]), plain[1], weights)
        return scores

    return judge


def undefined(select: str) -> TrainingError:
    """The error of a run whose metric never has a value."""
    return TrainingError(
        f"{select} is undefined in every epoch, so no epoch can be chosen",
        code="E_UNDEFINED",
        expected="a validation part with pictures of at least two classes",
        remedy="carve more validation (--val-from-train), or --set train.select=val_loss",
    )


def drawn_views(drawn: Drawn, count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Which view each picture of an epoch is shown by; the plain one, 0, where it may not be changed."""
    if drawn.changes is None or count == 1:
        return generator.integers(count, size=len(drawn.positions))
    return np.where(drawn.changes, generator.integers(1, count, size=len(drawn.changes)), 0)
