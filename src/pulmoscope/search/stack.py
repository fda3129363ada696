"""One stack of heads, trained together as :func:`pulmoscope.training.head_stage.train_head` trains each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from pulmoscope.errors import TrainingError
from pulmoscope.models import HeadSpec
from pulmoscope.search.dropout_draws import DropoutDraws
from pulmoscope.search.stacked_losses import EpochLosses
from pulmoscope.search.stacked_network import StackedHeads
from pulmoscope.search.stacked_scores import stacked_cross_entropy, stacked_scores
from pulmoscope.search.stacked_updates import StackedUpdates, folded_momentum
from pulmoscope.training.failures import finite_loss
from pulmoscope.training.head_stage import drawn_views, undefined
from pulmoscope.training.history import EpochRow, improves
from pulmoscope.training.losses import Loss
from pulmoscope.training.parts import HeadStage, TrainPart
from pulmoscope.training.sampling import Sampler
from pulmoscope.training.schedules import rate_factor
from pulmoscope.training.selection import ClassMetric, column_of
from pulmoscope.training.stopping import ran_out

# What a learning rate goes by.
_PACE = ("learning_rate", "schedule", "epochs", "warmup", "factor", "step_epochs", "plateau_patience")


@dataclass(frozen=True, kw_only=True, eq=False)
class Lesson:
    """What all heads of a stack share.

    Attributes:
        features: (V + 1, N, F): the plain pictures and their augmented views.
        labels: Class indices, (N,).
        spec: Shape, dropout and output of the heads.
        part: Of the recipe; its ``select`` and ``stop`` count here.
        batch: Pictures a step.
        sampler: Of the N pictures.
        loss: Of logits and labels.
        seed: Of order, views and dropout.
        val_features: (M, F).
        val_labels: (M,).
        val_weights: Of the classes in the validation loss, (C,).
        selected: The metric of one class that chooses the epoch.
        plain: Positions of the training pictures whose plain loss the gap is measured from.
        draws: Of dropout; may be shared with lessons of the same pictures.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    spec: HeadSpec
    part: TrainPart
    batch: int
    sampler: Sampler
    loss: Loss
    seed: int
    val_features: NDArray[np.float32]
    val_labels: NDArray[np.int64]
    val_weights: NDArray[np.float64]
    selected: ClassMetric | None
    plain: NDArray[np.int64] | None
    draws: DropoutDraws = field(default_factory=DropoutDraws)


@dataclass(kw_only=True, eq=False)
class Learned:
    """What becomes of one head.

    Attributes:
        stage: Its own.
        rows: A row an epoch; ``seconds`` is its share of the stack's.
        best_value: Of the metric that chooses; None while there is none.
        best_epoch: From 1; 0 while there is none.
        weights: Of that epoch, by their names in the lone head.
        probabilities: Of the validation pictures in that epoch, (M, C); NaN while there is none.
        error: Why it has none.
    """

    stage: HeadStage
    probabilities: NDArray[np.float64]
    rows: list[EpochRow] = field(default_factory=list)
    best_value: float | None = None
    best_epoch: int = 0
    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    error: TrainingError | None = None


def train_stack(heads: Sequence[nn.Sequential], stages: Sequence[HeadStage], lesson: Lesson) -> list[Learned]:
    """Train K heads of one shape on the same batches.

    Args:
        heads: With their starting weights; left as they are.
        stages: One a head; all of one batch size.
        lesson: What they share.

    Returns:
        One a head, in order.
    """
    blank = np.full((len(lesson.val_labels), len(lesson.val_weights)), np.nan)
    found = [Learned(stage=stage, probabilities=blank) for stage in stages]
    # Heads whose gradient goes straight into their momentum stand side by side.
    order = sorted(range(len(stages)), key=lambda at: folded_momentum(stages[at]) or 0.0)
    with torch.no_grad():
        stack = _Stack([heads[at] for at in order], [found[at] for at in order], lesson)
        epoch = 0
        while stack.members:
            epoch += 1
            stack.run_epoch(epoch)
    for one in found:
        if one.error is None and one.best_value is None:
            one.error = undefined(lesson.part.select)
    return found


