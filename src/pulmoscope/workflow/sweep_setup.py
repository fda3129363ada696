"""What a sweep is: checked whole before anything is trained, and the same again when it goes on."""

from __future__ import annotations

import json
import logging
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pulmoscope.cohort import Cohort
from pulmoscope.errors import CohortError, RecipeError, RunError
from pulmoscope.files import write_json
from pulmoscope.search.objective import is_better_high
from pulmoscope.search.samplers import Params, SamplerName, corners, grid_points, random_points
from pulmoscope.search.space import Space
from pulmoscope.training import Recipe, parse_recipe
from pulmoscope.training.selection import class_metric
from pulmoscope.workflow.environment import describe
from pulmoscope.workflow.run import read_json
from pulmoscope.workflow.sweep_trials import Trial, check_pruning

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
        batch: How many are proposed at a time, by ``tpe``.
        seed: Of everything random.
        prune: Whether fine-tuning trials under the median end early.
        storage: Of the trials; None for SQLite in the folder.
        uid: Of this sweep in its storage.
        progress: Draw progress bars.
    """

    recipe: Recipe
    space: Space
    objective: str
    sampler: SamplerName
    trials: int
    batch: int
    seed: int
    prune: bool
    storage: str | None
    uid: str
    progress: bool

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
    workers: int,
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
    if sampler == "random" and len(points) < (trials or 1):
        log.warning("the space has only %d distinct points", len(points))
    for params in points:
        tried = parse_recipe(space.recipe(content, params), space.where).resolved()
        class_metric(tried.train.select, cohort.classes)
        if prune:
            check_pruning(objective, tried.train.select)
    return Setup(
        recipe=recipe,
        space=space,
        objective=objective,
        sampler=sampler,
        trials=(trials or 1) if sampler == "tpe" else len(points),
        batch=workers,
        seed=seed,
        prune=prune,
        storage=storage,
        uid="",
        progress=progress,
    )


def claim_sweep(
    folder: Path, setup: Setup, cohort: Cohort, nested: int | None, resume: bool
) -> dict[str, Any]:
    """Begin a sweep in ``folder``, or prove that the one in it is the same; its name and batch of proposals."""
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
        started = {"uid": uuid.uuid4().hex, "batch": setup.batch, "environment": describe()}
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
    return {"uid": before["uid"], "batch": before["batch"]}
