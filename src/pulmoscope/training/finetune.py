"""Stage 2: every weight learns. A Lightning module whose every step is a function of seed, epoch and batch index."""

from __future__ import annotations

import functools
import math
import time
from dataclasses import asdict
from typing import Any

import lightning
import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from pulmoscope.errors import TrainingError
from pulmoscope.imaging import Augment, Preprocess, augment
from pulmoscope.models import Classifier
from pulmoscope.training.batches import Batch
from pulmoscope.training.history import EpochRow, improves, validation_scores
from pulmoscope.training.losses import training_loss
from pulmoscope.training.parts import FinetuneStage


class Finetune(lightning.LightningModule):
    """Trains a classifier whole, validates its averaged weights, and knows its best epoch.

    Its own state (history, best value, epochs without improvement) travels in the checkpoint, so that a resumed run
    goes on as if it had not stopped.
    """

    def __init__(
        self,
        network: Classifier,
        *,
        preprocess: Preprocess,
        transforms: Augment,
        stage: FinetuneStage,
        class_weights: torch.Tensor,
        label_smoothing: float,
        select: str,
        seed: int,
        steps: int,
        pictures: int,
    ) -> None:
        super().__init__()
        self.network = network
        self.averaged = _averaged(network, stage.ema) if stage.ema > 0 else None
        self.preprocess = preprocess
        self.transforms = transforms
        self.stage = stage
        self.select = select
        self.seed = seed
        self.steps = steps
        self.pictures = pictures
        self.loss = training_loss(class_weights, label_smoothing)
        self.rows: list[EpochRow] = []
        self.best_value: float | None = None
        self.best_epoch = 0
        self.improved = False
        self._seen: list[torch.Tensor] = []
        self._validated: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._started = time.monotonic()

    @property
    def kept(self) -> nn.Module:
        """The weights that are validated and saved: averaged ones where there are."""
        return self.averaged.module if self.averaged is not None else self.network

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or patience ran out."""
        done = len(self.rows)
        return done >= self.stage.epochs or done - self.best_epoch >= self.stage.patience

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW (Loshchilov and Hutter 2019); biases and normalisation weights do not decay."""
        decayed = [p for p in self.network.parameters() if p.ndim > 1]
        plain = [p for p in self.network.parameters() if p.ndim <= 1]
        return torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": self.stage.weight_decay},
                {"params": plain, "weight_decay": 0.0},
            ],
            lr=self.stage.learning_rate,
            fused=True,
        )

    def on_train_epoch_start(self) -> None:
        """Start the clock of the epoch."""
        self._started = time.monotonic()
        self._seen = []

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Set the rate and the random state of this very step: nothing of them needs storing."""
        del batch_idx
        rate = self.stage.learning_rate * schedule(self.global_step, self.steps, self.stage.warmup)
        for group in self.optimizers().param_groups:  # type: ignore[union-attr]
            group["lr"] = rate
        torch.manual_seed(_step_seed(self.seed, batch, self.global_rank))

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        """Loss of one batch.

        Raises:
            TrainingError: It is not finite.
        """
        del batch_idx
        generator = torch.Generator()  # on the CPU, so that a GPU sees the same augmentation
        generator.manual_seed(_step_seed(self.seed, batch, self.global_rank))
        pictures = batch.pictures[:, None].float().div_(255)
        pictures = augment(pictures, self.transforms, generator)
        inputs = self.preprocess.to_input(pictures).contiguous(memory_format=torch.channels_last)
        logits = self.network(inputs)
        loss: torch.Tensor = self.loss(logits.float(), batch.labels)
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss became {float(loss.detach())} in epoch {batch.epoch}, batch {batch.index + 1}",
                code="E_LOSS_NOT_FINITE",
                remedy="lower train.finetune.learning_rate or set train.finetune.gradient_clip; "
                "the last good checkpoint is kept",
            )
        correct = (logits.detach().argmax(dim=1) == batch.labels).sum()
        count = torch.tensor(float(len(batch.labels)), device=loss.device)
        self._seen.append(torch.stack([loss.detach() * count, correct.float(), count]))
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Move the averaged weights."""
        del outputs, batch, batch_idx
        if self.averaged is not None:
            self.averaged.update_parameters(self.network)

    def on_validation_epoch_start(self) -> None:
        """Forget the logits of the epoch before."""
        self._validated = []

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Logits of one batch from the weights that would be kept."""
        del batch_idx
        inputs = self.preprocess.to_input(batch.pictures).contiguous(memory_format=torch.channels_last)
        self._validated.append((self.kept.eval()(inputs).float().cpu(), batch.labels.cpu()))

    def on_validation_epoch_end(self) -> None:
        """Write the epoch's row and decide: is it the best, is it the last?"""
        logits = torch.cat([one for one, _ in self._validated]).double().numpy()
        labels = torch.cat([one for _, one in self._validated]).numpy()
        weights = self.loss.weight.double().cpu().numpy()  # type: ignore[union-attr]
        # Every process validates everything; the first one's scores decide for all, so that all stop together.
        scores = self.trainer.strategy.broadcast(validation_scores(logits, labels, weights))
        seen = self.trainer.strategy.reduce(torch.stack(self._seen).sum(dim=0), reduce_op="sum")
        loss, correct, count = seen.tolist()
        if round(count) != self.pictures:
            raise TrainingError(
                f"an epoch saw {round(count)} pictures", code="E_SHARES", expected=str(self.pictures)
            )
        row = EpochRow(
            stage="finetune",
            epoch=len(self.rows) + 1,
            train_loss=loss / count,
            train_accuracy=correct / count,
            learning_rate=float(self.optimizers().param_groups[0]["lr"]),  # type: ignore[union-attr]
            seconds=round(time.monotonic() - self._started, 3),
            **scores,
        )
        self.rows.append(row)
        value = scores[self.select]
        self.improved = improves(self.select, value, self.best_value)
        if self.improved:
            self.best_value, self.best_epoch = value, row.epoch
        if np.isnan(scores["val_loss"]):
            raise TrainingError("the validation loss is undefined", code="E_LOSS_NOT_FINITE")
        self.trainer.should_stop = self.finished

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


def schedule(step: int, steps: int, warmup: float) -> float:
    """Factor on the learning rate in (0, 1]: linear warm-up over a fraction of the steps, then cosine decay."""
    rising = max(1, round(steps * warmup))
    if step < rising:
        return (step + 1) / rising
    progress = min(1.0, (step - rising) / max(1, steps - rising))
    return max(1e-3, 0.5 * (1 + math.cos(math.pi * progress)))


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
