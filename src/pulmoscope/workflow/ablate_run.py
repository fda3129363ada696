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
from pathlib import Path
from typing import Any

from pulmoscope.cohort import Cohort
from pulmoscope.errors import RunError
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
from pulmoscope.workflow.results_folder import refuse_run_or_cohort
from pulmoscope.workflow.seeds import check_seeds, train_seeds
from pulmoscope.workflow.trainings import Training, run_trainings

log = logging.getLogger("pulmoscope")

PLAN = "plan.json"
_LONGEST_NAME = 80


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
        refuse_run_or_cohort(folder)
        _claim(folder, chosen, file.factors, plan, cohort, resume)
        if not (folder / "cohort" / "cohort.parquet").is_file():
            cohort.write(folder / "cohort")
        places = {
            cell: folder / "cells" / _folder_name(at, cell_label(file.factors, cell))
            for at, cell in enumerate(cells)
        }
        reasons = _train(
            recipes,
            places,
            checked,
            folder / "cohort",
            cohort,
            engine or LocalEngine(),
            file.factors,
            progress,
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


def _train(
    recipes: Mapping[Cell, Recipe],
    places: Mapping[Cell, Path],
    seeds: Sequence[int],
    held: Path,
    cohort: Cohort,
    engine: Engine,
    factors: Sequence[Factor],
    progress: bool,
) -> dict[Cell, str]:
    """Train what is not finished; why a cell could not be."""
    cell_of = {str(places[cell] / f"seed-{seed}"): cell for cell in recipes for seed in seeds}
    tasks = [
        Training(
            recipe=recipes[cell],
            cohort=str(held),
            out=str(places[cell] / f"seed-{seed}"),
            seed=seed,
            progress=progress,
        )
        for cell in recipes
        for seed in seeds
    ]
    reasons: dict[Cell, str] = {}
    with contextlib.closing(run_trainings(tasks, cohort, engine)) as ended:
        for number, (task, reason) in enumerate(ended, 1):
            cell, label = cell_of[task.out], cell_label(factors, cell_of[task.out])
            if reason is not None:
                reasons.setdefault(cell, f"seed {task.seed}: {reason}")
                log.warning("%s, seed %d: %s", label, task.seed, reason)
            else:
                log.info("%s, seed %d (%d of %d)", label, task.seed, number, len(tasks))
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
