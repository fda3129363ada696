"""What happens around the epochs of stage 2: saving, the log, the bar."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint
from safetensors.torch import save_file

from pulmoscope.files import atomic_path
from pulmoscope.progress import track
from pulmoscope.training.batches import Batch, TrainingBatches
from pulmoscope.training.checkpoint import LAST
from pulmoscope.training.finetune import Finetune
from pulmoscope.training.history import EpochRow, write_history

log = logging.getLogger("pulmoscope")

BEST = "best.safetensors"


class SaveEpochs(Checkpoint):
    """After every epoch: the best weights where they improved, the checkpoint, the history; in this order; and a line.

    A kill between any two of them costs at most one epoch, which is then trained again to the same weights.
    """

    def __init__(self, folder: Path, head_rows: list[EpochRow]) -> None:
        self.folder = folder
        self.head_rows = head_rows

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Save; every process takes part in the checkpoint, the first one writes."""
        module = pl_module
        if not isinstance(module, Finetune):
            raise TypeError("SaveEpochs goes with Finetune")
        checkpoints = self.folder / "checkpoints"
        if trainer.is_global_zero and module.improved:
            save_network(module.kept, checkpoints / BEST)
        trainer.save_checkpoint(checkpoints / LAST)
        if not trainer.is_global_zero:
            return
        write_history(self.folder / "history.csv", [*self.head_rows, *module.rows])
        row = module.rows[-1]
        judged = f", {scores_line(row)}" if module.course is None else ""
        mark = ", best so far" if module.improved and module.course is None else ""
        log.info(
            "stage 2: epoch %d of at most %d: training loss %.3f%s (%.0f s%s)",
            row.epoch, module.epochs, row.train_loss, judged, row.seconds, mark,
        )  # fmt: skip


class TellEpochs(Callback):
    """After every epoch its row is told; whoever hears it ends the training by raising an exception."""

    def __init__(self, tell: Callable[[EpochRow], None]) -> None:
        self.tell = tell

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Tell the epoch."""
        del trainer
        if not isinstance(pl_module, Finetune):
            raise TypeError("TellEpochs goes with Finetune")
        self.tell(pl_module.rows[-1])


class EpochBar(Callback):
    """A bar within each epoch, and each process's share of the batches."""

    def __init__(self, epochs: int, batches: int, progress: bool) -> None:
        self.epochs = epochs
        self.batches = batches
        self.progress = progress
        self._bar: Iterator[int] | None = None

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Tell the batches which process this is."""
        del pl_module, stage
        batches = trainer.train_dataloader if trainer.train_dataloader is not None else None
        source = batches or trainer.fit_loop._data_source.instance
        if isinstance(source, TrainingBatches):
            source.rank, source.world = trainer.global_rank, trainer.world_size

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start the bar."""
        del pl_module
        what = f"epoch {trainer.current_epoch + 1} of {self.epochs}"
        self._bar = track(range(self.batches + 1), what, enabled=self.progress and trainer.is_global_zero)
        next(self._bar, None)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Move the bar."""
        del trainer, pl_module, outputs, batch, batch_idx
        if self._bar is not None:
            next(self._bar, None)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """End the bar."""
        del trainer, pl_module
        if self._bar is not None:
            next(self._bar, None)


def scores_line(row: EpochRow) -> str:
    """The validation scores of an epoch, for the log."""
    return f"validation loss {row.val_loss:.3f}, accuracy {row.val_accuracy:.3f}, macro AUROC {row.val_macro_auroc:.3f}"


def save_network(network: torch.nn.Module, path: Path) -> None:
    """Write a network's state as safetensors, whole or not at all."""
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    with atomic_path(path) as temporary:
        save_file(state, temporary)


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Lightning's notices about hardware and settings are not for our users; its errors still are."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            warnings.filterwarnings("ignore", message=".*GPU available but not used.*")
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
