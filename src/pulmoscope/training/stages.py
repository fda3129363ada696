"""One training: both stages in a row, resumable at any moment."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file

from pulmoscope.errors import RunError
from pulmoscope.files import make_folder, write_json
from pulmoscope.inference import choose_device
from pulmoscope.inference.compute import bfloat16_pays
from pulmoscope.models import Classifier, ModelSpec, WeightsOrigin, build_classifier, load_weights
from pulmoscope.training.batches import Examples, TrainingBatches, ValidationBatches
from pulmoscope.training.checkpoint import LAST, PREVIOUS, WholeCheckpoints, newest_whole
from pulmoscope.training.failures import one_line
from pulmoscope.training.features import frozen_features
from pulmoscope.training.finetune import Finetune
from pulmoscope.training.head_stage import head_judge, train_head, undefined
from pulmoscope.training.history import EpochRow, best_row, write_history
from pulmoscope.training.loop import (
    BEST,
    EpochBar,
    SaveEpochs,
    TellEpochs,
    quiet_lightning,
    save_network,
    scores_line,
)
from pulmoscope.training.losses import Loss, class_weights, training_loss
from pulmoscope.training.recipe import Recipe
from pulmoscope.training.sampling import Sampler, classes_to_change, limited
from pulmoscope.training.selection import class_metric
from pulmoscope.training.stopping import Course

log = logging.getLogger("pulmoscope")

# Enough for a loss that is compared with itself, at little cost beside an epoch.
_PLAIN_PICTURES = 512


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one training needs.

    Attributes:
        recipe: Resolved.
        train: Pictures to learn from.
        val: Pictures that choose the epoch; None where ``head`` and ``finetune`` say it.
        classes: Their names, in the order of the labels.
        folder: For ``history.csv`` and ``checkpoints/``.
        seed: Of everything random.
        progress: Draw progress bars.
        head: The course of stage 1 without validation.
        finetune: That of stage 2.
        after_epoch: Called with each row of stage 2, where one process trains; what it raises ends the training.
        start: Weights of the whole network, by name, to begin from instead of those that the recipe names.
    """

    recipe: Recipe
    train: Examples
    val: Examples | None
    classes: tuple[str, ...]
    folder: Path
    seed: int
    progress: bool = False
    head: Course | None = None
    finetune: Course | None = None
    after_epoch: Callable[[EpochRow], None] | None = None
    start: Mapping[str, torch.Tensor] | None = None

    @property
    def checkpoints(self) -> Path:
        """Where what a killed training goes on from is kept."""
        return self.folder / "checkpoints"

    @property
    def spec(self) -> ModelSpec:
        """The network's architecture."""
        recipe = self.recipe
        return ModelSpec(
            backbone=recipe.model.backbone,
            options=recipe.model.options,
            size=recipe.preprocess.size,
            channels=recipe.preprocess.channels,
            head=recipe.model.head,
            classes=self.classes,
        )

    @property
    def val_weights(self) -> torch.Tensor:
        """Weights (C,) of the classes in the validation loss: by the pictures there are, however they are sampled."""
        return class_weights(self.recipe.train.class_weights, self.train.labels, self.classes)

    @property
    def plain(self) -> NDArray[np.int64] | None:
        """Positions of the training pictures whose plain loss the gap is measured from; None where no gap is."""
        if self.recipe.train.stop != "gap" or self.val is None:
            return None
        return limited(self.train.labels, _PLAIN_PICTURES, seed=self.seed)

    def sampler(self, *, expand: bool) -> Sampler:
        """Of the training pictures; ``expand`` is whether changed copies can differ from the plain picture."""
        part = self.recipe.train
        labels = self.train.labels
        return Sampler(
            labels=labels,
            sampling=part.sampling,
            expand=part.expand if expand else 1,
            may_change=classes_to_change(part.augment_only, labels, self.classes),
        )

    def loss(self, sampler: Sampler) -> Loss:
        """The training loss; balanced weights count the pictures that an epoch shows, so nothing is balanced twice."""
        part = self.recipe.train
        shown = sampler.class_counts()
        weights = class_weights(part.class_weights, np.repeat(np.arange(len(shown)), shown), self.classes)
        return training_loss(
            weights,
            kind=part.loss,
            label_smoothing=part.label_smoothing,
            focal_gamma=part.focal_gamma,
            output=self.recipe.model.head.output,
        )