class _Stack:
    """The heads that still learn."""

    def __init__(self, heads: Sequence[nn.Sequential], members: list[Learned], lesson: Lesson) -> None:
        self.members = members
        self._lesson = lesson
        self._heads = StackedHeads(heads)
        self._updates = StackedUpdates(self._heads, [one.stage for one in members])
        # View after view: the plain pictures come first.
        self._shown = torch.from_numpy(lesson.features).flatten(0, 1)
        self._val = torch.from_numpy(lesson.val_features)
        slots = np.arange(len(lesson.sampler))
        parts = np.array_split(slots, max(1, -(-len(slots) // lesson.batch)))
        self._batches = [slice(int(part[0]), int(part[-1]) + 1) for part in parts]

    def run_epoch(self, epoch: int) -> None:
        """Train and judge every head once, and let those go that have ended."""
        started = time.monotonic()
        lesson = self._lesson
        order_of = np.random.default_rng([lesson.seed, epoch])
        drawn = lesson.sampler.draw(order_of)
        views = drawn_views(drawn, len(lesson.features), order_of)
        chosen = torch.from_numpy(views * len(lesson.labels) + drawn.positions)
        targets = torch.from_numpy(lesson.labels[drawn.positions])
        masks_of = lesson.draws.epoch(
            int(order_of.integers(2**62)), lesson.spec.dropout, len(targets), self._heads.widths
        )
        epoch_losses = EpochLosses(lesson.loss, targets, self._batches)
        logits = torch.empty(len(self.members), len(lesson.val_weights), len(targets))
        rates = self._rates(epoch)
        for number, here in enumerate(self._batches):
            shown = self._shown.index_select(0, chosen[here])
            masks = masks_of(len(shown))
            if masks:
                shown.mul_(masks[0])
            answers = self._heads.forward(shown, masks[1:])
            slope = self._heads.backward(epoch_losses.gradient(answers, here), masks[1:])
            self._updates.step(slope, shown, rates[number])
            logits[:, :, here] = answers
        losses = epoch_losses.values(logits)
        correct = (logits.argmax(dim=1) == targets).sum(dim=1)
        self._fail(epoch, losses, drawn.positions)
        scores, judged = self._judge()
        sizes = torch.tensor([here.stop - here.start for here in self._batches], dtype=torch.float64)
        pictures = len(drawn.positions)
        train_loss = (losses.double() @ sizes / pictures).tolist()
        train_accuracy = (correct.double() / pictures).tolist()
        seconds = round((time.monotonic() - started) / len(self.members), 3)
        for at, one in enumerate(self.members):
            if one.error is not None:
                continue
            one.rows.append(
                EpochRow(
                    stage="head",
                    epoch=epoch,
                    train_loss=train_loss[at],
                    train_accuracy=train_accuracy[at],
                    learning_rate=rates[-1, at].item(),
                    seconds=seconds,
                    **scores[at],
                )
            )
            value = scores[at][column_of(lesson.part.select)]
            if improves(lesson.part.select, value, one.best_value):
                one.best_value, one.best_epoch = value, epoch
                one.weights, one.probabilities = self._heads.state(at), np.exp(judged[at])
        self._release(epoch)

    def _rates(self, epoch: int) -> torch.Tensor:
        """The learning rate of each head at each step of an epoch, (steps, K)."""
        steps = len(self._batches)
        table = np.empty((steps, len(self.members)))
        # Heads that differ in their optimiser alone go at one pace.
        known: dict[tuple[object, ...], NDArray[np.float64]] = {}
        for at, one in enumerate(self.members):
            stage, losses = one.stage, tuple(row.val_loss for row in one.rows)
            pace = (
                *(getattr(stage, name) for name in _PACE),
                losses if stage.schedule == "plateau" else (),
            )
            if pace not in known:
                known[pace] = stage.learning_rate * np.array(
                    [
                        rate_factor(stage, step, epochs=stage.epochs, batches=steps, val_losses=losses)
                        for step in range((epoch - 1) * steps, epoch * steps)
                    ]
                )
            table[:, at] = known[pace]
        return torch.from_numpy(table)

    def _fail(self, epoch: int, losses: torch.Tensor, positions: NDArray[np.int64]) -> None:
        """Note the heads whose loss was not finite; heads share no weights, so the others are as they would be."""
        for at in torch.nonzero(~losses.isfinite().all(dim=1)).flatten().tolist():
            number = int(torch.nonzero(~losses[at].isfinite())[0])
            try:
                finite_loss(losses[at, number], "head", epoch, number, positions[self._batches[number]])
            except TrainingError as error:
                self.members[at].error = error

    def _judge(self) -> tuple[list[dict[str, float]], NDArray[np.float64]]:
        """Validation scores of every head, and its logarithms of probabilities (K, M, C)."""
        lesson = self._lesson
        answers = self._log_probabilities(self._val)
        scores = stacked_scores(answers, lesson.val_labels, lesson.val_weights, lesson.selected)
        if lesson.plain is not None:
            plain = self._log_probabilities(self._shown[torch.from_numpy(lesson.plain)])
            found = stacked_cross_entropy(plain, lesson.labels[lesson.plain], lesson.val_weights)
            scores = [
                one | {"plain_train_loss": float(loss)} for one, loss in zip(scores, found, strict=True)
            ]
        return scores, answers

    def _log_probabilities(self, features: torch.Tensor) -> NDArray[np.float64]:
        logits = self._heads.answer(features).double()
        if self._lesson.spec.output == "sigmoid":
            logits = functional.logsigmoid(logits)
        return np.asarray(torch.log_softmax(logits, dim=2).numpy())

    def _release(self, epoch: int) -> None:
        part = self._lesson.part
        stay = [
            at
            for at, one in enumerate(self.members)
            if one.error is None
            and epoch < one.stage.epochs
            and not ran_out(one.rows, stop=part.stop, select=part.select, patience=one.stage.patience)
        ]
        if len(stay) == len(self.members):
            return
        self.members = [self.members[at] for at in stay]
        if stay:
            chosen = torch.tensor(stay)
            self._heads.keep(chosen)
            self._updates.keep(chosen)
