"""A published system trained again: every variant and seed, and one table of its numbers beside ours."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pulmoscope.cohort import Cohort
from pulmoscope.errors import PulmoscopeError, RecipeError, RunError
from pulmoscope.files import exclusive
from pulmoscope.search.engine import Engine, LocalEngine
from pulmoscope.training import Budget, Family, Recipe, read_family, split_variant
from pulmoscope.workflow.replay_files import check_same_replay, write_replay
from pulmoscope.workflow.replay_table import Judged, Replay, Variant, judge_variant
from pulmoscope.workflow.replay_training import train_variants
from pulmoscope.workflow.results_folder import refuse_run_or_cohort
from pulmoscope.workflow.run import Run
from pulmoscope.workflow.seeds import check_seeds
from pulmoscope.workflow.training_run import claim
from pulmoscope.workflow.verdict import telling_changes

log = logging.getLogger("pulmoscope")

# Where the cohort lies for the processes that train on it.
_COHORT = "cohort"


def replay(
    recipe: str | os.PathLike[str],
    cohort: Cohort,
    *,
    out: str | os.PathLike[str],
    seeds: Sequence[int] = (0,),
    budget: Budget = "full",
    variants: Sequence[str] = (),
    overrides: Sequence[str] = (),
    engine: Engine | None = None,
    progress: bool = False,
) -> Replay:
    """Train every variant of a recipe with every seed, and write its published numbers beside ours.

    A run is in ``out/VARIANT/seed-N``. What is finished is not trained again, and what was interrupted goes on. A
    variant that cannot be trained (its weights cannot be had) stands in the tables with the reason, and the rest go on;
    so does, untrained, one that nobody named and whose published numbers are all of another number of classes than the
    cohort's. Finished variants and seeds that lie in ``out`` already are in the tables too, asked for or not.
    ``replay.csv``, ``.json``, ``.md`` and the page ``replay.html`` are written anew after every variant.

    Args:
        recipe: A shipped recipe's name or a path; ``NAME:VARIANT`` is that variant alone.
        cohort: The radiographs; one with folds is cross-validated, and the pooled predictions count.
        out: The folder of all runs and tables.
        seeds: Distinct.
        budget: ``full`` is the recipe's own setting, ``quick`` a reduced one that is labelled so.
        variants: Only these; all by default.
        overrides: ``key=value`` changes to every variant.
        engine: What trains; by default this process.
        progress: Draw progress bars.

    Raises:
        RecipeError: The recipe is wrong, or has no such variant or budget.
        RunError: ``out`` holds something else, or runs with other settings: nothing is changed then. Or nothing could
            be trained: the tables say why.
        StorageError: The disk is full.
    """
    name, one = split_variant(os.fspath(recipe))
    if one is not None and variants:
        raise RecipeError(f"{recipe} names a variant already", got=f"variants {', '.join(variants)}")
    family = read_family(name)
    named = (one,) if one is not None else tuple(variants)
    asked = _recipes(family, named or family.variants, budget, overrides)
    skipped = {} if named else {label: _why_skipped(waiting, cohort) for label, waiting in asked.items()}
    chosen = check_seeds(seeds)
    folder = Path(out).resolve()
    with exclusive(folder):
        refuse_run_or_cohort(folder)
        check_same_replay(folder, family.name, budget, overrides, cohort)
        others = [label for label in family.variants if label not in asked and (folder / label).is_dir()]
        recipes = asked | (_recipes(family, others, budget, overrides) if others else {})
        begun: dict[str, Variant] = {}
        for label in family.variants or (family.name,):
            if label not in recipes:
                continue
            waiting = recipes[label]
            runs = _finished_runs(folder / label, waiting, cohort, chosen if label in asked else ())
            reason = skipped.get(label) if not runs else None
            if label in asked or runs:
                begun[label] = Variant(
                    recipe=waiting,
                    runs=runs,
                    failures=dict.fromkeys(chosen, reason) if reason else {},
                    changed=telling_changes(overrides, weights=_own_weights(family, waiting)),
                )
        judged = {label: judge_variant(variant, cohort) for label, variant in begun.items()}
        labels = [label for label in asked if not skipped.get(label)]
        found = _replay(family.name, chosen, cohort, judged, overrides)
        if labels:
            cohort.write(folder / _COHORT)
        waiting_for = {label: asked[label] for label in labels}
        for label, reasons in train_variants(
            waiting_for, folder, chosen, folder / _COHORT, cohort, engine or LocalEngine(), progress=progress
        ):
            runs = _runs_of(folder / label, begun[label], chosen)
            trained = replace(begun[label], runs=runs, failures=reasons)
            if trained != begun[label]:
                judged[label] = judge_variant(trained, cohort)
            found = _replay(family.name, chosen, cohort, judged, overrides)
            write_replay(folder, found)
        if not labels:
            write_replay(folder, found)
    if not any(seed in judged[label].variant.runs for label in labels for seed in chosen):
        for label in labels or judged:
            for seed, why in judged[label].variant.failures.items():
                raise RunError(
                    f"nothing was trained: {label}, seed {seed}: {why}",
                    remedy=f"see {folder / 'replay.html'}",
                )
    return found


def _replay(
    name: str, asked: Sequence[int], cohort: Cohort, judged: Mapping[str, Judged], overrides: Sequence[str]
) -> Replay:
    held = {seed for one in judged.values() for seed in one.variant.runs}
    return Replay(
        name=name,
        seeds=tuple(sorted({*asked, *held})),
        cohort=cohort,
        judged=tuple(judged.values()),
        overrides=tuple(overrides),
    )


def _recipes(
    family: Family, variants: Sequence[str], budget: Budget, overrides: Sequence[str]
) -> dict[str, Recipe]:
    """The variants by the name of their folder."""
    if not family.variants and not variants:
        return {family.name: family.recipe(budget=budget, overrides=overrides)}
    return {name: family.recipe(name, budget=budget, overrides=overrides) for name in variants}


def _own_weights(family: Family, recipe: Recipe) -> str:
    """Where the variant's weights start without overrides."""
    return family.recipe(recipe.variant, budget=recipe.budget).model.weights


