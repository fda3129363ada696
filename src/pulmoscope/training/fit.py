"""Both stages of a training, resumable at any moment."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from pulmoscope.errors import RunError, TrainingError
from pulmoscope.files import atomic_path, make_folder, write_json
from pulmoscope.inference import choose_device, keep_memory
from pulmoscope.inference.compute import bfloat16_pays
from pulmoscope.models import Classifier, ModelSpec, WeightsOrigin, build_classifier, load_weights
from pulmoscope.progress import track
from pulmoscope.training.batches import Batch, Examples, TrainingBatches, ValidationBatches
from pulmoscope.training.checkpoint import LAST, PREVIOUS, WholeCheckpoints, newest_whole
from pulmoscope.training.features import frozen_features
from pulmoscope.training.finetune import Finetune
from pulmoscope.training.head_stage import train_head
from pulmoscope.training.history import EpochRow, write_history
from pulmoscope.training.losses import class_weights
from pulmoscope.training.recipe import Recipe

log = logging.getLogger("pulmoscope")


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What training leaves.

    Attributes:
        network: With the weights of the best validated epoch, on the CPU.
        spec: Its architecture.
        origin: Of its starting weights.
        rows: A row an epoch, both stages.
        chosen: Stage and epoch of the kept weights, and the validation metric that chose them.
    """

    network: Classifier
    spec: ModelSpec
    origin: WeightsOrigin
    rows: list[EpochRow]
    chosen: dict[str, Any]


def fit(
    recipe: Recipe,
    *,
    train: Examples,
    val: Examples,
    classes: tuple[str, ...],
    folder: Path,
    seed: int,
    progress: bool = False,
) -> Fitted:
    """Train as ``recipe`` says and keep the weights that validate best.

    The test split is not an argument: nothing here can see it. Files in ``folder/checkpoints`` let a killed training go
    on; the same recipe, examples and seed give the same weights on the CPU, interrupted or not.

    Raises:
        TrainingError: The loss is not finite, or memory ran out.
    """
    if choose_device(recipe.train.device).type == "cpu":
        keep_memory()
    checkpoints = make_folder(folder / "checkpoints")
    spec = ModelSpec(
        backbone=recipe.model.backbone,
        channels=recipe.preprocess.channels,
        head=recipe.model.head,
        classes=classes,
    )
    network = build_classifier(spec, seed=seed)
    origin = load_weights(network.backbone, spec.backbone, spec.channels, recipe.model.weights)
    weights = class_weights(recipe.train.class_weights, train.labels, classes)

    with _memory_errors(recipe):
        rows, best_value = _stage_one(recipe, network, train, val, weights, checkpoints, seed, progress)
        write_history(folder / "history.csv", rows)
        chosen = {"stage": "head", "epoch": _best_epoch(rows, recipe.train.select), "value": best_value}
        if recipe.train.finetune.epochs > 0:
            module = _stage_two(
                recipe, network, train, val, weights, folder, seed, rows, best_value, progress
            )
            rows = [*rows, *module.rows]
            if module.best_epoch:
                chosen = {"stage": "finetune", "epoch": module.best_epoch, "value": module.best_value}
    write_history(folder / "history.csv", rows)
    try:
        best = load_file(checkpoints / "best.safetensors")
    except SafetensorError as error:
        raise RunError(
            f"{checkpoints / 'best.safetensors'} is damaged", remedy="train again into a new folder"
        ) from error
    network.load_state_dict(best, strict=True)
    chosen |= {"metric": recipe.train.select}
    return Fitted(network=network.cpu().eval(), spec=spec, origin=origin, rows=rows, chosen=chosen)


def _stage_one(
    recipe: Recipe,
    network: Classifier,
    train: Examples,
    val: Examples,
    weights: torch.Tensor,
    checkpoints: Path,
    seed: int,
    progress: bool,
) -> tuple[list[EpochRow], float | None]:
    done, kept = checkpoints / "head.json", checkpoints / "head.safetensors"
    before = _finished_stage_one(done, kept)
    if before is not None:
        network.load_state_dict(before.weights, strict=True)
        return before.rows, before.best_value
    # Best weights of a later stage would be overwritten below: what follows stage 1 is trained again with it.
    for name in (LAST, PREVIOUS):
        (checkpoints / name).unlink(missing_ok=True)
    rows: list[EpochRow] = []
    best_value = None
    if recipe.train.head.epochs > 0:
        device = choose_device(recipe.train.device)
        options: dict[str, Any] = {
            "preprocess": recipe.preprocess,
            "device": device,
            "precision": recipe.train.precision,
            "progress": progress,
        }
        stage = recipe.train.head
        log.info("stage 1: features of %d training and %d validation pictures", len(train), len(val))
        features = frozen_features(
            network, train, transforms=recipe.augment, views=stage.views, seed=seed, **options
        )
        val_features = frozen_features(network, val, **options)[0]
        network.cpu()
        rows, best_value = train_head(
            network.head,
            features,
            train.labels,
            val_features,
            val.labels,
            stage=stage,
            class_weights=weights,
            label_smoothing=recipe.train.label_smoothing,
            select=recipe.train.select,
            seed=seed,
        )
        best = rows[_best_epoch(rows, recipe.train.select) - 1]
        log.info("stage 1: best of %d epochs is %d: %s", len(rows), best.epoch, _scores(best))
    _save_network(network, kept)
    _save_network(network, checkpoints / "best.safetensors")
    write_json(done, {"rows": [_finite(asdict(row)) for row in rows], "best_value": best_value})
    return rows, best_value