class Trained(NamedTuple):
    """What both stages leave.

    Attributes:
        network: With the kept weights, on the CPU, in evaluation mode.
        origin: Of its starting weights.
        head_rows: A row an epoch of stage 1.
        head_epoch: The epoch that stage 1 kept, from which stage 2 starts; 0 without stage 1.
        finetune_rows: A row an epoch of stage 2.
        chosen: Stage, epoch and value of the metric that kept the weights.
    """

    network: Classifier
    origin: WeightsOrigin
    head_rows: list[EpochRow]
    head_epoch: int
    finetune_rows: list[EpochRow]
    chosen: dict[str, Any]


def run_stages(job: Job) -> Trained:
    """Train both stages and keep the best weights.

    Raises:
        TrainingError: The loss is not finite, memory ran out, or no epoch can be chosen.
        RunError: The best weights are damaged.
    """
    recipe = job.recipe
    make_folder(job.checkpoints)
    spec = job.spec
    network = build_classifier(spec, seed=job.seed)
    if job.start is None:
        origin = load_weights(network.backbone, spec.backbone, spec.channels, recipe.model.weights)
    else:
        network.load_state_dict(dict(job.start), strict=True)
        origin = WeightsOrigin(name="given", source="the whole network that training was handed")
    with one_line(recipe, "head"):
        rows, best_value = _stage_one(job, network)
    write_history(job.folder / "history.csv", rows)
    best = best_row(rows, recipe.train.select)
    head_epoch = best.epoch if best is not None else len(rows)
    chosen = {"stage": "head", "epoch": head_epoch, "value": best_value}
    finetune_rows: list[EpochRow] = []
    epochs = recipe.train.finetune.epochs if job.finetune is None else job.finetune.epochs
    if epochs > 0:
        with one_line(recipe, "finetune"):
            module = _stage_two(job, network, rows, best_value)
        finetune_rows = module.rows
        if module.best_epoch:
            chosen = {"stage": "finetune", "epoch": module.best_epoch, "value": module.best_value}
        elif not rows:
            raise undefined(recipe.train.select)
        write_history(job.folder / "history.csv", [*rows, *finetune_rows])
    try:
        weights = load_file(job.checkpoints / BEST)
    except SafetensorError as error:
        raise RunError(
            f"{job.checkpoints / BEST} is damaged", remedy="train again into a new folder"
        ) from error
    network.load_state_dict(weights, strict=True)
    network.requires_grad_(True)
    return Trained(network.cpu().eval(), origin, rows, head_epoch, finetune_rows, chosen)


def _stage_one(job: Job, network: Classifier) -> tuple[list[EpochRow], float | None]:
    done, kept = job.checkpoints / "head.json", job.checkpoints / "head.safetensors"
    before = _finished_stage_one(done, kept)
    if before is not None:
        network.load_state_dict(before.weights, strict=True)
        return before.rows, before.best_value
    # Best weights of a later stage would be overwritten below: what follows stage 1 is trained again with it.
    for name in (LAST, PREVIOUS):
        (job.checkpoints / name).unlink(missing_ok=True)
    rows: list[EpochRow] = []
    best_value = None
    stage = job.recipe.train.head
    if (stage.epochs if job.head is None else job.head.epochs) > 0:
        rows, best_value = _head_on_features(job, network)
        best = best_row(rows, job.recipe.train.select)
        if best is not None:
            log.info("stage 1: best of %d epochs is %d: %s", len(rows), best.epoch, scores_line(best))
    save_network(network, kept)
    save_network(network, job.checkpoints / BEST)
    write_json(done, {"rows": [_finite(asdict(row)) for row in rows], "best_value": best_value})
    return rows, best_value


