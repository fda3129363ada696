"""The trainings of a replay: one a variant and seed, wherever they run."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pulmoscope.cohort import Cohort
from pulmoscope.errors import WeightsError
from pulmoscope.search.engine import Engine
from pulmoscope.training import Recipe
from pulmoscope.workflow.listing import WEIGHTS_OF_THE_USER
from pulmoscope.workflow.trainings import Training, run_trainings

log = logging.getLogger("pulmoscope")


def train_variants(
    recipes: Mapping[str, Recipe],
    folder: Path,
    seeds: Sequence[int],
    held: Path,
    cohort: Cohort,
    engine: Engine,
    *,
    progress: bool,
) -> Iterator[tuple[str, dict[int, str]]]:
    """Train every variant with every seed; each variant with its failures, as soon as its last training has ended.

    Args:
        recipes: By the name of their folder.
        folder: Of the replay; absolute.
        seeds: Of each variant.
        held: Folder of the cohort; absolute.
        cohort: What is in it.
        engine: What trains.
        progress: Draw progress bars.

    Raises:
        PulmoscopeError: One that ends the replay.
    """
    label_of = {str(folder / label / f"seed-{seed}"): label for label in recipes for seed in seeds}
    trainings = [
        Training(
            recipe=recipe,
            cohort=str(held),
            out=str(folder / label / f"seed-{seed}"),
            seed=seed,
            progress=progress,
        )
        for label, recipe in recipes.items()
        for seed in seeds
    ]
    waiting = dict.fromkeys(recipes, len(seeds))
    reasons: dict[str, dict[int, str]] = {label: {} for label in recipes}
    with contextlib.closing(run_trainings(trainings, cohort, engine)) as ended:
        for training, why in ended:
            label, title = label_of[training.out], training.recipe.title
            if why is not None:
                reasons[label][training.seed] = reason = _reason(why, training.recipe)
                log.warning("%s, seed %d: %s", title, training.seed, reason)
            waiting[label] -= 1
            if not waiting[label]:
                done = sum(not left for left in waiting.values())
                log.info("%s: trained (%d of %d)", title, done, len(recipes))
                yield label, dict(sorted(reasons[label].items()))


def _reason(why: str, recipe: Recipe) -> str:
    lacks = f"{WeightsError.default_code}: " in why
    if lacks and recipe.model.weights.startswith("xrv:") and recipe.variant:
        why += (
            f"; this variant needs --variants {recipe.variant} {WEIGHTS_OF_THE_USER}, and a folder of its own"
        )
    return why
