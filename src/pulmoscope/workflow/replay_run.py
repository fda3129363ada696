"""A published system trained again: every variant and seed, and one table of its numbers beside ours."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from pulmoscope.cohort import Cohort
from pulmoscope.errors import PulmoscopeError, RecipeError, RunBusyError, StorageError
from pulmoscope.files import exclusive
from pulmoscope.training import Budget, Family, Recipe, read_family, split_variant
from pulmoscope.workflow.replay_files import check_same_replay, write_replay
from pulmoscope.workflow.replay_table import Replay, Variant, judge_variant
from pulmoscope.workflow.run import Run
from pulmoscope.workflow.seeds import check_seeds, refuse_other_content
from pulmoscope.workflow.training_run import train

log = logging.getLogger("pulmoscope")


def replay(
    recipe: str | os.PathLike[str],
    cohort: Cohort,
    *,
    out: str | os.PathLike[str],
    seeds: Sequence[int] = (0,),
    budget: Budget = "full",
    variants: Sequence[str] = (),
    overrides: Sequence[str] = (),
    progress: bool = False,
) -> Replay:
    """Train every variant of a recipe with every seed, and write its published numbers beside ours.

    A run is in ``out/VARIANT/seed-N``. What is finished is not trained again, and what was interrupted goes on. A
    variant that cannot be trained (its weights cannot be had) stands in the tables with the reason, and the rest go on.
    ``replay.csv``, ``.json``, ``.md`` and the page ``replay.html`` are written anew after every variant.

    Args:
        recipe: A shipped recipe's name or a path; ``NAME:VARIANT`` is that variant alone.
        cohort: The radiographs; one with folds is cross-validated, and the pooled predictions count.
        out: The folder of all runs and tables.
        seeds: Distinct.
        budget: ``full`` is the report's own setting, ``quick`` a reduced one that is labelled so.
        variants: Only these; all by default.
        overrides: ``key=value`` changes to every variant.
        progress: Draw progress bars.

    Raises:
        RecipeError: The recipe is wrong, or has no such variant or budget.
        RunError: ``out`` holds something else.
        StorageError: The disk is full.
    """
    name, one = split_variant(os.fspath(recipe))
    if one is not None and variants:
        raise RecipeError(f"{recipe} names a variant already", got=f"variants {', '.join(variants)}")
    family = read_family(name)
    recipes = _recipes(family, (one,) if one is not None else variants, budget, overrides)
    chosen = check_seeds(seeds)
    folder = Path(out)
    with exclusive(folder):
        refuse_other_content(folder)
        check_same_replay(folder, family.name, budget, cohort)
        judged = {label: judge_variant(Variant(recipe=waiting), cohort) for label, waiting in recipes.items()}
        for number, (label, variant) in enumerate(recipes.items(), 1):
            log.info("%s (%d of %d)", variant.title, number, len(recipes))
            trained = _train_variant(variant, cohort, folder / label, chosen, progress)
            judged[label] = judge_variant(trained, cohort)
            found = Replay(name=family.name, seeds=chosen, cohort=cohort, judged=tuple(judged.values()))
            write_replay(folder, found)
    return found


def _recipes(
    family: Family, variants: Sequence[str], budget: Budget, overrides: Sequence[str]
) -> dict[str, Recipe]:
    """The chosen variants by the name of their folder."""
    if not family.variants and not variants:
        return {family.name: family.recipe(budget=budget, overrides=overrides)}
    return {
        name: family.recipe(name, budget=budget, overrides=overrides) for name in variants or family.variants
    }


def _train_variant(
    recipe: Recipe, cohort: Cohort, folder: Path, seeds: Sequence[int], progress: bool
) -> Variant:
    runs: dict[int, Run] = {}
    failures: dict[int, str] = {}
    for seed in seeds:
        place = folder / f"seed-{seed}"
        try:
            runs[seed] = train(recipe, cohort, out=place, seed=seed, resume=True, progress=progress)
        except (StorageError, RunBusyError):
            # A full disk or another process at work is nothing that the next variant would be spared.
            raise
        except (PulmoscopeError, RuntimeError, ValueError) as error:
            failures[seed] = _reason(error)
            log.warning("%s, seed %d: %s", recipe.title, seed, failures[seed])
            _clear_unbegun(place)
    return Variant(recipe=recipe, runs=runs, failures=failures)


def _clear_unbegun(folder: Path) -> None:
    """A run that failed before its first epoch binds nobody to its settings: with other weights it may go."""
    if folder.is_dir() and not any(folder.rglob("history.csv")):
        shutil.rmtree(folder)


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, PulmoscopeError) else f"{type(error).__name__}: {text[:300]}"
