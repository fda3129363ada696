"""What heads on frozen features need before they can learn, each thing made once for all that share it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import nn

from pulmoscope.errors import PulmoscopeError
from pulmoscope.inference import choose_device
from pulmoscope.models import Classifier, build_classifier, load_weights
from pulmoscope.search.dropout_draws import DropoutDraws
from pulmoscope.search.stack import Lesson
from pulmoscope.training.batches import Examples
from pulmoscope.training.features import frozen_features
from pulmoscope.training.recipe import Recipe
from pulmoscope.training.sampling import limited
from pulmoscope.training.selection import class_metric
from pulmoscope.training.stages import Job

Made = TypeVar("Made")


class Features(NamedTuple):
    """Of the training pictures and their views, (V + 1, N, F), and of the validation pictures, (M, F)."""

    train: NDArray[np.float32]
    val: NDArray[np.float32]


class Lessons:
    """Makes heads with their starting weights and the lessons that they are to follow.

    Args:
        train: Pictures to learn from, before a recipe's ``train.limit``.
        val: Pictures that choose the epoch.
        classes: Their names.
        progress: Draw progress bars.
    """

    def __init__(
        self, *, train: Examples, val: Examples, classes: tuple[str, ...], progress: bool = False
    ) -> None:
        self._train, self._val, self._classes, self._progress = train, val, classes, progress
        self._heads: dict[str, nn.Sequential] = {}
        self._features: dict[str, Features | PulmoscopeError] = {}
        self._lessons: dict[str, Lesson] = {}
        self._draws = DropoutDraws()

    def prepare(self, recipe: Recipe, seed: int) -> tuple[nn.Sequential, Lesson]:
        """A head's starting weights and its lesson; heads of equal lessons share the object.

        Raises:
            PulmoscopeError: The recipe does not fit the classes, or its backbone cannot be had.
        """
        part = recipe.train
        selected = class_metric(part.select, self._classes)
        train = self._train.part(limited(self._train.labels, part.limit, seed=seed))
        job = Job(
            recipe=recipe,
            train=train,
            val=self._val,
            classes=self._classes,
            folder=Path(),
            seed=seed,
            progress=self._progress,
        )
        features = self._features_of(job)
        rest = part.model_dump(mode="json", exclude={"head", "finetune", "refit"})
        key = _key(_features_key(job), recipe.model.head.model_dump(mode="json"), rest, part.head.batch)
        lesson = self._lessons.get(key)
        if lesson is None:
            sampler = job.sampler(expand=part.head.views > 0)
            lesson = self._lessons[key] = Lesson(
                features=features.train,
                labels=train.labels,
                spec=recipe.model.head,
                part=part,
                batch=part.head.batch,
                sampler=sampler,
                loss=job.loss(sampler),
                seed=seed,
                val_features=features.val,
                val_labels=self._val.labels,
                val_weights=job.val_weights.double().numpy(),
                selected=selected,
                plain=job.plain,
                draws=self._draws,
            )
        return self._head_of(job), lesson

    def _head_of(self, job: Job) -> nn.Sequential:
        return _once(self._heads, _head_key(job), lambda: build_classifier(job.spec, seed=job.seed).head)

    def _features_of(self, job: Job) -> Features:
        """Features, computed at the first demand; an error stays for the heads that ask again."""

        def make() -> Features | PulmoscopeError:
            try:
                return self._compute(job)
            except PulmoscopeError as error:
                return error

        found = _once(self._features, _features_key(job), make)
        if isinstance(found, PulmoscopeError):
            raise found
        return found

    def _compute(self, job: Job) -> Features:
        recipe = job.recipe
        network: Classifier = build_classifier(job.spec, seed=job.seed)
        self._heads.setdefault(_head_key(job), network.head)
        load_weights(network.backbone, recipe.model.backbone, job.spec.channels, recipe.model.weights)
        options: dict[str, Any] = {
            "preprocess": recipe.preprocess,
            "device": choose_device(recipe.train.device),
            "precision": recipe.train.precision,
            "progress": self._progress,
        }
        views = recipe.train.head.views
        train = frozen_features(
            network, job.train, transforms=recipe.augment, views=views, seed=job.seed, **options
        )
        val = frozen_features(network, self._val, **options)[0]
        network.cpu()
        return Features(train, val)


def _features_key(job: Job) -> str:
    recipe = job.recipe
    return _key(
        recipe.model.model_dump(mode="json", exclude={"head"}),
        recipe.model.head.pool,
        recipe.preprocess.model_dump(mode="json"),
        recipe.augment.model_dump(mode="json") if recipe.train.head.views else None,
        recipe.train.head.views,
        recipe.train.limit,
        [recipe.train.device, recipe.train.precision],
        job.seed,
    )


def _head_key(job: Job) -> str:
    """Starting weights do not depend on dropout and output; the generator has drawn the backbone's before them."""
    spec = job.spec.model_dump(mode="json")
    spec["head"] = job.spec.head.model_dump(mode="json", exclude={"dropout", "output"})
    return _key(spec, job.seed)


def _once(made: dict[str, Made], key: str, make: Callable[[], Made]) -> Made:
    if key not in made:
        made[key] = make()
    return made[key]


def _key(*parts: object) -> str:
    return json.dumps(parts, sort_keys=True)
