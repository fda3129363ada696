"""From a recipe and examples to a trained network: train, and where asked for train again on all that chose."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pulmoscope.errors import CohortError
from pulmoscope.files import make_folder
from pulmoscope.inference import choose_device, keep_memory
from pulmoscope.models import Classifier, ModelSpec, WeightsOrigin
from pulmoscope.training.batches import Examples
from pulmoscope.training.history import EpochRow
from pulmoscope.training.recipe import Recipe
from pulmoscope.training.sampling import limited
from pulmoscope.training.selection import class_metric
from pulmoscope.training.stages import Job, Trained, run_stages
from pulmoscope.training.stopping import Course

log = logging.getLogger("pulmoscope")

REFIT = "refit"


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What training leaves.

    Attributes:
        network: With the weights of the best validated epoch, or with those of the refit; on the CPU.
        selected: The network as validation chose it, where ``network`` comes from a refit, which has seen the
            validation pictures; else None.
        spec: Its architecture.
        origin: Of its starting weights.
        rows: A row an epoch, both stages; a refit's own rows are in its folder.
        chosen: Stage and epoch of the kept weights, and the validation metric that chose them; ``refit`` says how many
            pictures and epochs of each stage a refit had.
        pictures: How many ``network`` learned from.
    """

    network: Classifier
    selected: Classifier | None
    spec: ModelSpec
    origin: WeightsOrigin
    rows: list[EpochRow]
    chosen: dict[str, Any]
    pictures: int


def fit(
    recipe: Recipe,
    *,
    train: Examples,
    val: Examples,
    classes: tuple[str, ...],
    folder: Path,
    seed: int,
    progress: bool = False,
    after_epoch: Callable[[EpochRow], None] | None = None,
    start: Mapping[str, torch.Tensor] | None = None,
) -> Fitted:
    """Train as ``recipe`` says and keep the weights that validate best.

    The test split is not an argument: nothing here can see it. Files in ``folder/checkpoints`` (of a refit, in
    ``folder/refit``) let a killed training go on; the same recipe, examples and seed give the same weights on the CPU,
    interrupted or not. ``after_epoch`` hears each fine-tuning epoch before it is saved, and may end the training by an
    exception. ``start`` is the state of a whole network of this architecture, to begin from instead of the weights that
    the recipe names.

    Raises:
        RecipeError: The recipe does not fit the classes.
        CohortError: The training or the validation part is empty.
        TrainingError: The loss is not finite, or memory ran out.
    """
    _check_parts(train, val, classes)
    class_metric(recipe.train.select, classes)
    if choose_device(recipe.train.device).type == "cpu":
        keep_memory()
    if recipe.train.limit is not None:
        taken = limited(train.labels, recipe.train.limit, seed=seed)
        log.info("train.limit: %d of %d training pictures, drawn by class shares", len(taken), len(train))
        train = train.part(taken)
    job = Job(
        recipe=recipe, train=train, val=val, classes=classes, folder=folder, seed=seed, progress=progress,
        after_epoch=after_epoch, start=start,
    )  # fmt: skip
    first = run_stages(job)
    chosen = first.chosen | {"metric": recipe.train.select}
    final, pictures = first, len(train)
    if recipe.train.refit:
        final = _refit(job, first, val)
        pictures += len(val)
        epochs = {"head": len(final.head_rows), "finetune": len(final.finetune_rows)}
        chosen |= {"refit": {"pictures": pictures, "epochs": epochs}}
    return Fitted(
        network=final.network,
        selected=first.network if recipe.train.refit else None,
        spec=job.spec,
        origin=first.origin,
        rows=[*first.head_rows, *first.finetune_rows],
        chosen=chosen,
        pictures=pictures,
    )


def _check_parts(train: Examples, val: Examples, classes: tuple[str, ...]) -> None:
    remedies = {
        "training": "build the cohort again with another --split, in which the training part has pictures",
        "validation": "build the cohort again with a validation part that is carved from training (--val-from-train)",
    }
    for what, part in (("training", train), ("validation", val)):
        if not len(part):
            raise CohortError(
                f"the {what} part has no picture of {', '.join(classes)}",
                code="E_EMPTY_PART",
                expected="at least one",
                remedy=remedies[what],
            )


def _refit(job: Job, first: Trained, val: Examples) -> Trained:
    """Train from the same start on training and validation pictures, for as many epochs as validation chose.

    The rates are those of the planned length; a plateau goes by the validation losses of the first training.
    """
    stage, epoch = first.chosen["stage"], first.chosen["epoch"]
    everything = job.train.joined(val)
    log.info("refit: training on all %d training and validation pictures", len(everything))
    return run_stages(
        Job(
            recipe=job.recipe,
            train=everything,
            val=None,
            classes=job.classes,
            folder=make_folder(job.folder / REFIT),
            seed=job.seed,
            progress=job.progress,
            start=job.start,
            head=Course(epochs=first.head_epoch, val_losses=tuple(row.val_loss for row in first.head_rows)),
            finetune=Course(
                epochs=epoch if stage == "finetune" else 0,
                val_losses=tuple(row.val_loss for row in first.finetune_rows),
            ),
        )
    )
