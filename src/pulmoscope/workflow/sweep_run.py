"""Search a space of recipes: many trials, one choice by validation, one reading of the test part."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pulmoscope.cohort import Cohort
from pulmoscope.cohort.splits import assign_folds
from pulmoscope.errors import RunError
from pulmoscope.files import exclusive, make_folder
from pulmoscope.search.engine import Engine, EngineKind, open_engine
from pulmoscope.search.objective import objective_values
from pulmoscope.search.samplers import SamplerName
from pulmoscope.search.sources import with_sources
from pulmoscope.search.space import Space, default_space, read_space
from pulmoscope.search.study import is_file, is_inside, reach
from pulmoscope.training import Recipe, load_recipe
from pulmoscope.workflow.run import Run
from pulmoscope.workflow.runlog import run_log
from pulmoscope.workflow.sweep_findings import Findings
from pulmoscope.workflow.sweep_report import write_sweep
from pulmoscope.workflow.sweep_search import search_trials
from pulmoscope.workflow.sweep_setup import Setup, check_setup, claim_sweep, refuse_known
from pulmoscope.workflow.sweep_trials import read_parts, validation_of

log = logging.getLogger("pulmoscope")


@dataclass(frozen=True, kw_only=True, eq=False)
class Sweep:
    """What :func:`sweep` left.

    Attributes:
        folder: Holds ``trials.parquet``, ``trials.csv``, ``sweep.json``, ``sweep.html`` and ``best/``.
        findings: The table and what it says.
        best: The run of the chosen trial.
        nested: Outer scores of nested cross-validation; None where it was not asked for.
    """

    folder: Path
    findings: Findings
    best: Run
    nested: Mapping[str, Any] | None


def sweep(
    recipe: str | os.PathLike[str] | Recipe,
    cohort: Cohort,
    *,
    out: str | os.PathLike[str],
    space: str | os.PathLike[str] | Space | None = None,
    weights: Sequence[str] = (),
    sampler: SamplerName = "grid",
    trials: int | None = None,
    workers: int | None = None,
    storage: str | None = None,
    engine: EngineKind = "local",
    address: str | None = None,
    prune: bool = False,
    nested: int | None = None,
    seed: int = 0,
    overrides: Sequence[str] = (),
    resume: bool = False,
    progress: bool = False,
) -> Sweep:
    """Try the recipes of a space, choose the best by validation, then read the test part once.

    Heads on the same frozen features are trained together. Killed at any moment, the sweep goes on with ``resume``:
    finished trials stay, and the table ends as it would have.

    Args:
        recipe: A shipped recipe's name, a path, or a :class:`Recipe`.
        cohort: With a split; its test part is read for the chosen trial alone.
        out: The sweep's folder.
        space: A file; by default the one that comes with the recipe.
        weights: Sources of starting weights to compare, two or more: each value is tried with every setting.
        sampler: ``grid`` tries every combination, ``random`` and ``tpe`` as many as ``trials``.
        trials: How many; with a grid all of it.
        workers: Pieces at once; by default 1, and with Ray as many as there are cores.
        storage: Database of the trials; by default SQLite in the folder.
        engine: Where pieces run.
        address: Of a Ray cluster.
        prune: End fine-tuning trials that lie under the median of the others.
        nested: Outer folds of a nested cross-validation over training and validation pictures.
        seed: Of everything random.
        overrides: ``key=value`` changes to the recipe.
        resume: Go on with the sweep in ``out``.
        progress: Draw progress bars.

    Raises:
        RecipeError: Recipe or space are wrong: all mistakes at once, before anything is trained.
        TrainingError: No trial was completed.
        PulmoscopeError: One of its kinds, with what to do.
    """
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe, overrides)
    elif overrides:
        raise RunError("overrides go with a recipe's name or path, not with a Recipe")
    if not isinstance(space, Space):
        space = read_space(space if space is not None else default_space(recipe))
    if weights:
        space = with_sources(space, weights)
    setup = check_setup(recipe, space, cohort, sampler, trials, seed, prune, storage, progress)
    if nested is not None and nested < 2:
        raise RunError("--nested needs outer folds", code="E_USAGE", expected="2 or more", got=str(nested))
    if nested is not None:
        refuse_known(setup, cohort, all_judge=True)
    folder = Path(out).resolve()
    # What cannot be reached leaves no folder that was begun.
    with open_engine(engine, workers=workers, address=address) as running:
        if storage is not None and not is_inside(storage, folder):
            reach(storage)
        check_writers(storage, running)
        with exclusive(folder):
            setup = replace(setup, **claim_sweep(folder, setup, cohort, nested, resume))
            with run_log(folder):
                return _all_of_it(setup, cohort, folder, running, nested)


def check_writers(storage: str | None, engine: Engine) -> None:
    """Prove that whoever runs trials may write to their storage.

    Workers claim and record trials themselves. SQLite's file is kept whole by locks, which hold between processes of
    one machine and are not to be trusted over a network's file system (https://www.sqlite.org/faq.html#q5).

    Raises:
        RunError: The storage is a file, and the cluster has workers on several machines.
    """
    from pulmoscope.search.ray_engine import RayEngine

    if not isinstance(engine, RayEngine) or (storage is not None and not is_file(storage)):
        return
    machines = engine.machines()
    if len(machines) > 1:
        raise RunError(
            "SQLite is a file, which workers on several machines may not write together",
            code="E_SWEEP_STORAGE",
            expected="a database server, or a cluster on one machine",
            got=f"{len(machines)} machines: {', '.join(machines[:5])}",
            remedy="--storage postgresql+psycopg://USER@HOST/NAME (docs/scaling.md)",
        )


def _all_of_it(setup: Setup, cohort: Cohort, folder: Path, engine: Engine, nested: int | None) -> Sweep:
    findings = search_trials(setup, cohort, folder, engine)
    outer = None if nested is None else _nested(setup, folder, engine, nested)
    best = Run(folder / "best")
    write_sweep(folder, findings, setup.recipe, best, outer)
    return Sweep(folder=folder, findings=findings, best=best, nested=outer)


def _nested(setup: Setup, folder: Path, engine: Engine, folds: int) -> dict[str, Any]:
    """Choose inside each outer fold and judge the choice on what the fold held out; the test part is not among them."""
    divided = Cohort.read(folder / "cohort.parquet")
    own = divided.subset((divided.frame["split"] != "test").to_numpy())
    dealt = assign_folds(own.frame, folds, setup.seed)
    rows = []
    for fold in range(folds):
        log.info("outer fold %d of %d", fold + 1, folds)
        frame = own.frame.copy()
        frame["split"] = np.where(dealt == fold, "test", "train")
        inner = make_folder(folder / "nested" / f"fold-{fold}")
        findings = search_trials(setup, Cohort(frame, own.info, own.dropped), inner, engine)
        run = Run(inner / "best")
        held = run.predict("test")
        parts = read_parts(str(inner), setup.recipe.resolved().preprocess.model_dump_json())
        validation = validation_of(parts, setup.recipe.resolved(), setup.seed, split="test")
        probabilities = np.asarray(held.probabilities)[None]
        outer = float(objective_values(setup.objective, validation, probabilities, validation.whole)[0, 0])
        row = findings.row(findings.best)
        rows.append(
            {
                "fold": fold,
                "trial": findings.best,
                "params": findings.params(findings.best),
                "inner": row["objective"],
                "outer": None if np.isnan(outer) else outer,
                "pictures": len(held),
            }
        )
    return summarise_folds(rows, bounded=setup.maximise)


def summarise_folds(rows: Sequence[Mapping[str, Any]], *, bounded: bool) -> dict[str, Any]:
    """Mean of the outer scores with Student's 95% interval over the folds.

    Folds share most of their training pictures, so the interval is a little too narrow (Bengio and Grandvalet 2004).

    Args:
        rows: A fold each, with ``inner`` and ``outer`` scores; ``outer`` may be None.
        bounded: Whether scores lie in [0, 1], which the interval is then cut to.
    """
    from scipy.stats import t

    outer = np.array([row["outer"] for row in rows if row["outer"] is not None], float)
    inner = np.array([row["inner"] for row in rows], float)
    mean = float(outer.mean()) if len(outer) else None
    half = None
    if len(outer) > 1:
        half = float(t.ppf(0.975, len(outer) - 1) * outer.std(ddof=1) / np.sqrt(len(outer)))
    low = high = None
    if half is not None and mean is not None:
        low, high = mean - half, mean + half
        if bounded:
            low, high = max(0.0, low), min(1.0, high)
    return {
        "folds": [dict(row) for row in rows],
        "mean": mean,
        "sd": float(outer.std(ddof=1)) if len(outer) > 1 else None,
        "low": low,
        "high": high,
        "inner_mean": float(inner.mean()),
    }