class _StageOne(NamedTuple):
    weights: dict[str, torch.Tensor]
    rows: list[EpochRow]
    best_value: float | None


def _finished_stage_one(done: Path, kept: Path) -> _StageOne | None:
    """What stage 1 left; None where it has not ended or its files are damaged: it then runs again in seconds."""
    if not (done.is_file() and kept.is_file()):
        return None
    try:
        state = json.loads(done.read_text("utf-8"))
        rows = [EpochRow(**_from_json(row)) for row in state["rows"]]
        return _StageOne(load_file(kept), rows, state["best_value"])
    except (SafetensorError, ValueError, KeyError, TypeError):
        log.warning("what stage 1 left in %s is damaged: running it again", done.parent)
        return None


def _stage_two(
    recipe: Recipe,
    network: Classifier,
    train: Examples,
    val: Examples,
    weights: torch.Tensor,
    folder: Path,
    seed: int,
    head_rows: list[EpochRow],
    head_value: float | None,
    progress: bool,
) -> Finetune:
    stage = recipe.train.finetune
    device = choose_device(recipe.train.device)
    processes = recipe.train.devices or (torch.cuda.device_count() if device.type == "cuda" else 1)
    batches = TrainingBatches(train, batch=stage.batch, seed=seed)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    module = Finetune(
        network.train(),
        preprocess=recipe.preprocess,
        transforms=recipe.augment,
        stage=stage,
        class_weights=weights,
        label_smoothing=recipe.train.label_smoothing,
        select=recipe.train.select,
        seed=seed,
        steps=stage.epochs * len(batches),
        pictures=len(train),
    )
    # The head alone is the bar: fine-tuned weights are kept only where they validate better.
    module.best_value = head_value
    checkpoints = folder / "checkpoints"
    resume_from = newest_whole(checkpoints)
    if resume_from is not None:
        _take_state(module, resume_from)
        batches.next_epoch = len(module.rows) + 1
        log.info("stage 2: resuming after epoch %d", len(module.rows))
        if module.finished:
            return module
    on_gpu = device.type == "cuda"
    # On the CPU bfloat16 does not speed training up, so it is used only where it is asked for.
    precision = recipe.train.precision
    reduced = precision == "bfloat16" or (precision == "auto" and on_gpu and bfloat16_pays(device))
    with _quiet_lightning():
        trainer = lightning.Trainer(
            accelerator="cuda" if on_gpu else "cpu",
            devices=processes,
            strategy="ddp_spawn" if processes > 1 else "auto",
            precision="bf16-mixed" if reduced else "32-true",
            max_epochs=stage.epochs,
            gradient_clip_val=stage.gradient_clip or None,
            callbacks=[SaveEpochs(folder, head_rows), EpochLines(stage.epochs, len(batches), progress)],
            plugins=[WholeCheckpoints()],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
        )
        trainer.fit(module, batches, ValidationBatches(val, batch=64), ckpt_path=resume_from)
    _take_state(module, checkpoints / LAST)
    return module


class SaveEpochs(Checkpoint):
    """After every epoch: the best weights where they improved, the checkpoint, the history; in this order.

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
            _save_network(module.kept, checkpoints / "best.safetensors")
        trainer.save_checkpoint(checkpoints / LAST)
        if trainer.is_global_zero:
            write_history(self.folder / "history.csv", [*self.head_rows, *module.rows])


class EpochLines(Callback):
    """One line an epoch in the log, a bar within it, and each process's share of the batches."""

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
        """Say how it went."""
        if self._bar is not None:
            next(self._bar, None)
        if trainer.is_global_zero and isinstance(pl_module, Finetune):
            row = pl_module.rows[-1]
            mark = ", best so far" if pl_module.improved else ""
            log.info(
                "stage 2: epoch %d of at most %d: training loss %.3f, %s (%.0f s%s)",
                row.epoch, self.epochs, row.train_loss, _scores(row), row.seconds, mark,
            )  # fmt: skip


def _take_state(module: Finetune, path: Path) -> None:
    """Read the module's own state: after training in other processes it lives in the checkpoint alone."""
    module.on_load_checkpoint(WholeCheckpoints().load_checkpoint(path))


def _save_network(network: torch.nn.Module, path: Path) -> None:
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    with atomic_path(path) as temporary:
        save_file(state, temporary)


def _best_epoch(rows: list[EpochRow], select: str) -> int:
    values = np.array([getattr(row, select) for row in rows])
    if not len(values) or np.isnan(values).all():
        return 0
    return rows[int(np.nanargmin(values) if select == "val_loss" else np.nanargmax(values))].epoch


def _scores(row: EpochRow) -> str:
    return f"validation loss {row.val_loss:.3f}, accuracy {row.val_accuracy:.3f}, macro AUROC {row.val_macro_auroc:.3f}"


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN: an undefined score is written as null."""
    return {
        name: None if isinstance(value, float) and np.isnan(value) else value for name, value in row.items()
    }


def _from_json(row: dict[str, Any]) -> dict[str, Any]:
    return {name: float("nan") if value is None else value for name, value in row.items()}


@contextmanager
def _quiet_lightning() -> Iterator[None]:
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


@contextmanager
def _memory_errors(recipe: Recipe) -> Iterator[None]:
    try:
        yield
    except (MemoryError, torch.cuda.OutOfMemoryError) as error:
        raise TrainingError(
            "memory ran out while training",
            code="E_MEMORY",
            got=f"train.finetune.batch={recipe.train.finetune.batch}, preprocess.size={recipe.preprocess.size}",
            remedy="train into a new folder with half the batch (--set train.finetune.batch=...) or smaller pictures",
        ) from error