def _head_on_features(job: Job, network: Classifier) -> tuple[list[EpochRow], float | None]:
    recipe, stage = job.recipe, job.recipe.train.head
    options: dict[str, Any] = {
        "preprocess": recipe.preprocess,
        "device": choose_device(recipe.train.device),
        "precision": recipe.train.precision,
        "progress": job.progress,
    }
    validation = f" and {len(job.val)} validation" if job.val is not None else ""
    log.info("stage 1: features of %d training%s pictures", len(job.train), validation)
    features = frozen_features(
        network, job.train, transforms=recipe.augment, views=stage.views, seed=job.seed, **options
    )
    val_features = frozen_features(network, job.val, **options)[0] if job.val is not None else None
    network.cpu()
    judge = None
    if job.val is not None and val_features is not None:
        plain = job.plain
        judge = head_judge(
            network.head,
            val_features,
            job.val.labels,
            job.val_weights.double().numpy(),
            network.log_probabilities,
            selected=class_metric(recipe.train.select, job.classes),
            plain=None if plain is None else (features[0][plain], job.train.labels[plain]),
        )
    # Mixing and copies need pictures: without views there is nothing that a copy could show.
    sampler = job.sampler(expand=stage.views > 0)
    return train_head(
        network.head,
        features,
        job.train.labels,
        stage=stage,
        loss=job.loss(sampler),
        sampler=sampler,
        seed=job.seed,
        judge=judge,
        select=recipe.train.select,
        stop=recipe.train.stop,
        course=job.head,
    )


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
    job: Job, network: Classifier, head_rows: list[EpochRow], head_value: float | None
) -> Finetune:
    recipe, stage = job.recipe, job.recipe.train.finetune
    device = choose_device(recipe.train.device)
    processes = recipe.train.devices or (torch.cuda.device_count() if device.type == "cuda" else 1)
    sampler = job.sampler(expand=True)
    batches = TrainingBatches(job.train, sampler, batch=stage.batch, seed=job.seed, processes=processes)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    module = Finetune(
        network.train(),
        preprocess=recipe.preprocess,
        transforms=recipe.augment,
        stage=stage,
        loss=job.loss(sampler),
        val_weights=job.val_weights,
        seed=job.seed,
        batches=len(batches),
        pictures=len(sampler),
        select=recipe.train.select,
        stop=recipe.train.stop,
        # The head alone is the bar: fine-tuned weights are kept only where they validate better.
        bar=head_value,
        course=job.finetune,
    )
    resume_from = newest_whole(job.checkpoints)
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
    told = [TellEpochs(job.after_epoch)] if job.after_epoch is not None and processes == 1 else []
    with quiet_lightning():
        trainer = lightning.Trainer(
            accelerator="cuda" if on_gpu else "cpu",
            devices=processes,
            strategy="ddp_spawn" if processes > 1 else "auto",
            precision="bf16-mixed" if reduced else "32-true",
            max_epochs=module.epochs,
            gradient_clip_val=stage.gradient_clip or None,
            callbacks=[
                SaveEpochs(job.folder, head_rows),
                EpochBar(module.epochs, len(batches), job.progress),
                *told,
            ],
            plugins=[WholeCheckpoints()],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
        )
        shown = [] if job.val is None else [job.val]
        if job.plain is not None:
            shown.append(job.train.part(job.plain))
        validation = [ValidationBatches(one, batch=64) for one in shown]
        trainer.fit(module, batches, validation or None, ckpt_path=resume_from)
    _take_state(module, job.checkpoints / LAST)
    return module


def _take_state(module: Finetune, path: Path) -> None:
    """Read the module's own state: after training in other processes it lives in the checkpoint alone."""
    module.on_load_checkpoint(WholeCheckpoints().load_checkpoint(path))


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN: an undefined score is written as null."""
    return {
        name: None if isinstance(value, float) and np.isnan(value) else value for name, value in row.items()
    }


def _from_json(row: dict[str, Any]) -> dict[str, Any]:
    return {name: float("nan") if value is None else value for name, value in row.items()}
