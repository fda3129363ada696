"""An ablation trained: every cell of a design with every seed, and what each factor did.

Test predictions are read to estimate effects, not to choose a setting; the same effects on the validation part are
written beside them.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pulmoscope.cohort import Cohort
from pulmoscope.errors import PulmoscopeError, RunBusyError, RunError, StorageError
from pulmoscope.evaluation import Predictions
from pulmoscope.files import exclusive, write_json
from pulmoscope.search.ablation import Ablation, ablation_effects
from pulmoscope.search.engine import Engine, LocalEngine
from pulmoscope.search.factors import (
    Cell,
    Design,
    Factor,
    FactorFile,
    cell_label,
    cell_recipes,
    design_cells,
    factors_of,
    read_factors,
)
from pulmoscope.training import Recipe, load_recipe
from pulmoscope.workflow.ablate_files import write_ablation
from pulmoscope.workflow.seeds import check_seeds, refuse_other_content, train_seeds
from pulmoscope.workflow.training_run import train

log = logging.getLogger("pulmoscope")

PLAN = "plan.json"
# What the next cell would not be spared, or must not be told of as a failed training.
_ENDS_ALL = (StorageError, RunBusyError)
_NOT_OURS = frozenset({"E_RESUME_MISMATCH", "E_RUN_EXISTS"})
_LONGEST_NAME = 80


@dataclass(frozen=True, kw_only=True)
class CellTask:
    """One training, small enough to be sent to a worker.

    Attributes:
        recipe: Of the cell.
        cohort: The cohort's folder.
        out: The run's folder.
        seed: Of the training.
        progress: Draw progress bars.
    """

    recipe: Recipe
    cohort: str
    out: str
    seed: int
    progress: bool


def ablate(
    recipe: str | os.PathLike[str] | Recipe,
    cohort: Cohort,
    *,
    out: str | os.PathLike[str],
    factors: str | os.PathLike[str] | FactorFile | None = None,
    design: Design | None = None,
    seeds: Sequence[int] = (0,),
    resume: bool = False,
    engine: Engine | None = None,
    replicates: int = 5000,
    progress: bool = False,
) -> Ablation:
    """Train every cell of an ablation with every seed, and estimate the effect of every factor.

    A run is in ``out/cells/NUMBER-CELL/seed-N``; the effects are in ``ablation.json``, ``ablation.csv`` and on the page
    ``ablation.html``. A cell that cannot be trained is named with its reason, effects that need it are left out, and
    the rest go on. Killed at any moment it goes on with ``resume``, and no finished run is trained again.

    Args:
        recipe: A shipped recipe's name, a path, or a :class:`Recipe`.
        cohort: The radiographs; one with folds is cross-validated in every cell.
        out: The folder of all runs and tables.
        factors: A factor file or its path; by default the one that comes with the recipe.
        design: By default the factor file's.
        seeds: Distinct. Several tell what a factor does from what a training happens to do.
        resume: Go on with what is in ``out``; finished runs are left as they are, and more seeds may be asked for.
        engine: What trains; by default this process.
        replicates: Of the bootstrap.
        progress: Draw progress bars.

    Raises:
        RecipeError: The recipe or the factors are wrong.
        RunError: ``out`` holds something else or other settings, or nothing could be compared.
        StorageError: The disk is full.
    """
    chosen = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    file = factors if isinstance(factors, FactorFile) else read_factors(factors or factors_of(chosen))
    plan = design or file.design
    cells = design_cells(file.factors, plan)
    recipes = cell_recipes(chosen, file.factors, cells)
    checked = check_seeds(seeds)
    folder = Path(out).resolve()
    with exclusive(folder):
        refuse_other_content(folder)
        _claim(folder, chosen, file.factors, plan, cohort, resume)
        if not (folder / "cohort" / "cohort.parquet").is_file():
            cohort.write(folder / "cohort")
        places = {
            cell: folder / "cells" / _folder_name(at, cell_label(file.factors, cell))
            for at, cell in enumerate(cells)
        }
        reasons = _train(
            recipes, places, checked, folder / "cohort", engine or LocalEngine(), file.factors, progress
        )
        tables: dict[Cell, Mapping[int, Predictions]] = {}
        for cell in cells:
            if cell not in reasons:
                found = train_seeds(recipes[cell], cohort, seeds=checked, out=places[cell], resume=True)
                tables[cell] = {seed: run.predictions for seed, run in found.runs.items()}
        if not tables:
            raise RunError(f"nothing was trained: {next(iter(reasons.values()))}")
        judged = ablation_effects(tables, file.factors, design=plan, missing=reasons, replicates=replicates)
        if not judged.effects and not judged.comparisons:
            label, why = next(iter(judged.missing.items()))
            raise RunError(f"nothing can be compared: the cell {label!r} was not trained: {why}")
        write_ablation(folder, judged, chosen, cohort)
    return judged


def train_cell(task: CellTask) -> PulmoscopeError | None:
    """Train one run, or find it finished; an error that ends the whole ablation is returned, any other is raised."""
    try:
        train(
            task.recipe,
            Cohort.read(task.cohort),
            out=task.out,
            seed=task.seed,
            resume=True,
            progress=task.progress,
        )
    except PulmoscopeError as error:
        if isinstance(error, _ENDS_ALL) or error.code in _NOT_OURS:
            return error
        raise
    return None


def _train(
    recipes: Mapping[Cell, Recipe],
    places: Mapping[Cell, Path],
    seeds: Sequence[int],
    cohort: Path,
    engine: Engine,
    factors: Sequence[Factor],
    progress: bool,
) -> dict[Cell, str]:
    """Train what is not finished; why a cell could not be."""
    cell_of = {str(places[cell] / f"seed-{seed}"): cell for cell in recipes for seed in seeds}
    tasks = [
        CellTask(
            recipe=recipes[cell],
            cohort=str(cohort),
            out=str(places[cell] / f"seed-{seed}"),
            seed=seed,
            progress=progress,
        )
        for cell in recipes
        for seed in seeds
    ]
    reasons: dict[Cell, str] = {}
    with contextlib.closing(engine.run(train_cell, tasks)) as outcomes:
        for number, outcome in enumerate(outcomes, 1):
            cell, label = cell_of[outcome.item.out], cell_label(factors, cell_of[outcome.item.out])
            if outcome.value is not None:
                raise outcome.value
            if outcome.error is not None:
                reasons.setdefault(cell, f"seed {outcome.item.seed}: {outcome.error}")
                log.warning("%s, seed %d: %s", label, outcome.item.seed, outcome.error)
            else:
                log.info("%s, seed %d (%d of %d)", label, outcome.item.seed, number, len(tasks))
    return reasons


def _claim(
    folder: Path, recipe: Recipe, factors: Sequence[Factor], design: Design, cohort: Cohort, resume: bool
) -> None:
    """Begin an ablation in ``folder``, or prove that the one in it is the same and may go on."""
    plan: dict[str, Any] = {
        "recipe": recipe.resolved().model_dump(mode="json"),
        "design": design,
        "factors": {one.name: {level.name: dict(level.changes) for level in one.levels} for one in factors},
        "cohort": cohort.fingerprint(),
    }
    path = folder / PLAN
    if not path.is_file():
        write_json(path, plan)
        return
    if not resume:
        raise RunError(
            f"{folder} holds an ablation already",
            code="E_RUN_EXISTS",
            remedy="go on with it by --resume, or choose another folder with --out",
        )
    try:
        before = dict(json.loads(path.read_text("utf-8")))
    except (ValueError, TypeError) as error:
        raise RunError(f"{path} is torn: {error}", remedy="choose another folder with --out") from error
    changed = [name for name, value in json.loads(json.dumps(plan)).items() if before.get(name) != value]
    if changed:
        raise RunError(
            f"{folder} was begun with other settings: {', '.join(changed)}",
            code="E_RESUME_MISMATCH",
            remedy="resume with the settings it was begun with, or choose another folder with --out",
        )


def _folder_name(at: int, label: str) -> str:
    """Numbered, so that cells whose names differ in odd characters only stay apart."""
    return f"{at:03}-{re.sub(r'[^A-Za-z0-9.]+', '-', label).strip('-')[:_LONGEST_NAME]}"
