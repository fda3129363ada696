"""A pruned network trained again for a few epochs, so that what is left learns to do without what is gone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pulmoscope.errors import PulmoscopeError
from pulmoscope.explanation.pruning import Pruned
from pulmoscope.files import make_folder
from pulmoscope.models import ModelSpec
from pulmoscope.training import Recipe, fit
from pulmoscope.workflow.parts import Parts

RATE = 0.1
"""Of the run's own learning rate: what was learned is kept, what is missing is learned anew (Li et al. 2017 likewise
retrain at the rate that training ended with)."""


def retrain_recipe(recipe: Recipe, made: Pruned, epochs: int) -> Recipe:
    """The run's recipe for ``epochs`` of everything, without a head stage, at a tenth of its fine-tuning rate.

    Raises:
        PulmoscopeError: The model is a cascade, or its channels are only masked: those would come back.
    """
    spec = made.bundle.spec
    if not isinstance(spec, ModelSpec) or made.kind == "masks":
        what = "a cascade" if not isinstance(spec, ModelSpec) else "a network whose channels are only masked"
        raise PulmoscopeError(
            f"{what} cannot be retrained", code="E_OPTION",
            expected="one network of our own (pulmoscope model), whose channels can be taken out",
            remedy="prune without --retrain",
        )  # fmt: skip
    finetune = recipe.train.finetune
    changed = finetune.model_copy(
        update={
            "epochs": epochs, "patience": epochs, "warmup": 0.0, "frozen": 0.0,
            "learning_rate": finetune.learning_rate * RATE,
        }
    )  # fmt: skip
    return recipe.model_copy(
        update={
            "model": recipe.model.model_copy(update={"options": spec.options}),
            "train": recipe.train.model_copy(
                update={
                    "head": recipe.train.head.model_copy(update={"epochs": 0}),
                    "finetune": changed,
                    "refit": False,
                    "stop": "select",
                }
            ),
        }
    )


def retrained(
    made: Pruned, recipe: Recipe, parts: Parts, folder: Path, *, epochs: int, seed: int, progress: bool
) -> Pruned:
    """The pruned network after ``epochs`` on the training part; validation chooses among these epochs.

    ``folder`` holds what a killed retraining goes on from.

    Raises:
        PulmoscopeError: See :func:`retrain_recipe` and :func:`pulmoscope.training.fit`.
    """
    bundle = made.bundle
    fitted = fit(
        retrain_recipe(recipe, made, epochs),
        train=parts.examples("train"),
        val=parts.examples("val"),
        classes=bundle.classes,
        folder=make_folder(folder),
        seed=seed,
        progress=progress,
        start=bundle.weights,
    )
    weights = {name: value.detach().clone() for name, value in fitted.network.state_dict().items()}
    return replace(made, bundle=replace(bundle, weights=weights))
