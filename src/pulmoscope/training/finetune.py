"""Stage 2: the backbone learns too, in Lightning. Every step is a function of seed, epoch and batch index."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch.optim.swa_utils import AveragedModel

from pulmoscope.errors import TrainingError
from pulmoscope.imaging import Augment, Preprocess, augment, mix
from pulmoscope.models import Classifier
from pulmoscope.models.freeze import freeze
from pulmoscope.training.batches import Batch
from pulmoscope.training.failures import finite_loss
from pulmoscope.training.history import (
    UNKNOWN_SCORES,
    EpochRow,
    improves,
    validation_scores,
    weighted_cross_entropy,
)
from pulmoscope.training.losses import Loss
from pulmoscope.training.optimisers import build_optimiser, finetune_groups, l1_penalty, set_rate
from pulmoscope.training.parts import FinetuneStage
from pulmoscope.training.schedules import rate_factor
from pulmoscope.training.selection import class_metric, column_of
from pulmoscope.training.stopping import Course, ran_out


class Finetune(lightning.LightningModule):
    """Trains a classifier whole, validates its averaged weights, and knows its best epoch.

    Its own state (history, best value) travels in the checkpoint, so that a resumed run goes on as if it had not
    stopped. A second validation loader, where there is one, shows training pictures as they are, for the gap.

    Args:
        network: Trained in place; as much of its backbone as the stage says is frozen here.
        preprocess: From pictures to the network's input.
        transforms: Of the training pictures.
        stage: Epochs, optimiser, rate.
        loss: Of logits and targets.
        val_weights: Of the classes in the validation loss, (C,).
        seed: Of augmentation and dropout.
        batches: Steps an epoch.
        pictures: An epoch, over all processes.
        select: The validation metric that chooses the epoch.
        stop: What patience waits for.
        bar: The value of ``select`` to beat: fine-tuned weights are kept only where they validate better.
        course: Followed instead of a validation part; the last epoch's weights are then kept.
    """

    def __init__(
        self,
        network: Classifier,
        *,
        preprocess: Preprocess,
        transforms: Augment,
        stage: FinetuneStage,
        loss: Loss,
        val_weights: torch.Tensor,
        seed: int,
        batches: int,
        pictures: int,
        select: str = "val_loss",
        stop: Literal["select", "val_loss", "gap"] = "select",
        bar: float | None = None,
        course: Course | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.frozen = freeze(network.backbone, stage.frozen) if stage.frozen else []
        self.averaged = _averaged(network, stage.ema) if stage.ema > 0 else None
        self.preprocess = preprocess
        self.transforms = transforms
        self.stage = stage
        self.loss = loss
        self.val_weights = val_weights.double().numpy()
        self.seed = seed
        self.batches = batches
        self.pictures = pictures
        self.select = select
        self.stop = stop
        self.bar = bar
        self.course = course
        self.rows: list[EpochRow] = []
        self.best_value = bar
        self.best_epoch = 0
        self.improved = False
        self._seen: list[torch.Tensor] = []
        # By loader: the validation part, and training pictures as they are.
        self._validated: dict[int, list[tuple[torch.Tensor, torch.Tensor]]] = {}
        self._started = time.monotonic()

    @property
    def kept(self) -> Classifier:
        """The weights that are validated and saved: averaged ones where there are."""
        return self.averaged.module if self.averaged is not None else self.network  # type: ignore[return-value]

    @property
    def epochs(self) -> int:
        """How many there will be at most."""
        return self.stage.epochs if self.course is None else self.course.epochs

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or patience ran out."""
        if self.course is not None or len(self.rows) >= self.epochs:
            return len(self.rows) >= self.epochs
        return ran_out(
            self.rows, stop=self.stop, select=self.select, patience=self.stage.patience, bar=self.bar
        )

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """As the stage says; biases and normalisation weights do not decay."""
        return build_optimiser(self.stage, finetune_groups(self.network, self.stage), fused=True)

    def on_train_epoch_start(self) -> None:
        """Start the clock of the epoch."""
        self._started = time.monotonic()
        self._seen = []

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Set the rate and the random state of this very step: nothing of them needs storing."""
        del batch_idx
        losses = [row.val_loss for row in self.rows]
        if self.course is not None:
            losses = list(self.course.val_losses[: len(self.rows)])
        factor = rate_factor(
            self.stage, self.global_step, epochs=self.stage.epochs, batches=self.batches, val_losses=losses
        )
        set_rate(self.optimizers(), self.stage.learning_rate * factor)  # type: ignore[arg-type]
        for module in self.frozen:
            module.eval()
        torch.manual_seed(_step_seed(self.seed, batch, self.global_rank))

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        """Loss of one batch, with the L1 penalty.

        Raises:
            TrainingError: It is not finite.
        """
        del batch_idx
        generator = torch.Generator()  # on the CPU, so that a GPU sees the same augmentation
        generator.manual_seed(_step_seed(self.seed, batch, self.global_rank))
        pictures = batch.pictures[:, None].float().div_(255)
        pictures = augment(pictures, self.transforms, generator, only=batch.changes)
        targets = batch.labels
        if self.transforms.mixes:
            pictures, targets = mix(pictures, self.loss.shares(targets), self.transforms, generator)
        inputs = self.preprocess.to_input(pictures).contiguous(memory_format=torch.channels_last)
        logits = self.network(inputs)
        loss: torch.Tensor = self.loss(logits.float(), targets)
        finite_loss(loss, "finetune", batch.epoch, batch.index, batch.positions)
        correct = (logits.detach().argmax(dim=1) == batch.labels).sum()
        count = torch.tensor(float(len(batch.labels)), device=loss.device)
        self._seen.append(torch.stack([loss.detach() * count, correct.float(), count]))
        return loss + l1_penalty(self.network, self.stage.l1) if self.stage.l1 else loss

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Move the averaged weights."""
        del outputs, batch, batch_idx
        if self.averaged is not None:
            self.averaged.update_parameters(self.network)

    def on_validation_epoch_start(self) -> None:
        """Forget the logits of the epoch before."""
        self._validated = {}

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Logits of one batch from the weights that would be kept."""
        del batch_idx
        inputs = self.preprocess.to_input(batch.pictures).contiguous(memory_format=torch.channels_last)
        answered = self._validated.setdefault(dataloader_idx, [])
        answered.append((self.kept.eval()(inputs).float().cpu(), batch.labels.cpu()))

    def on_validation_epoch_end(self) -> None:
        """Write the epoch's row and decide: is it the best, is it the last?

        Raises:
            TrainingError: The validation loss is not finite.
        """
        selected = class_metric(self.select, self.kept.spec.classes)
        found = validation_scores(*self._answers(0), self.val_weights, selected)
        if 1 in self._validated:
            found["plain_train_loss"] = weighted_cross_entropy(*self._answers(1), self.val_weights)
        # Every process validates everything; the first one's scores decide for all, so that all stop together.
        scores = self.trainer.strategy.broadcast(found)
        if not np.isfinite(scores["val_loss"]):
            raise TrainingError(
                f"the validation loss became {scores['val_loss']} in epoch {len(self.rows) + 1}",
                code="E_LOSS_NOT_FINITE",
                remedy="lower train.finetune.learning_rate; the last good checkpoint is kept",
            )
        self._end_epoch(scores)
        value = scores[column_of(self.select)]
        self.improved = improves(self.select, value, self.best_value)
        if self.improved:
            self.best_value, self.best_epoch = value, len(self.rows)
        self.trainer.should_stop = self.finished

    def on_train_epoch_end(self) -> None:
        """Without validation: write the epoch's row; the last epoch is the one to keep."""
        if self.course is None:
            return
        self._end_epoch(UNKNOWN_SCORES)
        self.improved = self.finished
        if self.improved:
            self.best_epoch = len(self.rows)

    def _answers(self, loader: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Log-probabilities (N, C) and labels (N,) of what one loader showed."""
        logits = torch.cat([one for one, _ in self._validated[loader]]).double()
        labels = torch.cat([one for _, one in self._validated[loader]]).numpy()
        return self.kept.log_probabilities(logits).numpy(), labels

    def _end_epoch(self, scores: Mapping[str, float]) -> None:
        seen = self.trainer.strategy.reduce(torch.stack(self._seen).sum(dim=0), reduce_op="sum")
        loss, correct, count = seen.tolist()
        if round(count) != self.pictures:
            raise TrainingError(
                f"an epoch saw {round(count)} pictures", code="E_SHARES", expected=str(self.pictures)
            )
        self.rows.append(
            EpochRow(
                stage="finetune",
                epoch=len(self.rows) + 1,
                train_loss=loss / count,
                train_accuracy=correct / count,
                learning_rate=float(self.optimizers().param_groups[-1]["lr"]),  # type: ignore[union-attr]
                seconds=round(time.monotonic() - self._started, 3),
                **scores,
            )
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Our own state, beside Lightning's."""
        checkpoint["pulmoscope"] = {
            "rows": [asdict(row) for row in self.rows],
            "best_value": self.best_value,
            "best_epoch": self.best_epoch,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take our own state back."""
        state = checkpoint["pulmoscope"]
        self.rows = [EpochRow(**row) for row in state["rows"]]
        self.best_value, self.best_epoch = state["best_value"], state["best_epoch"]


def _step_seed(seed: int, batch: Batch, rank: int) -> int:
    sequence = np.random.SeedSequence([seed, batch.epoch, batch.index, rank])
    return int(sequence.generate_state(1, np.uint64)[0] >> 1)


def _averaged(network: Classifier, decay: float) -> AveragedModel:
    """Exponential moving average of weights and buffers, whose decay rises as (1 + t) / (10 + t) at the start."""
    averaged = AveragedModel(network, multi_avg_fn=functools.partial(_move_average, decay), use_buffers=True)
    # They are moved, not learned: without this, training with several processes waits for their gradients.
    averaged.requires_grad_(False)
    return averaged


@torch.no_grad()
def _move_average(decay: float, averages: Any, currents: Any, count: Any) -> None:
    t = float(count)
    weight = 1 - min(decay, (1 + t) / (10 + t))
    pairs = list(zip(averages, currents, strict=True))
    floating = [(average, current) for average, current in pairs if average.is_floating_point()]
    for average, current in pairs:
        if not average.is_floating_point():
            average.copy_(current)
    if floating:
        torch._foreach_lerp_([a for a, _ in floating], [c for _, c in floating], weight)
