"""What a sweep is: checked whole before anything is trained, and the same again when it goes on."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from pulmoscope.cohort import Cohort, group_rows
from pulmoscope.errors import CohortError, RecipeError, RunError, SplitLeakError
from pulmoscope.files import write_json
from pulmoscope.inference import choose_device
from pulmoscope.models import trained_run
from pulmoscope.search.objective import is_better_high
from pulmoscope.search.samplers import (
    Params,
    SamplerName,
    corners,
    distinct_points,
    grid_points,
    random_points,
)
from pulmoscope.search.space import Space
from pulmoscope.training import Recipe, parse_recipe
from pulmoscope.training.selection import class_metric
from pulmoscope.workflow.environment import describe
from pulmoscope.workflow.run import Run, read_json
from pulmoscope.workflow.sweep_trials import Trial, check_pruning
from pulmoscope.workflow.training_run import refuse_known_test

log = logging.getLogger("pulmoscope")

PLAN = "plan.json"


@dataclass(frozen=True, kw_only=True, eq=False)
class Setup:
    """What a sweep and the inner sweeps of nested cross-validation share.

    Attributes:
        recipe: As it was given, not resolved.
        space: What is searched.
        objective: What trials are ranked by.
        sampler: How they are chosen.
        trials: How many.
        seed: Of everything random.
        prune: Whether fine-tuning trials under the median end early.
        storage: Of the trials; None for SQLite in the folder.
        uid: Of this sweep in its storage.
        progress: Draw progress bars.
        starts: A recipe for each set of starting weights that trials have.
    """

    recipe: Recipe
    space: Space
    objective: str
    sampler: SamplerName
    trials: int
    seed: int
    prune: bool
    storage: str | None
    uid: str
    progress: bool
    starts: tuple[Recipe, ...]

    @property
    def maximise(self) -> bool:
        """Whether a larger objective is better."""
        return is_better_high(self.objective)

    @property
    def content(self) -> dict[str, Any]:
        """What the recipe says of itself; what it leaves open follows the weights of each trial."""
        return self.recipe.model_dump(mode="json", exclude_unset=True)

    def trial(self, number: int, params: Params) -> Trial:
        """The trial with these values."""
        recipe = parse_recipe(self.space.recipe(self.content, params), self.space.where).resolved()
        return Trial(number=number, params=params, recipe=recipe.model_dump_json())


def check_setup(
    recipe: Recipe,
    space: Space,
    cohort: Cohort,
    sampler: SamplerName,
    trials: int | None,
    seed: int,
    prune: bool,
    storage: str | None,
    progress: bool,
) -> Setup:
    """Prove, before anything is trained, that every trial can be."""
    if cohort.frame["fold"].notna().any():
        raise CohortError(
            "the cohort has folds, and a sweep chooses by one validation part",
            code="E_SWEEP_FOLDS",
            remedy="build the cohort with --split patient:0.7,0.15,0.15; for outer folds use --nested K",
        )
    if sampler == "grid" and trials is not None:
        raise RunError(
            "--trials does not go with a grid, which is tried whole",
            code="E_USAGE",
            remedy="leave it out, or --sampler random",
        )
    if sampler != "grid" and (trials is None or trials < 1):
        raise RunError(f"--sampler {sampler} needs --trials", code="E_USAGE", expected="1 or more")
    objective = space.objective or recipe.train.select
    class_metric(objective, cohort.classes)
    content = recipe.model_dump(mode="json", exclude_unset=True)
    points = (
        grid_points(space)
        if sampler == "grid"
        else random_points(space, trials or 1, seed=seed)
        if sampler == "random"
        else corners(space)
    )
    wrong = space.mistakes(content, points)
    if wrong:
        raise RecipeError(f"{space.where}: {'; '.join(wrong)}", code="E_SPACE")
    room = len(points) if sampler == "random" else distinct_points(space)
    if sampler != "grid" and room is not None and room < (trials or 1):
        log.warning("the space has only %d distinct points", room)
    starts: dict[tuple[str, ...], Recipe] = {}
    hindered: list[str | None] = []
    for params in points:
        tried = parse_recipe(space.recipe(content, params), space.where).resolved()
        class_metric(tried.train.select, cohort.classes)
        starts.setdefault(tuple(one.model.weights for one in tried.networks), tried)
        if prune:
            check_pruning(objective, tried.train.select)
            hindered.append(_unprunable(tried))
    _check_any_prunable(hindered)
    return Setup(
        recipe=recipe,
        space=space,
        objective=objective,
        sampler=sampler,
        trials=min(trials or 1, room or trials or 1) if sampler == "tpe" else len(points),
        seed=seed,
        prune=prune,
        storage=storage,
        uid="",
        progress=progress,
        starts=tuple(starts.values()),
    )


def refuse_known(setup: Setup, cohort: Cohort, *, all_judge: bool = False) -> None:
    """Prove that no trial starts from weights that know what judges it.

    Args:
        setup: Of the sweep.
        cohort: With test and validation parts.
        all_judge: Whether every picture is held out at some time, as in nested cross-validation.

    Raises:
        SplitLeakError: Test pictures share a patient or a picture with what another run learned from or was chosen
            on, or validation pictures with what it learned from.
    """
    frame = cohort.frame
    if all_judge:
        cohort = Cohort(frame.assign(split="test"), cohort.info, cohort.dropped)
    validation = frame[frame["split"] == "val"]
    for recipe in setup.starts:
        refuse_known_test(recipe, cohort)
        for place in _begun_from(recipe):
            learned = Run(place).cohort.part("train").frame
            named = learned.assign(image_id="trained:" + learned["image_id"])
            both = pd.concat([named, validation], ignore_index=True)
            groups = group_rows(both)
            ours = both.index >= len(learned)
            known = both.loc[ours & groups.isin(set(groups[~ours])).to_numpy(), "image_id"]
            if len(known):
                raise SplitLeakError(
                    f"{place} was trained on patients or pictures of {len(known)} of {len(validation)} validation "
                    "pictures, by which trials are chosen",
                    got=", ".join(sorted(known)[:5]),
                    remedy="start from a run on other patients, or on the training part of this very split",
                )


def _begun_from(recipe: Recipe) -> Iterator[Path]:
    """The runs that know what they were trained on, from which this recipe starts, and those from which they did."""
    places = {trained_run(one.model.weights) for one in recipe.networks}
    for place in sorted(place for place in places if place is not None):
        if (place / "cohort.parquet").is_file():
            yield place
            yield from _begun_from(Run(place).recipe)


def _unprunable(recipe: Recipe) -> str | None:
    """Why a trial runs to its end whatever its epochs say; None where it need not."""
    if recipe.cascade is not None:
        return "a cascade"
    if recipe.train.finetune.epochs == 0:
        return "a head on frozen features"
    on_gpus = choose_device(recipe.train.device).type == "cuda"
    if (recipe.train.devices or (torch.cuda.device_count() if on_gpus else 1)) > 1:
        return "training on several devices"
    return None


def _check_any_prunable(hindered: Sequence[str | None]) -> None:
    reasons = sorted({reason for reason in hindered if reason is not None})
    if reasons and None not in hindered:
        raise RunError(
            "--prune would end no trial early",
            code="E_USAGE",
            expected="trials that are fine-tuned, on one device",
            got=", ".join(reasons),
            remedy="leave out --prune",
        )
    if reasons:
        log.warning("--prune does nothing for some of the trials: %s", ", ".join(reasons))


def claim_sweep(
    folder: Path, setup: Setup, cohort: Cohort, nested: int | None, resume: bool
) -> dict[str, Any]:
    """Begin a sweep in ``folder``, or prove that the one in it is the same; its name."""
    identity: dict[str, Any] = {
        "recipe": setup.content,
        "space": setup.space.as_dict(),
        "objective": setup.objective,
        "sampler": setup.sampler,
        "trials": setup.trials,
        "seed": setup.seed,
        "prune": setup.prune,
        "nested": nested,
        "cohort": cohort.fingerprint(),
        "classes": list(cohort.classes),
    }
    path = folder / PLAN
    if not path.is_file():
        if (folder / "recipe.yaml").is_file() or (folder / "cohort.parquet").is_file():
            raise RunError(
                f"{folder} holds a run or a cohort",
                code="E_RUN_EXISTS",
                remedy="choose another folder for the sweep with --out",
            )
        started = {"uid": uuid.uuid4().hex, "environment": describe()}
        write_json(path, identity | started)
        return {"uid": started["uid"]}
    if not resume:
        raise RunError(
            f"{folder} holds a sweep already",
            code="E_RUN_EXISTS",
            remedy="go on with it by --resume, or choose another folder with --out",
        )
    before = read_json(path)
    plain = json.loads(json.dumps(identity))
    changed = [name for name, value in plain.items() if before.get(name) != value]
    if changed:
        raise RunError(
            f"{folder} was begun with another {', '.join(changed)}",
            code="E_RESUME_MISMATCH",
            remedy="resume with the settings it was begun with, or choose another folder with --out",
        )
    return {"uid": before["uid"]}