def _why_skipped(recipe: Recipe, cohort: Cohort) -> str:
    """Why a variant that nobody named is not trained: its numbers are all of another number of classes."""
    there = {number.classes for number in recipe.published}
    here = len(cohort.classes)
    if recipe.variant is None or not there or None in there or here in there:
        return ""
    counts = ", ".join(str(count) for count in sorted(filter(None, there)))
    return (
        f"its published numbers are of {counts} classes, the cohort has {here}; "
        f"it is trained where it is named: --variants {recipe.variant}"
    )


def _finished_runs(folder: Path, recipe: Recipe, cohort: Cohort, asked: Sequence[int]) -> dict[int, Run]:
    """Seed -> the finished run that lies in a variant's folder and has these settings.

    Raises:
        RunError: A run that is to go on was begun with other settings.
    """
    runs: dict[int, Run] = {}
    for place in folder.glob("seed-*"):
        word = place.name.removeprefix("seed-")
        if not (word.isascii() and word.isdigit()) or not _is_taken(place):
            continue
        seed = int(word)
        try:
            claim(place, recipe.resolved(), cohort, seed, resume=True)
        except PulmoscopeError as error:
            if seed in asked:
                raise
            log.warning("%s is not in the tables: %s", place, error)
            continue
        if (place / "metrics.json").is_file():
            runs[seed] = Run(place)
    return dict(sorted(runs.items()))


def _runs_of(folder: Path, begun: Variant, seeds: Sequence[int]) -> dict[int, Run]:
    """Seed -> run of what had been finished before and what is now."""
    places = {seed: folder / f"seed-{seed}" for seed in seeds if seed not in begun.runs}
    ours = {seed: Run(place) for seed, place in places.items() if (place / "metrics.json").is_file()}
    return dict(sorted((dict(begun.runs) | ours).items()))


def _is_taken(place: Path) -> bool:
    return any((place / name).is_file() for name in ("recipe.yaml", "cohort.parquet"))
